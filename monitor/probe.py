"""The shape of a probe, what it holds during a run, and how probes are found."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from types import ModuleType
from typing import Annotated, ClassVar, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema, model_validator

from monitor.core import duration, size
from monitor.core.confirmation import Reading
from monitor.core.payload import Author
from monitor.core.record import Node, Propagation, RunRecord, StepTiming
from monitor.core.verdict import Finding, Kind
from monitor.ports import Ability, Clock, Connection, Environment, Store, Surroundings


def _length(value: object) -> object:
    if isinstance(value, str):
        return duration.parse(value)
    if isinstance(value, int | float):  # a bare 7 is seven seconds to one person and seven minutes to another
        raise ValueError("a length of time needs its unit; write it like 500ms, 30s, 5m, 1h30m or 7d")  # noqa: TRY004  pydantic wants it
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(_length),
    PlainSerializer(duration.text, return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$", "examples": ["500ms", "30s", "1h30m"]}
    ),
]
"""A length of time in settings: `500ms`, `30s`, `5m`, `1h30m`, `7d`."""


def _amount(value: object) -> object:
    if isinstance(value, str):
        return size.parse(value)
    if isinstance(value, bool):
        raise ValueError("expected an amount of memory, found true or false")  # noqa: TRY004  pydantic wants it
    return value


Size = Annotated[
    int,
    BeforeValidator(_amount),
    PlainSerializer(size.text, return_type=str),
    WithJsonSchema({"type": ["string", "integer"], "pattern": r"^\d+(b|kb|mb|gb)$", "examples": ["64kb", "1mb"]}),
]
"""An amount of memory in settings, in bytes or with its unit as Redis writes it: `64kb`, `1mb`."""

_IN_TIME = timedelta()  # one for all of the 200 steps that are kept of each environment

Seen = TypeVar("Seen")
C = TypeVar("C", bound=Connection)
T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Run:
    """One execution of one probe: its key, its environment, and the stopwatch of its steps.

    `acknowledged` are the kinds of its violations that stand acknowledged, with the moments of that. `lag` tells for
    how many seconds this process was late since a moment of the clock.
    """

    run_id: str
    probe: str
    environment: Environment
    clock: Clock
    acknowledged: Mapping[Kind, datetime] = field(default_factory=dict)
    lag: Callable[[float], float] = lambda _moment: 0.0
    steps: list[StepTiming] = field(default_factory=list)
    propagations: list[Propagation] = field(default_factory=list)
    node: Node | None = None
    started: datetime = field(init=False)
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock.now()
        self.began = self.clock.monotonic()

    @property
    def author(self) -> Author:
        """Who writes the content of this run."""
        return Author(
            environment=self.environment.name, probe=self.probe, run_id=self.run_id, speech=self.environment.speech
        )

    def step(self, name: str, *, messages: int = 0) -> Step:
        """Time one operation. Only the store is awaited inside: what is computed there would count as its latency.

        `messages` is how many it writes or reads, where throughput is of interest.
        """
        return Step(self, name, messages)

    def can(self, ability: Ability) -> bool:
        """Whether the probe can do something in this environment."""
        return self.environment.surroundings.can(self.probe, ability)

    def where(self) -> str:
        """In which step a run stopped, for messages; nothing if it was between steps."""
        failed = [step.name for step in self.steps if step.failed]
        return f", in step {failed[-1]}" if failed else ""

    def end(self, finding: Finding) -> RunRecord:
        """The record of this run, which ends now."""
        return RunRecord(
            run_id=self.run_id,
            environment=self.environment.name,
            probe=self.probe,
            started=self.started,
            took=timedelta(seconds=self.clock.monotonic() - self.began),
            finding=finding,
            steps=tuple(self.steps),
            propagations=tuple(self.propagations),
            server=self.node.evidence() if self.node else {},
        )

    @asynccontextmanager
    async def connection(self, connect: Callable[[str], Awaitable[C]], *, step: str | None = None) -> AsyncIterator[C]:
        """A new connection, opened in a timed step where one is named, and really closed at the end."""
        if step is None:
            opened = await connect(self.probe)
        else:
            async with self.step(step):
                opened = await connect(self.probe)
        try:
            yield opened
        finally:
            await opened.close()

    async def reading(
        self,
        read: Callable[[C], Awaitable[T]],
        right: Callable[[T], bool],
        *,
        on: C,
        connect: Callable[[str], Awaitable[C]],
        step: str | None = None,
        messages: int = 0,
    ) -> Reading[T]:
        """Read; and where that is not right, read once more on a new connection, and note which node answered.

        `right` only decides whether a second look is worth its cost; what both looks mean is for `judge`.
        """
        if step is None:
            first = await read(on)
        else:
            async with self.step(step, messages=messages):
                first = await read(on)
        if right(first):
            return Reading(first=first)
        async with self.connection(connect) as fresh:
            self.node = await fresh.node()
            return Reading(first=first, second=await read(fresh), node=self.node)


class Step:
    """The stopwatch of one operation: nothing is done between its reading of the clock and what it times."""

    __slots__ = ("_before", "_messages", "_name", "_run")

    def __init__(self, run: Run, name: str, messages: int) -> None:
        self._run, self._name, self._messages = run, name, messages

    async def __aenter__(self) -> None:
        self._before = self._run.clock.monotonic()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        run, before, failed = self._run, self._before, kind is not None
        took, lag = run.clock.monotonic() - before, run.lag(before)
        run.steps.append(
            StepTiming(
                name=self._name,
                after=timedelta(seconds=before - run.began),
                took=timedelta(seconds=took),
                failed=failed,
                messages=0 if failed else self._messages,
                lag=timedelta(seconds=min(lag, took)) if lag else _IN_TIME,
            )
        )


async def together(*operations: Coroutine[object, object, None]) -> None:
    """Run operations at once. The first failure cancels the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for operation in operations:
                group.create_task(operation)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One operation that a run asks of a store: its name in the store's catalogue, how often, and what it writes.

    `rows` are rows or keys written, `payload` the bytes that are sent as content, both for all `times` together.
    `share` is the share of runs that ask it, where not all do.
    """

    store: Store
    operation: str
    times: int
    rows: int = 0
    payload: int = 0
    share: float = 1.0


class Probe(BaseModel, Generic[Seen]):
    """One promise about persistence. The docstring of a probe is its promise; its fields are its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: ClassVar[str]
    """The probe's name; its file has the same."""
    kinds: ClassVar[frozenset[Kind]]
    """Every kind of violation that it may report, so that its counters exist at zero."""
    needs: ClassVar[Mapping[Store, int]]
    """The stores without which it does not run, each with the number of connections that it has open at once."""
    either: ClassVar[bool] = False
    """Whether any one of these stores is enough to run; what concerns the others is then left out."""
    steps: ClassVar[tuple[str, ...]]
    """Every step that it times, so that its histograms exist before the first run."""
    counted: ClassVar[frozenset[str]] = frozenset()
    """The steps whose messages are counted: by the time that they took, that is their throughput."""

    enabled: bool = Field(default=True, description="Whether the probe runs.")
    every: Duration = Field(default=timedelta(seconds=30), description="One run each so often.")
    timeout: Duration = Field(default=timedelta(seconds=10), description="The end of a run, whatever happens.")
    budget: Duration = Field(default=timedelta(seconds=2), description="The time that each step may take.")
    budgets: Mapping[str, Duration] = Field(default={}, description="Other budgets for single steps.")

    @model_validator(mode="after")
    def _times_fit(self) -> Probe[Seen]:
        if not timedelta(milliseconds=100) <= self.every:
            raise ValueError(f"every is {duration.text(self.every)}; at least 100ms is needed")
        if not timedelta() < self.timeout < self.every:
            raise ValueError(
                f"timeout ({duration.text(self.timeout)}) must be shorter than every ({duration.text(self.every)}), "
                "or runs would overlap"
            )
        unknown = sorted(set(self.budgets) - set(self.steps))
        if unknown:
            raise ValueError(
                f"budgets names no step of {self.name}: {', '.join(unknown)}; it has {', '.join(self.steps)}"
            )
        if min([self.budget, *self.budgets.values()]) <= timedelta():
            raise ValueError("a budget must be longer than nothing")
        return self

    @classmethod
    @cache
    def promise(cls) -> str:
        """The first sentence of the docstring."""
        return " ".join((cls.__doc__ or "").split("\n\n")[0].split())

    @classmethod
    def runs_in(cls, around: Surroundings) -> bool:
        """Whether there is what it needs."""
        found = [store in around.stores for store in cls.needs_in(around)]
        return any(found) if cls.either else all(found)

    @classmethod
    def lacks(cls, around: Surroundings) -> str:
        """What of that is missing, in words, where it does not run."""
        missing = sorted(set(cls.needs_in(around)) - around.stores)
        return f"needs {' and '.join(missing)}, which this environment does not have"

    @classmethod
    def needs_in(cls, around: Surroundings) -> Mapping[Store, int]:
        """What it needs there, where a binding may have moved what it uses to other stores."""
        return around.moved(cls.name, cls.needs)

    def budget_of(self, step: str) -> timedelta:
        """The time that a step may take."""
        return self.budgets.get(step, self.budget)

    def wants(self) -> Mapping[Store, int]:
        """How many connections to each primary store, poolers included, it has open at once with these settings."""
        return self.needs

    def wants_in(self, around: Surroundings) -> Mapping[Store, int]:
        """The same there, where a binding may have moved what it uses to other stores."""
        return around.moved(self.name, self.wants())

    def held_in(self, around: Surroundings) -> Mapping[Store, int]:
        """Those that a run waits for before it begins, and holds to its end; others it takes and gives back itself."""
        return self.wants_in(around)

    def left_out(self, around: Surroundings) -> tuple[str, ...]:  # noqa: ARG002  others need it
        """What is not checked where an environment has no more than this, a sentence each."""
        return ()

    def links(self, around: Surroundings) -> tuple[tuple[str, str], ...]:  # noqa: ARG002  others need it
        """Between which sources and targets it times propagation in such an environment, so that the series exist."""
        return ()

    @abstractmethod
    def plan(self) -> tuple[Use, ...]:
        """Everything that one run sends, for `holdfast plan`; held against real runs by a test."""

    @abstractmethod
    async def observe(self, run: Run) -> Seen:
        """Carry out the scenario and return what was seen. The only I/O; judges nothing."""

    @abstractmethod
    def judge(self, seen: Seen) -> Finding:
        """Compare what was seen with what was promised. Pure: the same evidence always gives the same finding."""


Probes = Mapping[str, type[Probe[object]]]


def discover(package: ModuleType) -> dict[str, type[Probe[object]]]:
    """Every probe of a package, one per module, by name.

    Raises TypeError where a module does not hold exactly one probe, or one whose name is not the module's.
    """
    found: dict[str, type[Probe[object]]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        own = [
            thing
            for thing in vars(module).values()
            if isinstance(thing, type)
            and issubclass(thing, Probe)
            and thing.__module__ == module.__name__
            and not thing.__pydantic_generic_metadata__["origin"]  # Probe[Seen] itself, which pydantic puts there too
        ]
        if len(own) != 1 or own[0].name != info.name:
            names = ", ".join(getattr(thing, "name", thing.__name__) for thing in own) or "none"
            raise TypeError(f"{module.__name__}: expected exactly one probe, named {info.name!r}; found {names}")
        found[info.name] = own[0]
    return found
