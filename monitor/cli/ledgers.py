"""The ledgers of a configuration's state database, for commands that look into them while the daemon runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from monitor.cli import common
from monitor.cli.statefile import hindrance, home_in
from monitor.configfile import Loaded
from monitor.core.residue import Instance
from monitor.ports import StateError, SystemClock
from monitor.stores.ledger import Ledgers
from monitor.stores.state import KeptState

T = TypeVar("T")
ALL = 1_000_000_000
"""A limit that is none: a ledger bounds itself."""


def asked(loaded: Loaded, ask: Callable[[Ledgers, Instance], Awaitable[T]], *, code: int) -> T:
    """Ask the ledgers of the daemon of a configuration. Where there are none, that is said, and the end is `code`."""
    home = home_in(loaded.settings)
    if isinstance(home, Path) and not home.is_file():
        none = f"there is no state file {home}: no daemon of this configuration has run here yet; start `holdfast run`"
        common.fail(hindrance(home) or none, code)

    async def main() -> T:
        state, ledgers = KeptState(home), Ledgers(home, clock=SystemClock())
        try:
            await state.open()
            id_, incarnation = await state.recall("instance"), int(await state.recall("incarnation") or 0)
            if id_ is None:
                name = f"the state file {home}" if isinstance(home, Path) else str(home)
                raise StateError(f"{name} is of no daemon yet; start `holdfast run`")
            return await ask(ledgers, Instance(id_, incarnation))
        finally:
            await ledgers.close()
            await state.close()

    try:
        return common.run(main)
    except StateError as error:
        common.fail(str(error), code)
