"""A versioned record, and every place where its copies must arrive."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.stores.ways import Ways

ROWS: Mapping[str, tuple[str, ...]] = {}
"""What a probe may ask of PostgreSQL, and all that is then sent."""
KEYS: Mapping[str, tuple[str, ...]] = {}
"""The same of Redis."""


class OwnCopies:
    """A versioned record, and every place where its copies must arrive."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
