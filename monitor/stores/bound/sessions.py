"""An application's sessions under its own keys."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.bindings import SessionKeys
from monitor.core.residue import word_in, word_of, words_pattern
from monitor.core.verdict import Json
from monitor.ports import Declared, Discipline
from monitor.stores.bound.context import Bound
from monitor.stores.bound.key_values import kept_by, word_for
from monitor.stores.encodings import DISCIPLINES, Encoding
from monitor.stores.sessions import OwnSessionConnection


class BoundSessions:
    """An application's sessions, each in the index of this daemon until it is deleted, as Holdfast's own are."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self._keys = session_keys(bound)
        self._encoding = session_encoding(bound)

    @property
    def declared(self) -> Declared:
        """What the binding says."""
        return Declared(ttl=self._keys.ttl.total_seconds(), sliding=self._keys.sliding)

    def under(self, discipline: Discipline) -> BoundSessions:  # noqa: ARG002  the application has one of its own
        """The same: the binding says how they are changed."""
        return self

    def key(self, run_id: str, name: str, *, user: str) -> str:
        """The key of a user's session of one run."""
        return session_key(self._bound, run_id, name, user=user)

    async def connect(self, label: str) -> OwnSessionConnection:
        """A new connection."""
        opened = await OwnSessionConnection.open(self._bound.ways, label)
        opened.encoding = self._encoding
        return opened


def session_keys(bound: Bound) -> SessionKeys:
    """How the binding's sessions are kept. Raises LookupError where it has none."""
    if bound.binding.redis is None or bound.binding.redis.session is None:
        raise LookupError(f"the binding of environment {bound.ways.environment} has no sessions")
    return bound.binding.redis.session


def session_encoding(bound: Bound) -> Encoding:
    """How they lie in Redis, and are changed."""
    keys = session_keys(bound)

    def words(key: str, user: str) -> Mapping[str, Json]:
        return {"user_id": word_for(bound, user), "session_id": word_in(key)}

    return DISCIPLINES[keys.discipline](kept_by(keys), keys.envelope, words)


def session_key(bound: Bound, run_id: str, name: str, *, user: str) -> str:
    """The key of a user's session, which a sweep knows for one of Holdfast's by the session's id."""
    word = word_of(bound.ways.environment, bound.ways.instance, run_id, name)
    return session_keys(bound).filled({"user_id": word_for(bound, user), "session_id": word})


def sentinel_patterns(bound: Bound) -> tuple[str, ...]:
    """The patterns of all sessions of Holdfast's among the application's, of whichever daemon."""
    redis = bound.binding.redis
    if redis is None or redis.session is None:
        return ()
    return (redis.session.pattern({"session_id": words_pattern(bound.ways.environment)}),)
