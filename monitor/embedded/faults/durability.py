"""Faults that take from a store what it has acknowledged."""

from __future__ import annotations

from monitor.embedded.faults import durability_postgres, durability_redis

FAULTS = (*durability_postgres.FAULTS, *durability_redis.FAULTS)
