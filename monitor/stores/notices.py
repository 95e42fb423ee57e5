"""Channels under a name of our own, by which changes are pushed."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.ports import Store
from monitor.ports.notices import Channel
from monitor.stores import listening, streams, subscriptions
from monitor.stores.ways import Ways

CHANNELS: Mapping[str, tuple[str, ...]] = listening.OPERATIONS
"""What a probe may ask of PostgreSQL, and all that is then sent."""
KEYS: Mapping[str, tuple[str, ...]] = {**subscriptions.OPERATIONS, **streams.OPERATIONS}
"""The same of Redis."""


class OwnNotices:
    """LISTEN/NOTIFY where there is a PostgreSQL, pub/sub and a stream where there is a Redis."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways

    def channels(self, run_id: str) -> tuple[Channel, ...]:
        """One channel of each kind that the environment's stores have."""
        stores = {place.store for place in self._ways.places}
        found: list[Channel] = []
        if Store.POSTGRES in stores:
            found.append(listening.OwnListening(self._ways, run_id))
        if Store.REDIS in stores:
            found.append(subscriptions.OwnSubscription(self._ways, run_id))
            found.append(streams.OwnStream(self._ways, run_id))
        return tuple(found)
