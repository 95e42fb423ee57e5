"""Write and read at a fixed rate, many users at once, and look whether all that was acknowledged is there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import ClassVar

from pydantic import Field, model_validator

from monitor.bursting import Burst, Following
from monitor.core import bursts, duration, openloop
from monitor.core.bursts import Seen
from monitor.core.openloop import Act, Figures, Limits
from monitor.core.verdict import Finding, Kind
from monitor.ports import Place, Store, Surroundings, Way
from monitor.probe import Duration, Probe, Run, Use

AVERAGE_BYTES = 320  # of one message with its metadata, over all kinds of content but the one of 64 KiB
_BESIDE = 2  # connections besides those that are worked on: one to watch, one for a second look


class LoadProbe(Probe[Seen]):
    """Under a burst at a fixed rate all that is acknowledged comes back once, in order, and to its owner only.

    It is an open loop: each operation has its moment, whatever became of those before it, and its latency counts from
    that moment. The steps `create_thread`, `append_message`, `reload` and `look` are measured so; `connect` is not.

    The burst stops at once where too many operations fail, its p99 or the lag of a replica is over its limit, or too
    many wait. That breaks no promise: it is `slow`, or unknown with the reason of the failures. It gives its
    connections back as soon as another probe of the environment waits for one, goes on later, and says so.
    """

    name: ClassVar = "load"
    kinds: ClassVar = frozenset({Kind.LOST, Kind.CORRUPT, Kind.REORDERED, Kind.DUPLICATED, Kind.PHANTOM, Kind.LEAKED})
    needs: ClassVar = {Store.POSTGRES: 1 + _BESIDE}
    steps: ClassVar = ("connect", *(act.value for act in Act))

    enabled: bool = Field(default=False, description="Whether the probe runs. It is off unless somebody wants it.")
    every: Duration = Field(default=timedelta(minutes=15), description="One burst each so often.")
    timeout: Duration = Field(
        default=timedelta(minutes=1), description="The end of a run, whatever happens; at least twice `length`."
    )
    rate: float = Field(
        default=20.0,
        ge=1,
        le=200,
        allow_inf_nan=False,
        description="Operations a second; eight in ten append a message.",
    )
    length: Duration = Field(default=timedelta(seconds=5), description="How long a burst takes, 100ms to 1m.")
    ramp: Duration = Field(
        default=timedelta(seconds=1), description="How long the rate rises to `rate`; at most `length`."
    )
    users: int = Field(default=4, ge=2, le=8, description="Users who write at once, each in its own conversations.")
    connections: int = Field(
        default=2, ge=1, le=20, description="Connections that they share; two more watch and look again."
    )
    errors: float = Field(
        default=0.05,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="The share of the latest 100 operations that may fail before it stops.",
    )
    p99: Duration = Field(
        default=timedelta(seconds=1), description="The p99 of the latest 100, from the intended start, before it stops."
    )
    lag: Duration = Field(
        default=timedelta(seconds=2), description="How far a replica of PostgreSQL may fall behind before it stops."
    )
    in_flight: int = Field(
        default=100, ge=1, le=1000, description="Operations that may wait for their answers before it stops."
    )

    longest: ClassVar[timedelta] = timedelta(minutes=1)
    most: ClassVar[int] = 2000

    @model_validator(mode="after")
    def _burst_fits(self) -> LoadProbe:
        if not self.enabled:  # what does not run must not refuse a timeout that is meant for others
            return self
        if not timedelta(milliseconds=100) <= self.length <= self.longest:
            raise ValueError(f"length must be 100ms to {duration.text(self.longest)}")
        if self.ramp > self.length:
            raise ValueError("ramp must not be longer than length")
        if self.timeout < 2 * self.length:
            raise ValueError("timeout must be at least twice length: what was written is read once more, and removed")
        if self.figures.operations > self.most:
            raise ValueError(
                f"rate and length make {self.figures.operations} operations in a burst, and {self.most} may be"
            )
        return self

    @property
    def figures(self) -> Figures:
        """How much is asked."""
        return Figures(
            rate=self.rate,
            seconds=self.length.total_seconds(),
            ramp=self.ramp.total_seconds(),
            users=self.users,
            connections=self.connections,
        )

    @property
    def limits(self) -> Limits:
        """What stops it."""
        p99, lag = self.p99.total_seconds(), self.lag.total_seconds()
        return Limits(errors=self.errors, p99=p99, lag=lag, in_flight=self.in_flight)

    def wants(self) -> Mapping[Store, int]:
        """Those that are worked on, one to watch by, one for a second look."""
        return {Store.POSTGRES: self.connections + _BESIDE}

    def held_in(self, around: Surroundings) -> Mapping[Store, int]:  # noqa: ARG002  it takes them itself
        """None from beginning to end: it gives way."""
        return {}

    def left_out(self, around: Surroundings) -> tuple[str, ...]:
        """What a burst does not go through, and what a binding does not let it see."""
        bound = self.name in around.bound
        through = "whether users see each other's under load is not checked through a binding; `isolation` does so"
        beside = "the burst does not go through the pooler; `pool` does"
        pooled = Place(Store.POSTGRES, Way.POOLER) in around.places
        return (*([through] if bound else []), *([beside] if pooled else []))

    def plan(self) -> tuple[Use, ...]:
        """What one healthy burst sends; replicas are looked at four times a second."""
        use, counts = partial(Use, store=Store.POSTGRES), openloop.counted(self.figures)
        begun, appended = counts[Act.CREATE], counts[Act.APPEND]
        looks = counts[Act.RELOAD] + counts[Act.LOOK] + 2 * begun
        return (
            use(operation="who_is_bound", times=1),
            use(operation="create_thread", times=begun, rows=begun, payload=begun * 120),
            use(operation="append_message", times=appended, rows=appended, payload=appended * AVERAGE_BYTES),
            use(operation="load_thread", times=looks),
            use(operation="log_written", times=round(4 * self.length.total_seconds())),
            use(operation="log_replayed", times=round(4 * self.length.total_seconds())),
            use(operation="delete_thread", times=begun),
        )

    async def observe(self, run: Run) -> Seen:
        """A burst, all of it once more, and its removal."""
        burst = Burst(
            run,
            self.figures,
            self.limits,
            needs=self.wants_in(run.environment.surroundings),
            patience=self.timeout / 4,
            following=self.follow(),
        )
        return await burst.carry_out()

    def follow(self) -> Following:
        """What the burst of a run is followed by."""
        return Following()

    def judge(self, seen: Seen) -> Finding:
        """Every acknowledged message once, in order, and to its owner only; then whether the burst was stopped."""
        return bursts.judge(seen)
