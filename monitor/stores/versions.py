"""Which servers are supported, and what is said of one that is not."""

from __future__ import annotations

import re
from collections.abc import Mapping

from monitor.core.verdict import Reason
from monitor.ports import Store
from monitor.stores.redis import Redis

LEAST: Mapping[Store, tuple[str, int]] = {Store.POSTGRES: ("PostgreSQL", 13), Store.REDIS: ("Redis", 6)}
"""Title and first supported major version; what the probes send, these servers understand."""


def too_old(store: Store, version: str) -> str:
    """What is wrong with a server of this version, empty where nothing is or where the version says nothing.

    `version` is the server's own word: `15.14 (Debian 15.14-0+deb12u1)`, `18beta1`, `7.0.15`.
    """
    title, least = LEAST[store]
    major = re.match(r"\d+", version)
    if major is None or int(major[0]) >= least:
        return ""
    return f"the server is {title} {version}; Holdfast needs {title} {least} or newer"


async def make_sure_of_redis(redis: Redis) -> None:
    """The server is one that the probes understand. Raises StoreError with `misconfigured` if it is not."""
    connection = await redis.connect("setup")
    try:
        info = await connection.info("server")
    finally:
        await connection.close()
    what = too_old(Store.REDIS, info.get("redis_version", ""))
    if "cluster" in (info.get("redis_mode"), info.get("server_mode")):  # Valkey 9 says it in other words
        what = "this is a Redis Cluster, which this version does not support"
    if what:
        raise redis.error(Reason.MISCONFIGURED, what)
