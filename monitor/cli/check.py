"""`holdfast check`: one round now, for people on call, deploy gates and cron."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer
from uuid_utils import uuid7

from monitor.cli import common
from monitor.cli.reports import Round, as_json, as_junit, as_text
from monitor.configfile import Loaded
from monitor.core.record import RunRecord
from monitor.core.residue import Instance
from monitor.core.violations import KeptViolation, Stage
from monitor.fleet import left_out, live_environment
from monitor.journal import Journal
from monitor.metrics import Metrics
from monitor.ports import SystemClock
from monitor.runner import Desk, run_once


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

    async def violations(self, *, stages: Sequence[Stage] = (), limit: int = 1000) -> list[KeptViolation]:  # noqa: ARG002
        """None."""
        return []

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
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Run every probe once, now, and say what was found.

    Ends with 0 ok, 1 slow, 2 violated, 3 unknown (the gravest of all runs), 78 where the configuration is wrong.

    Examples:
      holdfast check                             every environment

      holdfast check production --probe thread   one promise of one environment

      holdfast check --format junit > round.xml  for a pipeline

    """
    loaded = common.configuration(config)
    known = loaded.settings.environments
    names = list(dict.fromkeys(common.known(name, known, what="environment") for name in environments or known))
    every = {name for each in known.values() for name in each.probes.by_name()}
    wanted = {common.known(name, sorted(every), what="probe") for name in probe or ()}
    if not names:
        common.fail("there is nothing to check: add an environment below `environments:`", common.WRONG_CONFIGURATION)
    common.log_to_stderr(loaded, level="debug" if verbose else "critical")  # the report says what the log would
    with common.err().status("asking the stores …", spinner="dots"):
        found = common.run(lambda: check(loaded, names, wanted))
    {Form.TEXT: as_text, Form.JSON: as_json, Form.JUNIT: as_junit}[form](found, quiet=quiet)
    raise typer.Exit(common.EXIT[found.verdict])


async def check(loaded: Loaded, names: Sequence[str], wanted: set[str]) -> Round:
    """One round: environments beside each other, the probes of one environment in turn.

    It writes as an instance of its own, so that a daemon beside it does not mind, and remembers nothing.
    """
    clock, metrics = SystemClock(), Metrics(location=loaded.settings.location, version="")
    journal = Journal(Forgetful(), clock=clock, new_id=lambda: str(uuid7()))
    desk = Desk(journal=journal, metrics=metrics, clock=clock)
    instance = Instance(uuid7().hex[-8:], 1)

    async def one(name: str) -> list[RunRecord]:
        settings = loaded.settings.environments[name]
        live = live_environment(name, settings, instance=instance, metrics=metrics)
        probes = [probe for probe in settings.active().values() if not wanted or probe.name in wanted]
        return [await run_once(probe, live, desk) for probe in probes]

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
