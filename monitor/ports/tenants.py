"""Users, and every path to what is theirs."""

from __future__ import annotations

from typing import Protocol


class Tenants(Protocol):
    """Users, and every path to what is theirs."""
