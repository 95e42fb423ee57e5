"""How long steps and propagations took: each run of the last hour, or hours and days as they were rolled up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from markupsafe import Markup

from monitor.charts import Series, lines
from monitor.core.record import RunRecord
from monitor.core.rollup import DAY, HOUR, Rollup
from monitor.exposition import Turns
from monitor.web.daemon import Daemon, Watched

_RUNS = 240
"""Runs of one probe that an hour shows at the most: one every 15 s."""
_SIZE = (360, 150)


class Range(StrEnum):
    """How far back the charts go."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"


_LENGTHS: Mapping[Range, timedelta] = {
    Range.HOUR: timedelta(hours=1),
    Range.DAY: timedelta(days=1),
    Range.WEEK: timedelta(days=7),
    Range.MONTH: timedelta(days=30),
}
Points = list[tuple[float, float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The charts of an environment: of each probe by step, and of propagation by `source to target`."""

    steps: Mapping[str, Mapping[str, Markup]]
    propagation: Mapping[str, Markup]


async def past(daemon: Daemon, watched: Watched, shown: Range, turns: Turns) -> Past:
    """What happened within a range, as charts. Raises StateError."""
    until = daemon.clock.now()
    since = until - _LENGTHS[shown]
    gathered = _Gathered(since=since, until=until)
    for name, probe in watched.probes.items():
        if shown is Range.HOUR:
            gathered.runs(await daemon.journal.runs(environment=watched.name, probe=name, limit=_RUNS))
        else:
            length = DAY if shown is Range.MONTH else HOUR
            gathered.rollups(await daemon.rollups(watched.name, name, length=length, since=since, until=until))
        for step in probe.steps:
            gathered.steps[name, step]  # what was not measured has a chart that says so
        await turns.give()
    gathered.begin()
    steps: dict[str, dict[str, Markup]] = {name: {} for name in watched.probes}
    for (name, step), found in gathered.steps.items():
        limit = watched.probes[name].budget_of(step).total_seconds()
        steps[name][step] = gathered.chart(found, title=f"{name}: {step}", limit=limit)
        await turns.give()
    links = {}
    for (source, target), found in sorted(gathered.links.items()):
        links[f"{source} to {target}"] = gathered.chart(found, title=f"from {source} to {target}", limit=None)
    return Past(steps=steps, propagation=links)


class _Gathered:
    """Points by quantile, by step and by link: of single runs under no name."""

    def __init__(self, *, since: datetime, until: datetime) -> None:
        self.steps: dict[tuple[str, str], dict[str, Points]] = defaultdict(lambda: defaultdict(list))
        self.links: dict[tuple[str, str], dict[str, Points]] = defaultdict(lambda: defaultdict(list))
        self._since, self._until = since.timestamp(), until.timestamp()

    def begin(self) -> None:
        """Let every chart begin with the first that was measured: a daemon that is young has little past to show."""
        found = [*self.steps.values(), *self.links.values()]
        first = min((points[0][0] for each in found for points in each.values() if points), default=self._since)
        self._since = max(self._since, first)

    def runs(self, records: Sequence[RunRecord]) -> None:
        """Take in single runs, the latest first; a step that failed took nobody knows how long."""
        for record in reversed(records):
            at = record.started.timestamp()
            if at < self._since:
                continue
            for step in record.steps:
                took = None if step.failed else step.took.total_seconds()
                self.steps[record.probe, step.name][""].append((at + step.after.total_seconds(), took))
            for each in record.propagations:
                self.links[each.source, each.target][""].append((at, each.took.total_seconds()))

    def rollups(self, found: Iterable[Rollup]) -> None:
        """Take in hours or days, the earliest first; where one is missing is a gap."""
        last: datetime | None = None
        for each in found:
            if last is not None and each.start > last:
                self._gap(each.probe, last.timestamp())
            last, at = each.end, (each.start + each.length / 2).timestamp()
            for name, step in each.steps.items():
                for q, quantile in (("p50", 0.5), ("p99", 0.99)):
                    self.steps[each.probe, name][q].append((at, step.took.quantile(quantile)))
            for link, took in each.propagations.items():
                for q, quantile in (("p50", 0.5), ("p99", 0.99)):
                    self.links[link][q].append((at, took.quantile(quantile)))

    def _gap(self, probe: str, at: float) -> None:
        for (name, _), found in self.steps.items():
            if name == probe:
                for points in found.values():
                    points.append((at, None))

    def chart(self, found: Mapping[str, Points], *, title: str, limit: float | None) -> Markup:
        """The chart of one step or link."""
        looks = {"p50": "dashed", "p99": "line", "": "line"}
        series = [Series(name, points, looks[name]) for name, points in sorted(found.items(), reverse=True)]
        return lines(
            series or [Series("", [])],
            title=title,
            limit=limit,
            since=self._since,
            until=self._until,
            width=_SIZE[0],
            height=_SIZE[1],
        )
