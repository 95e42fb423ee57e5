"""Store a session, update it from two clients, go away, come back, let it expire, damage it, and recover it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import ClassVar

from pydantic import Field

from monitor.core.expiry import Lease, Removals
from monitor.core.payload import synthetic_user
from monitor.core.session import COUNTERS, Session
from monitor.core.sightings import NOTHING_REMOVED, Ending, Judge, Look, Misrouting, Must, Seen, Sighting
from monitor.core.verdict import Finding, Kind
from monitor.ports import (
    Declared,
    Discipline,
    MisroutedError,
    MissingError,
    SessionConnection,
    Sessions,
    Store,
    StoreError,
)
from monitor.probe import Duration, Probe, Run, Use, together

COUNTER = COUNTERS[0]


@dataclass(slots=True, kw_only=True)
class Watch:
    """What a scenario notes on its way. `lease` is its first, and `removed` the server's counters before it.

    `missing` is there where an update found no session that it could change.
    """

    run: Run
    sessions: Sessions
    lease: Lease
    removed: Removals
    keys: tuple[str, ...]
    sightings: list[Sighting] = field(default_factory=list)
    missing: MissingError | None = None
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.run.clock.monotonic()

    async def end(self, on: SessionConnection, ending: Ending | None = None) -> Seen:
        """Tidy up, read the server's counters and clock once more, and say what was seen."""
        removed = await on.removals()
        clock = (await on.look(self.keys[0])).sights[0]
        gap = (clock.after - self.lease.before) - (self.run.clock.monotonic() - self.began)
        with suppress(*(() if ending else (StoreError,))):  # what was seen outweighs a failure to tidy up
            await on.delete(*self.keys)
        return Seen(
            sightings=tuple(self.sightings),
            removals=Removals(
                evicted=_since(self.removed.evicted, removed.evicted),
                expired=_since(self.removed.expired, removed.expired),
            ),
            clock_gap=gap,
            ending=ending,
        )


