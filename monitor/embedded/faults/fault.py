"""One way to break an environment: what it does to which real server, and what must then be reported."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Self, TypeAlias

from monitor.core.eviction import Policy
from monitor.core.ledger.causes import Cause
from monitor.core.levels import LEVELS
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.embedded.proxy import Edit, TcpProxy
from monitor.embedded.servers import Servers
from monitor.ports import Isolation, Place, Store, Way

Report: TypeAlias = Kind | Reason | Verdict
"""What a run says of a broken environment: a kind of violation, a reason for not being able to tell, or `slow`."""

POSTGRES, REDIS = Place(Store.POSTGRES), Place(Store.REDIS)
POOLER = Place(Store.POSTGRES, Way.POOLER)
API = Place(Store.API)
WEAKEST = LEVELS[0]  # at which a role's transactions begin unless something else was said
FENCED_USER = "holdfast"
POSTGRES_REPLICA = Place(Store.POSTGRES, Way.REPLICA, "replica")
REDIS_REPLICA = Place(Store.REDIS, Way.REPLICA, "replica")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a fault is injected: the servers, and a proxy before each of them, by the way that leads through it.

    `links` are proxies before the primaries, one for each replica, for faults that lead replication through them.
    """

    servers: Servers
    proxies: Mapping[Place, TcpProxy]
    links: Mapping[Place, TcpProxy] = field(default_factory=dict)
    fence: str = ""

    @classmethod
    async def before(
        cls,
        servers: Servers,
        stack: AsyncExitStack,
        *,
        fenced: bool = False,
        isolation: Isolation = WEAKEST,
    ) -> Self:
        """Put a proxy before every server; they stop with the stack.

        With `fenced` the way into Redis is that of a user who has the ACL that `holdfast setup --print` shows. At
        `isolation` transactions of the role begin, until the stack ends.
        """
        found = addresses(servers)
        proxies = {place: await _proxy_before(address, stack) for place, address in found.items()}
        links = {
            place: await _proxy_before(found[Place(place.store)], stack) for place in found if place.way is Way.REPLICA
        }
        if isolation != WEAKEST:
            site = cls(servers=servers, proxies=proxies, links=links)
            stack.push_async_callback(begin_at(WEAKEST), site)
            await begin_at(isolation)(site)
        if fenced:
            from monitor.stores.provision import redis_acl  # noqa: PLC0415  brings a driver, which a list does not need

            password = secrets.token_urlsafe(18)
            words = redis_acl(user=FENCED_USER).replace("CHOOSE-A-PASSWORD", password).split()
            await servers.valkey.command(*words, "resetpass", f">{password}")
            return cls(servers=servers, proxies=proxies, links=links, fence=f"{FENCED_USER}:{password}")
        return cls(servers=servers, proxies=proxies, links=links)

    def addresses(self) -> dict[Place, str]:
        """How to connect to every server, through its proxy."""
        found = {
            place: address.replace(f":{_port(address)}/", f":{self.proxies[place].port}/")
            for place, address in addresses(self.servers).items()
        }
        if self.fence:
            found[REDIS] = f"redis://{self.fence}@{found[REDIS].rpartition('@')[2]}"
        return found


def addresses(servers: Servers) -> dict[Place, str]:
    """How to connect to every server of a demo or a test as the ordinary role."""
    found = {POSTGRES: servers.postgres.dsn, REDIS: servers.valkey.url}
    if servers.pgbouncer is not None:
        found[POOLER] = servers.pgbouncer.dsn
    if servers.postgres_replica is not None:
        found[POSTGRES_REPLICA] = servers.postgres_replica.dsn
    if servers.valkey_replica is not None:
        found[REDIS_REPLICA] = servers.valkey_replica.url
    if servers.platform is not None:
        found[API] = servers.platform.url
    return found


async def _proxy_before(address: str, stack: AsyncExitStack) -> TcpProxy:
    proxy = TcpProxy(_port(address))
    await proxy.start()
    stack.push_async_callback(proxy.stop)
    return proxy


def _port(address: str) -> int:
    return int(address.rpartition("/")[0].rpartition(":")[2])


