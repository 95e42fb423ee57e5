"""Small numbers and lists that transactions change."""

from __future__ import annotations

from typing import Protocol


class Registers(Protocol):
    """Small numbers and lists that transactions change."""
