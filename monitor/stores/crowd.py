"""Many users at once, through the pooler where there is one."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.stores.ways import Ways

OPERATIONS: Mapping[str, tuple[str, ...]] = {}
"""What a probe may ask for, and all that is then sent."""


class OwnCrowd:
    """Many users at once, through the pooler where there is one."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
