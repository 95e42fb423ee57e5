"""Write canaries with and without an expiry, make memory a little shorter, and look which of them are still there."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import ClassVar

from pydantic import Field, field_validator

from monitor.core import eviction, size
from monitor.core.eviction import EACH, WEIGHT, Canary, Memory, Seen
from monitor.core.verdict import Finding, Kind, Reason
from monitor.ports import EvictionConnection, Store, StoreError
from monitor.probe import Duration, Probe, Run, Size, Use

_PIECE = 1 << 18  # bytes of ballast in one command: a larger one would hold up other clients
_LEAST, _MOST = 1 << 16, 1 << 24  # bytes of ballast
_LIVES = 3  # a canary with an expiry outlives its run, but not by much: some policies take first what expires soonest


class EvictionProbe(Probe[Seen]):
    """When memory is short only what the declared policy permits is evicted, and a full Redis is not called healthy.

    Without a declared policy the server's own counts.
    """

    name: ClassVar = "eviction"
    kinds: ClassVar = frozenset({Kind.EVICTED, Kind.LOST, Kind.CORRUPT})
    needs: ClassVar = {Store.REDIS: 2}
    steps: ClassVar = ("connect", "write", "press", "reconnect", "look", "ping", "delete")

    every: Duration = Field(default=timedelta(minutes=5), description="One run each so often.")
    budget: Duration = Field(default=timedelta(milliseconds=100), description="The time that each step may take.")
    share: Size = Field(default=256 << 10, description="Memory that is filled for a moment, 64kb to 16mb.")

    @field_validator("share")
    @classmethod
    def _is_small(cls, share: int) -> int:
        if not _LEAST <= share <= _MOST:
            raise ValueError(f"is {size.text(share)}; {size.text(_LEAST)} to {size.text(_MOST)} are possible")
        return share

    def plan(self) -> tuple[Use, ...]:
        """What one healthy run sends."""
        use = partial(Use, store=Store.REDIS)
        pieces = len(self._pieces)
        return (
            use(operation="memory", times=1),
            use(operation="plant_canaries", times=1, rows=2 * EACH, payload=2 * EACH * WEIGHT),
            use(operation="press", times=pieces, rows=pieces, payload=self.share),
            use(operation="look_at_canaries", times=1),
            use(operation="remove_canaries", times=1),
        )

    @property
    def _pieces(self) -> tuple[int, ...]:
        """How large each piece of the ballast is."""
        whole, rest = divmod(self.share, _PIECE)
        return (*[_PIECE] * whole, *([rest] if rest else []))

    async def observe(self, run: Run) -> Seen:
        """Write, press where nobody is harmed by it, go away, and look on a new connection."""
        evictions = run.environment.evictions
        canaries = evictions.canaries(run.run_id, life=_LIVES * self.timeout.total_seconds())
        ballast = [evictions.ballast(run.run_id, number) for number in range(len(self._pieces))]
        async with run.connection(evictions.connect, step="connect") as writer:
            before = await writer.memory()
            seen = partial(Seen, declared=evictions.policy, share=self.share, canaries=canaries)
            presses = before.has_room(self.share)
            try:
                async with run.step("write"):
                    await writer.plant(canaries)
                for key, amount in zip(ballast, self._pieces if presses else (), strict=False):
                    async with run.step("press"):
                        await writer.press(key, amount)
            except StoreError as error:
                full = await self._full(run, writer, error, canaries, ballast)
                return seen(before=full, refused=str(error))

        async with run.connection(evictions.connect, step="reconnect") as reader:
            sofar = partial(seen, before=before, pressed=self.share if presses else 0)
            reading = await run.reading(
                lambda on: on.look(canaries),
                lambda look: not any(eviction.check(sofar(), look)),
                on=reader,
                connect=evictions.connect,
                step="look",
            )
            async with run.step("delete"):
                await reader.delete(*(canary.key for canary in canaries), *ballast)
        return sofar(reading=reading)

    async def _full(
        self,
        run: Run,
        on: EvictionConnection,
        error: StoreError,
        canaries: tuple[Canary, ...],
        ballast: list[str],
    ) -> Memory:
        """The memory of a server that refused a write because it is full, and answers all the same."""
        if error.reason is not Reason.CAPACITY:
            raise error
        memory = await on.memory()
        with suppress(StoreError):  # what was refused outweighs a failure to tidy up
            await on.delete(*(canary.key for canary in canaries), *ballast)
        if not memory.full:  # a disk is full, or somebody has just made room
            raise error
        async with run.step("ping"):
            await on.ping()
        return memory

    def judge(self, seen: Seen) -> Finding:
        """Which canaries are gone, and whether that was permitted."""
        return eviction.judge(seen)
