"""The state database at the start of a daemon: whose it is, and what takes its place where it cannot be used."""

from __future__ import annotations

from secrets import token_hex

import structlog

from monitor.core.residue import Instance
from monitor.ports import StateError, StateTakenError
from monitor.stores.home import Home
from monitor.stores.lock import StateLock
from monitor.stores.state import KeptState

log = structlog.get_logger("holdfast")


async def open_state(home: Home, lock: StateLock) -> tuple[KeptState, Instance, str]:
    """The state database that is now this daemon's, who the daemon is by it, and what is wrong with it.

    Where it cannot be used, that is a clear error in the log, and one in memory takes its place. Raises StateTakenError
    where it is another daemon's.
    """
    state = KeptState(home)
    try:
        await lock.take()
        await state.open()
        return state, await open_instance(state), ""
    except StateTakenError:
        raise
    except StateError as error:
        trouble = f"{error}; until the next start, runs, violations and ledgers are kept in memory only"
        log.error("state.unusable", message=trouble)
        await state.close()
        await lock.release()
    state = KeptState(None)
    await state.open()
    return state, await open_instance(state), trouble


async def open_instance(state: KeptState) -> Instance:
    """Who this daemon is: the id that its state remembers, one incarnation later than before."""
    id_ = await state.recall("instance")
    incarnation = int(await state.recall("incarnation") or 0) + 1
    if id_ is None:
        id_ = token_hex(4)
        await state.remember("instance", id_)
    await state.remember("incarnation", str(incarnation))
    return Instance(id_, incarnation)
