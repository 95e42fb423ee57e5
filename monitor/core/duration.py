"""Lengths of time as people write them (`500ms`, `30s`, `5m`, `1h30m`, `7d`), and as they read them (`1 h 30 min`)."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_READ = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
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


def in_words(length: timedelta) -> str:
    """A length to be read, by its two largest units: `3 s`, `2 h 5 min`, `4 d 1 h`. A fraction is dropped."""
    left, parts = int(length.total_seconds()), list[str]()
    for unit, size in _READ:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(part for part in parts[:2] if part) or "0 s"


def took(length: timedelta) -> str:
    """A length that may be short, to be read: `12 ms`, `1.25 s`, `3 min 5 s`."""
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 60 else in_words(length)  # noqa: PLR2004  a minute


def between(least: timedelta, most: timedelta) -> str:
    """Two bounds of one length, to be read: `0.10 to 0.34 s`, `4.0 to 4.1 min`; one where they read the same."""
    seconds = most.total_seconds()
    unit, size, digits = next((each for each in _ROUGH if seconds >= 2 * each[1]), _ROUGH[-1])
    low, high = (f"{length.total_seconds() / size:.{digits}f}" for length in (least, most))
    return f"{high} {unit}" if low == high else f"{low} to {high} {unit}"
