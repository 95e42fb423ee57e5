"""`holdfast dashboard`: dashboards for Grafana, made of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
import yaml

from monitor.cli import common
from monitor.probes.durability import DurabilityProbe
from monitor.probes.sync import SyncProbe
from monitor.settings import EnvironmentSettings, Settings

if TYPE_CHECKING:
    from monitor.dashboards import Given


def command(
    which: Annotated[
        Literal["overview", "detail"], typer.Argument(help="The one to print; --out and Kubernetes have both.")
    ] = "overview",
    config: common.Config = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The folder to write both to, with what provisions them; for Kubernetes a file.",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        Literal["grafana", "kubernetes"],
        typer.Option("--format", help="JSON, or a ConfigMap of each for the sidecar of Grafana's chart."),
    ] = "grafana",
    page: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Of the status page, as browsers reach it; else http.public_url, or http.listen's port on localhost.",
            show_default=False,
        ),
    ] = "",
    datasource: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Of your Prometheus in Grafana; without it, its default, and --out has an example of one.",
        ),
    ] = "",
    quiet: common.Quiet = False,
) -> None:
    """Print dashboards for Grafana 12 or newer: an overview, and the detail of environments and probes.

    Nothing is contacted. They need the rules of `holdfast rules`. Make them anew when labels of environments change,
    or when durability, sync or impact come to be used or cease to be.

    Examples:
      holdfast dashboard --out /etc/grafana --page https://holdfast.example

      holdfast dashboard detail > detail.json

      holdfast dashboard --format kubernetes | kubectl apply --server-side -f -

    """
    from monitor.dashboards import DETAIL, OVERVIEW, config_maps, files  # noqa: PLC0415  most of the time of this command

    loaded = common.configuration(config)
    if not quiet and (nowhere := common.unconfigured(loaded)):
        common.err().print(f"holdfast: {nowhere}; these dashboards are of the defaults, and know no environment")
    given = _given(loaded.settings, page=page, datasource=datasource)
    if form == "kubernetes":
        made = yaml.dump_all(config_maps(given), Dumper=common.Dumper, sort_keys=False, allow_unicode=True, width=120)
        written = {out: made} if out else {}
    else:
        every = files(given)
        made = every[f"dashboards/{DETAIL if which == 'detail' else OVERVIEW}.json"]
        written = {out / name: text for name, text in every.items()} if out else {}
    for file, text in written.items():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            common.fail(f"cannot write {file}: {error.strerror}", 1)
    if not written:
        typer.echo(made, nl=False)


def _given(settings: Settings, *, page: str, datasource: str) -> Given:
    """What is left out is what no environment has; where none is configured yet, nothing is."""
    from monitor.dashboards import Given  # noqa: PLC0415  the same

    environments = tuple(settings.environments.values())
    return Given(
        page=page or settings.http.public_url or f"http://localhost:{settings.http.port}",
        datasource=datasource,
        labels=tuple(sorted({name for each in environments for name in each.labels})),
        ledgers=not environments or any(_runs(each, DurabilityProbe.name) for each in environments),
        propagation=not environments or any(_runs(each, SyncProbe.name) for each in environments),
        impact=not environments or any(each.impact != type(each.impact)() for each in environments),
    )


def _runs(environment: EnvironmentSettings, probe: str) -> bool:
    return environment.probes.by_name()[probe].enabled
