"""Channels by which changes are pushed."""

from __future__ import annotations

from typing import Protocol


class Notices(Protocol):
    """Channels by which changes are pushed."""
