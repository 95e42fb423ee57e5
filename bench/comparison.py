"""Two runs of the bench beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.frame import NOTHING, TIMES, Figure, Goal, Row, number

PUBLISHED = Goal()


def compared(old: Iterable[Row], new: Iterable[Row], *, titles: Sequence[str] = ("before", "now")) -> str:
    """Both runs beside each other; a change is told where the spreads do not meet. `titles` say which is which.

    Of what was measured before, it has the numbers that are measured now: a module alone is held against its own.
    """
    new = list(new)
    before = {(row.number, row.what): row for row in old}
    lines = [f"| # | figure | {' | '.join(titles)} | change |", "|---|---|---:|---:|---|"]
    for row in new:
        was = before.pop((row.number, row.what), None)
        lines.append(f"| {row.number} | {row.what} | {' | '.join(_beside(was, row))} |")
    measured = {row.number for row in new}
    lines += [
        f"| {row.number} | {row.what} | {_shown(row)} | {NOTHING} | no longer measured |"
        for row in before.values()
        if row.number in measured
    ]
    return "\n".join([*lines, ""])


def _beside(was: Row | None, row: Row) -> tuple[str, str, str]:
    """The cells of a row that is there now."""
    if was is None or was.judged is None:
        return NOTHING, _shown(row), "new" if row.judged else "not measured"
    if row.judged is None:
        return _shown(was), NOTHING, "not measured"
    if (was.ratio is None) != (row.ratio is None):
        return _shown(was), _shown(row), "not comparable: one has no anchor"
    return _shown(was), _shown(row), change(was.judged, row.judged, goal=row.goal)


def _shown(row: Row) -> str:
    if row.judged is None:
        return NOTHING
    return f"{row.ratio.text()}{TIMES}" if row.ratio else row.judged.text(row.unit)


def change(was: Figure, now: Figure, *, goal: Goal = PUBLISHED) -> str:
    """By how much a figure changed, and whether that is what its goal wants; or that the spreads meet.

    What was measured once has no spread, so that nobody knows whether a change of it is one.
    """
    once = len(was.values) == 1 or len(now.values) == 1
    if not once and now.low <= was.high and was.low <= now.high:
        return "within the spread"
    by = f"{(now.median / was.median - 1) * 100:+.0f} %" if was.median else f"from 0 to {number(now.median)}"
    if once:
        return "the same" if now.median == was.median else f"{by}, measured once"
    if goal == PUBLISHED:
        return by
    better = (now.median < was.median) if goal.most is not None else (now.median > was.median)
    return f"{by}, better" if better else f"{by}, **worse**"
