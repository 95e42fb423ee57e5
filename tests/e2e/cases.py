"""What is broken, and which alert must come of it."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from monitor.embedded.faults import FAULTS
from monitor.embedded.faults.fault import Site, by_sql, drop_fault_schema
from tests.system import Daemon, until, write

_HANG = """
CREATE FUNCTION holdfast_fault.hang() RETURNS bool LANGUAGE sql VOLATILE AS 'SELECT pg_sleep(20) IS NOT NULL';
GRANT USAGE ON SCHEMA holdfast_fault TO PUBLIC;
CREATE POLICY hang ON holdfast.{table} AS RESTRICTIVE FOR SELECT USING (holdfast_fault.hang());
"""
_HANG_OF_RECORDS = (
    _HANG.format(table="ledger_records")
    + """
ALTER TABLE holdfast.ledger_records ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY everybody ON holdfast.ledger_records USING (true) WITH CHECK (true);
"""
)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """All that can be broken. What heals by ending something puts it into `undo`."""

    site: Site
    daemon: Daemon
    config: Path
    state: Path
    undo: AsyncExitStack


Act = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """An alert, what is done until it comes, and what is done then. `waits` says why it takes longer than others."""

    alert: str
    breaks: str
    inject: Act
    heal: Act
    waits: str = ""


async def _nothing(_stage: Stage) -> None:
    """It is broken already, or is never healed."""


def _fault(alert: str, name: str, waits: str = "") -> Case:
    fault = FAULTS[name]

    async def inject(stage: Stage) -> None:
        await fault.inject(stage.site)

    async def heal(stage: Stage) -> None:
        await fault.heal(stage.site)

    return Case(alert=alert, breaks=f"`{name}`: {fault.breaks}", inject=inject, heal=heal, waits=waits)


def _broken(alert: str, breaks: str, script: str, waits: str) -> Case:
    async def inject(stage: Stage) -> None:
        await by_sql(script)(stage.site)

    async def heal(stage: Stage) -> None:
        await drop_fault_schema(stage.site)

    return Case(alert=alert, breaks=breaks, inject=inject, heal=heal, waits=waits)


async def _undo(stage: Stage) -> None:
    await stage.undo.aclose()


async def _spoil(stage: Stage) -> None:
    stage.config.write_text(stage.config.read_text() + "\nprobs: {}\n")


async def _mend(stage: Stage) -> None:
    stage.config.write_text(stage.config.read_text().replace("\nprobs: {}\n", ""))


async def _kill(stage: Stage) -> None:
    stage.daemon.kill()


async def _flush(stage: Stage) -> None:
    await stage.site.servers.valkey.command("FLUSHALL")


async def _acknowledge(stage: Stage) -> None:
    """A loss stands until somebody has seen it."""
    standing = (await stage.daemon.get("/api/v1/violations?stage=open")).json()["violations"]
    for each in standing:
        await stage.daemon.post(f"/api/v1/violations/{each['id']}/ack", {"note": "seen"})


async def _set_sessions(stage: Stage, *, every: str) -> None:
    values: dict[str, Any] = yaml.safe_load(stage.config.read_text())
    values["probes"]["session"]["every"] = every
    write(stage.config, values)


async def _rarer_sessions(stage: Stage) -> None:
    await _set_sessions(stage, every="1h")


async def _usual_sessions(stage: Stage) -> None:
    await _set_sessions(stage, every="10s")


async def _hold_the_state(stage: Stage) -> None:
    holder = sqlite3.connect(stage.state, isolation_level=None)
    stage.undo.callback(holder.close)
    holder.execute("BEGIN EXCLUSIVE")


async def _hide_the_records(stage: Stage) -> None:
    """Once some were found: nothing falls where nothing was."""

    async def found() -> bool:
        return await stage.daemon.metric("holdfast_verification_coverage_ratio", store="postgres") > 0

    await until(found, within=300)
    await by_sql(_HANG_OF_RECORDS)(stage.site)


async def _forbid_deletion(stage: Stage) -> None:
    await by_sql("REVOKE DELETE ON ALL TABLES IN SCHEMA holdfast FROM holdfast;")(stage.site)


async def _stutter(stage: Stage) -> None:
    """The process gets no processor for 0.3 s in every second, as a container over its limit."""

    async def stop_and_go() -> None:
        while True:
            stage.daemon.tell(signal.SIGSTOP)
            await asyncio.sleep(0.3)
            stage.daemon.tell(signal.SIGCONT)
            await asyncio.sleep(0.7)

    task = asyncio.create_task(stop_and_go())

    async def end() -> None:
        task.cancel()
        await asyncio.wait({task})
        stage.daemon.tell(signal.SIGCONT)

    stage.undo.push_async_callback(end)


CASES = (
    _fault("HoldfastDataLeaked", "row-level-security-disabled"),
    _fault("HoldfastDataLost", "rows-dropped-after-commit"),
    _fault("HoldfastDataWrong", "content-truncated"),
    _fault("HoldfastDataLate", "update-ignored"),
    _fault("HoldfastEnvironmentUnreachable", "postgres-refuses-connections"),
    _fault("HoldfastWritesNotRunning", "postgres-read-only", "three intervals of 10 s without a write"),
    _broken(
        "HoldfastReadsNotRunning",
        "every read of a message takes 20 s (a policy that sleeps), and writes are taken as ever",
        _HANG.format(table="messages"),
        "three intervals of 10 s without a read, and its timeouts",
    ),
    _fault("HoldfastProbeCannotTell", "policy-changed-behind-the-back", "three intervals of 10 s, and a scrape"),
    _fault("HoldfastBudgetExceeded", "redis-far-away", "three runs over the budget, 10 s apart"),
    _fault("HoldfastPropagationLate", "replica-lags", "one in twenty of half an hour, and a minute of it"),
    Case(
        alert="HoldfastRecoveryPointExceeded",
        breaks="somebody calls FLUSHALL: all acknowledged writes of Redis are gone",
        inject=_flush,
        heal=_acknowledge,
    ),
    Case(
        alert="HoldfastProbeNotRunning",
        breaks="a probe runs once an hour by the new configuration, and the rules are still the old ones",
        inject=_rarer_sessions,
        heal=_usual_sessions,
        waits="three intervals of 10 s, and a minute",
    ),
    _fault("HoldfastErrorBudgetBurn", "ttl-never-set", "five bad runs, 10 s apart, evaluated every 30 s"),
    Case(
        alert="HoldfastConfigReloadFailed",
        breaks="the configuration gets a key that does not exist",
        inject=_spoil,
        heal=_mend,
    ),
    Case(
        alert="HoldfastStateDown",
        breaks="another process holds the state database (BEGIN EXCLUSIVE)",
        inject=_hold_the_state,
        heal=_undo,
        waits="a minute: a backup may hold it as long",
    ),
    Case(
        alert="HoldfastDown",
        breaks="the daemon is killed with SIGKILL",
        inject=_kill,
        heal=_nothing,
        waits="four scrapes: a restart must not page",
    ),
)
"""One after the other, each within a minute or two."""

SLOW = (
    Case(
        alert="HoldfastCoverageFalling",
        breaks="no record of the ledger can be read any more (a policy that sleeps), while writes are taken",
        inject=_hide_the_records,
        heal=_nothing,
        waits="ten minutes below 90 %",
    ),
    Case(
        alert="HoldfastLoopLag",
        breaks="the daemon gets no processor for 0.3 s in every second (SIGSTOP, SIGCONT)",
        inject=_stutter,
        heal=_undo,
        waits="five minutes of it",
    ),
    Case(
        alert="HoldfastEnvironmentNotWatched",
        breaks="the rules know an environment that no daemon has",
        inject=_nothing,
        heal=_nothing,
        waits="five minutes of it; one that was there is remembered for ten before",
    ),
    Case(
        alert="HoldfastCostOverBudget",
        breaks="the rules grant probing a microsecond a second (`--cost-seconds 0.000001`)",
        inject=_nothing,
        heal=_nothing,
        waits="ten minutes of it",
    ),
    Case(
        alert="HoldfastResidueGrowing",
        breaks="the role may delete no row any more, and the rules grant none",
        inject=_forbid_deletion,
        heal=_nothing,
        waits="three sweeps, half an hour, and ten minutes",
    ),
)
"""All at once, for up to an hour, with rules that grant almost nothing: what they wait for is hours."""
