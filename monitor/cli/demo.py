"""`holdfast demo`: a real PostgreSQL and Valkey, the daemon and its page, with no set-up at all."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from monitor import probes
from monitor.cli import common
from monitor.cli.screen import LinesScreen, Screen, TableScreen
from monitor.configfile import Loaded, secrets_in
from monitor.core import duration
from monitor.core.record import RunRecord
from monitor.core.secrets import Scrubber
from monitor.core.verdict import Verdict
from monitor.embedded.faults import FAULTS, Fault, Site, addresses
from monitor.embedded.pgbouncer import installed
from monitor.embedded.postgres import system_bindir
from monitor.embedded.process import EmbeddedError
from monitor.embedded.servers import Servers
from monitor.listening import ListenError, bind
from monitor.logs import Scrubbing, set_up
from monitor.ports import Place, StateError, Store, Way
from monitor.probe import discover

if TYPE_CHECKING:
    from monitor.app import App

ENVIRONMENT = "demo"
# So that somebody who watches sees something happen, and two cores are enough for it and for the servers. What waits
# for a deadline of its own needs its time.
_EVERY = {"every": "5s", "timeout": "4900ms"}
_OTHERWISE: Mapping[str, Mapping[str, object]] = {
    # Twenty moves a second tell a loss of 50 ms; a record is looked for in each run while it is young enough to watch.
    "durability": {"rate": 20, "ladder": [f"{seconds}s" for seconds in range(5, 125, 5)]},
    "thread": {"every": "2s", "timeout": "1900ms"},
    "session": {"every": "2s", "timeout": "1900ms"},
    "notify": {"every": "16s", "timeout": "15s", "deadline": "2s", "patience": "500ms"},
    "pool": {"every": "8s", "timeout": "7900ms"},
    "sync": {"deadline": "1500ms", "patience": "2s"},
}
# Each user asks for each other's by every request: a hundred and more, one after the other.
_THROUGH_AN_API: Mapping[str, Mapping[str, object]] = {
    "isolation": {"every": "10s", "timeout": "9900ms", "budget": "8s"},
}
_GLANCE = 0.5  # seconds between two looks at the daemon


def _complete_fault(incomplete: str) -> list[str]:
    return [name for name in FAULTS if name.startswith(incomplete)]


def _length(text: str) -> timedelta:
    try:
        return duration.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def command(
    fault: Annotated[
        str | None,
        typer.Option(
            help="Break the environment after a healthy start; `holdfast faults` lists the names.",
            autocompletion=_complete_fault,
            show_default=False,
        ),
    ] = None,
    heal_after: Annotated[
        timedelta | None,
        typer.Option(
            parser=_length,
            metavar="TIME",
            help="Mend what --fault broke so long after it was seen: 60s, 5m, …; otherwise it stays broken.",
            show_default=False,
        ),
    ] = None,
    length: Annotated[
        timedelta | None,
        typer.Option(
            "--for",
            parser=_length,
            metavar="TIME",
            help="End after 90s, 5m, …; otherwise by Ctrl-C.",
            show_default=False,
        ),
    ] = None,
    platform: Annotated[
        bool,
        typer.Option(
            "--platform", help="Start the sample platform of Holdfast's repository, too, and probe through its API."
        ),
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the status page; 0 takes any free one.")] = 9464,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Watch a PostgreSQL and a Valkey that are started for the purpose, and see what Holdfast sees.

    Nothing has to be set up, and nothing is left behind: the servers live in a private folder on loopback ports.

    Examples:
      holdfast demo

      holdfast demo --fault rows-dropped-after-commit --for 30s

      holdfast demo --fault rows-dropped-after-commit --heal-after 5m

      holdfast demo --platform

      holdfast demo --fault api-forgets-where

    """
    chosen = FAULTS[common.known(fault, FAULTS, what="fault", listed_by="holdfast faults")] if fault else None
    if heal_after is not None and chosen is None:
        common.fail("--heal-after mends what --fault broke; name one, such as `holdfast faults` lists", common.USAGE)
    ends = _Ends(demo=length, fault=heal_after)
    try:
        common.run(lambda: _demo(chosen, platform=platform, ends=ends, port=port, quiet=quiet, verbose=verbose))
    except (EmbeddedError, ListenError) as error:
        common.fail(str(error), 1)


