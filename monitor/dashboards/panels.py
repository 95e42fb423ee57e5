"""Panels: each with a title, a sentence that says how to read it, its queries, its unit, and words for no data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from grafana_foundation_sdk.builders import common as options
from grafana_foundation_sdk.builders import dashboard, heatmap, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heat_model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from monitor.dashboards.expressions import CANNOT_TELL, NOT_YET, OK, PAUSED, SLOW, VIOLATED

Panel = stat.Panel | table.Panel | timeseries.Panel | heatmap.Panel | statetimeline.Panel
P = TypeVar("P", stat.Panel, table.Panel, timeseries.Panel, heatmap.Panel, statetimeline.Panel)

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
GOOD, FAIR, BAD = "green", "yellow", "red"
STATES = {
    NOT_YET: ("not yet", "#8e8e8e"),
    OK: ("ok", GOOD),
    SLOW: ("slow", FAIR),
    PAUSED: ("paused", "blue"),
    CANNOT_TELL: ("cannot tell", "purple"),
    VIOLATED: ("violated", BAD),
}


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of Prometheus, and by which labels its series are told apart."""

    expr: str
    legend: str = ""
    exemplars: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What all panels have. `none` stands where no series is; `steps` are values from which a colour holds."""

    title: str
    says: str
    unit: str
    width: int
    height: int = 8
    none: str = "no data yet"
    steps: Sequence[tuple[float | None, str]] = ((None, GOOD),)
    links: Sequence[dashboard.DashboardLink] = field(default=())


def link(title: str, url: str, *, elsewhere: bool = False) -> dashboard.DashboardLink:
    """A link of a value."""
    return dashboard.DashboardLink(title).url(url).target_blank(elsewhere)


def number(about: About, expr: str) -> stat.Panel:
    """One figure, now."""
    made = _with(stat.Panel(), about).with_target(_asked(Query(expr, about.title), "A").instant())
    made.reduce_options(options.ReduceDataOptions().calcs(["lastNotNull"]))
    return made.color_mode(common.BigValueColorMode.BACKGROUND_SOLID).graph_mode(common.BigValueGraphMode.NONE)


def lines(about: About, *queries: Query, limit: Query | None = None, area: bool = False) -> timeseries.Panel:
    """Values over time. `limit` is drawn as dashes, and is no entry of the legend."""
    made = _with(timeseries.Panel(), about).min(0).show_points(common.VisibilityMode.NEVER).line_width(1)
    for ref, query in zip("ABCDEFGH", queries, strict=False):
        made.with_target(_asked(query, ref))
    if area:
        made.fill_opacity(40).stacking(options.StackingConfig().mode(common.StackingMode.NORMAL))
    if limit is not None:
        made.with_target(_asked(limit, "LIMIT"))
        dashes = {"fill": "dash", "dash": [6, 6]}
        hidden = {"legend": True, "tooltip": False, "viz": False}
        drawn = {"color": {"mode": "fixed", "fixedColor": BAD}, "custom.lineStyle": dashes, "custom.hideFrom": hidden}
        made.override_by_query("LIMIT", _properties(drawn))
    made.legend(
        options.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    several = options.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    return made.tooltip(several)


def heat(about: About, query: Query) -> heatmap.Panel:
    """How many observations fell into each bucket, over time."""
    made = _with(heatmap.Panel(), about).calculate(False).cell_gap(1).show_legend()
    made.with_target(_asked(query, "A").format(PromQueryFormat.HEATMAP))
    made.y_axis(heatmap.YAxisConfig().unit(about.unit).axis_placement(common.AxisPlacement.LEFT))
    colours = heatmap.HeatmapColorOptions().mode(heat_model.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    made.color(colours.scale(heat_model.HeatmapColorScale.EXPONENTIAL).exponent(0.5))
    return made.tooltip(heatmap.HeatmapTooltip().mode(common.TooltipDisplayMode.SINGLE).y_histogram(True))


def states(about: About, query: Query) -> statetimeline.Panel:
    """How promises stood, over time."""
    made = _with(statetimeline.Panel(), about).mappings([_words()]).with_target(_asked(query, "A"))
    made.row_height(0.8).show_value(common.VisibilityMode.NEVER).fill_opacity(80).per_page(20)
    legend = options.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST)
    return made.legend(legend.placement(common.LegendPlacement.BOTTOM).show_legend(True))


def rows(
    about: About,
    columns: Mapping[str, Query],
    *,
    labels: Mapping[str, str],
    looks: Mapping[str, Mapping[str, object]] | None = None,
) -> table.Panel:
    """What is so now, a row for each set of `labels` (by name, with the heading of each), a column for each query.

    The value of a lone query is no column: it only says which rows there are.
    `looks` are properties of columns: a unit, thresholds, links.
    """
    made = _with(table.Panel(), about).filterable(True)
    for ref, query in zip("ABCDEFGH", columns.values(), strict=False):
        made.with_target(_asked(query, ref).instant().format(PromQueryFormat.TABLE))
    lone = len(columns) == 1
    values = {} if lone else {f"Value #{ref}": name for ref, name in zip("ABCDEFGH", columns, strict=False)}
    named = {**labels, **values}
    made.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    made.with_transformation(
        model.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": {"Time": True, "Value": True} if lone else {"Time": True},
                "indexByName": {name: index for index, name in enumerate(named)},
                "renameByName": named,
            },
        )
    )
    made.with_transformation(_sorted(next(iter(labels.values()))))
    # What stands where a panel has no data would else stand in each cell that has none.
    made.override_by_regexp("/.*/", _properties({"noValue": "-"}))
    for column, properties in (looks or {}).items():
        made.override_by_name(column, _properties(properties))
    return made


def matrix(about: About, query: Query, *, row: str, column: str, cell: str, head: str) -> table.Panel:
    """How promises stand now: a row and a column for each value of two labels. `cell` and `head`: where they lead."""
    absent = model.DashboardSpecialValueMapOptions(
        match=model.SpecialValueMatch.NULL, result=model.ValueMappingResult(text="-", color="transparent")
    )
    made = _with(table.Panel(), about).mappings([_words(), model.SpecialValueMap(options=absent)]).filterable(True)
    made.with_target(_asked(query, "A").instant().format(PromQueryFormat.TABLE))
    made.with_transformation(_sorted(column))
    made.with_transformation(
        model.DataTransformerConfig(
            id_val="groupingToMatrix",
            options={"rowField": row, "columnField": column, "valueField": "Value", "emptyValue": "null"},
        )
    )
    made.with_transformation(
        model.DataTransformerConfig(id_val="organize", options={"renameByName": {f"{row}\\{column}": row}})
    )
    made.with_transformation(_sorted(row))
    made.cell_options(common.TableColoredBackgroundCellOptions(mode=common.TableCellBackgroundDisplayMode.BASIC))
    made.data_links([link("How it came to this", cell)])
    first = {"custom.cellOptions": {"type": "auto"}, "links": [{"title": "Everything about it", "url": head}]}
    return made.override_by_name(row, _properties(first))


def _with(panel: P, about: About) -> P:
    made = panel.title(about.title).description(about.says).unit(about.unit).datasource(SOURCE).no_value(about.none)
    steps = [model.Threshold(value=value, color=colour) for value, colour in about.steps]
    made.thresholds(dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
    if about.links:
        made.data_links(list(about.links))
    return made.span(about.width).height(about.height)


def _asked(query: Query, ref: str) -> prometheus.Dataquery:
    made = prometheus.Dataquery().ref_id(ref).expr(query.expr).datasource(SOURCE).range()
    if query.legend:
        made.legend_format(query.legend)
    return made.exemplar(True) if query.exemplars else made


def _sorted(field_name: str) -> model.DataTransformerConfig:
    """Rows in the order of a column, since Prometheus answers in none."""
    return model.DataTransformerConfig(id_val="sortBy", options={"fields": {}, "sort": [{"field": field_name}]})


def _words() -> model.ValueMap:
    return model.ValueMap(
        options={
            str(state): model.ValueMappingResult(text=text, color=colour, index=state)
            for state, (text, colour) in STATES.items()
        }
    )


def _properties(values: Mapping[str, object]) -> list[model.DynamicConfigValue]:
    return [model.DynamicConfigValue(id_val=name, value=value) for name, value in values.items()]
