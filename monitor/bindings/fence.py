"""Whether a statement can touch nothing but what is synthetic."""

from __future__ import annotations

from typing import Literal


def fenced(sql: str, *, kind: Literal["begin", "clean", "other"] = "other") -> None:
    """Raise ValueError where it could touch, or read, more."""