@dataclass(frozen=True, slots=True)
class _Ends:
    """How long the demo lasts, and what it broke stays so once that was seen; for ever, where nothing is said."""

    demo: timedelta | None
    fault: timedelta | None


async def _demo(fault: Fault | None, *, platform: bool, ends: _Ends, port: int, quiet: bool, verbose: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    if ends.demo is not None:
        loop.call_later(ends.demo.total_seconds(), stop.set)
    for listener in await bind("127.0.0.1", port):  # a port that is taken is told before anything is started
        listener.close()
    started = "PostgreSQL and Valkey, each with a replica"
    started += ", and the sample platform" if platform or (fault and fault.platform) else ""
    common.err().print(f"starting {started} …") if not quiet else None
    async with AsyncExitStack() as stack:
        # The daemon's modules take as long to import as the servers take to start; nobody waits for both.
        loading = asyncio.create_task(asyncio.to_thread(import_module, "monitor.app"))
        servers = await stack.enter_async_context(_servers(fault, platform=platform))
        await loading
        from monitor.app import App  # noqa: PLC0415  loaded just now

        # A fault may need a proxy; nothing else does.
        site = await Site.before(servers, stack, fenced=fault.fenced, isolation=fault.isolation) if fault else None
        file = _write_configuration(servers, site.addresses() if site else addresses(servers), fault, port)
        loaded = common.read(file)
        scrubbing = _log(loaded, servers.folder / "holdfast.log", verbose=verbose, stack=stack)
        app = App(loaded, reload=lambda: common.read(file), scrubbing=scrubbing)
        screen = TableScreen(ENVIRONMENT) if common.on_terminal() and not verbose else LinesScreen(ENVIRONMENT)
        begun = asyncio.Event()
        show = asyncio.create_task(_show(app, screen, begun, file, servers, fault, site, ends))
        show.add_done_callback(lambda _: stop.set())  # nobody would see what goes on
        try:
            await app.run(stop, started=begun.set)
        finally:
            show.cancel()
            with suppress(asyncio.CancelledError, StateError):  # it may have looked once more, at what was closed
                await show
        if not quiet:
            common.err().print("stopping, and removing everything …")


def _servers(fault: Fault | None, *, platform: bool) -> Servers:
    """All that a probe may look at; a fault may need contrib modules, which the wheel's PostgreSQL does not have."""
    if fault and fault.pooler and not installed():
        raise EmbeddedError(f"{fault.name} needs PgBouncer; install it, on Debian by apt-get install pgbouncer")
    bindir = system_bindir() if fault and fault.contrib else None
    if fault and fault.contrib and not bindir:
        raise EmbeddedError(f"{fault.name} needs PostgreSQL's contrib modules; on Debian, apt-get install postgresql")
    return Servers(
        replicas=True,
        pooler=installed() is not None,
        platform=platform or (fault is not None and fault.platform),
        postgres_bindir=bindir,
    )


def _write_configuration(servers: Servers, found: Mapping[Place, str], fault: Fault | None, port: int) -> Path:
    """The demo is configured as anything else is, so that `holdfast check` and others can be tried on it."""
    postgres: dict[str, object] = {"dsn": found[Place(Store.POSTGRES)]}
    redis: dict[str, object] = {"url": found[Place(Store.REDIS)]}
    if (pooler := found.get(Place(Store.POSTGRES, Way.POOLER))) is not None:
        postgres["pooler"] = pooler
    for store, settings in ((Store.POSTGRES, postgres), (Store.REDIS, redis)):
        settings["replicas"] = {
            place.name: address for place, address in found.items() if place.store is store and place.way is Way.REPLICA
        }
    if fault:
        postgres["isolation"] = fault.isolation
        redis["policy"] = fault.policy
    application = servers.platform.described(found[Place(Store.API)]) if servers.platform else {}
    slower = _THROUGH_AN_API if application else {}
    special = fault.settings if fault else {}
    values = {
        "location": "demo",
        "state": f"sqlite:///{servers.folder / 'state.db'}",
        "http": {"listen": f"127.0.0.1:{port}", **({"public_url": f"http://127.0.0.1:{port}"} if port else {})},
        "probes": {
            name: {
                **_EVERY,
                **_OTHERWISE.get(name, {}),
                **slower.get(name, {}),
                **special.get(name, {}),
                **_only(fault, name),
            }
            for name in sorted(discover(probes))
        },
        "environments": {ENVIRONMENT: {"postgres": postgres, "redis": redis, **application}},
    }
    file = servers.folder / "holdfast.yaml"
    file.touch(mode=0o600)  # before there is a password in it
    file.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return file


def _only(fault: Fault | None, probe: str) -> dict[str, object]:
    """Where a fault wants its probe alone, the others do not run."""
    return {"enabled": False} if fault and fault.alone and probe != fault.probe else {}


def _log(loaded: Loaded, file: Path, *, verbose: bool, stack: AsyncExitStack) -> Scrubbing:
    """The log goes beside the servers', so that it does not write over the table; --verbose shows it instead."""
    scrubbing = Scrubbing(Scrubber(secrets_in(loaded.settings)))
    if verbose:
        set_up(form="auto", level="debug", scrubbing=scrubbing)
    else:
        stream = stack.enter_context(file.open("w", encoding="utf-8"))
        set_up(form="json", level="info", scrubbing=scrubbing, stream=stream)
        stack.callback(set_up, form="auto", level="info", scrubbing=scrubbing)  # for what made it end
    return scrubbing


async def _show(
    app: App,
    screen: Screen,
    begun: asyncio.Event,
    file: Path,
    servers: Servers,
    fault: Fault | None,
    site: Site | None,
    ends: _Ends,
) -> None:
    await begun.wait()
    with screen:
        screen.say(f"status page  {app.url}")
        screen.say(f"try          {_typed()} check --config {file}")
        watched = app.environments()[ENVIRONMENT].probes
        for ended in asyncio.as_completed([app.run_now(ENVIRONMENT, probe) for probe in watched]):
            await ended  # at once: who watches does not want to wait for the probes' turns
            await _update(app, screen)
        broken, mended, seen = False, False, float("inf")
        healthy_for = 0
        while True:
            await asyncio.sleep(_GLANCE)
            if not broken and (dead := [server for server in servers.all if not server.alive]):
                raise EmbeddedError(f"the demo's {dead[0].title} has died; its log ended with:\n{dead[0].log_tail()}")
            latest = app.journal.latest(ENVIRONMENT)
            healthy = not app.not_ready() and all(run.verdict in (Verdict.OK, Verdict.SLOW) for run in latest.values())
            healthy_for = healthy_for + 1 if healthy else 0
            if fault and site and not broken and healthy_for >= 4:  # noqa: PLR2004  two seconds of health
                await fault.inject(site)
                broken = True
                screen.say(f"broken now   {fault.name}: {fault.breaks}")
            elif fault and site and broken and ends.fault and not mended:
                now = app.clock.monotonic()
                seen = min(seen, now) if _is_seen(fault, latest) else seen
                if now - seen >= ends.fault.total_seconds():
                    await fault.heal(site)
                    mended = True
                    screen.say(f"mended now   {fault.name}")
            await _update(app, screen)


def _is_seen(fault: Fault, latest: Mapping[str, RunRecord]) -> bool:
    """Whether the latest run of the fault's probe says what it should say of it."""
    run = latest.get(fault.probe)
    said = {run.verdict, run.finding.reason, *(each.kind for each in run.finding.violations)} if run else set()
    return fault.report in said


def _typed() -> str:
    """How this command can be typed: by its name where the shell finds it, else by its path."""
    return "holdfast" if shutil.which("holdfast") else os.path.relpath(sys.argv[0])


async def _update(app: App, screen: Screen) -> None:
    journal = app.journal
    screen.update(journal.latest(ENVIRONMENT), journal.standing(ENVIRONMENT), await journal.runs(limit=200))
