"""Everything that any probe may ask of a store, by the store and the operation's name: what `holdfast plan` shows."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.ports import Store
from monitor.stores import (
    copies,
    crowd,
    durable_keys,
    durable_rows,
    evictions,
    gauges,
    notices,
    profiles,
    registers,
    sessions,
    tenants,
    threads,
    words,
)

POSTGRES: Mapping[str, tuple[str, ...]] = {
    **threads.OPERATIONS,
    **registers.OPERATIONS,
    **tenants.OPERATIONS,
    **copies.ROWS,
    **notices.CHANNELS,
    **profiles.ROWS,
    **crowd.OPERATIONS,
    **durable_rows.OPERATIONS,
    **words.OPERATIONS,
    **gauges.OPERATIONS,
}
REDIS: Mapping[str, tuple[str, ...]] = {
    **sessions.OPERATIONS,
    **tenants.KEYS,
    **copies.KEYS,
    **notices.KEYS,
    **profiles.KEYS,
    **durable_keys.OPERATIONS,
    **evictions.OPERATIONS,
}
CATALOGUE: Mapping[Store, Mapping[str, tuple[str, ...]]] = {Store.POSTGRES: POSTGRES, Store.REDIS: REDIS}
