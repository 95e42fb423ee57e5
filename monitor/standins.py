"""Addresses that lead nowhere, for commands that ask no store and so need no store's secret."""

from __future__ import annotations

from monitor.expansion import KeyPath

_SCHEMES = {("postgres", "dsn"): "postgresql", ("postgres", "pooler"): "postgresql", ("redis", "url"): "redis"}
_REPLICAS = {"postgres": "postgresql", "redis": "redis"}
_SECTION = 2  # of a path: what is below environments.NAME


def nowhere(path: KeyPath) -> str | None:
    """What stands for a value of which a reference cannot be resolved; None where nothing may.

    An address stands for an address, each its own, on a host that no resolver ever knows (RFC 2606): were one asked by
    mistake, no server would hear of it.
    """
    if path[:1] != ("environments",) or len(path) <= _SECTION + 1:
        return None
    store, key, *below = path[_SECTION:]
    scheme = _REPLICAS.get(store) if key == "replicas" and below else _SCHEMES.get((store, key))
    host = "-".join((store, key, *below))
    if scheme:
        return f"{scheme}://{host}.invalid/{'0' if scheme == 'redis' else 'unknown'}"
    if store == "api" or (store, key) == ("binding", "api"):
        return f"https://{host}.invalid" if key == "base_url" else "unknown"
    return None
