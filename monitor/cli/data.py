"""`holdfast plan`, `setup` and `sweep`: what is written, where, and how it is taken away again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from monitor.cli import common
from monitor.core import duration
from monitor.core.residue import Instance
from monitor.fleet import left_out, live_environment
from monitor.metrics import Metrics
from monitor.ports import StateError, Store, StoreError
from monitor.probe import Probe
from monitor.settings import EnvironmentSettings
from monitor.stores import sessions, threads
from monitor.stores.environment import LiveEnvironment
from monitor.stores.provision import grant, redis_acl, roles_sql
from monitor.stores.state import SqliteState

_FAILED = 2
NOBODY = Instance("00000000", 0)
_HOUR = timedelta(hours=1)
_OPERATIONS = {Store.POSTGRES: threads.OPERATIONS, Store.REDIS: sessions.OPERATIONS}


def plan(environment: common.Environment, config: common.Config = None) -> None:
    """Show every statement and key that would be sent, with rows and bytes per hour. Touches nothing.

    Example:  holdfast plan production
    """
    settings = common.environment_named(common.configuration(config), environment)
    console = common.out()
    for probe in settings.active().values():
        _plan_probe(probe)
    for name, why in left_out(settings).items():
        console.print(Text(f"\n{name}", style="bold") + Text(f" is left out: it {why}", style="dim"))


def _plan_probe(probe: Probe[object]) -> None:
    console = common.out()
    hourly = _HOUR / probe.every
    console.print(
        Text(f"\n{probe.name}", style="bold") + Text(f"  every {duration.text(probe.every)}: {probe.promise()}")
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title, justify in (("times", "right"), ("operation", "left"), ("rows/h", "right"), ("bytes/h", "right")):
        table.add_column(title, justify="right" if justify == "right" else "left", no_wrap=True)
    table.add_column("sent each time", overflow="fold")
    uses = probe.plan()
    for use in uses:
        sent = "\n".join(_OPERATIONS[use.store][use.operation])
        written = (f"{use.rows * hourly:,.0f}", f"{use.payload * hourly:,.0f}")
        table.add_row(str(use.times), f"{use.store} {use.operation}", *written, Text(sent))
    console.print(table)
    rows, payload = sum(use.rows for use in uses) * hourly, sum(use.payload for use in uses) * hourly
    connections = ", ".join(f"at most {count} connections to {store}" for store, count in probe.needs.items())
    console.print(f"  = {hourly:g} runs, {rows:,.0f} rows or keys and {payload / 1e6:,.1f} MB an hour; {connections}")


def setup(
    environment: common.Environment,
    print_: Annotated[bool, typer.Option("--print", help="Only print what a DBA has to run.")] = False,
    role: Annotated[str, typer.Option(help="The role that Holdfast will use.")] = "holdfast",
    dsn: Annotated[
        str | None,
        typer.Option(
            envvar="HOLDFAST_SETUP_DSN", help="Connect as this superuser or owner instead.", show_default=False
        ),
    ] = None,
    config: common.Config = None,
) -> None:
    """Create Holdfast's schema, and the least role that can use it, or print the SQL and the ACL for that.

    Without --dsn the environment's own role makes the schema, if it may. Ends with 0, or 2 where it could not.

    Examples:
      holdfast setup production --print | less

      holdfast setup production --dsn postgresql://postgres@db.example/app

    """
    loaded = common.configuration(config)
    settings = common.environment_named(loaded, environment)
    if not role.replace("_", "").isalnum():
        common.fail(f"{role!r} is not a plain name for a role; use letters, digits and _", common.USAGE)
    if print_:
        if settings.postgres:
            typer.echo(roles_sql(environment, role=role))
        if settings.redis:
            typer.echo(f"-- In Redis (choose a password first):\n-- {redis_acl(user=role)}")
        return

    async def main() -> None:
        live = _live(environment, settings, NOBODY)
        if dsn is not None:
            await grant(dsn, environment, role=role)
        await live.prepare(dict.fromkeys(live.stores, 1))

    common.log_to_stderr(loaded, level="error")
    try:
        common.run(main)
    except StoreError as error:
        common.fail(str(error), _FAILED)
    common.out().print(Text("✔ ", style="green") + Text(f"{environment} is ready for Holdfast"))


def sweep(
    environment: common.Environment,
    everybody: Annotated[
        bool, typer.Option("--all", help="Of all daemons, as soon as no run can need it; walks through all Redis keys.")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Only count.")] = False,
    config: common.Config = None,
) -> None:
    """Remove Holdfast's own leftovers, and nothing else. A running daemon does so by itself.

    Takes what killed runs of this daemon left, and what any daemon left more than an hour ago. What a run may still
    need is never taken. Ends with 0, or 2 where a store could not be swept.

    Example:  holdfast sweep production --all --dry-run
    """
    loaded = common.configuration(config)
    settings = common.environment_named(loaded, environment)
    common.log_to_stderr(loaded, level="error")
    words = "would go" if dry_run else "removed"

    url = loaded.settings.state
    known = Path(url.removeprefix("sqlite:///")).is_file()  # where no daemon ever ran, nobody is whom it would be

    async def main() -> Swept:
        live = _live(environment, settings, await _present_instance(url) if known else NOBODY)
        gone: dict[Store, int] = {}
        failed: list[str] = []
        for store in sorted(live.stores):
            try:
                gone[store] = await live.sweep(store, everybody=everybody, dry_run=dry_run)
            except StoreError as error:
                failed.append(str(error))
        return Swept(gone=gone, failed=tuple(failed))

    swept = common.run(main)
    for store, count in swept.gone.items():
        common.out().print(f"{environment} {store}: {count} {words}")
    if swept.failed:
        common.fail("; ".join(swept.failed), _FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep removed, and the stores that it could not reach."""

    gone: dict[Store, int]
    failed: tuple[str, ...]


async def _present_instance(url: str) -> Instance:
    """Who the daemon of this configuration is, without counting as a start of it."""
    state = SqliteState(Path(url.removeprefix("sqlite:///")))
    try:
        await state.open()
        id_, incarnation = await state.recall("instance"), await state.recall("incarnation")
        return Instance(id_ or NOBODY.id, int(incarnation or 0))
    except StateError as error:
        common.err().print(Text(f"holdfast: {error}; only what is old enough for anybody to remove is swept"))
        return NOBODY
    finally:
        await state.close()


def _live(name: str, settings: EnvironmentSettings, instance: Instance) -> LiveEnvironment:
    return live_environment(name, settings, instance=instance, metrics=Metrics(location="", version=""))
