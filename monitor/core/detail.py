"""How much is exported of each environment."""

from __future__ import annotations

from enum import StrEnum


class Detail(StrEnum):
    """How many series an environment has: they cost memory here, and more where they are kept.

    `low` leaves out steps, and zeros of what never came but for the reasons that alerts count; `high` has twice as many
    buckets.
    """

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
