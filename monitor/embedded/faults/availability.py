"""Faults of the area availability: a store cannot be used, and says why or says nothing. Never a violation, never ok.

One is missing: a name that can no longer be resolved. Without root nobody can make the resolver of a running process
forget a name; tests/probes/test_*_weather.py use a name that never was.
"""

from __future__ import annotations

from monitor.embedded.faults import availability_network, availability_postgres, availability_redis
from monitor.embedded.faults.fault import Fault

FAULTS: tuple[Fault, ...] = (
    *availability_network.FAULTS,
    *availability_postgres.FAULTS,
    *availability_redis.FAULTS,
)
