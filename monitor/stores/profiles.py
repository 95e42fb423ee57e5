"""Profiles in the schema `holdfast`, and a cache of them under our prefix."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.stores.ways import Ways

ROWS: Mapping[str, tuple[str, ...]] = {}
"""What a probe may ask of PostgreSQL, and all that is then sent."""
KEYS: Mapping[str, tuple[str, ...]] = {}
"""The same of Redis."""


class OwnProfiles:
    """Profiles in the schema `holdfast`, and a cache of them under our prefix."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
