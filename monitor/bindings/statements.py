"""SQL statements of a binding: their named parameters, and how they go to the server."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlglot.tokenizer_core import Token

ParameterKind: TypeAlias = Literal["id", "ids", "text", "json", "integer", "moment", "milliseconds"]
PARAMETERS: dict[str, ParameterKind] = {
    "user_id": "id",
    "thread_id": "id",
    "message_id": "id",
    "after_id": "id",
    "thread_ids": "ids",
    "name": "text",
    "role": "text",
    "type": "text",
    "content": "text",
    "metadata": "json",
    "profile": "json",
    "permissions": "json",
    "claims": "json",
    "number": "integer",
    "version": "integer",
    "limit": "integer",
    "now": "moment",
    "before": "moment",
    "now_ms": "milliseconds",
    "before_ms": "milliseconds",
}
"""Every parameter that a statement can have, and what kind of value it is."""
SENTINELS = frozenset({"user_id", "thread_id", "message_id", "after_id", "thread_ids"})
"""Those that hold nothing but ids of what is synthetic."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The author's own text with $1, $2 … in the places of parameters, and the name of the parameter at each place.

    Each place has a number of its own, so that one value can be a uuid here and a text there.
    """

    sql: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement, and where it stands in the binding: `postgres.threads.append, statement 2`."""

    name: str
    sql: str

    @property
    def compiled(self) -> Compiled:
        """As it is sent."""
        return compiled(self.sql)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that it uses, at each of their places."""
        return self.compiled.names


def numbered(name: str, sqls: Sequence[str]) -> tuple[Statement, ...]:
    """The statements of one operation, which stand under this name."""
    if len(sqls) == 1:
        return (Statement(name=name, sql=sqls[0]),)
    return tuple(Statement(name=f"{name}, statement {place}", sql=sql) for place, sql in enumerate(sqls, start=1))


@lru_cache(maxsize=1024)
def compiled(sql: str) -> Compiled:
    """A statement as it is sent. What looks like a parameter in texts, comments, quotes or casts is none."""
    parts, names, done = list[str](), list[str](), 0
    for start, end, name in _places(sql):
        names.append(name)
        parts += sql[done:start], f"${len(names)}"
        done = end
    return Compiled("".join((*parts, sql[done:])), tuple(names))


def inlined(sql: str, texts: Sequence[str]) -> str:
    """A statement with these texts in the places of its parameters, one for each place."""
    parts, done = list[str](), 0
    for (start, end, _), text in zip(_places(sql), texts, strict=True):
        parts += sql[done:start], text
        done = end
    return "".join((*parts, sql[done:]))


def tokens_of(sql: str) -> list[Token]:
    """The words of a statement. Raises ValueError where it ends within a text or a comment."""
    from sqlglot.dialects import Postgres  # noqa: PLC0415  costs a daemon without a binding 50 ms
    from sqlglot.errors import TokenError  # noqa: PLC0415

    try:
        words: list[Token] = Postgres().tokenize(sql)
    except TokenError as error:
        raise ValueError(f"cannot be read as SQL: {error}; does a quote or a comment not end?") from None
    return words


def _places(sql: str) -> Iterator[tuple[int, int, str]]:
    """Where parameters begin and end, and their names: a colon with a word right behind it."""
    for colon, word in pairwise(tokens_of(sql)):
        if colon.text == ":" and word.start == colon.end + 1 and word.text.isidentifier():
            yield colon.start, word.end + 1, word.text


def known(names: Iterable[str], allowed: Sequence[str]) -> None:
    """Raise ValueError for the first name that is no parameter here, with the one that was probably meant."""
    for name in names:
        if name not in allowed:
            close = get_close_matches(name, allowed, n=1)
            meant = f"did you mean :{close[0]}? There" if close else "there"
            raise ValueError(f"there is no parameter :{name} here; {meant} are {listed(allowed)}")


def listed(names: Iterable[str]) -> str:
    """`:user_id :thread_id`."""
    return " ".join(f":{name}" for name in names)
