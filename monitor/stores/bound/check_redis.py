"""Whether Redis lets a probe keep an application's keys: a server that is new enough, a module, and the ACL."""

from __future__ import annotations

from secrets import token_hex

from monitor.bindings.redis import Keys, escaped
from monitor.core.payload import PROFILED, SYNCED, synthetic_user
from monitor.core.residue import words_pattern
from monitor.core.verdict import Reason
from monitor.ports import Place, Store, StoreError
from monitor.stores.bound.context import Bound
from monitor.stores.bound.key_values import kept_by, word_for
from monitor.stores.redis import RedisConnection
from monitor.stores.versions import make_sure_of_redis

_COMMANDS = {"hash": ("+hget",), "redisjson": ("+json.get", "+json.set")}  # besides those that Holdfast's own need
_CACHED = {"profile": PROFILED, "sync": SYNCED}


async def make_sure_of_keys(bound: Bound, probe: str) -> None:
    """Ask for keys as a probe will; nothing is there, and nothing is changed.

    Raises StoreError: `misconfigured` where the server is too old or has no RedisJSON, `refused` where the ACL does not
    let the user have such keys, which says what to grant.
    """
    wanted = _wanted(bound, probe)
    if not wanted or Place(Store.REDIS) not in bound.ways.redis:
        return
    await make_sure_of_redis(bound.ways.primary_redis)
    connection = await bound.ways.primary_redis.connect(probe)
    try:
        for keys, key, pattern in wanted:
            await _try(bound, connection, keys, key=key, pattern=pattern)
    finally:
        await connection.close()


async def _try(bound: Bound, connection: RedisConnection, keys: Keys, *, key: str, pattern: str) -> None:
    redis = bound.ways.primary_redis
    try:
        await connection.ask(kept_by(keys).read(key), ("PTTL", key), ("PEXPIRE", key, 1))
    except StoreError as error:
        if keys.encoding == "redisjson" and "unknown command" in str(error):
            what = f"the binding keeps {keys.key} by RedisJSON, which this server does not have: load the module"
            raise redis.error(Reason.MISCONFIGURED, f"{what}, or change `encoding`") from None
        if error.reason is Reason.REFUSED:
            user, words = redis.user or "default", " ".join(granted(keys, pattern))
            said = f"the ACL does not let {user} keep {keys.key}: {error.reason}; run ACL SETUSER {user} {words}"
            raise redis.error(Reason.REFUSED, said) from None
        raise


def _wanted(bound: Bound, probe: str) -> tuple[tuple[Keys, str, str], ...]:
    """What a probe keeps: how, a key that is not there, and the pattern of all that it needs."""
    redis = bound.binding.redis
    if redis is None:
        return ()
    stem = words_pattern(bound.ways.environment)
    if probe in {"session", "isolation"} and (session := redis.session):
        words = {"user_id": word_for(bound, synthetic_user(0)), "session_id": stem.replace("*", token_hex(8))}
        return ((session, session.filled(words), session.pattern({"session_id": stem})),)
    if probe in _CACHED:
        user = word_for(bound, synthetic_user(_CACHED[probe]))
        kinds = [keys for keys in (redis.profile, redis.permissions) if keys]
        ids = _ids_pattern(bound, synthetic_user(_CACHED[probe]))
        return tuple((keys, keys.filled({"user_id": user}), keys.pattern({"user_id": ids})) for keys in kinds)
    return ()


def _ids_pattern(bound: Bound, user: str) -> str:
    """The pattern of the ids of synthetic users of all daemons; an account has its own."""
    style = bound.binding.ids.user
    match style.kind:
        case _ if bound.identities.account(user):
            return escaped(str(bound.identities.user(user)))
        case "text":
            return f"{escaped(style.prefix)}holdfast-*"
        case "number":
            return "-*"
        case _:
            return "????????-????-5???-????-????????????"


def granted(keys: Keys, pattern: str) -> tuple[str, ...]:
    """The words of an ACL that let a user keep such keys."""
    return (f"~{pattern}", *_COMMANDS.get(keys.encoding, ()))


def grants(bound: Bound) -> tuple[str, ...]:
    """The words of an ACL that let a user keep all keys of the binding, and none of a customer's."""
    found = (
        word
        for probe in ("session", *_CACHED)
        for keys, _, pattern in _wanted(bound, probe)
        for word in granted(keys, pattern)
    )
    return tuple(dict.fromkeys(found))
