"""Sources, and the places where a change must arrive."""

from __future__ import annotations

from typing import Protocol


class Copies(Protocol):
    """Sources, and the places where a change must arrive."""
