"""Redis as what keeps the ledger's writes: one register of each daemon, and records that are looked for again."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.ports import Place, Reader, Writer
from monitor.stores.ways import Ways

OPERATIONS: Mapping[str, tuple[str, ...]] = {}
"""What a probe may ask, and all that is then sent."""


class KeyDurables:
    """Redis as what keeps the ledger's writes."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways

    async def writer(self, label: str) -> Writer:
        """A new connection to the primary. Raises StoreError."""
        raise NotImplementedError

    async def reader(self, label: str, *, place: Place | None = None) -> Reader:
        """A new connection to the primary, or to another place. Raises StoreError."""
        raise NotImplementedError
