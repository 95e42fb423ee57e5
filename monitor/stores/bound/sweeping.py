"""Leftovers in an application's own tables and behind its API: what a killed daemon could not remove."""

from __future__ import annotations

from monitor.core.residue import Broom
from monitor.ports import Store
from monitor.stores.bound.api_sweeping import sweep_api
from monitor.stores.bound.context import Bound


async def sweep_bound(bound: Bound, store: Store, broom: Broom, *, dry_run: bool) -> int:
    """Remove what this daemon's synthetic users have left; -> how many statements or requests removed something."""
    if store is Store.API:
        return await sweep_api(bound, broom, dry_run=dry_run)
    return 0
