"""How a session lies in Redis, and how it is changed while others change it too: one class per discipline."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeAlias

from monitor.bindings.envelope import Envelope
from monitor.core import session as sessions
from monitor.core.session import COUNTERS, Session
from monitor.core.verdict import Json, Reason
from monitor.ports import Discipline, MissingError, Outcome, Store, StoreError
from monitor.stores.redis import Command, Reply

Ask: TypeAlias = Callable[..., Awaitable[list[Reply]]]
"""One pipeline: commands in, replies out; `writing=True` where an answer that is lost leaves a doubt."""
Words: TypeAlias = Callable[[str, str], Mapping[str, Json]]
"""What stands in the places of an envelope, for a key and a synthetic user."""

UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What comes of taking a value apart that is not what it should be."""

_ATTEMPTS = 50  # a WATCH that lost so many races in a row has no fair chance
_RUBBISH = b"\xff\x00rubbish"
_INCREMENT = (
    "local read, whole = pcall(cjson.decode, {read} or '')"
    " if not read then return false end"
    " local top = {{whole}} local holder, name = top, 1"
    " for place = 2, #ARGV do"
    " if type(holder[name]) ~= 'table' then return false end"
    " holder, name = holder[name], ARGV[place] end"
    " local value = holder[name] {open}"
    " if type(value) ~= 'table' or type(value.counters) ~= 'table'"
    " or type(value.counters[ARGV[1]]) ~= 'number' then return false end"
    " value.counters[ARGV[1]] = value.counters[ARGV[1]] + 1"
    " holder[name] = {seal} local text = cjson.encode(top[1])"
    " {write}"
)
_OPEN_TEXT = "read, value = pcall(cjson.decode, value) if not read then return false end"


class Kept(Protocol):
    """How a value, which is JSON as far as its meaning goes, lies under a key."""

    script_reads: str
    script_writes: str

    def write(self, key: str, value: Json, milliseconds: int) -> tuple[Command, ...]:
        """What stores a value that expires after so long. The last reply acknowledges it."""

    def read(self, key: str) -> Command:
        """What reads a value."""

    def raw(self, reply: Reply) -> bytes | None:
        """The reply to `read` in bytes, whatever they mean; None where there is nothing."""

    def value(self, reply: Reply) -> Json:
        """The reply to `read` as the value that it is. Raises ValueError or TypeError where it is none."""

    def as_read(self, value: Json) -> Json:
        """A value as it is read back after it was written."""

    def rewrite(self, key: str, value: Json) -> Command:
        """What puts another value into the place of one, whose expiry stays."""

    def damage(self, key: str) -> Command:
        """What overwrites a part of a value by rubbish and leaves its expiry alone."""


class AsText:
    """JSON, or what else becomes bytes, under a plain key."""

    script_reads = "redis.call('GET', KEYS[1])"
    script_writes = "return redis.call('SET', KEYS[1], text, 'KEEPTTL')"

    def dump(self, value: Json) -> bytes:
        """A value as bytes."""
        return json.dumps(value, ensure_ascii=False).encode()

    def load(self, stored: bytes) -> Json:
        """A value from bytes. Raises ValueError or RecursionError."""
        return json.loads(stored)  # type: ignore[no-any-return]  # JSON it is

    def write(self, key: str, value: Json, milliseconds: int) -> tuple[Command, ...]:
        """SET with an expiry."""
        return (("SET", key, self.dump(value), "PX", milliseconds),)

    def read(self, key: str) -> Command:
        """GET."""
        return ("GET", key)

    def raw(self, reply: Reply) -> bytes | None:
        """As it is."""
        return reply if isinstance(reply, bytes) else None

    def value(self, reply: Reply) -> Json:
        """What the bytes mean."""
        return self.load(reply if isinstance(reply, bytes) else b"")

    def as_read(self, value: Json) -> Json:
        """As it is."""
        return value

    def rewrite(self, key: str, value: Json) -> Command:
        """SET that keeps the expiry."""
        return ("SET", key, self.dump(value), "KEEPTTL")

    def damage(self, key: str) -> Command:
        """SETRANGE."""
        return ("SETRANGE", key, 8, _RUBBISH)


