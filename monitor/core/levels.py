"""The isolation levels of PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Isolation = Literal["read committed", "repeatable read", "serializable"]
"""The isolation levels of PostgreSQL; read uncommitted is read committed there."""

LEVELS: tuple[Isolation, ...] = ("read committed", "repeatable read", "serializable")
"""All of them, the weakest first."""

MODELS: Mapping[Isolation, str] = {
    "read committed": "read-committed",
    "repeatable read": "snapshot-isolation",
    "serializable": "serializable",
}
"""The consistency model that each of them promises, as the judge of histories calls it."""
