"""The network between the daemon and a store: nothing is wrong with any server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from monitor.core.verdict import Reason, Verdict
from monitor.embedded.faults.fault import POOLER, POSTGRES, REDIS, Change, Fault, Report, Site
from monitor.embedded.proxy import Edit, TcpProxy
from monitor.ports import Place, Store

_WAYS: Mapping[Store, tuple[Place, ...]] = {Store.POSTGRES: (POSTGRES, POOLER), Store.REDIS: (REDIS,)}
_TITLES: Mapping[Store, str] = {Store.POSTGRES: "PostgreSQL", Store.REDIS: "Redis"}
_PROBES: Mapping[Store, str] = {Store.POSTGRES: "thread", Store.REDIS: "session"}
# What every probe sends once it has logged in, and before anything is acknowledged.
_FIRST_WORDS: Mapping[Store, bytes] = {Store.POSTGRES: b"BEGIN", Store.REDIS: b"ECHO"}


def _proxies(site: Site, store: Store) -> Iterable[TcpProxy]:
    return [site.proxies[place] for place in _WAYS[store] if place in site.proxies]


def _close_port(store: Store) -> Change:
    async def change(site: Site) -> None:
        for proxy in _proxies(site, store):
            await proxy.stop()

    return change


def _hang_up(store: Store) -> Change:
    async def change(site: Site) -> None:
        for proxy in _proxies(site, store):
            proxy.refuse = True
            proxy.cut()

    return change


def _swallow(store: Store) -> Change:
    async def change(site: Site) -> None:
        for proxy in _proxies(site, store):
            proxy.blackhole = True

    return change


def _forget(store: Store) -> Change:
    def edits() -> tuple[Edit, Edit]:
        forgotten = False

        def there(data: bytes) -> bytes:
            nonlocal forgotten
            forgotten = forgotten or _FIRST_WORDS[store] in data
            return b"" if forgotten else data

        return there, lambda data: b"" if forgotten else data

    async def change(site: Site) -> None:
        for proxy in _proxies(site, store):
            proxy.edits = edits

    return change


def _delay(store: Store, seconds: float) -> Change:
    async def change(site: Site) -> None:
        for proxy in _proxies(site, store):
            proxy.delay = seconds

    return change


def _heal(store: Store) -> Change:
    async def change(site: Site) -> None:
        for proxy in _proxies(site, store):
            proxy.refuse = proxy.blackhole = False
            proxy.edits = None
            proxy.delay = 0.0
            await proxy.stop()  # what is left of broken connections
            await proxy.start()

    return change


def _faults_before(store: Store) -> tuple[Fault, ...]:
    title = _TITLES[store]

    def fault(name: str, breaks: str, report: Report, inject: Change) -> Fault:
        return Fault(
            name=f"{store}-{name}",
            breaks=breaks,
            probe=_PROBES[store],
            report=report,
            everywhere=store,
            patience=1.0,
            inject=inject,
            heal=_heal(store),
        )

    return (
        fault(
            "refuses-connections",
            f"nobody listens at {title}'s port any more",
            Reason.UNREACHABLE,
            _close_port(store),
        ),
        fault(
            "hangs-up",
            f"every connection to {title} is closed at once, as by a load balancer with nothing behind it",
            Reason.UNREACHABLE,
            _hang_up(store),
        ),
        fault(
            "black-hole",
            f"every packet to {title} vanishes, and nobody is told",
            Reason.TIMEOUT,
            _swallow(store),
        ),
        fault(
            "half-open",
            f"a connection to {title} is made as ever, and forgotten by a firewall as soon as it is used",
            Reason.TIMEOUT,
            _forget(store),
        ),
    )


FAULTS = (
    *_faults_before(Store.POSTGRES),
    *_faults_before(Store.REDIS),
    Fault(
        name="redis-far-away",
        breaks="every answer of Redis comes 300 ms late, as from the other side of the world",
        probe="session",
        report=Verdict.SLOW,
        inject=_delay(Store.REDIS, 0.15),
        heal=_heal(Store.REDIS),
        # To connect takes two answers, and a whole run some twenty.
        settings={"session": {"budget": "550ms", "updates": 1, "sliding": False, "every": "16s", "timeout": "15s"}},
    ),
)
