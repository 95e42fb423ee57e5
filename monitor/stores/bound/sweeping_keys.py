"""Copies of synthetic users' rows that a killed daemon left in an application's cache."""

from __future__ import annotations

from monitor.core.payload import PROFILED, SYNCED, synthetic_user
from monitor.core.residue import Broom
from monitor.stores.bound.cache import cached_copies
from monitor.stores.bound.context import Bound


async def sweep_copies(bound: Bound, broom: Broom, *, dry_run: bool) -> int:
    """Remove this daemon's own copies that no run needs any more; -> how many. Raises StoreError.

    Their keys name no run, but there are few, and they are known. What is left of their lives tells their age.
    """
    kinds = [found for kind in ("profile", "permissions") if (found := cached_copies(bound, kind))]
    lives = {kind.key(synthetic_user(user)): kind.life for kind in kinds for user in (PROFILED, SYNCED)}
    if not lives:
        return 0
    connection = await bound.ways.primary_redis.connect("sweep")
    try:
        replies = await connection.ask(*(("PTTL", key) for key in lives))
        old = [
            key
            for (key, life), left in zip(lives.items(), replies, strict=True)
            if isinstance(left, int) and left >= 0 and life - left / 1000 > broom.own_age.total_seconds()
        ]
        if old and not dry_run:
            await connection.ask(("UNLINK", *old), writing=True)
        return len(old)
    finally:
        await connection.close()
