"""Many users at once, through a pooler or a pool."""

from __future__ import annotations

from typing import Protocol


class Crowd(Protocol):
    """Many users at once, through a pooler or a pool."""
