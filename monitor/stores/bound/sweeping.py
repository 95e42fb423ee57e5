"""Leftovers in an application's own tables and behind its API: what a killed daemon could not remove."""

from __future__ import annotations

from monitor.core.residue import Broom
from monitor.ports import Store
from monitor.stores.bound.api_sweeping import sweep_api
from monitor.stores.bound.context import Bound
from monitor.stores.bound.sql_sweeping import sweep_sql


async def sweep_bound(bound: Bound, store: Store, broom: Broom, *, dry_run: bool) -> int:
    """Remove what this daemon's synthetic users have left; -> how many rows or requests that were."""
    match store:
        case Store.API:
            return await sweep_api(bound, broom, dry_run=dry_run)
        case Store.POSTGRES:
            return await sweep_sql(bound, broom, dry_run=dry_run)
        case Store.REDIS:
            return 0
