"""Where in a length of time each of many begins, so that they do not crowd."""

from __future__ import annotations

import hashlib
from math import sqrt

_GOLDEN = (sqrt(5) - 1) / 2


def share(*names: str) -> float:
    """The fraction of any interval that belongs to these names, in [0, 1): the same for ever, as if drawn at random."""
    return int.from_bytes(hashlib.blake2b("/".join(names).encode(), digest_size=4).digest(), "big") / 2**32


def evenly(number: int) -> float:
    """The fraction of an interval, in [0, 1), for the one with this number, however many follow.

    0 is at the beginning, neighbours are far apart, and however many there are, no gap is 3 times as wide as another:
    multiples of the golden ratio (Sós, 1958).
    """
    return number * _GOLDEN % 1.0
