"""Single transactions that end in every way there is, each under the eyes of another connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

from monitor.core.atomicity import ROWS, Ending, Trial
from monitor.ports import ConflictError, RegisterConnection

_HIDDEN = "what a killed server process leaves: this role may not end one of its own, or does not see it"
_STILL_THERE = "its server process is still there, as if it knew of nothing"


async def carry_out(ending: Ending, rows: UUID, *, actor: RegisterConnection, observer: RegisterConnection) -> Trial:
    """One transaction on a new set of rows; -> what was seen of it. Raises StoreError."""
    return await _TRIALS[ending](rows, actor, observer)


async def _commit(rows: UUID, actor: RegisterConnection, observer: RegisterConnection) -> Trial:
    await actor.begin()
    await actor.insert(rows, ROWS)
    during = await observer.look(rows)
    answer = await _committed(actor)
    after = await observer.look(rows)
    return Trial(ending=Ending.COMMIT, keeps=ROWS, during=during, after=after, answer=answer)


async def _fail(rows: UUID, actor: RegisterConnection, observer: RegisterConnection) -> Trial:
    """After a statement that failed the server answers ROLLBACK to COMMIT, and raises nothing."""
    await actor.begin()
    await actor.insert(rows, ROWS)
    await actor.fail(rows, min(ROWS))
    answer = await actor.end("COMMIT")
    return Trial(ending=Ending.FAIL, after=await observer.look(rows), answer=answer)


async def _roll_back(rows: UUID, actor: RegisterConnection, observer: RegisterConnection) -> Trial:
    await actor.begin()
    await actor.insert(rows, ROWS)
    await actor.end("ROLLBACK")
    return Trial(ending=Ending.ROLL_BACK, after=await observer.look(rows))


async def _savepoint(rows: UUID, actor: RegisterConnection, observer: RegisterConnection) -> Trial:
    """What follows a savepoint is taken back; what comes before it, and after that, is kept."""
    first, second, third = ROWS
    await actor.begin()
    await actor.insert(rows, {first: ROWS[first]})
    await actor.savepoint("SAVEPOINT")
    await actor.insert(rows, {second: ROWS[second]})
    await actor.savepoint("ROLLBACK TO SAVEPOINT")
    await actor.insert(rows, {third: ROWS[third]})
    await actor.savepoint("RELEASE SAVEPOINT")
    answer = await _committed(actor)
    keeps = {number: ROWS[number] for number in (first, third)}
    return Trial(ending=Ending.SAVEPOINT, keeps=keeps, after=await observer.look(rows), answer=answer)


async def _kill(rows: UUID, actor: RegisterConnection, observer: RegisterConnection) -> Trial:
    """Only the server process of the actor's own open transaction is ended."""
    await actor.begin()
    await actor.insert(rows, ROWS)
    process = await actor.process()
    if not await observer.end_process(process):
        await actor.end("ROLLBACK")
        return Trial(ending=Ending.KILL, left_out=_HIDDEN)
    gone = await observer.gone(process)
    answer = await actor.commit_if_alive()
    after = await observer.look(rows)
    return Trial(ending=Ending.KILL, after=after, answer=answer, doubt="" if gone else _STILL_THERE)


async def _vanish(rows: UUID, actor: RegisterConnection, observer: RegisterConnection) -> Trial:
    await actor.begin()
    await actor.insert(rows, ROWS)
    process = await actor.process()
    actor.vanish()
    gone = await observer.gone(process)
    return Trial(ending=Ending.VANISH, after=await observer.look(rows), doubt="" if gone else _STILL_THERE)


async def _committed(actor: RegisterConnection) -> str:
    answer = await actor.end("COMMIT")
    if answer != "COMMIT":
        raise ConflictError(f"PostgreSQL answered COMMIT by {answer}: the transaction did not happen", why=answer)
    return answer


_TRIALS: Mapping[Ending, Callable[[UUID, RegisterConnection, RegisterConnection], Awaitable[Trial]]] = {
    Ending.COMMIT: _commit,
    Ending.FAIL: _fail,
    Ending.ROLL_BACK: _roll_back,
    Ending.SAVEPOINT: _savepoint,
    Ending.KILL: _kill,
    Ending.VANISH: _vanish,
}
