"""Writing by the ledger: the intent is on disk before anything is sent, and the outcome follows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from monitor.core.ledger.entries import Entry
from monitor.ports import Clock, Durables, Ledger, Store


class LedgerScribe:
    """Who writes to one store of one environment by the ledger, one write at a time."""

    def __init__(self, store: Store, *, ledger: Ledger, durables: Durables, clock: Clock) -> None:
        self._store = store
        self._ledger = ledger
        self._durables = durables
        self._clock = clock

    async def write(self, *, identified: bool) -> Entry:
        """One write; -> its entry with the outcome."""
        raise NotImplementedError

    async def retire(self, entries: Sequence[Entry], *, due: datetime | None) -> None:
        """Delete records: intent, bounded delete, acknowledgement."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of the connection."""
