"""`holdfast load`: a burst for a game day, watched while it lasts, verified to the last message."""

from __future__ import annotations

import asyncio
import re
import signal
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from hashlib import blake2s
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import typer
from pydantic import Field, PrivateAttr, ValidationError
from rich.text import Text
from uuid_utils import uuid7

from monitor.bursting import Following
from monitor.cli import common
from monitor.cli.check import Forgetful
from monitor.cli.load_text import Ended, Progress, as_json, as_text, planned
from monitor.complaints import in_words
from monitor.configfile import Loaded, secrets_in
from monitor.core import duration
from monitor.core.residue import Instance
from monitor.core.secrets import Scrubber
from monitor.desk import Desk
from monitor.fleet import live_environment
from monitor.journal import Journal
from monitor.metrics import Metrics
from monitor.ports import StoreError, SystemClock
from monitor.probe import Duration
from monitor.probes.load import LoadProbe
from monitor.runner import run_once
from monitor.settings import EnvironmentSettings
from monitor.stores.environment import LiveEnvironment

_INTERRUPTED = 130
_LONGEST = timedelta(minutes=21)  # the timeout of the longest burst that there may be
_BESIDE = timedelta(minutes=1)  # besides twice its length, for what is slow when it is verified and removed
_FLAGS = {"length": "--for", "in_flight": "--in-flight"}
_FIGURE = re.compile(r"\b(rate|length|ramp)\b")
_RATE = 20.0


class GameDay(LoadProbe):
    """The probe `load` with figures for a day on which somebody watches: larger, and followed while it runs."""

    longest: ClassVar[timedelta] = timedelta(minutes=10)
    most: ClassVar[int] = 100_000

    enabled: bool = True
    rate: float = Field(default=_RATE, ge=1, le=1000, allow_inf_nan=False, description="Operations a second.")
    every: Duration = timedelta(days=1)
    _following: Following = PrivateAttr(default_factory=Following)

    def follow(self) -> Following:
        """What the command follows it by."""
        return self._following


def _default(name: str) -> str:
    """What a burst has where neither the command nor the configuration says so, for the help."""
    value = LoadProbe.model_fields[name].default
    return f"As it comes, {duration.text(value) if isinstance(value, timedelta) else f'{value:g}'}."


def _share(text: str) -> float:
    number, percent = text.removesuffix("%"), text.endswith("%")
    try:
        return float(number) / (100 if percent else 1)
    except ValueError:
        raise typer.BadParameter("expected a share such as 0.05 or 5%") from None


