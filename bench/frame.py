"""What every row of the bench has in common: figures with their spread, the anchor beside them, the goal, the table.

A module of the bench has `async def measure(effort: Effort) -> Sequence[Row]`; bench/__main__.py puts all rows into one
table. Only ratios taken in one run are told as results: each figure is taken in turn with its anchor (A B A B …), so
that what else the machine does meets both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import Any, Protocol, Self

TIMES, NOTHING = "\N{MULTIPLICATION SIGN}", "\N{EN DASH}"
FEW = 4
"""From so many values on, the spread is their quartiles; below, it is all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long a run of the bench may take: `rounds` of each figure, and whether the long rows are measured, too.

    `tell` hears how far a module is.
    """

    rounds: int = 5
    full: bool = False
    tell: Callable[[str], None] = field(default=lambda _: None, compare=False)


@dataclass(frozen=True, slots=True)
class Figure:
    """What repeated measurements of one thing gave: its median, and its spread."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Of some values, at least one."""
        return cls(tuple(values))

    @property
    def median(self) -> float:
        """The middle."""
        return median(self.values)

    @property
    def low(self) -> float:
        """The lower quartile."""
        return min(self.values) if len(self.values) < FEW else quantiles(self.values, n=4, method="inclusive")[0]

    @property
    def high(self) -> float:
        """The upper quartile."""
        return max(self.values) if len(self.values) < FEW else quantiles(self.values, n=4, method="inclusive")[2]

    def over(self, anchor: Figure) -> Figure:
        """The ratios to an anchor, each to the anchor's value of the same turn."""
        return Figure(tuple(own / other for own, other in zip(self.values, anchor.values, strict=True)))

    def text(self, unit: str = "") -> str:
        """For people: the median, and the spread where there is one."""
        shown = number(self.median)
        if number(self.low) != number(self.high):
            shown += f" ({number(self.low)} to {number(self.high)})"
        return f"{shown} {unit}".strip()


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure has to be: `most` or `least`, of the ratio where there is an anchor, else of the figure."""

    most: float | None = None
    least: float | None = None

    def met(self, figure: float) -> bool:
        """Whether a figure meets it."""
        return (self.most is None or figure <= self.most) and (self.least is None or figure >= self.least)

    def text(self, unit: str) -> str:
        """For people."""
        bounds = [f"≤ {number(self.most)}"] if self.most is not None else []
        bounds += [f"≥ {number(self.least)}"] if self.least is not None else []
        space = "" if unit in {TIMES, ""} else " "
        return " and ".join(f"{bound}{space}{unit}" for bound in bounds) or "published"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table: `what` is measured, of which goal of the list (`number`), beside which anchor.

    Without `own` it was not measured, and `note` says why and how it can be. With `absolute`, the goal speaks of the
    figure itself although there is an anchor.
    """

    number: str
    what: str
    unit: str = ""
    own: Figure | None = None
    anchor: Figure | None = None
    beside: str = ""
    goal: Goal = Goal()
    note: str = ""
    absolute: bool = False

    @property
    def ratio(self) -> Figure | None:
        """To the anchor, where there is one."""
        return self.own.over(self.anchor) if self.own and self.anchor else None

    @property
    def judged(self) -> Figure | None:
        """What two runs of the bench are compared by; None where it, or what it was to stand beside, is not there."""
        return self.ratio if self.beside else self.own

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where it was not measured, or where there is none."""
        judged = self.own if self.absolute else self.judged
        if judged is None or self.goal == Goal():
            return None
        return self.goal.met(judged.median)

    def cells(self) -> tuple[str, ...]:
        """For the table."""
        told = {True: "met", False: "**missed**", None: "" if self.judged else "not measured"}[self.met]
        return (
            self.number,
            self.what,
            self.own.text(self.unit) if self.own else NOTHING,
            f"{self.beside}: {self.anchor.text(self.unit)}" if self.anchor else NOTHING,
            f"{self.ratio.text()}{TIMES}" if self.ratio else NOTHING,
            self.goal.text(TIMES if self.beside and not self.absolute else self.unit),
            told,
        )

    def as_json(self) -> dict[str, Any]:
        """To be kept."""
        return {**asdict(self), "met": self.met, "ratio": self.ratio.median if self.ratio else None}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """From what was kept."""
        figures: dict[str, Any] = {
            name: Figure(tuple(kept[name]["values"])) if kept[name] else None for name in ("own", "anchor")
        }
        texts: dict[str, Any] = {name: str(kept[name]) for name in ("number", "what", "unit", "beside", "note")}
        absolute = bool(kept.get("absolute", False))
        return cls(**texts, **figures, goal=Goal(**kept["goal"]), absolute=absolute)


class Bench(Protocol):
    """A module of the bench."""

    async def measure(self, effort: Effort) -> Sequence[Row]:
        """Its rows."""


async def in_turn(
    rounds: int, *sides: Callable[[], Awaitable[Mapping[str, float]]]
) -> tuple[Mapping[str, Figure], ...]:
    """Take the figures of each side in turn (A B A B …), after one turn that only warms; -> each side's, by name."""
    taken: list[list[Mapping[str, float]]] = [[] for _ in sides]
    for turn in range(rounds + 1):
        for side, values in zip(sides, taken, strict=True):
            found = await side()
            if turn:
                values.append(found)
    return tuple({name: Figure.of(one[name] for one in values) for name in values[0]} for values in taken)


TITLES = ("#", "figure", "this run", "anchor in the same run", "ratio", "goal", "")


def table(rows: Iterable[Row]) -> str:
    """The table in Markdown, and what is to be said of its rows."""
    rows = list(rows)
    lines = [f"| {' | '.join(TITLES)} |", "|---|---|---:|---|---:|---|---|"]
    lines += [f"| {' | '.join(row.cells())} |" for row in rows]
    notes = [f"- {row.number}, {row.what}: {row.note}" for row in rows if row.note]
    return "\n".join([*lines, *([""] if notes else []), *notes, ""])


def number(value: float) -> str:
    """With as many digits as say something."""
    value, size = float(value), abs(value)
    for least, form in ((100, ",.0f"), (10, ".1f"), (1, ".2f")):
        if size >= least:
            return format(value, ",.0f" if value.is_integer() else form)
    return format(value, ".2g")
