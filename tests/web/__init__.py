"""A small daemon for these tests: a real journal and real metrics, a state in memory, and a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, ClassVar

from monitor.core.ledger.found import Standing
from monitor.core.record import RunRecord, StepTiming
from monitor.core.rollup import Rollup
from monitor.core.slo import ErrorBudget
from monitor.core.verdict import Finding, Kind, Reason, Verdict, Violation
from monitor.core.violations import KeptViolation, Stage
from monitor.journal import Journal
from monitor.metrics import Metrics
from monitor.ports import Acknowledgement, Place, StateError, Store, Surroundings
from monitor.probe import Probe, Run, Use
from monitor.web.daemon import Notice, Resting, Watched

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKEN = "planted-token"
AUTH = {"Authorization": f"Bearer {TOKEN}"}
SCRIPT = "<script>alert('x')</script>"

LOST = Violation(
    kind=Kind.LOST,
    subject="message 3 of 7 after reload",
    expected="sha256 ab12",
    actual="absent",
    evidence={"missing": ["m3"], "again": True, "read_at": None},
)


class StillClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.moment = NOON

    def now(self) -> datetime:
        """The moment."""
        return self.moment

    def monotonic(self) -> float:
        """The same in seconds."""
        return self.moment.timestamp()


class MemoryState:
    """The State port in memory. Where `trouble` is set, every method raises it as StateError."""

    def __init__(self) -> None:
        self.kept_runs: dict[str, RunRecord] = {}
        self.kept_violations: dict[str, KeptViolation] = {}
        self.facts: dict[str, str] = {}
        self.trouble = ""

    def _asked(self) -> None:
        if self.trouble:
            raise StateError(self.trouble)

    async def save(self, ended: Sequence[RunRecord], changed: Sequence[KeptViolation]) -> None:
        """Keep runs and violations."""
        self._asked()
        self.kept_runs.update({each.run_id: each for each in ended})
        self.kept_violations.update({each.id: each for each in changed})

    async def runs(
        self, *, environment: str | None = None, probe: str | None = None, verdict: str | None = None, limit: int = 100
    ) -> list[RunRecord]:
        """The latest first."""
        self._asked()
        found = [
            each
            for each in self.kept_runs.values()
            if environment in (None, each.environment)
            and probe in (None, each.probe)
            and verdict in (None, each.verdict)
        ]
        return sorted(found, key=lambda each: each.started, reverse=True)[:limit]

    async def run(self, run_id: str) -> RunRecord | None:
        """By its id."""
        self._asked()
        return self.kept_runs.get(run_id)

    async def violations(self, *, stages: Sequence[Stage] = (), limit: int = 1000) -> list[KeptViolation]:
        """The latest opened first."""
        self._asked()
        found = [each for each in self.kept_violations.values() if not stages or each.stage in stages]
        return sorted(found, key=lambda each: each.opened, reverse=True)[:limit]

    async def acknowledgements(self) -> list[Acknowledgement]:
        """Nobody acknowledges anything here but the daemon itself."""
        self._asked()
        return []

    async def acknowledge(self, id_: str, *, at: datetime, note: str) -> bool:
        """Nobody does."""
        raise NotImplementedError

    async def prune(self, *, runs: datetime, failures: datetime, violations: datetime) -> int:
        """Forget nothing."""
        self._asked()
        assert max(runs, failures, violations) <= NOON
        return 0

    async def recall(self, name: str) -> str | None:
        """A fact."""
        self._asked()
        return self.facts.get(name)

    async def remember(self, name: str, value: str | None) -> None:
        """Keep a fact."""
        self._asked()
        if value is None:
            self.facts.pop(name, None)
        else:
            self.facts[name] = value


class _Idle(Probe[object]):
    """Nothing."""

    kinds: ClassVar = frozenset({Kind.LOST, Kind.LEAKED})
    needs: ClassVar = {Store.POSTGRES: 1}
    steps: ClassVar = ("connect", "reload")

    def plan(self) -> tuple[Use, ...]:
        """Nothing is sent."""
        return ()

    async def observe(self, run: Run) -> object:
        """Nothing is seen."""
        raise NotImplementedError

    def judge(self, seen: object) -> Finding:
        """Nothing is judged."""
        raise NotImplementedError


class Chat(_Idle):
    """A chat comes back."""

    name: ClassVar = "chat"


class Basket(_Idle):
    """A basket comes back."""

    name: ClassVar = "basket"


def watched(name: str, *probes: Probe[Any], left_out: Mapping[str, str] | None = None) -> Watched:
    """An environment with these probes."""
    return Watched(
        name=name,
        labels={"tier": "critical"},
        around=Surroundings(places=(Place(Store.POSTGRES),)),
        probes={each.name: each for each in probes},
        left_out=left_out or {},
    )


@dataclass(frozen=True)
class Call:
    """What the daemon was asked to change."""

    what: str
    environment: str


class SmallDaemon:
    """The daemon that the app would be: what it is asked it does at once, and the test says what comes of it."""

    version = "1.2.3"
    location = "eu-west-1"
    started = NOON - timedelta(days=1)

    def __init__(self) -> None:
        self.clock = StillClock()
        self.state = MemoryState()
        self.metrics = Metrics(location=self.location, version=self.version)
        self._ids = (f"0190aaaa-{number:04d}" for number in count(1))
        self.journal = Journal(self.state, clock=self.clock, new_id=lambda: next(self._ids))
        self.known: dict[str, Watched] = {}
        self.pauses: dict[str, datetime] = {}
        self.kept: dict[Store, Standing] = {}
        self.sick: dict[Store, Resting] = {}
        self.own_notices: list[Notice] = []
        self.lacking: list[str] = []
        self.budgets: dict[str, ErrorBudget] = {}
        self.rolled: list[Rollup] = []
        self.stall = 0.0
        self.calls: list[Call] = []
        self.outcome: Finding | BaseException = Finding.of((), checks=1)
        self._runs = (f"run-{number:04d}" for number in count(1))
        needs_redis = {"session": "needs redis, which this environment does not have"}
        self.watch(watched("production", Chat(), Basket(), left_out=needs_redis))

    def watch(self, environment: Watched) -> None:
        """Take up an environment."""
        self.known[environment.name] = environment
        self.journal.expect(environment.name, environment.probes)
        self.metrics.expect(
            environment.name, labels={}, probes=list(environment.probes.values()), stores=environment.around.stores
        )

    async def ran(self, finding: Finding, *, environment: str = "production", probe: str = "chat") -> RunRecord:
        """A run of a probe ended just now, 250 ms after its start."""
        took = timedelta(milliseconds=250)
        record = RunRecord(
            run_id=next(self._runs),
            environment=environment,
            probe=probe,
            started=self.clock.now() - took,
            took=took,
            finding=finding,
            steps=(StepTiming(name="reload", after=timedelta(), took=timedelta(milliseconds=20)),),
            server={"address": "10.0.0.1"},
        )
        await self.journal.add(record)
        self.metrics.record(record)
        self.metrics.standing(environment, self.journal.standing(environment))
        return record

    async def all_ran(self, finding: Finding) -> None:
        """Every probe of production ended so."""
        for probe in self.known["production"].probes:
            await self.ran(finding, probe=probe)

    def environments(self) -> Mapping[str, Watched]:
        """What is watched."""
        return self.known

    async def run_now(self, environment: str, probe: str) -> RunRecord:
        """A run with the outcome that the test set."""
        assert probe in self.known[environment].probes
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return await self.ran(self.outcome, environment=environment, probe=probe)

    async def pause(self, environment: str, until: datetime) -> None:
        """Note it."""
        self.pauses[self.known[environment].name] = until
        self.calls.append(Call("pause", environment))

    async def resume(self, environment: str) -> None:
        """Note it."""
        self.pauses.pop(self.known[environment].name, None)
        self.calls.append(Call("resume", environment))

    def paused_until(self, environment: str) -> datetime | None:
        """The end of a pause."""
        return self.pauses.get(environment)

    def resting(self, environment: str) -> Mapping[Store, Resting]:
        """What the test set."""
        assert environment in self.known
        return self.sick

    def ledgers(self, environment: str) -> Mapping[Store, Standing]:
        """What the test set."""
        assert environment in self.known
        return self.kept

    def budget(self, environment: str) -> ErrorBudget | None:
        """What the test set."""
        return self.budgets.get(environment)

    async def rollups(
        self, environment: str, probe: str | None, *, length: timedelta, since: datetime, until: datetime
    ) -> list[Rollup]:
        """What the test set."""
        return [
            each
            for each in self.rolled
            if (each.environment, each.length) == (environment, length)
            and probe in (None, each.probe)
            and since <= each.start < until
        ]

    def notices(self) -> Sequence[Notice]:
        """What the test set, after the trouble of the state database."""
        trouble = self.journal.trouble
        return [*([Notice("state database", trouble)] if trouble else []), *self.own_notices]

    def not_ready(self) -> Sequence[str]:
        """What the test set."""
        return self.lacking

    def stalled(self) -> float:
        """What the test set."""
        return self.stall


FINDINGS: Mapping[Verdict, Finding] = {
    Verdict.OK: Finding.of((), checks=3),
    Verdict.SLOW: Finding.slow("reload took 3 s of 2 s", checks=3),
    Verdict.UNKNOWN: Finding.unknown(Reason.UNREACHABLE, "connection refused"),
    Verdict.VIOLATED: Finding.of([LOST], checks=3),
}


def with_text(violation: Violation, text: str) -> Violation:
    """The same violation, with a text wherever a text may be."""
    return replace(violation, subject=text, expected=text, actual=text, evidence={text: text, "list": [text]})


def kinds(found: Iterable[Mapping[str, Any]]) -> list[str]:
    """The kinds of violations in an answer."""
    return [each["kind"] for each in found]