def _length(text: str) -> timedelta:
    try:
        return duration.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def command(
    environment: common.Environment,
    rate: Annotated[float, typer.Option(help="Operations a second, at most 1000; eight in ten append a message.")],
    length: Annotated[
        timedelta, typer.Option("--for", parser=_length, metavar="TIME", help="How long: 30s, 5m; at most 10m.")
    ],
    ramp: Annotated[
        timedelta | None,
        typer.Option(
            parser=_length, metavar="TIME", help="How long the rate rises; a tenth of --for.", show_default=False
        ),
    ] = None,
    users: Annotated[
        int | None, typer.Option(help=f"Users who write at once, 2 to 8. {_default('users')}", show_default=False)
    ] = None,
    connections: Annotated[
        int | None,
        typer.Option(
            help="Connections that they share, 1 to 20; two more watch. As many as there may be.", show_default=False
        ),
    ] = None,
    errors: Annotated[
        float | None,
        typer.Option(
            parser=_share,
            metavar="SHARE",
            help=f"Stop where a larger share of the latest 100 fails, as 0.05 or 5%. {_default('errors')}",
            show_default=False,
        ),
    ] = None,
    p99: Annotated[
        timedelta | None,
        typer.Option(
            parser=_length,
            metavar="TIME",
            help=f"Stop where their p99 is longer. {_default('p99')}",
            show_default=False,
        ),
    ] = None,
    lag: Annotated[
        timedelta | None,
        typer.Option(
            parser=_length,
            metavar="TIME",
            help=f"Stop where a replica is further behind. {_default('lag')}",
            show_default=False,
        ),
    ] = None,
    in_flight: Annotated[
        int | None,
        typer.Option(
            "--in-flight", help=f"Stop where more wait for answers. {_default('in_flight')}", show_default=False
        ),
    ] = None,
    form: Annotated[Literal["text", "json"], typer.Option("--format", help="How to report.")] = "text",
    out: Annotated[
        Path | None, typer.Option(help="Write a page with plots there, in one file.", show_default=False)
    ] = None,
    runbooks: common.Runbooks = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Write and read at a fixed rate, many users at once, and look whether all that was acknowledged is there.

    An open loop: latencies count from the moment at which each operation was due, so that what waits behind a stall is
    in them. It stops at once where errors, p99 or the lag of a replica pass their limits, and says which; what it wrote
    is read once more and removed. What is not said is as in `probes.load` of the environment. Ctrl-C ends it well.

    Ends with 0 ok, 1 slow (stopped by p99, lag or what waits, or a step over its budget), 2 violated, 3 unknown,
    64 where the figures do not fit, 78 for a wrong configuration.

    Examples:
      holdfast load staging --rate 50 --for 30s

      holdfast load production --rate 20 --for 5m --p99 200ms --out load.html

    """
    loaded = common.configuration(config)
    settings = common.environment_named(loaded, environment)
    figures = {
        "rate": rate,
        "length": length,
        "ramp": ramp,
        "users": users,
        "connections": connections,
        "errors": errors,
        "p99": p99,
        "lag": lag,
        "in_flight": in_flight,
    }
    probe = _game_day(settings, {**figures, "ramp": length / 10 if ramp is None else ramp})
    if out is not None and not out.parent.is_dir():
        common.fail(f"--out: there is no folder {out.parent}", common.USAGE)
    if not quiet:
        common.err().print(Text(planned(environment, probe, settings.surroundings())))
    if dry_run:
        return
    common.log_to_stderr(loaded, level="debug" if verbose else "critical")
    try:
        ended = common.run(lambda: _carried_out(loaded, environment, settings, probe, quiet=quiet))
    except asyncio.CancelledError:
        said = (
            f"holdfast: what it has written stays until the next sweep; `holdfast sweep {environment} --all` takes it"
        )
        common.err().print(Text(said))
        raise typer.Exit(_INTERRUPTED) from None
    ended = replace(ended, again=_again(environment, figures))
    where = common.runbooks(runbooks, loaded)
    (as_json if form == "json" else as_text)(ended, runbooks=where)
    if out is not None:
        from monitor.cli.load_page import as_page  # noqa: PLC0415  brings templates, which few bursts need

        out.write_text(as_page(ended, runbooks=where), encoding="utf-8")
        if not quiet:
            common.err().print(Text(f"the page with plots is {out}"))
    raise typer.Exit(common.EXIT[ended.record.verdict])


def _game_day(settings: EnvironmentSettings, figures: dict[str, Any]) -> GameDay:
    """The burst that was asked for; where it cannot be, the command ends with 64."""
    around, base = settings.surroundings(), settings.probes.by_name()["load"]
    if not base.runs_in(around):
        common.fail(f"there is nothing to load: it {base.lacks(around)}", common.USAGE)
    given = {name: value for name, value in figures.items() if value is not None}
    own = {name: getattr(base, name) for name in figures if name not in given}
    stores = base.needs_in(around)
    room = min(settings.max_connections(store) for store in stores)
    beside = base.wants_in(around)[next(iter(stores))] - base.connections if isinstance(base, LoadProbe) else 0
    if "connections" not in given:
        own["connections"] = max(1, min(room - beside, given.get("users", own.get("users", 1))))
    try:
        probe = GameDay(**own, **given, timeout=2 * given["length"] + _BESIDE, budget=base.budget, budgets=base.budgets)
    except ValidationError as error:
        said = [
            ": ".join([*(_flag(each) for each in map(str, detail["loc"])), _in_flags(in_words(detail["msg"]))])
            for detail in error.errors()
        ]
        common.fail("; ".join(said), common.USAGE)
    if (wanted := probe.connections + beside) > room:
        known = f"{probe.connections} connections and {beside} to watch by are {wanted}"
        common.fail(
            f"{known}, and max_connections of this environment is {room}; take fewer, or raise it", common.USAGE
        )
    return probe


def _flag(figure: str) -> str:
    return _FLAGS.get(figure, f"--{figure}")


def _in_flags(message: str) -> str:
    """What the probe says of its figures, by the names that they have here."""
    return _FIGURE.sub(lambda found: _flag(found[1]), message)


def _again(environment: str, figures: dict[str, Any]) -> str:
    """The command for the same burst once more."""
    options = (
        f"{_flag(name)} {duration.text(value) if isinstance(value, timedelta) else f'{value:g}'}"
        for name, value in figures.items()
        if value is not None
    )
    return " ".join(["holdfast load", environment, *options])


async def _carried_out(
    loaded: Loaded, name: str, settings: EnvironmentSettings, probe: GameDay, *, quiet: bool
) -> Ended:
    """The burst, as an instance of its own, so that a daemon beside it does not mind."""
    clock, metrics = SystemClock(), Metrics(location=loaded.settings.location, version="")
    desk = Desk(journal=Journal(Forgetful(), clock=clock, new_id=lambda: str(uuid7())), metrics=metrics, clock=clock)
    patient = settings.probes.model_copy(update={probe.name: probe.model_copy(update={"timeout": _LONGEST})})
    live = live_environment(
        name,
        settings.model_copy(update={"probes": patient}),
        instance=_instance(loaded.settings.location, name, bound=probe.name in settings.surroundings().bound),
        metrics=metrics,
    )
    following = probe.follow()
    _end_well(following)
    if probe.name in live.surroundings.bound:
        await _sweep(live, scrub=Scrubber(secrets_in(settings)))
    with Progress(probe.figures, following, quiet=quiet):
        record = await run_once(probe, live, desk)
    return Ended(environment=name, probe=probe, record=record, following=following)


def _instance(location: str, environment: str, *, bound: bool) -> Instance:
    """Who writes. In an application its users are of this instance: it is always the same, so that it knows them again.

    In Holdfast's own tables whoever sweeps knows what is synthetic, and bursts beside each other need not mind.
    """
    if not bound:
        return Instance(uuid7().hex[-8:], 1)
    return Instance(blake2s(f"load/{location}/{environment}".encode(), digest_size=4).hexdigest(), 1)


def _end_well(following: Following) -> None:
    """The first Ctrl-C, or SIGTERM, ends the burst, which is then verified and removed; a second one cuts it off."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def interrupted() -> None:
        if following.ended_by and task is not None:
            task.cancel()
        following.ended_by = f"interrupted after {following.now:.1f} s"

    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # no such signals on this platform
            loop.add_signal_handler(number, interrupted)


async def _sweep(live: LiveEnvironment, *, scrub: Scrubber) -> None:
    """Remove from an application what an earlier burst that was killed has left, once no other can need it."""
    for store in sorted(live.stores):
        try:
            await live.sweep(store)
        except StoreError as error:
            said = f"holdfast: {live.name} {store}: what earlier bursts left could not be removed: {scrub(str(error))}"
            common.err().print(Text(said))
