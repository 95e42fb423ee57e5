"""Users' profiles, and what is cached of them."""

from __future__ import annotations

from typing import Protocol


class Profiles(Protocol):
    """Users' profiles, and what is cached of them."""
