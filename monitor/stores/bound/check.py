"""Whether what a binding names is there, and fits."""

from __future__ import annotations

from monitor.stores.bound.context import Bound


async def make_sure_of_binding(bound: Bound, probe: str) -> None:
    """Check what a probe will ask for. Raises StoreError (misconfigured) that names statement, expected and found."""
