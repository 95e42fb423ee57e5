"""An application's sessions under its own keys."""

from __future__ import annotations

from monitor.ports import Discipline, SessionConnection, Sessions
from monitor.stores.bound.context import Bound


class BoundSessions:
    """An application's sessions."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound

    def under(self, discipline: Discipline) -> Sessions:
        """The same sessions, kept and changed in another way."""
        raise NotImplementedError

    def key(self, run_id: str, name: str) -> str:
        """The key of a session of one run."""
        raise NotImplementedError

    async def connect(self, label: str) -> SessionConnection:
        """A new connection."""
        raise NotImplementedError
