"""How an application's values lie in Redis, as its binding says it."""

from __future__ import annotations

import json
import pickle
import pickletools
from io import BytesIO
from typing import NoReturn

from monitor.bindings.redis import Keys
from monitor.core.verdict import Json
from monitor.stores.bound.context import Bound
from monitor.stores.encodings import UNREADABLE, AsHash, AsText, Kept
from monitor.stores.redis import Command, Reply

_MOST_PARTS = 100_000  # a pickle of a few bytes can mean more than any memory holds


_PLAIN = (
    "PROTO FRAME STOP MARK MEMOIZE BINPUT BINGET LONG_BINGET NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4"
    " BINFLOAT SHORT_BINUNICODE BINUNICODE BINUNICODE8 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS"
    " EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 TUPLE"
)
"""What pickles of plain values are made of. LONG_BINPUT is not: a few bytes of it would ask for gigabytes."""

_BROKEN = (pickle.UnpicklingError, *UNREADABLE, EOFError, IndexError, MemoryError)
"""What comes of loading a pickle that is broken."""


class _PlainUnpickler(pickle.Unpickler):
    """Makes mappings, lists, texts and numbers; whatever else a pickle asks for, code above all, is refused."""

    def find_class(self, module: str, name: str) -> NoReturn:
        """Nothing is found."""
        raise pickle.UnpicklingError(f"{module}.{name} is nothing that a session holds")


class AsPickle(AsText):
    """Python's pickle, as Django's cache keeps values. Nothing in it is ever carried out."""

    def dump(self, value: Json) -> bytes:
        """By the highest protocol."""
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)

    def load(self, stored: bytes) -> Json:
        """Plain values. Raises ValueError."""
        try:
            _make_sure_it_is_plain(stored)
            value = _PlainUnpickler(BytesIO(stored)).load()
        except _BROKEN as error:
            raise ValueError(f"no pickle of plain values: {error}") from None
        _make_sure_it_is_small(value)
        return value  # type: ignore[no-any-return]  # what cannot be JSON fails where it is turned into it


class AsModule:
    """A document of RedisJSON."""

    script_reads = "redis.call('JSON.GET', KEYS[1])"
    script_writes = "return redis.call('JSON.SET', KEYS[1], '$', text)"

    def write(self, key: str, value: Json, milliseconds: int) -> tuple[Command, ...]:
        """JSON.SET and PEXPIRE in a transaction."""
        return ("MULTI",), self.rewrite(key, value), ("PEXPIRE", key, milliseconds), ("EXEC",)

    def read(self, key: str) -> Command:
        """JSON.GET."""
        return ("JSON.GET", key)

    def raw(self, reply: Reply) -> bytes | None:
        """As it is."""
        return reply if isinstance(reply, bytes) else None

    def value(self, reply: Reply) -> Json:
        """The document."""
        return json.loads(reply if isinstance(reply, bytes) else b"")  # type: ignore[no-any-return]  # JSON it is

    def as_read(self, value: Json) -> Json:
        """As it is."""
        return value

    def rewrite(self, key: str, value: Json) -> Command:
        """JSON.SET, which keeps the expiry."""
        return ("JSON.SET", key, "$", json.dumps(value, ensure_ascii=False))

    def damage(self, key: str) -> Command:
        """JSON.SET of rubbish."""
        return ("JSON.SET", key, "$", '"rubbish"')


def kept_by(keys: Keys) -> Kept:
    """How values under such keys lie there."""
    match keys.encoding:
        case "json":
            return AsText()
        case "hash":
            return AsHash(keys.envelope.path[0])
        case "redisjson":
            return AsModule()
        case "pickle":
            return AsPickle()


def word_for(bound: Bound, user: str) -> str | int:
    """The application's id of a synthetic user, as it stands in a value."""
    theirs = bound.identities.user(user)
    return theirs if isinstance(theirs, int) else str(theirs)


def _make_sure_it_is_plain(stored: bytes) -> None:
    """Raises ValueError where a pickle is made of what no plain value needs."""
    if foreign := {code.name for code, _, _ in pickletools.genops(stored)}.difference(_PLAIN.split()):
        raise ValueError(f"it has {', '.join(sorted(foreign))}")


def _make_sure_it_is_small(value: object) -> None:
    """Count what a value holds, each part as often as it is held. Raises ValueError where that is too much."""
    left, count = [value], 0
    while left:
        part, count = left.pop(), count + 1
        if count > _MOST_PARTS:
            raise ValueError(f"a pickle of more than {_MOST_PARTS} values")
        if isinstance(part, dict):
            left.extend(part.values())
        elif isinstance(part, list | tuple):
            left.extend(part)
