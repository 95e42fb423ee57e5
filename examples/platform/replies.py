"""The bug behind the switch `anothers-reply`: a cache of replies, keyed by the path and by nothing else."""

from __future__ import annotations

import re
import time

from starlette.requests import Request
from starlette.responses import Response

_HOT = re.compile(r"/me/profile|/threads|/v1/threads/[^/]+")
_LIFE = 10.0  # seconds


class MixedReplies:
    """One kept reply for each hot path. The next other user who asks gets it, and then it is used up."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, float, Response]] = {}

    def take(self, request: Request, user: str) -> Response | None:
        """Another user's reply to the same path, if there is one."""
        if request.method != "GET":
            return None
        owner, until, reply = self._kept.get(request.url.path, (user, 0.0, None))
        if owner == user or time.monotonic() > until:
            return None
        del self._kept[request.url.path]
        return reply

    def keep(self, request: Request, user: str, reply: Response) -> None:
        """Remember a good reply to a hot path."""
        path = request.url.path
        if request.method == "GET" and reply.status_code < 300 and _HOT.fullmatch(path):  # noqa: PLR2004  success
            self._kept[path] = (user, time.monotonic() + _LIFE, reply)
