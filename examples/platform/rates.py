"""How many requests a user may make."""

from __future__ import annotations

import math
import time
from http import HTTPStatus

from examples.platform.answers import Refusal


class Rates:
    """A token bucket for each user, of one second's requests; each process counts for itself."""

    def __init__(self, per_second: float | None) -> None:
        self._rate = per_second
        self._buckets: dict[str, tuple[float, float]] = {}  # user -> tokens left, and when

    def take(self, user: str) -> None:
        """Count one request; raises a 429 with the seconds to wait where the user made too many."""
        if self._rate is None:
            return
        size, now = max(self._rate, 1.0), time.monotonic()
        left, before = self._buckets.get(user, (size, now))
        left = min(size, left + (now - before) * self._rate)
        if left < 1:
            wait = math.ceil((1 - left) / self._rate)
            message = f"{self._rate:g} requests a second are allowed"
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, message, headers={"Retry-After": str(wait)})
        self._buckets[user] = (left - 1, now)