class AsHash:
    """The fields of a hash, which hold text; the payload in one of them, and nothing is there without that one."""

    def __init__(self, field: str) -> None:
        self.field = field
        spelled = "".join(f"\\{byte:03d}" for byte in field.encode())
        self.script_reads = f"redis.call('HGET', KEYS[1], '{spelled}')"
        self.script_writes = f"redis.call('HSET', KEYS[1], '{spelled}', text) return redis.status_reply('OK')"

    def write(self, key: str, value: Json, milliseconds: int) -> tuple[Command, ...]:
        """DEL, HSET and PEXPIRE in a transaction, so that nobody sees a half."""
        pairs = [word for name, text in _mapping(value).items() for word in (name, _word(text))]
        return ("MULTI",), ("DEL", key), ("HSET", key, *pairs), ("PEXPIRE", key, milliseconds), ("EXEC",)

    def read(self, key: str) -> Command:
        """HGETALL."""
        return ("HGETALL", key)

    def raw(self, reply: Reply) -> bytes | None:
        """The field of the payload: HINCRBY makes a hash of whatever it finds, or does not find."""
        return _pairs(reply).get(self.field.encode())

    def value(self, reply: Reply) -> Json:
        """The fields as a mapping of texts."""
        return {name.decode(): text.decode() for name, text in _pairs(reply).items()}

    def as_read(self, value: Json) -> Json:
        """Texts only."""
        return {name: str(_word(text)) for name, text in _mapping(value).items()}

    def rewrite(self, key: str, value: Json) -> Command:
        """HSET of the payload's field."""
        return ("HSET", key, self.field, _word(_mapping(value)[self.field]))

    def damage(self, key: str) -> Command:
        """HSET of the payload's field."""
        return ("HSET", key, self.field, _RUBBISH)


class Encoding:
    """One way to keep a session: how a value lies there, what stands around the session in it, and how it is changed.

    This one reads and then writes: what others wrote between is lost, and is to be seen lost.
    """

    def __init__(self, kept: Kept, envelope: Envelope | None = None, words: Words = lambda _key, _user: {}) -> None:
        self.kept = kept
        self._envelope = envelope or Envelope()
        self._words = words

    def write(self, session: Session, milliseconds: int) -> tuple[Command, ...]:
        """What stores a session that expires after so long. The last reply acknowledges it."""
        return self.kept.write(session.key, self._sealed(session), milliseconds)

    def _sealed(self, session: Session) -> Json:
        return self._envelope.seal(json.loads(session.encode()), self._words(session.key, session.user))

    def read(self, key: str) -> Command:
        """What reads a session."""
        return self.kept.read(key)

    def value(self, key: str, reply: Reply) -> bytes | None:
        """The stored session as `Session.encode` makes it, from the reply to `read`; None where there is none.

        Where it is damaged, or what has to stand around it, bytes that no session is.
        """
        raw = self.kept.raw(reply)
        if raw is None:
            return None
        try:
            value = self._value(reply)
            session = json.dumps(self._envelope.open(value), ensure_ascii=False).encode()
            stored = sessions.decode(session)
            if stored is None or not stored.whole or stored.key != key:
                return session  # what it is worth is for the judge
            sealed = self.kept.as_read(self._envelope.seal(None, self._words(key, stored.user)))
            declared, found = self._envelope.beside(sealed), self._envelope.beside(value)
            if declared != found:
                return sessions.around(declared, found)
        except UNREADABLE:
            return raw
        return session

    def _value(self, reply: Reply) -> Json:
        return self.kept.value(reply)

    def damage(self, key: str) -> Command:
        """What overwrites a part of a stored value by rubbish and leaves its expiry alone."""
        return self.kept.damage(key)

    async def increment(self, ask: Ask, key: str, counter: str) -> None:
        """Add one to a counter. Raises MissingError where the session is not there or cannot be read."""
        (reply,) = await ask(self.kept.read(key))
        (answer,) = await ask(self._incremented(key, reply, counter), writing=True)
        acknowledged(answer, "an update")

    def _incremented(self, key: str, reply: Reply, counter: str) -> Command:
        try:
            value = self.kept.value(reply)
            session = self._envelope.open(value)
            session["counters"][counter] += 1  # type: ignore[index,call-overload,operator]  # what is none raises
            return self.kept.rewrite(key, self._envelope.put(value, session))
        except UNREADABLE:
            raise unreadable(key) from None


