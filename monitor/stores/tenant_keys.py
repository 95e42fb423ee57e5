"""Users' sessions in Redis, each with a secret, and the fence around Holdfast's own keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from secrets import token_hex
from string import ascii_lowercase

from monitor.core.residue import key_of
from monitor.core.tenancy import SOMEBODY_ELSE, THE_REDIS_USER, Look, Sight, Tenant, owners_of
from monitor.core.verdict import Reason
from monitor.stores.encodings import acknowledged
from monitor.stores.keys import REMEMBER_SHOWN, KeyConnection
from monitor.stores.redis import Command, Reply
from monitor.stores.ways import Ways

_TTL = 600.0  # seconds; a run lasts a few, but what expires soonest is evicted first
_READ = "return redis.call('GET', KEYS[1])"
# The refusal comes back as a text, so that what has to happen in each run is no failure in anybody's statistics.
_BEYOND = "local r = redis.pcall('GET', ARGV[1]); return type(r) == 'table' and r.err or ''"
_REFUSALS = ("NOPERM", "ACL", "can't access")  # as Redis 6, Redis 7 and Valkey put it

_PATHS: Mapping[str, tuple[str, ...]] = {
    "GET": ("GET", "{key}"),
    "MGET": ("MGET", "{key}"),
    "EVAL": ("EVAL", _READ, "1", "{key}"),
}
FENCE = "a key that is not Holdfast's"

OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "settle_users": ("ECHO NONCE", *REMEMBER_SHOWN, "SET {key} SECRET PX …"),
    "look_as_users": ("ECHO NONCE", "GET {key}", "MGET {key}", f'EVAL "{_READ}" 1 {{key}}'),
    "look_beyond_the_fence": ("ECHO NONCE", f'EVAL "{_BEYOND}" 0 not-holdfast:RANDOM'),
    "clear_users": ("ECHO NONCE", "DEL {key} …", "ZREM {index} {key} …"),
}
"""What a probe may ask for, and the commands that are then sent."""


class OwnTenantKeys(KeyConnection):
    """One connection, as one Redis user: there is no fence between users of the application, only around Holdfast."""

    ways: Ways

    @property
    def fenced(self) -> bool:
        """Whether the URL names a user other than the default one, who may touch every key."""
        return self.ways.primary_redis.user not in {None, "default"}

    async def settle(self, run_id: str, tenants: Sequence[Tenant]) -> None:
        """Store a session for each user."""
        for key, tenant in self.keys(run_id, tenants):
            commands = self.writing(key, tenant, round(_TTL * 1000))
            *_, answer = await self.ask(*self.remember(key, ttl=_TTL), *commands, writing=True)
            acknowledged(answer, "a session")

    async def look(self, run_id: str, tenants: Sequence[Tenant], *, fence: bool) -> Look:
        """As each, read its own key in every way; with `fence`, ask for a key that nobody has, outside the prefix."""
        sights = []
        for key, tenant in self.keys(run_id, tenants):
            paths = self.paths(key)
            replies = await self.ask(*paths.values())
            sights += [
                Sight(path=path, viewer=tenant.user, owners=owners_of(_secrets_in(reply, tenants), tenants))
                for path, reply in zip(paths, replies, strict=True)
            ]
        if fence:
            sights.append(await self._beyond())
        return Look(sights=tuple(sights))

    async def _beyond(self) -> Sight:
        (reply,) = await self.ask(("EVAL", _BEYOND, 0, f"not-holdfast:{token_hex(8)}"))
        said = _text(reply)
        if said is None or (said and not any(word in said for word in _REFUSALS)):
            what = f"answered a script that reads a key outside of holdfast:* by {reply!r}"
            raise self.ways.primary_redis.error(Reason.INCONCLUSIVE, what)
        owners = frozenset() if said else frozenset({SOMEBODY_ELSE})
        return Sight(path=FENCE, viewer=THE_REDIS_USER, owners=owners)

    async def clear(self, run_id: str, tenants: Sequence[Tenant]) -> None:
        """Delete the sessions."""
        await self.delete(*(key for key, _ in self.keys(run_id, tenants)))

    def keys(self, run_id: str, tenants: Sequence[Tenant]) -> list[tuple[str, Tenant]]:
        """The key of each user; names in keys have letters only."""
        return [
            (self.key(run_id, f"user-{letter}", tenant), tenant)
            for letter, tenant in zip(ascii_lowercase, tenants, strict=False)
        ]

    def key(self, run_id: str, name: str, tenant: Tenant) -> str:  # noqa: ARG002  the name says enough
        """The key of one user."""
        return key_of(self.ways.environment, self.ways.instance, run_id, name, kind="tenant")

    def writing(self, key: str, tenant: Tenant, milliseconds: int) -> tuple[Command, ...]:
        """What stores a session. The last reply acknowledges it."""
        return (("SET", key, tenant.secret, "PX", milliseconds),)

    def paths(self, key: str) -> Mapping[str, Command]:
        """Every way to read a session, by its name."""
        return {path: tuple(word.format(key=key) for word in words) for path, words in _PATHS.items()}


def _secrets_in(reply: Reply, tenants: Sequence[Tenant]) -> list[tuple[None, str]]:
    """The secrets in a reply, whatever stands around them."""
    if isinstance(reply, list):
        return [found for part in reply for found in _secrets_in(part, tenants)]
    text = _text(reply) or ""
    return [(None, tenant.secret) for tenant in tenants if tenant.secret in text]


def _text(reply: Reply) -> str | None:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else None
