"""The ledger of acknowledged writes in the state database: intents on disk before they are sent, in groups."""

from __future__ import annotations

from pathlib import Path

from monitor.ports import Clock, Ledger


class Ledgers:
    """The ledgers of all environments in one SQLite file, or in memory where the path is None.

    `of` gives that of one environment. Intents and outcomes of all of them go to disk together: whoever comes while
    a group is being written makes the next. Opened by the first that asks.
    """

    def __init__(self, path: Path | None, *, clock: Clock) -> None:
        self.path = path
        self._clock = clock

    def of(self, environment: str) -> Ledger:
        """The ledger of one environment."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of the file."""
