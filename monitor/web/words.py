"""Lengths, moments and evidence as people read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from monitor.core.verdict import Verdict

SIGNS: Mapping[Verdict, str] = {Verdict.OK: "✓", Verdict.SLOW: "◷", Verdict.UNKNOWN: "?", Verdict.VIOLATED: "✗"}
"""A sign beside each verdict, for whoever does not see its colour."""

_LINE = 100  # characters
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def length(of: timedelta) -> str:
    """How long something took: `12 ms`, `1.25 s`, `3 min 5 s`."""
    seconds = of.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 60 else rough(of)  # noqa: PLR2004  a minute


def rough(of: timedelta) -> str:
    """How long something is ago: its two largest units, `3 s`, `2 h 5 min`, `4 d 1 h`."""
    left, parts = int(of.total_seconds()), list[str]()
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(part for part in parts[:2] if part) or "0 s"


def when(moment: datetime) -> str:
    """A moment in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def sign(verdict: Verdict) -> str:
    """The sign of a verdict."""
    return SIGNS[verdict]


def visible(text: str) -> str:
    """A text in which nothing hides: control characters and the like as their escapes."""
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


def evidence(value: object) -> str:
    """Evidence as indented text, one thing a line."""
    return "\n".join(_lines(value))


def _lines(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [line for key, inner in value.items() for line in _entry(f"{visible(str(key))}:", inner)]
    if isinstance(value, list | tuple):
        return [line for inner in value for line in _entry("-", inner)]
    return _scalar(value).split("\n")


def _entry(start: str, value: object) -> list[str]:
    if not isinstance(value, Mapping | list | tuple):
        lines = _scalar(value).split("\n")
        return [f"{start} {lines[0]}"] if len(lines) == 1 else [start, *(f"  {line}" for line in lines)]
    if not value:
        return [f"{start} none"]
    if start == "-" and isinstance(value, Mapping):
        flat = f"- {_flat(value)}"
        if len(flat) <= _LINE and "\n" not in flat:
            return [flat]
    return [start, *(f"  {line}" for line in _lines(value))]


def _flat(value: Mapping[str, object]) -> str:
    """A mapping on one line, such as a step with its times; a line break in it says that it does not fit there."""
    if any(isinstance(inner, Mapping | list | tuple) for inner in value.values()):
        return "\n"
    return ", ".join(f"{visible(str(key))}: {_scalar(inner)}" for key, inner in value.items())


def _scalar(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return visible(str(value))


FILTERS: dict[str, Callable[..., str]] = {
    "length": length,
    "rough": rough,
    "when": when,
    "sign": sign,
    "visible": visible,
}