Change = Callable[[Site], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to break an environment, never the daemon.

    `probe` must report `report`, and nothing else, within `rounds` rounds. `also` says what other probes may report
    because they touch the same broken thing; every probe that is not named must stay ok. `everywhere` is a store that
    nobody can use: every probe that uses it may report the same, and whoever needs it and is not named in `also` must.
    `inject` and `heal` act on a running site, again and again. `settings` are those of probes, by their names, without
    which the fault cannot be seen. `isolation` is the level that the environment declares, and at which its role
    begins transactions until something else is injected, `policy` the memory policy of Redis that it declares. Where
    `alone` no other probe runs, for at serializable those that do not concern themselves with isolation are disturbed
    by each other. `contrib` asks for a PostgreSQL with its contrib modules, such as Debian's; `pooler` for a PgBouncer,
    `fenced` for a Redis user with Holdfast's ACL, `platform` for the sample platform, to which the environment is then
    bound.
    `patience` is how long a test lets a broken store keep silent, in seconds. `ledger` asks for a ledger on disk and
    its pulse, `cause` is what a loss of acknowledged writes must be put down to.
    """

    name: str
    breaks: str
    probe: str
    report: Report
    inject: Change
    heal: Change
    also: Mapping[str, frozenset[Report]] = field(default_factory=dict)
    everywhere: Store | None = None
    rounds: int = 2
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    isolation: Isolation = WEAKEST
    policy: Policy | None = None
    alone: bool = False
    contrib: bool = False
    pooler: bool = False
    fenced: bool = False
    platform: bool = False
    patience: float = 5.0
    ledger: bool = False
    cause: Cause | None = None

    def required_of(self, probe: str, needs: Collection[Store]) -> bool:
        """Whether a probe that is nothing without these stores must report `report`."""
        return probe == self.probe or (self.everywhere in needs and probe not in self.also)

    def permitted(self, probe: str, uses: Collection[Store]) -> frozenset[Report]:
        """All that a probe that uses these stores may say while this is broken, besides ok."""
        own = frozenset({self.report}) if probe == self.probe or self.everywhere in uses else frozenset()
        return own | self.also.get(probe, frozenset())


SCHEMA = "holdfast_fault"
"""What a fault makes in PostgreSQL is made in this schema, so that one statement takes it all away."""

_HEAL = f"SET client_min_messages = warning; DROP SCHEMA IF EXISTS {SCHEMA} CASCADE;"


def by_sql(script: str, *, role: str = "postgres") -> Change:
    """A change of the primary by its superuser; functions belong into the schema `holdfast_fault`, which it makes."""

    async def change(site: Site) -> None:
        await site.servers.postgres.sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA} AUTHORIZATION {role}; {script}")

    return change


async def drop_fault_schema(site: Site) -> None:
    """Take away all that `by_sql` made in its schema, with the triggers and rules that depend on it."""
    await site.servers.postgres.sql(_HEAL)


_BEGIN_AT = """
ALTER ROLE holdfast SET default_transaction_isolation = '{level}';
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'holdfast' AND state = 'idle';
"""


def begin_at(level: Isolation) -> Change:
    """Transactions of the role begin at this level; its idle sessions are ended, so that a pooler makes new ones."""

    async def change(site: Site) -> None:
        await site.servers.postgres.sql(_BEGIN_AT.format(level=level))

    return change


def by_rewriting(rewrite: Callable[[list[bytes]], list[bytes]], *, at: Place = REDIS) -> Change:
    """A change of the commands on their way to a Redis; -> the command to send instead, empty to drop it."""

    async def change(site: Site) -> None:
        site.proxies[at].rewrite = rewrite

    return change


def by_editing(edits: Callable[[], tuple[Edit, Edit]], *, at: Place) -> Change:
    """A change of the bytes on new connections; -> for each the edits of what its client and its server send."""

    async def change(site: Site) -> None:
        site.proxies[at].edits = edits

    return change


async def stop_rewriting(site: Site) -> None:
    """Let everything through as it is."""
    for proxy in site.proxies.values():
        proxy.rewrite = proxy.edits = None
