"""The page of a burst: one file, with its plots, for who was not there."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from monitor.charts import Series, bars, lines
from monitor.charts.lines import Unit
from monitor.cli.check_text import findings
from monitor.cli.guidance import address
from monitor.cli.load_text import TITLES, Ended, facts
from monitor.core import latencies
from monitor.core.verdict import Verdict

_PERCENTILES = tuple(100 - 100 / 10 ** (place / 8) for place in range(25))  # as many nines as places, in eighths


def as_page(ended: Ended, *, runbooks: str) -> str:
    """The whole page, with its looks in it."""
    static = files("monitor.web") / "static"
    looks = [(static / name).read_text(encoding="utf-8") for name in ("holdfast.css", "charts.css")]
    page = Environment(loader=PackageLoader("monitor.cli"), autoescape=True, undefined=StrictUndefined)
    return page.get_template("load.html").render(
        ended=ended,
        summary=ended.summary,
        finding=ended.record.finding,
        wrong=list(findings(ended.record)) if ended.record.verdict is not Verdict.OK else [],
        next=ended.round.next_step(ended.record),
        runbook=address(ended.record, runbooks),
        facts=facts(ended),
        titles=TITLES,
        looks=Markup("\n".join(looks)),  # noqa: S704  our own files
        charts=list(_charts(ended)),
    )


def _charts(ended: Ended) -> Iterator[tuple[str, Markup]]:
    """Each with the words that stand above it."""
    slices, samples = ended.summary.slices, [each for each in ended.following.samples if each.failed is None]
    began = [each.since for each in slices]

    def over_time(name: str, values: list[float | None], look: str = "line") -> Series:
        return Series(name=name, points=tuple(zip(began, values, strict=True)), look=look)

    def plot(title: str, *series: Series, unit: Unit = "s", limit: float | None = None) -> tuple[str, Markup]:
        return title, lines(series, title=title, unit=unit, limit=limit, axis="number")

    nines = (
        Series(name=name, points=tuple((place / 8, value) for place, (_, value) in enumerate(found)))
        for name, found in (
            ("from the intended start", latencies.curve((each.latency for each in samples), _PERCENTILES)),
            ("service time", latencies.curve((each.service for each in samples), _PERCENTILES)),
        )
    )
    yield plot(
        "Latency from the intended start, over the seconds of the burst",
        over_time("p50", [each.p50 for each in slices]),
        over_time("p90", [each.p90 for each in slices]),
        over_time("p99", [each.p99 for each in slices]),
        over_time("longest", [each.longest for each in slices], "thin"),
        limit=ended.probe.p99.total_seconds(),
    )
    yield plot(
        "Operations a second, over the seconds of the burst",
        over_time("answered", [each.answered for each in slices]),
        over_time("asked", [each.asked for each in slices], "dashed"),
        unit="/s",
    )
    yield plot("Latency by percentile; the places below are its nines: 1 is 90 %, 2 is 99 %, 3 is 99.9 %", *nines)
    if errors := ended.summary.errors:
        failed = [float(each.failed) for each in slices]
        yield plot("Operations that failed, over the seconds of the burst", over_time("failed", [*failed]), unit="")
        title = "Errors by reason"
        yield title, bars([(reason, float(count)) for reason, count in sorted(errors.items())], title=title)
