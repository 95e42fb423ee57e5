"""`holdfast check`: one round now, for people on call, deploy gates and cron."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.text import Text
from uuid_utils import uuid7

from monitor.cli import common
from monitor.cli.check_text import as_text
from monitor.cli.reports import Round, as_json, as_junit, junit
from monitor.configfile import Loaded, secrets_in
from monitor.core.record import RunRecord
from monitor.core.residue import Instance
from monitor.core.secrets import Scrubber
from monitor.core.violations import KeptViolation, Stage
from monitor.desk import Desk
from monitor.fleet import left_out, live_environment
from monitor.journal import Journal
from monitor.metrics import Metrics
from monitor.ports import Acknowledgement, StoreError, SystemClock
from monitor.runner import run_once
from monitor.stores.environment import LiveEnvironment

T = TypeVar("T")
_TERMINATED = 128 + signal.SIGTERM


class Form(StrEnum):
    """The forms of a report."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"


class Forgetful:
    """A state that keeps nothing. A database, even in memory, would double the time that a check takes."""

    async def save(self, ended: Sequence[RunRecord], changed: Sequence[KeptViolation]) -> None:
        """Nothing."""

    async def runs(
        self,
        *,
        environment: str | None = None,  # noqa: ARG002  the signature is the port's, here and below
        probe: str | None = None,  # noqa: ARG002
        verdict: str | None = None,  # noqa: ARG002
        limit: int = 100,  # noqa: ARG002
    ) -> list[RunRecord]:
        """None."""
        return []

    async def run(self, run_id: str) -> RunRecord | None:  # noqa: ARG002
        """None."""
        return None

    async def violations(self, *, stages: Sequence[Stage] = (), limit: int = 1000) -> list[KeptViolation]:  # noqa: ARG002
        """None."""
        return []

    async def acknowledgements(self) -> list[Acknowledgement]:
        """None."""
        return []

    async def acknowledge(self, id_: str, *, at: datetime, note: str) -> bool:  # noqa: ARG002
        """None stands."""
        return False

    async def prune(self, *, runs: datetime, failures: datetime, violations: datetime) -> int:  # noqa: ARG002
        """Nothing."""
        return 0

    async def recall(self, name: str) -> str | None:  # noqa: ARG002
        """Nothing."""
        return None

    async def remember(self, name: str, value: str | None) -> None:
        """Nothing."""


def command(
    environments: common.Environments = None,
    probe: common.ProbeNames = None,
    form: Annotated[Form, typer.Option("--format", help="How to report.")] = Form.TEXT,
    junit_file: Annotated[
        Path | None,
        typer.Option("--junit", metavar="FILE", help="Where to write JUnit, too.", show_default=False),
    ] = None,
    runbooks: common.Runbooks = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Run every probe once, now, and say what was found.

    Ends with 0 ok, 1 slow, 2 violated, 3 unknown (the gravest of all runs), 78 where the configuration is wrong.

    Examples:
      holdfast check                             every environment

      holdfast check production --probe thread   one promise of one environment

      holdfast check --junit round.xml           for a pipeline: text on its console, and a report

    """
    loaded = common.configuration(config)
    names = common.environments_named(loaded, environments)
    every = {name for each in loaded.settings.environments.values() for name in each.probes.by_name()}
    wanted = {common.known(name, sorted(every), what="probe") for name in probe or ()}
    if not names:
        common.fail("there is nothing to check: add an environment below `environments:`", common.WRONG_CONFIGURATION)
    if junit_file is not None:
        _write(junit_file, b"")  # before anything is asked: that it cannot be written should not cost a round
    common.log_to_stderr(loaded, level="debug" if verbose else "critical")  # the report says what the log would
    with common.err().status("asking the stores …", spinner="dots"):
        try:
            found = common.run(lambda: _until_sigterm(check(loaded, names, wanted)))
        except asyncio.CancelledError:
            raise typer.Exit(_TERMINATED) from None
    where = common.runbooks(runbooks, loaded)
    {Form.TEXT: as_text, Form.JSON: as_json, Form.JUNIT: as_junit}[form](found, quiet=quiet, runbooks=where)
    if junit_file is not None:
        _write(junit_file, junit(found, runbooks=where))
    raise typer.Exit(common.EXIT[found.verdict])


def _write(file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        common.fail(f"cannot write {file}: {error.strerror}", common.USAGE)


async def check(loaded: Loaded, names: Sequence[str], wanted: set[str]) -> Round:
    """One round: environments beside each other, the probes of one environment in turn.

    It writes as an instance of its own, so that a daemon beside it does not mind, and remembers nothing. No daemon will
    ever know that instance's users, so what they left in an application goes at the end, also where it is interrupted.
    """
    clock, metrics = SystemClock(), Metrics(location=loaded.settings.location, version="")
    journal = Journal(Forgetful(), clock=clock, new_id=lambda: str(uuid7()))
    desk = Desk(journal=journal, metrics=metrics, clock=clock)
    instance = Instance(uuid7().hex[-8:], 1)

    async def one(name: str) -> list[RunRecord]:
        settings = loaded.settings.environments[name]
        live = live_environment(name, settings, instance=instance, metrics=metrics)
        probes = [probe for probe in settings.active().values() if not wanted or probe.name in wanted]
        try:
            return [await run_once(probe, live, desk) for probe in probes]
        finally:
            if any(probe.name in live.surroundings.bound for probe in probes):
                await _tidy(live, scrub=Scrubber(secrets_in(settings)))

    runs = await asyncio.gather(*(one(name) for name in names))
    return Round(
        runs=tuple(run for found in runs for run in found),
        left_out=tuple(
            (name, probe, why)
            for name in names
            for probe, why in left_out(loaded.settings.environments[name]).items()
            if not wanted or probe in wanted
        ),
    )


async def _tidy(live: LiveEnvironment, *, scrub: Scrubber) -> None:
    """Remove what the round has left in the application. That it cannot be removed is told, and is no verdict."""
    for store in sorted(live.stores):
        try:
            await live.tidy(store)
        except StoreError as error:
            said = f"holdfast: {live.name} {store}: what this check left could not be removed: {scrub(str(error))}"
            common.err().print(Text(said))


async def _until_sigterm(doing: Coroutine[Any, Any, T]) -> T:
    """The same, but SIGTERM cancels it, as SIGINT does, so that it can tidy up."""
    if task := asyncio.current_task():
        with suppress(NotImplementedError):  # no such signals on this platform
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await doing
