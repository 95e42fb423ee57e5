"""`holdfast plan` and `setup`: what is written, where, and what has to be there for it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

import typer
from pydantic import SecretStr
from rich.table import Table
from rich.text import Text

from monitor.addresses import AddressError, postgres_url
from monitor.cli import common
from monitor.core import duration
from monitor.core.residue import Instance
from monitor.core.sentinel import is_sentinels, sentinels_of
from monitor.fleet import left_out, live_environment
from monitor.metrics import Metrics
from monitor.ports import Store, StoreError
from monitor.probe import Probe, Use
from monitor.settings import EnvironmentSettings
from monitor.stores.bound.check_redis import grants
from monitor.stores.bound.grants import grants_sql
from monitor.stores.bound.plans import sent_instead, sent_keys, sent_singly
from monitor.stores.environment import LiveEnvironment
from monitor.stores.operations import CATALOGUE
from monitor.stores.provision import grant, redis_acl, roles_sql

FAILED = 2
NOBODY = Instance("00000000", 0)
OWN = "holdfast"
"""The role and the user that are made where the configuration names none."""
_REDIS = """Choose a password, and put it into the configuration, too. A user is in memory only until it is saved: by
ACL SAVE where the server has an aclfile, else by CONFIG REWRITE. Without that it is gone with the next start."""
_HOUR = timedelta(hours=1)
_LONG, _BEGINS = 90, 60  # characters; what is longer is shown once by a probe
_SINGLY = "(one by one: the binding names no append_many)"


def plan(environment: common.Environment, probe: common.ProbeNames = None, config: common.Config = None) -> None:
    """Show every statement and key that would be sent, with rows and bytes per hour. Touches nothing.

    Rows or keys are those that are inserted or changed; what a run wrote it deletes again, by single statements and by
    foreign keys. Bytes are those of the content; docs/probes.md has the WAL that comes of it, as it was measured.

    Examples:
      holdfast plan production

      holdfast plan production --probe thread    one promise alone

    """
    settings = common.environment_named(common.configuration(config), environment)
    every = settings.probes.by_name()
    wanted = {common.known(name, every, what="probe") for name in probe or every}
    console = common.out()
    for name, planned in settings.active().items():
        if name in wanted:
            _plan_probe(planned, settings)
            for sentence in planned.left_out(settings.surroundings()):
                console.print(Text(f"  left out: {sentence}", style="dim"))
    for name, why in left_out(settings).items():
        if name in wanted:
            console.print(Text(f"\n{name}", style="bold") + Text(f" is left out: it {why}", style="dim"))
    url = settings.redis.url.get_secret_value() if settings.redis else ""
    if is_sentinels(url):
        asked = f"SENTINEL GET-MASTER-ADDR-BY-NAME {sentinels_of(url).master}"
        console.print(Text(f"\nBefore each connection to the primary a Sentinel is asked: {asked}", style="dim"))


def _plan_probe(probe: Probe[object], settings: EnvironmentSettings) -> None:
    console = common.out()
    hourly = _HOUR / probe.every
    console.print(
        Text(f"\n{probe.name}", style="bold") + Text(f"  every {duration.text(probe.every)}: {probe.promise()}")
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title, justify in (("times", "right"), ("operation", "left"), ("rows/h", "right"), ("bytes/h", "right")):
        table.add_column(title, justify="right" if justify == "right" else "left", no_wrap=True)
    table.add_column("sent each time", overflow="fold")
    uses: list[Use] = []
    shown: dict[tuple[str, ...], str] = {}
    for use in probe.plan():
        singly = settings.binding is not None and sent_singly(settings.binding, probe.name, use.operation)
        for store, sent in _sent(settings, probe.name, use).items():
            uses += [] if use in uses else [use]
            written = (f"{use.rows * use.share * hourly:,.0f}", f"{use.payload * use.share * hourly:,.0f}")
            asked = use.rows if singly else use.times
            times = str(asked) if use.share == 1 else f"{asked} in 1 of {1 / use.share:.0f} runs"
            lines = [*_once(sent, shown, at=use.operation), *([_SINGLY] if singly else [])]
            table.add_row(times, f"{store} {use.operation}", *written, Text("\n".join(lines)))
    console.print(table)
    rows = sum(use.rows * use.share for use in uses) * hourly
    payload = sum(use.payload * use.share for use in uses) * hourly
    wants = {
        store: count for store, count in probe.wants_in(settings.surroundings()).items() if store in settings.stores
    }
    connections = ", ".join(f"at most {count} connections to {store}" for store, count in wants.items())
    console.print(f"  = {hourly:g} runs, {rows:,.0f} rows or keys and {payload / 1e6:,.1f} MB an hour; {connections}")


def _once(sent: tuple[str, ...], shown: dict[tuple[str, ...], str], *, at: str) -> Iterator[str]:
    """The lines; of long ones that an operation of the same probe has shown before, how they begin and where."""
    if (before := shown.setdefault(sent, at)) != at and sum(map(len, sent)) > _LONG:
        yield f"as {before} does"
        return
    for line in sent:
        before = shown.setdefault((line,), at)
        yield f"{line[:_BEGINS].rstrip()} … (as {before} does)" if before != at and len(line) > _LONG else line


def _sent(settings: EnvironmentSettings, probe: str, use: Use) -> Mapping[Store, tuple[str, ...]]:
    """What one operation sends to which store, by the binding where the probe goes through it; empty if left out."""
    own = {use.store: CATALOGUE[use.store][use.operation]}
    if settings.binding is not None and use.store is Store.REDIS:
        own = {use.store: sent_keys(settings.binding, probe, use.operation, CATALOGUE[use.store]) or ()}
    elif settings.binding is not None:
        instead = sent_instead(settings.binding, probe, use.operation)
        own = own if instead is None else {**instead}
    return {store: sent for store, sent in own.items() if store in settings.stores and sent}


def setup(
    environment: common.Environment,
    print_: Annotated[bool, typer.Option("--print", help="Only print what a DBA has to run.")] = False,
    store: Annotated[Store | None, typer.Option(help="Print only what is for this store.", show_default=False)] = None,
    role: Annotated[
        str | None,
        typer.Option(
            help="The role that Holdfast will use; without it that of postgres.dsn. In Redis holdfast.",
            show_default=False,
        ),
    ] = None,
    dsn: Annotated[
        str | None,
        typer.Option(
            envvar="HOLDFAST_SETUP_DSN", help="Connect as this superuser or owner instead.", show_default=False
        ),
    ] = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Create Holdfast's schema, and the least role that can use it, or print the SQL and the ACL for that.

    Without --dsn the environment's own role makes the schema, if it may. Ends with 0, or 2 where it could not.

    Examples:
      holdfast setup production --print | less

      holdfast setup production --print --store postgres | psql app

      holdfast setup production --print --store redis | sed s/CHOOSE-A-PASSWORD/…/ | redis-cli

      holdfast setup production --dsn postgresql://postgres@db.example/app

    """
    loaded = common.configuration(config)
    settings = common.environment_named(loaded, environment)
    if role is not None and not _is_plain(role):
        common.fail(f"{role!r} is not a plain name for a role; use letters, digits and _", common.USAGE)
    try:
        postgres_url(SecretStr(dsn)) if dsn is not None else None
    except AddressError as error:
        common.fail(f"--dsn: {error}", common.USAGE)
    connections = settings.max_connections(Store.POSTGRES)
    if print_:
        _print_what_to_run(environment, settings, store=store, given=role)
        return

    async def main() -> None:
        made = live(environment, settings, NOBODY)
        if dsn is not None:
            await grant(dsn, environment, role=role or _role_in(settings), connections=connections)
        await made.prepare(dict.fromkeys(made.stores, 1))

    common.log_to_stderr(loaded, level="debug" if verbose else "error")
    try:
        common.run(main)
    except StoreError as error:
        common.fail(str(error), FAILED)
    if not quiet:
        common.out().print(Text("✔ ", style="green") + Text(f"{environment} is ready for Holdfast"))


