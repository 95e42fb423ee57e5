"""Channels under a name of our own, by which changes are pushed."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.stores.ways import Ways

CHANNELS: Mapping[str, tuple[str, ...]] = {}
"""What a probe may ask of PostgreSQL, and all that is then sent."""
KEYS: Mapping[str, tuple[str, ...]] = {}
"""The same of Redis."""


class OwnNotices:
    """Channels under a name of our own, by which changes are pushed."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
