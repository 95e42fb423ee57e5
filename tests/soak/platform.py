"""The weather of an application that stands before the stores, and what must not be left in its tables and keys."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from monitor.core.residue import Instance
from monitor.embedded.faults.fault import Site
from monitor.embedded.platform import EmbeddedPlatform
from monitor.metrics import Metrics
from monitor.ports import Store
from monitor.stores.environment import LiveEnvironment
from tests.bound import application
from tests.soak.weather import (
    Sky,
    Spell,
    connections_are_cut,
    connections_are_refused,
    network_is_slow,
    network_swallows,
    postgres_crashes,
    postgres_freezes,
    postgres_restarts,
    redis_crashes,
    redis_freezes,
    redis_restarts,
    sessions_are_terminated,
)
from tests.system import ENVIRONMENT

_LEFT = {
    "threads": "SELECT count(*) FROM public.threads WHERE user_id LIKE 'holdfast-%'",
    "messages": "SELECT count(*) FROM public.messages",
    "idempotency_keys": "SELECT count(*) FROM public.idempotency_keys",
    "user_profiles": "SELECT count(*) FROM public.user_profiles",
}
"""Nobody but Holdfast uses this platform."""


SLOWER: Mapping[str, Mapping[str, object]] = {"isolation": {"every": "8s", "timeout": "7900ms", "users": 2}}
"""Each of its users asks for each other's by every request."""


def _platform(sky: Sky) -> EmbeddedPlatform:
    if sky.servers.platform is None:
        raise LookupError("there is no platform under this sky")
    return sky.servers.platform


async def platform_restarts(sky: Sky) -> None:
    """An orderly restart, as for a new version."""
    await _platform(sky).restart()


async def platform_crashes(sky: Sky) -> None:
    """SIGKILL, at any moment of any request, and again when it has hardly begun."""
    for _ in range(2):
        await asyncio.sleep(sky.dice.random())
        await _platform(sky).kill()
        await _platform(sky).start()


async def platform_freezes(sky: Sky) -> None:
    """It stands still, as in a long collection of garbage."""
    _platform(sky).pause()
    await asyncio.sleep(1)
    _platform(sky).resume()


BRIEFLY: tuple[Spell, ...] = (platform_crashes, postgres_restarts, redis_crashes, platform_restarts)
"""What there is time for in CI."""
SPELLS: tuple[Spell, ...] = (
    *BRIEFLY,
    platform_freezes,
    postgres_crashes,
    postgres_freezes,
    redis_restarts,
    redis_freezes,
    sessions_are_terminated,
    connections_are_cut,
    connections_are_refused,
    network_is_slow,
    network_swallows,
)
"""The platform itself reaches the stores without a proxy, so that they do not change places here."""


async def swept_at_once(site: Site, last: Instance) -> None:
    """What the next start of a daemon would sweep of its predecessors' if all of them had ended long ago."""
    live = LiveEnvironment(
        ENVIRONMENT,
        instance=Instance(last.id, last.incarnation + 1),
        tally=Metrics(location="", version="").tally(ENVIRONMENT),
        addresses=site.addresses(),
        connections=dict.fromkeys(Store, 4),
        provision=False,
        longest_run=timedelta(),
        **application(site),
    )
    for store in Store:
        await live.sweep(store)


async def left_behind(sky: Sky) -> dict[str, int]:
    """What is left of Holdfast in the platform's tables, and of sessions in its keys, by a superuser's count."""
    counts = {f"platform {name}": int(await sky.primary.sql(sql)) for name, sql in _LEFT.items()}
    sessions = await sky.cache.command("KEYS", "session:*")
    return {**counts, "platform sessions": len(sessions) if isinstance(sessions, list) else 0}
