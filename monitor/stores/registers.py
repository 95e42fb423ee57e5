"""Small numbers and lists in the schema `holdfast`, which transactions change."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.stores.ways import Ways

OPERATIONS: Mapping[str, tuple[str, ...]] = {}
"""What a probe may ask for, and all that is then sent."""


class OwnRegisters:
    """Small numbers and lists in the schema `holdfast`, which transactions change."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways
