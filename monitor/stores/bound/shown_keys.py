"""What a probe sends to Redis where a binding says how values lie there, as `holdfast plan` shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monitor.bindings.redis import CacheKeys, Keys, SessionKeys
from monitor.stores.keys import REMEMBER_SHOWN

_HASH = ("MULTI", "DEL {key}", "HSET {key} FIELD VALUE …", "PEXPIRE {key} …", "EXEC")
_MODULE = ("MULTI", "JSON.SET {key} $ VALUE", "PEXPIRE {key} …", "EXEC")
_INSTEAD: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "hash": {
        "GET {key}": ("HGETALL {key}",),
        "GET {key} …": ("HGETALL {key} …",),
        "SET {key} VALUE PX …": _HASH,
        "SET {key} SECRET PX …": _HASH,
        "SET {key} VALUE KEEPTTL": ("HSET {key} FIELD VALUE",),
        "SETRANGE {key} 8 RUBBISH": ("HSET {key} FIELD RUBBISH",),
    },
    "redisjson": {
        "GET {key}": ("JSON.GET {key}",),
        "GET {key} …": ("JSON.GET {key} …",),
        "SET {key} VALUE PX …": _MODULE,
        "SET {key} SECRET PX …": _MODULE,
        "SET {key} VALUE KEEPTTL": ("JSON.SET {key} $ VALUE",),
        "SETRANGE {key} 8 RUBBISH": ('JSON.SET {key} $ "rubbish"',),
    },
}
_NEVER = "MGET {key}"
"""A second way to the same, which a binding does not know."""
_UNINDEXED = (*REMEMBER_SHOWN, "ZREM {index} {key} …")
"""What is not sent for cached copies, whose keys are known."""


def shown_session(keys: SessionKeys, operation: str, own: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """An operation of the probe of sessions; empty where the application has none of the kind."""
    if operation == "touch" and not keys.sliding:
        return ()
    plain = operation.removesuffix("_fields").partition("_")[0]
    return _shown(keys, own[f"increment_{keys.discipline}" if plain == "increment" else plain])


def shown_tenants(keys: SessionKeys, operation: str, own: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """An operation on users' sessions."""
    return _shown(keys, [line for line in own[operation] if line != _NEVER])


def shown_copies(keys: CacheKeys, operation: str, own: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """An operation on cached copies."""
    return _shown(keys, [line for line in own[operation] if line not in _UNINDEXED])


def _shown(keys: Keys, lines: Sequence[str]) -> tuple[str, ...]:
    instead = _INSTEAD.get(keys.encoding, {})
    sent = (shown for line in lines for shown in instead.get(line, (line,)))
    return tuple(shown.replace("{key}", keys.key) for shown in sent)
