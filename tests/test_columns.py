"""Families in arrays against prometheus_client's own: the same operations give the same page."""

from __future__ import annotations

import re
from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from monitor.columns import Columns
from monitor.exposition import render

ODD = ("", 'quo"te', "back\\slash", "new\nline", "100 %s", "%%", "grün 漢字", "a,b={c}")
PLACE, OWN, BOUNDS = ("zone", "app"), ("probe", "kind"), (0.1, 2.0, 5.0)
places = st.tuples(st.sampled_from(ODD), st.sampled_from(["one", "two"]))
rows = st.tuples(st.sampled_from(["thread", "50 %"]), st.sampled_from(ODD))
lengths = st.sampled_from([0.0, 0.1, 0.25, 2.0, 7.5, 1e7])
doings = st.lists(
    st.tuples(st.sampled_from(["add", "set", "observe", "expect", "forget", "forget all"]), places, rows, lengths),
    max_size=30,
)


class Both:
    """One family of each type, twice: ours and prometheus_client's."""

    def __init__(self) -> None:
        self.ours, self.theirs = CollectorRegistry(), CollectorRegistry()
        names = (*PLACE, *OWN)
        self.counters = (
            Columns("counter", "asked", "Asked.", place=PLACE, labels=OWN, registry=self.ours),
            Counter("asked", "Asked.", names, registry=self.theirs),
        )
        self.gauges = (
            Columns("gauge", "level", "Level.", place=PLACE, labels=OWN, registry=self.ours),
            Gauge("level", "Level.", names, registry=self.theirs),
        )
        self.histograms = (
            Columns("histogram", "took", "Took.", place=PLACE, labels=OWN, registry=self.ours, bounds=BOUNDS),
            Histogram("took", "Took.", names, registry=self.theirs, buckets=BOUNDS),
        )
        self.families = (self.counters, self.gauges, self.histograms)

    def do(self, what: str, place: tuple[str, str], row: tuple[str, str], number: float) -> None:
        """The same with both."""
        labels = (*place, *row)
        match what:
            case "add":
                self.counters[0].add(place, *row, by=number)
                self.counters[1].labels(*labels).inc(number)
            case "set":
                self.gauges[0].set(place, *row, to=number)
                self.gauges[1].labels(*labels).set(number)
            case "observe":
                self.histograms[0].observe(place, *row, took=number)
                self.histograms[1].labels(*labels).observe(number)
            case "expect":
                for ours, theirs in self.families:
                    ours.expect(place, [row])
                    theirs.labels(*labels)
            case "forget":
                for ours, theirs in self.families:
                    ours.forget(place, row[0])
                    theirs.remove_by_labels({"zone": place[0], "app": place[1], "probe": row[0]})
            case _:
                for ours, theirs in self.families:
                    ours.forget(place)
                    theirs.remove_by_labels({"zone": place[0], "app": place[1]})


def lines(page: str) -> list[str]:
    """Sorted, since series of one place stand together here; without times of creation."""
    return sorted(line for line in page.splitlines() if not re.match(r"(# \w+ )?\w+_created", line))


@settings(max_examples=60, deadline=None)
@given(doings)
async def test_what_was_counted_is_shown_as_by_prometheus_client(
    doings: list[tuple[str, tuple[str, str], tuple[str, str], float]],
) -> None:
    """Whatever is counted, expected and forgotten in whatever order: the page is prometheus_client's."""
    both = Both()
    for doing in doings:
        both.do(*doing)
    expected = lines(generate_latest(both.theirs).decode())
    assert lines((await render(both.ours, openmetrics=False)).decode()) == expected
    assert lines(generate_latest(both.ours).decode()) == expected


async def test_exemplars_move_with_their_series() -> None:
    """The run that a bucket names stands behind that bucket, also when other series came and went."""
    registry = CollectorRegistry()
    took = Columns("histogram", "took", "Took.", place=["app"], labels=["probe"], registry=registry, bounds=BOUNDS)
    took.observe(("one",), "first", took=1.0, run_id="r1")
    took.observe(("one",), "second", took=0.0625, run_id="r2")
    took.observe(("one",), "third", took=7.5, run_id="r3")
    took.forget(("one",), "first")
    took.expect(("one",), [("fourth",)])
    page = (await render(registry, openmetrics=True)).decode()
    found = re.findall(
        r'^took_bucket\{app="one",le="(.+)",probe="(\w+)"\} (\S+) # \{run_id="(\w+)"\} (\S+) ', page, re.MULTILINE
    )
    assert found == [("0.1", "second", "1.0", "r2", "0.0625"), ("+Inf", "third", "1.0", "r3", "7.5")]
    (metric,) = registry.collect()
    named = {sample.labels["le"]: sample.exemplar.labels for sample in metric.samples if sample.exemplar}
    assert named == {"0.1": {"run_id": "r2"}, "+Inf": {"run_id": "r3"}}


def test_environments_with_the_same_series_share_what_is_not_a_value() -> None:
    """A thousand places with equal rows have one shape: what a further one costs is its values."""
    family = Columns("gauge", "level", "Level.", place=["app"], labels=["probe"], registry=CollectorRegistry())
    for number in range(1000):
        family.expect((f"app-{number}",), [("thread",), ("session",)])
    shapes = {id(cells.shape) for cells in family._cells.values()}
    assert len(shapes) == 1
    family.set(("app-7",), "thread", to=inf)
    assert family.rows(("app-7",)) == (("thread",), ("session",))
