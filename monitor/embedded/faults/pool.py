"""Faults of what many users share: the pooler and its server connections."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.core.verdict import Kind, Reason
from monitor.embedded.faults.fault import POOLER, Fault, Report, Site
from monitor.embedded.faults.pooled import Hoarders, in_every_pooled_session


async def _stop(site: Site) -> None:
    await site.proxies[POOLER].stop()


async def _start(site: Site) -> None:
    await site.proxies[POOLER].stop()
    await site.proxies[POOLER].start()


def _all_through_the_pooler(reason: Reason) -> Mapping[str, frozenset[Report]]:
    """What other probes say who cannot ask what they ask through the pooler."""
    return dict.fromkeys(("isolation", "profile", "sync"), frozenset({reason}))


def _hoarded(hoarders: Hoarders) -> Fault:
    return Fault(
        name="pool-exhausted",
        breaks="clients keep every connection that the pooler has to the server, in transactions without an end",
        probe="pool",
        report=Reason.CAPACITY,
        also=_all_through_the_pooler(Reason.CAPACITY),
        pooler=True,
        inject=hoarders.come,
        heal=hoarders.go,
        patience=8.0,
    )


FAULTS: tuple[Fault, ...] = (
    Fault(
        name="session-state-left-in-pooler",
        breaks="clients of the pooler set search_path and take advisory locks for a session that is not theirs alone",
        probe="pool",
        report=Kind.LEAKED,
        pooler=True,
        inject=in_every_pooled_session("SET search_path = pg_catalog; SELECT pg_advisory_lock_shared(1)"),
        heal=in_every_pooled_session("RESET search_path; SELECT pg_advisory_unlock_all()"),
    ),
    _hoarded(Hoarders()),
    Fault(
        name="pooler-down",
        breaks="nobody listens where the pooler was, while the database behind it is well",
        probe="pool",
        report=Reason.UNREACHABLE,
        also=_all_through_the_pooler(Reason.UNREACHABLE),
        pooler=True,
        inject=_stop,
        heal=_start,
    ),
)
