"""What is broken, and which alert must come of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from monitor.embedded.faults import FAULTS
from monitor.embedded.faults.fault import Site
from tests.system import Daemon


@dataclass(frozen=True, kw_only=True)
class Stage:
    """All that can be broken."""

    site: Site
    daemon: Daemon
    config: Path


Act = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """An alert, what is done until it comes, and what is done then. `waits` says why it takes longer than others."""

    alert: str
    breaks: str
    inject: Act
    heal: Act
    waits: str = ""


def _fault(alert: str, name: str, waits: str = "") -> Case:
    fault = FAULTS[name]

    async def inject(stage: Stage) -> None:
        await fault.inject(stage.site)

    async def heal(stage: Stage) -> None:
        await fault.heal(stage.site)

    return Case(alert=alert, breaks=f"`{name}`: {fault.breaks}", inject=inject, heal=heal, waits=waits)


async def _spoil(stage: Stage) -> None:
    stage.config.write_text(stage.config.read_text() + "\nprobs: {}\n")


async def _mend(stage: Stage) -> None:
    stage.config.write_text(stage.config.read_text().replace("\nprobs: {}\n", ""))


async def _kill(stage: Stage) -> None:
    stage.daemon.kill()


async def _nothing(stage: Stage) -> None:
    """It is the last."""


CASES = (
    _fault("HoldfastDataLeaked", "row-level-security-disabled"),
    _fault("HoldfastDataLost", "rows-dropped-after-commit"),
    _fault("HoldfastDataWrong", "content-truncated"),
    _fault("HoldfastDataLate", "update-ignored"),
    _fault("HoldfastEnvironmentUnreachable", "postgres-refuses-connections"),
    _fault("HoldfastWritesNotRunning", "postgres-read-only", "three intervals of 10 s without a write"),
    _fault("HoldfastProbeCannotTell", "policy-changed-behind-the-back", "three intervals of 10 s, and a scrape"),
    _fault("HoldfastBudgetExceeded", "redis-far-away", "three runs over the budget, 10 s apart"),
    Case(
        alert="HoldfastConfigReloadFailed",
        breaks="the configuration gets a key that does not exist",
        inject=_spoil,
        heal=_mend,
    ),
    Case(
        alert="HoldfastDown",
        breaks="the daemon is killed with SIGKILL",
        inject=_kill,
        heal=_nothing,
        waits="four scrapes: a restart must not page",
    ),
)
