"""Lengths of time as people write them: `500ms`, `30s`, `5m`, `1h30m`, `7d`."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_ROUGH = (("d", 86400.0, 1), ("h", 3600.0, 1), ("min", 60.0, 1), ("s", 1.0, 2))
LONGEST = timedelta(days=3660)
"""Ten years: more is a slip of the pen, and far from what datetime arithmetic can bear."""


def parse(text: str) -> timedelta:
    """A length from its text.

    Raises ValueError, which names the text and shows the forms that are understood.
    """
    written = text.strip().lower()
    if not _WHOLE.fullmatch(written):
        raise ValueError(f"{text!r} is not a length of time; write it like 500ms, 30s, 5m, 1h30m or 7d")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(written))
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"{text!r} is longer than ten years")
    return timedelta(seconds=seconds)


def text(length: timedelta) -> str:
    """The shortest exact text of a length, such that parse(text(x)) == x for whole milliseconds."""
    milliseconds = round(length.total_seconds() * 1000)
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def between(least: timedelta, most: timedelta) -> str:
    """Two bounds of one length, to be read: `0.10 to 0.34 s`, `4.0 to 4.1 min`; one where they read the same."""
    seconds = most.total_seconds()
    unit, size, digits = next((each for each in _ROUGH if seconds >= 2 * each[1]), _ROUGH[-1])
    low, high = (f"{length.total_seconds() / size:.{digits}f}" for length in (least, most))
    return f"{high} {unit}" if low == high else f"{low} to {high} {unit}"