class Watched(Encoding):
    """The same, written only if nobody else has written meanwhile, and tried again if somebody has."""

    async def increment(self, ask: Ask, key: str, counter: str) -> None:
        """WATCH and read, then write in a transaction."""
        for _ in range(_ATTEMPTS):
            _, reply = await ask(("WATCH", key), self.kept.read(key))
            *_, answer = await ask(("MULTI",), self._incremented(key, reply, counter), ("EXEC",), writing=True)
            if answer is not None:
                return
        message = f"WATCH on {key} lost {_ATTEMPTS} races in a row"
        raise StoreError(Reason.INCONCLUSIVE, message, store=Store.REDIS)


class Scripted(Encoding):
    """The same, changed by a script that the server runs as a whole."""

    async def increment(self, ask: Ask, key: str, counter: str) -> None:
        """EVAL."""
        in_hash = isinstance(self.kept, AsHash)
        as_text = self._envelope.as_text and not in_hash
        script = _INCREMENT.format(
            read=self.kept.script_reads,
            write=self.kept.script_writes,
            open=_OPEN_TEXT if as_text else "",
            seal="cjson.encode(value)" if as_text else "value",
        )
        path = () if in_hash else self._envelope.path
        (answer,) = await ask(("EVAL", script, 1, key, counter, *path), writing=True)
        if answer is None:
            raise unreadable(key)
        acknowledged(answer, "a script")


class InFields(Encoding):
    """A hash: the session in one field, each counter in another, which the server increments by itself."""

    def _sealed(self, session: Session) -> Json:
        return {**_mapping(super()._sealed(session)), **{f"counter:{name}": 0 for name in COUNTERS}}

    def _value(self, reply: Reply) -> Json:
        fields = dict(_mapping(super()._value(reply)))
        counters = {name: int(str(fields.pop(f"counter:{name}"))) for name in COUNTERS}
        session = self._envelope.open(fields)
        session["counters"] |= counters  # type: ignore[index,call-overload,operator]  # what is none raises
        return self._envelope.put(fields, session)

    async def increment(self, ask: Ask, key: str, counter: str) -> None:
        """HINCRBY."""
        (field,) = self._envelope.path
        there, count = await ask(("HEXISTS", key, field), ("HINCRBY", key, f"counter:{counter}", 1), writing=True)
        if not there or not isinstance(count, int):
            raise unreadable(key)


DISCIPLINES: Mapping[Discipline, type[Encoding]] = {
    "watch": Watched,
    "lua": Scripted,
    "fields": InFields,
    "naive": Encoding,
}
_IN_A_FIELD = Envelope.of({"value": "{payload_text}"})
ENCODINGS: Mapping[Discipline, Encoding] = {
    "watch": Watched(AsText()),
    "lua": Scripted(AsText()),
    "fields": InFields(AsHash("value"), _IN_A_FIELD),
    "naive": Encoding(AsText()),
}
"""How Holdfast keeps sessions of its own."""


def acknowledged(answer: Reply, command: str) -> None:
    """Raise StoreError where a write was not answered as it has to be."""
    if answer == b"OK" or isinstance(answer, int) or (isinstance(answer, list) and answer):
        return
    message = f"Redis answered {command} by {answer!r}, where OK was expected: nothing was acknowledged"
    raise StoreError(Reason.INCONCLUSIVE, message, store=Store.REDIS, outcome=Outcome.INDETERMINATE)


def unreadable(key: str) -> MissingError:
    """What is raised where a session that was to be updated is not there, or cannot be read."""
    return MissingError(
        f"the session {key} was not there, or not readable, when it was to be updated", store=Store.REDIS
    )


def _pairs(reply: Reply) -> dict[bytes, bytes]:
    found = reply if isinstance(reply, list) else []
    pairs = zip(found[::2], found[1::2], strict=False)
    return {name: text for name, text in pairs if isinstance(name, bytes) and isinstance(text, bytes)}


def _mapping(value: Json) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        raise TypeError(f"a hash holds fields, not {type(value).__name__}")
    return value


def _word(value: Json) -> str | int | float:
    return value if isinstance(value, str | int | float) else ""
