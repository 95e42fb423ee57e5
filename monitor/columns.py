"""Metric families of many environments: eight bytes a value, and no object a series.

prometheus_client has an object with a lock for each value and makes it with a regular expression a label: 1,000
environments took it 700 MB and 10 s. Here an environment has one array a family. Which series these values are is its
shape, which environments with the same probes share; so they do the text of their lines. Everything counts on the loop.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import inf
from time import time
from typing import TypeAlias
from weakref import WeakValueDictionary

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample

from monitor import textformat

Row: TypeAlias = tuple[str, ...]
"""The values of a series' own labels, behind those of its place."""
Place: TypeAlias = tuple[str, ...]
"""The values of the labels that all series of one environment have."""

RUN = "run_id"
"""The label of exemplars, by which a point on a dashboard leads to the run that made it; no series has it."""


class _Shape:
    """Which series a place has, in their order. Never changed: a place that gets another series gets another shape."""

    __slots__ = ("__weakref__", "lines", "rows", "text")

    def __init__(self, rows: Sequence[Row], lines: Sequence[tuple[str, Row]], names: Sequence[str], of: int) -> None:
        self.rows = {row: number for number, row in enumerate(rows)}
        self.lines = len(rows) * len(lines)
        # Filled in twice: with the labels of a place, as often as there are lines, and then with the values.
        self.text = "".join(_line(name, names, of, (*row, *more)) for row in rows for name, more in lines)


def _line(name: str, names: Sequence[str], of: int, own: Row) -> str:
    """A line whose first `of` labels are still to be filled in, and its value, too."""
    known = {
        label: textformat.escaped(value).replace("%", "%%%%") for label, value in zip(names[of:], own, strict=False)
    }
    parts = ",".join(f'{label}="{known.get(label, "%s")}"' for label in sorted((*names[:of], *known)))
    return f"{name}{{{parts}}} %%s\n"


class _Cells:
    """The values of one place."""

    __slots__ = ("exemplars", "shape", "values")

    def __init__(self, shape: _Shape) -> None:
        self.shape, self.values = shape, array("d")
        self.exemplars: dict[int, tuple[str, float, float]] | None = None


