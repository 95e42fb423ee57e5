"""What the demo can break, on purpose and in real servers, and what must then be reported: the catalogue."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.embedded.faults import (
    api,
    availability,
    durability,
    eviction,
    history,
    indexes,
    isolation,
    load,
    notify,
    pool,
    profile,
    session,
    sync,
    thread,
    transaction,
)
from monitor.embedded.faults.fault import Fault, Report, Site, addresses

__all__ = ["AREAS", "FAULTS", "Fault", "Report", "Site", "addresses"]

AREAS: Mapping[str, tuple[Fault, ...]] = {
    "thread": thread.FAULTS,
    "history": history.FAULTS,
    "session": session.FAULTS,
    "isolation": isolation.FAULTS,
    "transaction": transaction.FAULTS,
    "sync": sync.FAULTS,
    "notify": notify.FAULTS,
    "profile": profile.FAULTS,
    "pool": pool.FAULTS,
    "eviction": eviction.FAULTS,
    "load": load.FAULTS,
    "durability": durability.FAULTS,
    "index": indexes.FAULTS,
    "api": api.FAULTS,
    "availability": availability.FAULTS,
}
"""Every fault, by what it breaks."""

FAULTS: Mapping[str, Fault] = {fault.name: fault for faults in AREAS.values() for fault in faults}
"""Every fault by its name; tests/faults runs all of them."""
