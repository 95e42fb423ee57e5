"""Which of several daemons, side by side on one configuration, watches which environment."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Self

_FORM = re.compile(r"([1-9]\d{0,2})/([1-9]\d{0,2})")


@dataclass(frozen=True, slots=True)
class Shard:
    """The part `number` of `count`, from 1; 1 of 1 is everything."""

    number: int = 1
    count: int = 1

    @classmethod
    def of(cls, text: str) -> Self:
        """Such as 2/4. Raises ValueError."""
        found = _FORM.fullmatch(text.strip())
        if found is None or int(found[1]) > int(found[2]):
            raise ValueError("must be of the form 2/4: the second of four, counted from 1, at most 999")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def whole(self) -> bool:
        """Whether there is no other."""
        return self.count == 1

    def holds(self, environment: str) -> bool:
        """Whether an environment belongs to this part: to exactly one of all, by its name alone.

        By rendezvous hashing (Thaler and Ravishankar, 1998): where a part is added, what moves moves to that one.
        """
        return self.number == max(range(1, self.count + 1), key=lambda number: _weight(number, environment))


WHOLE = Shard()


def _weight(number: int, environment: str) -> bytes:
    return hashlib.blake2b(f"{number} {environment}".encode(), digest_size=8).digest()