class Columns(Collector):
    """One family. `place` are the labels that environments differ by, `labels` those of its series in each.

    With `bounds` it is a histogram, and of nothing that is ever below zero.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        text: str,
        *,
        place: Sequence[str],
        labels: Sequence[str],
        registry: CollectorRegistry,
        bounds: Sequence[float] = (),
    ) -> None:
        self.kind, self.name, self._text = kind, name, text
        self._names, self._of = (*place, *labels), len(place)
        self._order = sorted(range(len(place)), key=lambda number: place[number])
        self._bounds = (*bounds, inf) if kind == "histogram" else ()
        self._width = len(self._bounds) + 1  # of a histogram the last is the sum
        self._lines: tuple[tuple[str, Row], ...] = ((f"{name}_total" if kind == "counter" else name, ()),)
        if self._bounds:
            self._names = (*self._names, "le")
            buckets = [(f"{name}_bucket", (textformat.bound(bound),)) for bound in self._bounds]
            self._lines = (*buckets, (f"{name}_count", ()), (f"{name}_sum", ()))
        self._shapes: WeakValueDictionary[tuple[Row, ...], _Shape] = WeakValueDictionary()
        self._cells: dict[Place, _Cells] = {}
        registry.register(self)

    def expect(self, place: Place, rows: Iterable[Row]) -> None:
        """These series exist from now on, at zero where they did not."""
        cells = self._cells.get(place)
        known = () if cells is None else tuple(cells.shape.rows)
        more = [row for row in dict.fromkeys(tuple(map(str, row)) for row in rows) if row not in set(known)]
        if more:
            self._reshape(place, (*known, *more))

    def forget(self, place: Place, *start: str) -> None:
        """Remove the series of a place that begin so; without a beginning all."""
        if (cells := self._cells.get(place)) is None:
            return
        kept = tuple(row for row in cells.shape.rows if row[: len(start)] != start)
        if not kept:
            del self._cells[place]
        elif len(kept) < len(cells.shape.rows):
            self._reshape(place, kept)

    def rows(self, place: Place) -> tuple[Row, ...]:
        """The series of a place."""
        cells = self._cells.get(place)
        return () if cells is None else tuple(cells.shape.rows)

    def add(self, place: Place, *row: str, by: float = 1.0) -> None:
        """Count; a series that nobody expected is made."""
        cells, at = self._at(place, row)
        cells.values[at] += by

    def set(self, place: Place, *row: str, to: float) -> None:
        """Show a value."""
        cells, at = self._at(place, row)
        cells.values[at] = to

    def observe(self, place: Place, *row: str, took: float, run_id: str | None = None) -> None:
        """Take a length into a histogram, and as its bucket's exemplar where it names a run."""
        cells, at = self._at(place, row)
        bucket = at + bisect_left(self._bounds, took)
        cells.values[bucket] += 1
        cells.values[at + self._width - 1] += took
        if run_id is not None:
            if cells.exemplars is None:
                cells.exemplars = {}
            cells.exemplars[bucket] = run_id, took, time()

    def describe(self) -> Iterable[Metric]:
        """Its name, its text and its type."""
        return [Metric(self.name, self._text, self.kind)]

    def collect(self) -> Iterable[Metric]:
        """Every sample, for whoever asks prometheus_client's registry."""
        metric = Metric(self.name, self._text, self.kind)
        for place, cells in list(self._cells.items()):
            values = iter(self._values(cells))
            exemplars = self._exemplars(cells)
            number = 0
            for row in cells.shape.rows:
                for name, more in self._lines:
                    given = dict(zip(self._names[: self._of], place, strict=True))
                    own = dict(zip(self._names[self._of :], (*row, *more), strict=False))
                    run = exemplars.get(number)
                    exemplar = None if run is None else Exemplar({RUN: run[0]}, run[1], run[2])
                    metric.samples.append(Sample(name, given | own, next(values), None, exemplar))
                    number += 1
        return [metric]

    def chunks(self, *, openmetrics: bool) -> Iterator[str]:
        """Its part of the page, piece by piece; between two pieces anything may change."""
        yield textformat.head(name=self.name, text=self._text, kind=self.kind, openmetrics=openmetrics)
        for place, cells in list(self._cells.items()):
            values = [*map(textformat.number, self._values(cells))]
            for number, (run_id, took, at) in self._exemplars(cells).items() if openmetrics else ():
                values[number] += textformat.exemplar(run_id, value=took, at=at, name=RUN)
            labels = tuple(textformat.escaped(place[number]).replace("%", "%%") for number in self._order)
            yield cells.shape.text % (labels * cells.shape.lines) % tuple(values)

    def _at(self, place: Place, row: Row) -> tuple[_Cells, int]:
        cells = self._cells.get(place)
        if cells is None or row not in cells.shape.rows:
            self.expect(place, [row])
            cells = self._cells[place]
        return cells, cells.shape.rows[row] * self._width if self._bounds else cells.shape.rows[row]

    def _reshape(self, place: Place, rows: tuple[Row, ...]) -> None:
        """Give a place these series, those that it had with their values."""
        shape = self._shapes.get(rows)
        if shape is None:
            shape = self._shapes[rows] = _Shape(rows, self._lines, self._names, self._of)
        width, before, cells = self._width if self._bounds else 1, self._cells.get(place), _Cells(shape)
        cells.values = array("d", bytes(8 * width * len(rows)))
        moved = (
            {}
            if before is None
            else {old: shape.rows[row] for row, old in before.shape.rows.items() if row in shape.rows}
        )
        if before is not None:
            for old, new in moved.items():
                cells.values[new * width : (new + 1) * width] = before.values[old * width : (old + 1) * width]
            kept = (before.exemplars or {}).items()
            runs = {moved[at // width] * width + at % width: run for at, run in kept if at // width in moved}
            cells.exemplars = runs or None
        self._cells[place] = cells

    def _values(self, cells: _Cells) -> Sequence[float]:
        """The value of each line: buckets hold what is below them as well."""
        if not self._bounds:
            return cells.values
        values: list[float] = []
        for start in range(0, len(cells.values), self._width):
            *counts, total = cells.values[start : start + self._width]
            values += accumulate(counts)
            values += (values[-1], total)
        return values

    def _exemplars(self, cells: _Cells) -> dict[int, tuple[str, float, float]]:
        """Exemplars by the number of their line; a histogram has one line more a series than it has values."""
        return {at + at // self._width: run for at, run in (cells.exemplars or {}).items()}
