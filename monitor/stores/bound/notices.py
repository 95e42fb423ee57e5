"""An application's own channels, beside those of the stores."""

from __future__ import annotations

from monitor.ports import Place, Store
from monitor.ports.notices import Channel
from monitor.stores.bound.context import Bound
from monitor.stores.bound.events import EventChannel
from monitor.stores.notices import OwnNotices


class BoundNotices:
    """The stores' channels, and that of the application's API."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound

    def channels(self, run_id: str) -> tuple[Channel, ...]:
        """One channel of each kind."""
        own, api = OwnNotices(self._bound.ways).channels(run_id), self._bound.binding.api
        if api is None or api.events is None or Place(Store.API) not in self._bound.ways.places:
            return own
        return (*own, EventChannel(self._bound, api.events, run_id))
