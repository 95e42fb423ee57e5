"""A report as one file: HTML with its pictures and its styles in it, or Markdown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from monitor.charts import Series, lines, sparkline
from monitor.core import advice
from monitor.core.impact import FORMULA
from monitor.core.trend import METHOD, Turn
from monitor.core.verdict import Verdict
from monitor.report import words
from monitor.report.calendar import calendar
from monitor.report.judge import Judged
from monitor.report.latency import StepLine
from monitor.report.period import Period
from monitor.report.whole import Report

_TEMPLATES = Path(__file__).parent / "templates"
_CHARTS = Path(__file__).parents[1] / "web" / "static" / "charts.css"
_SAID = {
    Verdict.OK: ("✓", "safe"),
    Verdict.SLOW: ("✓", "safe"),
    Verdict.UNKNOWN: ("?", "unknown"),
    Verdict.VIOLATED: ("✗", "not safe"),
}


class Form(StrEnum):
    """What a report is written as."""

    HTML = "html"
    MARKDOWN = "markdown"


def rendered(report: Report, form: Form) -> str:
    """The whole file as text."""
    html = form is Form.HTML
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= words.FILTERS | {"said": _said, "sign": _sign, "ending": advice.ending, "cell": _cell}
    if html:
        made.globals |= _pictures(report.period)
        made.globals["style"] = Markup((_TEMPLATES / "report.css").read_text() + _CHARTS.read_text())  # noqa: S704  our own
    return made.get_template("report.html" if html else "report.md").render(
        report=report, formula=FORMULA, method=METHOD, Turn=Turn, several=words.several
    )


def _said(verdict: Verdict) -> str:
    return _SAID[verdict][1]


def _sign(verdict: Verdict) -> str:
    return _SAID[verdict][0]


def _cell(text: str) -> str:
    """A text in a cell of a Markdown table, where nothing in it means anything to whoever reads it."""
    shown = words.visible(text.replace("\n", " "))
    for letter in "\\`*_|<>[]":
        shown = shown.replace(letter, f"\\{letter}")
    return shown


def _pictures(period: Period) -> dict[str, Callable[..., Any]]:
    plot = partial(lines, since=period.since.timestamp(), until=period.until.timestamp(), width=540)

    def at(start: datetime) -> float:
        """The middle of a grain, within the period."""
        middle = start + period.grain / 2
        return min(max(middle, period.since), period.until).timestamp()

    def bad(each: Judged) -> Markup:
        points = [(at(point.start), None if point.bad is None else 100 * point.bad) for point in each.course]
        allowed = 100 * (1 - each.objective)
        return plot([Series("bad", points)], title=f"Bad runs in {each.name}", unit="%", limit=allowed, height=170)

    def left(each: Judged) -> Markup:
        points = [(at(point.start), None if point.left is None else 100 * point.left) for point in each.course]
        return plot([Series("left", points)], title=f"Error budget left in {each.name}", unit="%", height=170)

    def step(line: StepLine, marks: list[tuple[float, str]]) -> Markup:
        looks = (("p50", "line"), ("p90", "thin"), ("p99", "dashed"))
        series = [
            Series(name, [(at(start), quantiles[place]) for start, quantiles in line.course], look)
            for place, (name, look) in enumerate(looks)
        ]
        title = f"{line.probe} {line.step}"
        return plot(series, title=title, limit=line.budget, marks=marks, height=190)

    def spark(line: StepLine) -> Markup:
        budget = line.budget or 1.0
        values = [None if p99 is None else p99 / budget for _, (_, _, p99) in line.course]
        return sparkline(values, label=f"p99 of {line.probe} {line.step} against its budget")

    def opened(each: Judged, probe: str) -> list[tuple[float, str]]:
        found = [kept for kept in each.events.violations if kept.probe == probe and kept.opened >= period.since]
        return [(kept.opened.timestamp(), kept.kind) for kept in found]

    def every_hour(each: Judged) -> Markup:
        return calendar(each.hours, period, name=each.name)

    return {"every_hour": every_hour, "bad": bad, "left": left, "step": step, "spark": spark, "opened": opened}
