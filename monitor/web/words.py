"""Lengths, moments and evidence as people read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from monitor.core import duration
from monitor.core.verdict import Verdict

SIGNS: Mapping[Verdict, str] = {Verdict.OK: "✓", Verdict.SLOW: "◷", Verdict.UNKNOWN: "?", Verdict.VIOLATED: "✗"}
"""A sign beside each verdict, for whoever does not see its colour."""

_SHORT = 12  # characters of one thing in a line of several
_SHAPES = 3  # kinds of rows that one table of evidence may have


length, rough = duration.took, duration.in_words
"""How long something took, and how long ago it was."""


def brief(of: timedelta) -> str:
    """How long ago by its largest unit alone, where there is little room."""
    words = rough(of).split()
    return " ".join(words[:2])


def when(moment: datetime) -> str:
    """A moment in UTC, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def sign(verdict: Verdict) -> str:
    """The sign of a verdict."""
    return SIGNS[verdict]


def visible(text: str) -> str:
    """A text in which nothing hides: control characters and the like as their escapes."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


def scalar(value: object) -> str:
    """One thing of evidence, as text."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return visible(str(value))


def plural(count: int, one: str, many: str = "") -> str:
    """So many of something: `1 run`, `2 runs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def ordinal(number: int) -> str:
    """A place in a row: `1st`, `12th`, `81st`."""
    teen = number // 10 % 10 == 1
    return f"{number:,}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def share(of: float) -> str:
    """A share as percent, never rounded up to all or to nothing where it is less or more: `99.9 %`."""
    percent = of * 100
    if percent in (0, 100) or abs(percent) >= 1000:  # noqa: PLR2004  beyond it, its decimals say nothing
        return f"{percent:.0f} %"
    text = f"{percent:.3g}"
    return f"{'99.9' if text == '100' else text} %"


def iso(moment: datetime) -> str:
    """A moment for machines."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def is_table(value: object) -> bool:
    """Whether evidence is a list of flat things with some names in common: it reads best as a table."""
    return (
        isinstance(value, list | tuple)
        and len(value) > 1
        and all(isinstance(each, Mapping) and each and all(_flat(inner) for inner in each.values()) for each in value)
        and len({tuple(each) for each in value}) <= _SHAPES
    )


def is_short(value: Sequence[object]) -> bool:
    """Whether evidence is a list of short flat things, such as numbers: they read best in one line."""
    return all(_flat(each) and len(scalar(each)) <= _SHORT for each in value)


def columns(rows: Iterable[Mapping[str, object]]) -> list[str]:
    """The names of such a table's columns, in the order in which they come."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _flat(value: object) -> bool:
    return not isinstance(value, Mapping | list | tuple)


FILTERS: dict[str, Callable[..., object]] = {
    "length": length,
    "rough": rough,
    "brief": brief,
    "when": when,
    "sign": sign,
    "visible": visible,
    "scalar": scalar,
    "is_short": is_short,
    "share": share,
    "iso": iso,
    "columns": columns,
    "seconds": lambda of: length(timedelta(seconds=of)),
    "is_table": is_table,
}
