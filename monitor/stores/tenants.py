"""Synthetic users in the schema `holdfast`, and every path to what is theirs."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.stores.ways import Ways

OPERATIONS: Mapping[str, tuple[str, ...]] = {}
"""What a probe may ask of PostgreSQL, and all that is then sent."""
KEYS: Mapping[str, tuple[str, ...]] = {}
"""The same of Redis."""


class OwnTenants:
    """Synthetic users in the schema `holdfast`, and every path to what is theirs."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