def _is_plain(role: str) -> bool:
    return role.replace("_", "").isalnum()


def _role_in(settings: EnvironmentSettings) -> str:
    """The role that the DSN names, where it is a plain name: whoever made another would be refused with this one."""
    named = urlsplit(settings.postgres.dsn.get_secret_value()).username if settings.postgres else None
    return named if named and _is_plain(named) else OWN


def _print_what_to_run(name: str, settings: EnvironmentSettings, *, store: Store | None, given: str | None) -> None:
    """What a DBA has to run for each store, or for one.

    In Redis the user of the URL is not taken: it may be an application's, and an ACL takes away what it does not name.
    """
    if settings.postgres and store in {None, Store.POSTGRES}:
        role = given or _role_in(settings)
        sql = roles_sql(name, role=role, connections=settings.postgres.max_connections)
        typer.echo(f"-- PostgreSQL of {name}, for psql\n\n{sql}")
        if settings.binding is not None:
            typer.echo(grants_sql(settings.binding, role=role), nl=False)
    if settings.redis and store in {None, Store.REDIS}:
        if store is Store.REDIS:  # redis-cli, which may read this, knows no comments
            common.err().print(Text(_REDIS))
        else:
            typer.echo(f"# Redis of {name}, for redis-cli\n{textwrap.indent(_REDIS, '# ')}\n")
        made = live(name, settings, NOBODY)
        typer.echo(f"{redis_acl(user=given or OWN, more=grants(made.bound) if made.binding else ())}\nACL SAVE")


def live(name: str, settings: EnvironmentSettings, instance: Instance) -> LiveEnvironment:
    """An environment for a command, which counts nothing."""
    return live_environment(name, settings, instance=instance, metrics=Metrics(location="", version=""))
