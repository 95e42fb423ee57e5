"""How a session lies in Redis, and how it is changed while others change it too: one class per discipline."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeAlias

from monitor.core.session import COUNTERS, Session
from monitor.core.verdict import Reason
from monitor.ports import Discipline, MissingError, Outcome, Store, StoreError
from monitor.stores.redis import Command, Reply

Ask: TypeAlias = Callable[..., Awaitable[list[Reply]]]
"""One pipeline: commands in, replies out; `writing=True` where an answer that is lost leaves a doubt."""

_ATTEMPTS = 50  # a WATCH that lost so many races in a row has no fair chance
_RUBBISH = b"\xff\x00rubbish"
_INCREMENT = (
    "local read, value = pcall(cjson.decode, redis.call('GET', KEYS[1]) or '')"
    " if not read or type(value) ~= 'table' or type(value.counters) ~= 'table'"
    " or type(value.counters[ARGV[1]]) ~= 'number' then return false end"
    " value.counters[ARGV[1]] = value.counters[ARGV[1]] + 1"
    " return redis.call('SET', KEYS[1], cjson.encode(value), 'KEEPTTL')"
)


class Encoding(Protocol):
    """One way to keep a session."""

    def write(self, session: Session, milliseconds: int) -> tuple[Command, ...]:
        """What stores a session that expires after so long. The last reply acknowledges it."""

    def read(self, key: str) -> Command:
        """What reads a session."""

    def value(self, reply: Reply) -> bytes | None:
        """The stored value as `Session.encode` makes it, from the reply to `read`; None where there is none."""

    def damage(self, key: str) -> Command:
        """What overwrites a part of a stored value by rubbish and leaves its expiry alone."""

    async def increment(self, ask: Ask, key: str, counter: str) -> None:
        """Add one to a counter. Raises MissingError where the session is not there or cannot be read."""


class AsText:
    """JSON under a plain key, read and then written: what others wrote between is lost, and is to be seen lost."""

    def write(self, session: Session, milliseconds: int) -> tuple[Command, ...]:
        """SET with an expiry."""
        return (("SET", session.key, session.encode(), "PX", milliseconds),)

    def read(self, key: str) -> Command:
        """GET."""
        return ("GET", key)

    def value(self, reply: Reply) -> bytes | None:
        """As it is."""
        return reply if isinstance(reply, bytes) else None

    def damage(self, key: str) -> Command:
        """SETRANGE."""
        return ("SETRANGE", key, 8, _RUBBISH)

    async def increment(self, ask: Ask, key: str, counter: str) -> None:
        """GET, then SET."""
        (value,) = await ask(("GET", key))
        (answer,) = await ask(_rewritten(key, value, counter), writing=True)
        acknowledged(answer, "SET")


class Watched(AsText):
    """The same, written only if nobody else has written meanwhile, and tried again if somebody has."""

    async def increment(self, ask: Ask, key: str, counter: str) -> None:
        """WATCH and GET, then SET in a transaction."""
        for _ in range(_ATTEMPTS):
            _, value = await ask(("WATCH", key), ("GET", key))
            *_, answer = await ask(("MULTI",), _rewritten(key, value, counter), ("EXEC",), writing=True)
            if answer is not None:
                return
        message = f"WATCH on {key} lost {_ATTEMPTS} races in a row"
        raise StoreError(Reason.INCONCLUSIVE, message, store=Store.REDIS)


class Scripted(AsText):
    """The same, changed by a script that the server runs as a whole."""

    async def increment(self, ask: Ask, key: str, counter: str) -> None:
        """EVAL."""
        (answer,) = await ask(("EVAL", _INCREMENT, 1, key, counter), writing=True)
        if answer is None:
            raise unreadable(key)
        acknowledged(answer, "SET")


class InFields:
    """A hash: the value in one field, each counter in another, which the server increments by itself."""

    def write(self, session: Session, milliseconds: int) -> tuple[Command, ...]:
        """DEL, HSET and PEXPIRE in a transaction, so that nobody sees a half."""
        counters = [part for name in COUNTERS for part in (f"counter:{name}", 0)]
        return (
            ("MULTI",),
            ("DEL", session.key),
            ("HSET", session.key, "value", session.encode(), *counters),
            ("PEXPIRE", session.key, milliseconds),
            ("EXEC",),
        )

    def read(self, key: str) -> Command:
        """HGETALL."""
        return ("HGETALL", key)

    def value(self, reply: Reply) -> bytes | None:
        """The field `value`, with the counters of the other fields in it.

        Without that field there is no session: HINCRBY makes a hash of whatever it finds, or does not find.
        """
        pairs = reply if isinstance(reply, list) else []
        found = {name: text for name, text in zip(pairs[::2], pairs[1::2], strict=False) if isinstance(name, bytes)}
        value = found.get(b"value")
        if not isinstance(value, bytes):
            return None
        try:
            session = json.loads(value)
            for name in COUNTERS:
                text = found[f"counter:{name}".encode()]
                session["counters"][name] = int(text if isinstance(text, bytes) else b"")
        except (ValueError, KeyError, TypeError, RecursionError):
            return value  # damaged: what it is worth is for the judge
        return json.dumps(session, ensure_ascii=False).encode()

    def damage(self, key: str) -> Command:
        """HSET of the value."""
        return ("HSET", key, "value", _RUBBISH)

    async def increment(self, ask: Ask, key: str, counter: str) -> None:
        """HINCRBY."""
        there, count = await ask(("HEXISTS", key, "value"), ("HINCRBY", key, f"counter:{counter}", 1), writing=True)
        if not there or not isinstance(count, int):
            raise unreadable(key)


ENCODINGS: Mapping[Discipline, Encoding] = {
    "watch": Watched(),
    "lua": Scripted(),
    "fields": InFields(),
    "naive": AsText(),
}


def acknowledged(answer: Reply, command: str) -> None:
    """Raise StoreError where a write was not answered as it has to be."""
    if answer == b"OK" or (isinstance(answer, list) and answer):
        return
    message = f"Redis answered {command} by {answer!r}, where OK was expected: nothing was acknowledged"
    raise StoreError(Reason.INCONCLUSIVE, message, store=Store.REDIS, outcome=Outcome.INDETERMINATE)


def unreadable(key: str) -> MissingError:
    """What is raised where a session that was to be updated is not there, or cannot be read."""
    return MissingError(
        f"the session {key} was not there, or not readable, when it was to be updated", store=Store.REDIS
    )


def _rewritten(key: str, value: Reply, counter: str) -> Command:
    try:
        session = json.loads(value if isinstance(value, bytes) else b"")
        session["counters"][counter] += 1
    except (ValueError, KeyError, TypeError, RecursionError):
        raise unreadable(key) from None
    return ("SET", key, json.dumps(session, ensure_ascii=False).encode(), "KEEPTTL")
