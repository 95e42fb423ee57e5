"""Adversarial words in a private table, and what its indexes on text answer about them."""

from __future__ import annotations

from typing import Protocol

from monitor.core.collation import Look
from monitor.ports.stores import Connection, Place


class WordsConnection(Connection, Protocol):
    """One connection to the table. Raises StoreError."""

    async def look(self) -> Look:
        """Ask the same of every index on text and of the table under it, in one snapshot."""


class Words(Protocol):
    """The table of words."""

    async def connect(self, label: str, *, place: Place | None = None) -> WordsConnection:
        """A new connection to the primary, or to another place. Raises StoreError."""
