"""`holdfast rules`: alerts for Prometheus, made of the configuration."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer
import yaml

from monitor.alerting import Links, Policy, Settled, document, groups, kubernetes, without
from monitor.alerting.policy import ANY
from monitor.cli import common
from monitor.core import duration
from monitor.core.detail import Detail
from monitor.probes.sync import SyncProbe
from monitor.settings import EnvironmentSettings, Settings

RUNBOOKS = "https://holdfast.example/runbooks"
_NOWHERE = (
    f"holdfast: links of runbooks lead to {RUNBOOKS}, which is nobody's. The daemon serves them at /runbooks: set "
    "http.public_url, or give --runbooks http://HOST:PORT/runbooks"
)
_HEAD = """\
# Alerts of Holdfast for Prometheus 2.42 or newer, made by `holdfast rules`: change the configuration, not this file.
# What each means and what to do is in docs/runbooks; how to load this file, in docs/alerting.md.
"""


def _length(text: str | timedelta) -> timedelta:
    if isinstance(text, timedelta):  # a default goes through the parser, too
        return text
    try:
        return duration.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def command(
    config: common.Config = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file to write, instead of printing.", show_default=False)
    ] = None,
    form: Annotated[
        Literal["prometheus", "kubernetes"], typer.Option("--format", help="A rule file, or a PrometheusRule.")
    ] = "prometheus",
    scrape: Annotated[
        timedelta,
        typer.Option(
            parser=_length, metavar="TIME", show_default="15s", help="How often Prometheus scrapes the daemon."
        ),
    ] = timedelta(seconds=15),
    job: Annotated[str, typer.Option(help="The job under which it does.")] = "holdfast",
    runbooks: common.Runbooks = None,
    dashboard: Annotated[
        str, typer.Option(metavar="URL", help="Of the dashboard in Grafana; without it there is no link.")
    ] = "",
    recovery_point: Annotated[
        timedelta,
        typer.Option(
            parser=_length,
            metavar="TIME",
            show_default="0s",
            help="Time of writes that a failover may lose (RPO).",
        ),
    ] = timedelta(),
    cost_seconds: Annotated[
        float, typer.Option(min=0, help="Time that probing may keep a store busy, in seconds a second.")
    ] = 0.5,
    cost_bytes: Annotated[float, typer.Option(min=0, help="Bytes that probing may send to a store a second.")] = 1e5,
    residue: Annotated[int, typer.Option(min=0, help="Synthetic items that may lie about beside the ledger.")] = 1000,
    quiet: common.Quiet = False,
) -> None:
    """Print alerting rules for Prometheus: intervals, budgets, deadlines and objectives are the configuration's.

    Nothing is contacted. Load them anew when environments, intervals or objectives change. Where `metrics.detail` is
    low, the alerts that go by single steps are left out.

    Examples:
      holdfast rules --out /etc/prometheus/rules.d/holdfast.yml

      holdfast rules --scrape 30s --dashboard https://grafana.example/d/holdfast-detail

      holdfast rules --format kubernetes | kubectl apply -f -

    """
    loaded = common.configuration(config)
    settings = loaded.settings
    if not quiet and (nowhere := common.unconfigured(loaded)):
        common.err().print(f"holdfast: {nowhere}; these rules are of the defaults, and know no environment")
    policy = Policy(
        intervals=Settled(_intervals(settings), {name: _intervals(own) for name, own in settings.environments.items()}),
        deadlines=Settled(_deadline(settings), {name: _deadline(own) for name, own in settings.environments.items()}),
        objectives=_objectives(settings),
        environments=tuple(settings.environments),
        scrape=scrape,
        job=job,
        cost_seconds=cost_seconds,
        cost_bytes=cost_bytes,
        recovery_point=recovery_point,
        residue=residue,
    )
    rules = groups(policy)
    if settings.metrics.detail is Detail.LOW:
        rules, missing = without("holdfast_step_", rules)
        alerts = ", ".join(name for name in missing if name.startswith("Holdfast"))
        common.err().print(f"metrics.detail is low: without series of steps there can be no {alerts}")
    where = common.runbooks(runbooks, loaded, otherwise=RUNBOOKS)
    made = document(rules, Links(runbooks=where, dashboard=dashboard))
    if form == "kubernetes":
        made = kubernetes(made, name="holdfast")
    if not (runbooks or settings.http.public_url or quiet):
        common.err().print(_NOWHERE)
    text = _HEAD + yaml.dump(made, Dumper=common.Dumper, sort_keys=False, allow_unicode=True, width=120)
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        common.fail(f"cannot write {out}: {error.strerror}", 1)


def _intervals(settings: Settings | EnvironmentSettings) -> dict[str, timedelta]:
    return {name: probe.every for name, probe in settings.probes.by_name().items()}


def _deadline(settings: Settings | EnvironmentSettings) -> dict[str, timedelta]:
    sync = settings.probes.by_name()[SyncProbe.name]
    return {ANY: sync.deadline} if isinstance(sync, SyncProbe) else {}


def _objectives(settings: Settings) -> Settled[float]:
    usual = EnvironmentSettings.model_fields["objective"].default
    own = {name: {ANY: _share(environment.objective)} for name, environment in settings.environments.items()}
    return Settled({ANY: _share(usual)}, own)


def _share(percent: float) -> float:
    """A share of 1, without the noise that a division leaves."""
    return round(percent / 100, 10)
