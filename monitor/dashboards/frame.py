"""What both dashboards have around their panels: variables, links, and the alerts that fired."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model

from monitor.dashboards.expressions import Expressions
from monitor.dashboards.given import DETAIL, OVERVIEW, Given
from monitor.dashboards.panels import BAD, SOURCE

_HEADINGS = {OVERVIEW: "Overview", DETAIL: "Environments and probes"}


def frame(uid: str, given: Given) -> dashboard.Dashboard:
    """A dashboard without panels."""
    probed, (other,) = uid == DETAIL, {OVERVIEW, DETAIL} - {uid}
    made = dashboard.Dashboard(f"Holdfast: {_HEADINGS[uid].lower()}").uid(uid).tags(["holdfast"])
    made.refresh("30s").time("now-3h" if probed else "now-6h", "now").timezone(common.TimeZoneBrowser).readonly()
    made.tooltip(model.DashboardCursorSync.CROSSHAIR)
    made.with_variable(_source(given))
    known = ""
    for name in ("location", *given.labels, "environment"):
        of = "holdfast_build_info" if name == "location" else f"holdfast_environment_up{{{known}}}"
        made.with_variable(_variable(name, f"label_values({of}, {name})"))
        known = f'{known},{name}=~"${name}"' if known else f'{name}=~"${name}"'
    if probed:
        made.with_variable(_variable("probe", f"label_values(holdfast_last_run_timestamp_seconds{{{known}}}, probe)"))
        made.with_variable(
            dashboard.IntervalVariable("window")
            .label("percentiles of")
            .description("Time over which percentiles are taken; a probe that runs rarely needs more.")
            .values("5m,15m,1h,6h,1d")
            .current(model.VariableOption(selected=True, text="15m", value="15m"))
        )
    page = dashboard.DashboardLink("Status page").type(model.DashboardLinkType.LINK).icon("external link")
    made.link(_to(other)).link(page.url(given.page).tooltip("Verdicts and evidence, by the daemon").target_blank(True))
    return made.annotation(
        dashboard.AnnotationQuery()
        .name("Alerts of Holdfast")
        .datasource(SOURCE)
        .enable(True)
        .icon_color(BAD)
        .expr(firing(given, probed=probed))
        .title_format("{{alertname}}")
        .text_format("{{severity}} {{environment}} {{probe}} {{kind}} from {{location}}")
        .step("60s")
    )


def firing(given: Given, *, probed: bool) -> str:
    """The alerts of what the variables choose. One about a daemon has no environment, one about both no probe."""
    names = ("location", *given.labels, "environment", *(("probe",) if probed else ()))
    chosen = "".join(f',{name}=~"$${name}|"'.replace("$$", "$") for name in names)
    return f'ALERTS{{alertname=~"Holdfast.+",alertstate="firing"{chosen}}}'


def expressions(uid: str, given: Given) -> Expressions:
    """PromQL that obeys the variables of a dashboard."""
    return Expressions(given, probed=uid == DETAIL)


def to_detail(given: Given, *, environment: str, probe: str = "") -> str:
    """The address of the detail, for what a cell or a line is about."""
    kept = "&".join(f"${{{name}:queryparam}}" for name in ("datasource", "location", *given.labels))
    chosen = f"var-environment={environment}" + (f"&var-probe={probe}" if probe else "")
    return f"/d/{DETAIL}?{chosen}&{kept}&${{__url_time_range}}"


def _to(uid: str) -> dashboard.DashboardLink:
    made = dashboard.DashboardLink(_HEADINGS[uid]).type(model.DashboardLinkType.LINK).url(f"/d/{uid}").icon("dashboard")
    return made.include_vars(True).keep_time(True)


def _source(given: Given) -> dashboard.DatasourceVariable:
    made = dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    if given.datasource:
        made.current(model.VariableOption(selected=True, text=given.datasource, value=given.datasource))
    return made


def _variable(name: str, query: str) -> dashboard.QueryVariable:
    """Any of the values that there are, or all of them; a label that an environment lacks is one of all."""
    made = dashboard.QueryVariable(name).label(name).datasource(SOURCE).definition(query)
    made.query({"qryType": 1, "query": query, "refId": name}).multi(True).include_all(True).all_value(".*")
    made.current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    return made.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.ALPHABETICAL_ASC)