class SessionProbe(Probe[Seen | Misrouting]):
    """A session comes back on a new connection with every update, lives as long as declared, and is its owner's.

    Damage to a stored value is recognised and the session recovered from its source.
    """

    name: ClassVar = "session"
    kinds: ClassVar = frozenset(
        {
            Kind.LOST,
            Kind.CORRUPT,
            Kind.DUPLICATED,
            Kind.LOST_UPDATE,
            Kind.LEAKED,
            Kind.MISROUTED,
            Kind.RESURRECTED,
            Kind.TTL_MISSING,
            Kind.TTL_EARLY,
            Kind.TTL_LATE,
            Kind.EVICTED,
        }
    )
    needs: ClassVar = {Store.REDIS: 2}
    steps: ClassVar = ("connect", "save", "update", "reconnect", "recover", "touch", "repair", "delete")

    every: Duration = Field(default=timedelta(seconds=15), description="One run each so often.")
    budget: Duration = Field(default=timedelta(milliseconds=100), description="The time that each step may take.")
    ttl: Duration = Field(default=timedelta(minutes=1), description="How long a session is declared to live.")
    brief_ttl: Duration = Field(
        default=timedelta(milliseconds=500), description="How long the session lives that is seen to expire."
    )
    tolerance: Duration = Field(
        default=timedelta(milliseconds=50), description="How far an expiry may be off by the server's own clock."
    )
    sliding: bool = Field(default=True, description="Whether each use of a session begins its time to live anew.")
    updates: int = Field(default=5, ge=1, le=100, description="Increments that each of two clients makes at once.")
    discipline: Discipline = Field(default="watch", description="How updates are made; naive loses some.")

    def plan(self) -> tuple[Use, ...]:
        """What one healthy run sends."""
        use = partial(Use, store=Store.REDIS)
        kept = "_fields" if self.discipline == "fields" else ""
        return (
            use(operation="removals", times=2),
            use(operation=f"save{kept}", times=4, rows=4, payload=4 * 800),
            use(operation=f"look{kept}", times=7 + self.sliding),
            use(
                operation=f"increment_{self.discipline}",
                times=2 * self.updates,
                rows=2 * self.updates,
                payload=2 * self.updates * 800,
            ),
            use(operation="touch", times=int(self.sliding)),
            use(operation=f"damage{kept}", times=1, rows=1, payload=9),
            use(operation="delete", times=2),
        )

    async def observe(self, run: Run) -> Seen | Misrouting:
        """Carry out the scenario; where a reply belongs to another request, carry it out once more."""
        try:
            return await self._scenario(run, "a")
        except MisroutedError as error:
            first = str(error)
        try:
            await self._scenario(run, "b")
        except MisroutedError as error:
            return Misrouting(first=first, second=str(error))
        return Misrouting(first=first, second=None)

    async def _scenario(self, run: Run, attempt: str) -> Seen:
        """Save three sessions; update one from two clients; go away, come back, and look at each promise in turn."""
        sessions = run.environment.sessions.under(self.discipline)
        connect, key = sessions.connect, sessions.key
        declared = sessions.declared or Declared(ttl=self.ttl.total_seconds(), sliding=self.sliding)
        ttl, brief_ttl = declared.ttl, self.brief_ttl.total_seconds()
        user, stranger = synthetic_user(0), synthetic_user(1)
        own = Session.of(key(run.run_id, f"{attempt}-own", user=user), user=user)
        other = Session.of(key(run.run_id, f"{attempt}-other", user=stranger), user=stranger)
        brief = Session.of(key(run.run_id, f"{attempt}-brief", user=user), user=user)

        async with run.connection(connect, step="connect") as writer:
            removed = await writer.removals()
            async with run.step("save"):
                lease = await writer.save(own, ttl=ttl)
            watch = Watch(
                run=run, sessions=sessions, lease=lease, removed=removed, keys=(own.key, other.key, brief.key)
            )
            beside = Must(session=other, lease=await writer.save(other, ttl=ttl))
            passing = Must(session=brief, lease=await writer.save(brief, ttl=brief_ttl))
            if not await self._right(watch, writer, "after saving", Must(session=own, lease=lease), beside, passing):
                return await watch.end(writer)
            updated = Must(session=own, lease=lease, increments=await self._update(watch, writer, own))

        async with run.connection(connect, step="reconnect") as reader:
            if not await self._right(watch, reader, "recover", updated, beside, step="recover"):
                return await watch.end(reader)
            if watch.missing is not None:
                raise watch.missing
            if declared.sliding:
                async with run.step("touch"):  # twice as long: an expiry that did not move is then far off
                    prolonged = await reader.touch(own.key, ttl=2 * ttl)
                if not await self._right(watch, reader, "after use", replace(updated, lease=prolonged)):
                    return await watch.end(reader)

            await reader.damage(own.key)
            damaged = await reader.look(own.key)
            async with run.step("repair"):
                lease = await reader.save(own, ttl=ttl)
            if not await self._right(watch, reader, "after repair", Must(session=own, lease=lease), beside):
                return await watch.end(reader)

            patience = brief_ttl + self.tolerance.total_seconds()  # at most, whatever the server's clock says meanwhile
            await asyncio.sleep(min(patience, passing.lease.latest + patience - brief_ttl - damaged.sights[0].after))
            expired = await run.reading(
                lambda on: on.look(brief.key, other.key), _first_is_gone, on=reader, connect=connect
            )
            async with run.step("delete"):
                await reader.delete(own.key)
            deleted = await run.reading(
                lambda on: on.look(own.key, other.key), _first_is_gone, on=reader, connect=connect
            )
            ending = Ending(own=own, damaged=damaged, brief=passing.lease, expired=expired, deleted=deleted)
            return await watch.end(reader, ending)

    async def _right(
        self, watch: Watch, on: SessionConnection, name: str, *musts: Must, step: str | None = None
    ) -> bool:
        """Look at some sessions, and note what was seen. False if a second look was needed."""
        keys = [must.session.key for must in musts]
        reading = await watch.run.reading(
            lambda connection: connection.look(*keys),
            lambda look: not any(self._judge.wrong(musts, NOTHING_REMOVED, look)),
            on=on,
            connect=watch.sessions.connect,
            step=step,
        )
        watch.sightings.append(Sighting(name=name, musts=musts, reading=reading))
        return not reading.doubtful

    async def _update(self, watch: Watch, writer: SessionConnection, own: Session) -> int:
        """Two clients increment the same counter at once. Returns how often that was acknowledged."""
        run, acknowledged = watch.run, 0

        async def client(connection: SessionConnection) -> None:
            nonlocal acknowledged
            for _ in range(self.updates):
                async with run.step("update"):
                    await connection.increment(own, COUNTER)
                acknowledged += 1

        async def patient_client(connection: SessionConnection) -> None:
            try:
                await client(connection)
            except MissingError as error:  # the next look tells what became of the session
                watch.missing = error

        async with run.connection(watch.sessions.connect) as second:
            await together(patient_client(writer), patient_client(second))
        return acknowledged

    def judge(self, seen: Seen | Misrouting) -> Finding:
        """Each look against what had to be there; then what had to be gone, beside what had to stay."""
        return self._judge(seen)

    @property
    def _judge(self) -> Judge:
        return Judge(counter=COUNTER, tolerance=self.tolerance.total_seconds())


def _since(before: int, now: int) -> int:
    """What a counter of the server has counted; it begins at nothing where the server begins anew."""
    return now - before if now >= before else now


def _first_is_gone(look: Look) -> bool:
    return not look.sights[0].present
