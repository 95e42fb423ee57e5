"""Redis behind Sentinel: they are asked for the primary at every connection, as an application's client asks them."""

from __future__ import annotations

from datetime import timedelta

from monitor.core.secrets import Scrubber, secrets_of
from monitor.core.sentinel import is_sentinels, sentinels_of
from monitor.core.verdict import Reason
from monitor.ports import Outcome, Place, Store, StoreError, Tally
from monitor.stores.redis import Redis, RedisConnection

_LONGEST_ASK = timedelta(seconds=1)
"""Of one Sentinel, so that one that has vanished leaves time for the others."""


def redis_at(url: str, *, tally: Tally, timeout: timedelta, place: Place) -> Redis:
    """The Redis that a URL leads to, by way of Sentinels where it names those. Raises ValueError."""
    kind = SentinelRedis if is_sentinels(url) else Redis
    return kind(url, tally=tally, timeout=timeout, place=place)


class SentinelRedis(Redis):
    """The primary that Sentinels name. After a failover the next connection leads to the new one."""

    def __init__(self, url: str, *, tally: Tally, timeout: timedelta, place: Place) -> None:
        self._url = sentinels_of(url)
        super().__init__(self._url.server("unknown", 0), tally=tally, timeout=timeout, place=place)
        self._timeout = timeout
        self._scrub = Scrubber(secrets_of(url))
        ask = min(timeout, _LONGEST_ASK)
        # What the Sentinels are asked is no load of the store, so it is counted nowhere.
        self._sentinels = [_Sentinel(each, tally=_Nobody(), timeout=ask, place=place) for each in self._url.urls]
        self.address = f"{self._url.master} of {', '.join(sentinel.address for sentinel in self._sentinels)}"
        self._primary: tuple[str, Redis] = ("", self)

    async def connect(self, label: str) -> RedisConnection:
        """A new connection to whoever is the primary now. Raises StoreError."""
        url = self._url.server(*await self._named(label))
        if url != self._primary[0]:
            self._primary = url, Redis(url, tally=self.tally, timeout=self._timeout, place=self.place)
        return await self._primary[1].connect(label)

    async def _named(self, label: str) -> tuple[str, int]:
        """Host and port of the primary, by the first Sentinel that knows it; it is asked first the next time, too."""
        failures: list[StoreError] = []
        for sentinel in tuple(self._sentinels):
            try:
                found = await sentinel.primary(self._url.master, label)
            except StoreError as error:
                failures.append(error)
                continue
            self._sentinels.sort(key=lambda each: each is not sentinel)
            return found
        gravest = next((error.reason for error in failures if error.reason in _TOLD), failures[-1].reason)
        told = "; ".join(map(str, failures))
        raise self.error(gravest, f"{told}{_LOG_IN}" if "password" in told else told)


_LOG_IN = "; Sentinels are logged in to by ?sentinel_username=…&sentinel_password=… at the end of the URL"

_TOLD = (Reason.MISCONFIGURED, Reason.REFUSED)
"""What a Sentinel itself has answered, which says more than another's silence."""


class _Sentinel(Redis):
    """One Sentinel."""

    title = "Sentinel"

    async def primary(self, name: str, label: str) -> tuple[str, int]:
        """Host and port of the primary that it watches by this name. Raises StoreError."""
        connection = await self.connect(label)
        try:
            (reply,) = await connection.ask(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name))
        finally:
            await connection.close()
        match reply:
            case [bytes() as host, bytes() as port] if port.isdigit():
                return host.decode("utf-8", "replace"), int(port)
            case None:
                what = f"it watches no primary by the name {name!r}; `SENTINEL MASTERS` lists those that it does"
                raise self.error(Reason.MISCONFIGURED, what)
            case _:
                raise self.error(Reason.MISCONFIGURED, f"what answers there is no Sentinel: {reply!r}")


class _Nobody:
    """Who counts nothing."""

    def add(self, store: Store, outcome: Outcome, *, seconds: float, sent_bytes: int) -> None:
        """Nothing is kept."""
