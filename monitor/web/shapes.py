"""The shapes of all answers of the API. `wire` makes them, and the OpenAPI document is made of them: one source."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

from monitor.core.verdict import Kind, Reason, Verdict
from monitor.core.violations import Stage
from monitor.ports import Store


class Step(TypedDict):
    """One timed operation of a run; `messages` is how many it wrote or read, where that is what it is for."""

    step: str
    after_seconds: float | None
    took_seconds: float | None
    failed: bool
    messages: NotRequired[int]


class Run(TypedDict):
    """One execution of one probe, without the evidence of what it found. Moments are ISO 8601 in UTC."""

    run_id: str
    environment: str
    probe: str
    verdict: Verdict
    reason: Reason | None
    message: str
    kinds: list[Kind]
    checks: int
    left_out: list[str]
    started: str | None
    took_seconds: float | None
    steps: list[Step]
    server: dict[str, Any]


class Found(TypedDict):
    """One broken promise, as a run found it."""

    kind: Kind
    subject: str
    expected: str
    actual: str
    evidence: dict[str, Any]


class RunWithEvidence(Run):
    """A run that has just ended, with all that it found."""

    violations: list[Found]


class KeptViolation(TypedDict):
    """A broken promise with its life, without its evidence; `times` is how many runs found it.

    `runbook` is the name of a page below /runbooks.
    """

    id: str
    environment: str
    probe: str
    kind: Kind
    stage: Stage
    subject: str
    expected: str
    actual: str
    times: int
    opened: str | None
    last_seen: str | None
    acknowledged: str | None
    closed: str | None
    note: str
    run_id: str
    last_run_id: str
    runbook: str


class ViolationWithEvidence(KeptViolation):
    """A violation with all that somebody needs in order to act."""

    evidence: dict[str, Any]


class ProbeNow(TypedDict):
    """One probe as it stands now. What was right long ago is unknown: `overdue`, paused, or its store is left alone."""

    verdict: Verdict
    reason: Reason | None
    message: str
    left_out: list[str]
    last_run: str | None
    age_seconds: float | None
    took_seconds: float | None
    overdue: bool
    run_id: str | None


class Probe(ProbeNow):
    """One probe of an environment: what it promises, how often and how long it runs, and how it stands now."""

    promise: str
    every_seconds: float | None
    timeout_seconds: float | None
    budget_seconds: dict[str, float | None]


class Records(TypedDict):
    """How many records a ledger has, by their state."""

    live: int
    lost: int
    indeterminate: int
    expired: int


class Ledger(TypedDict):
    """What the ledger of one store says: looks that were due within the hour and taken, and what a failover cost."""

    records: Records
    due: int
    verified: int
    oldest_verified_age_seconds: float | None
    recovery_point_seconds: float | None
    recovery_time_seconds: float | None


class ErrorBudget(TypedDict):
    """How many runs of a window were good and bad; `left` is a share of what may be bad, below 0 if overspent."""

    objective: float
    window_seconds: float | None
    good: int
    bad: int
    left: float


class Environment(TypedDict):
    """One environment with all that is known of it now."""

    environment: str
    labels: dict[str, str]
    stores: list[Store]
    verdict: Verdict
    paused_until: str | None
    stores_tried_next: dict[Store, str | None]
    violations: list[KeptViolation]
    probes: dict[str, Probe]
    ledger: dict[Store, Ledger]
    error_budget: ErrorBudget | None
    left_out: dict[str, str]


class Health(TypedDict):
    """One environment for people on call: what is wrong, since when, and what was expected instead."""

    environment: str
    verdict: Verdict
    paused_until: str | None
    stores_tried_next: dict[Store, str | None]
    violations: list[KeptViolation]
    probes: dict[str, ProbeNow]


class Notice(TypedDict):
    """Something about the daemon itself that somebody should mend."""

    about: str
    message: str


class Endpoint(TypedDict):
    """One thing that can be asked; `token` says whether the bearer token is needed."""

    method: str
    path: str
    token: bool


class Index(TypedDict):
    """The daemon, and what can be asked of it."""

    version: str
    location: str
    started: str | None
    notices: list[Notice]
    endpoints: list[Endpoint]


class Environments(TypedDict):
    """Environments in the order of the configuration; where some were sought, the worst first, and what fits."""

    environments: list[Environment]
    notices: list[Notice]
    total: int
    matching: int
    page: int
    pages: int
    counts: dict[Verdict, int]


class Runs(TypedDict):
    """The latest runs first."""

    runs: list[Run]


class Violations(TypedDict):
    """The latest opened first."""

    violations: list[KeptViolation]


class RolledStep(TypedDict):
    """One step within a span: how often it ended well, how often over its budget, and how long it took."""

    count: int
    over: int
    budget_seconds: float | None
    p50_seconds: float | None
    p90_seconds: float | None
    p99_seconds: float | None


class RolledPropagation(TypedDict):
    """How long changes took from one place to another within a span."""

    source: str
    target: str
    count: int
    p50_seconds: float | None
    p90_seconds: float | None
    p99_seconds: float | None


class Rollup(TypedDict):
    """What the runs of one probe came to that began within `length_seconds` from `start`."""

    probe: str
    start: str | None
    verdicts: dict[Verdict, int]
    reasons: dict[Reason, int]
    steps: dict[str, RolledStep]
    propagations: list[RolledPropagation]


class Rollups(TypedDict):
    """The runs of an environment by the hour or the day, the earliest first; spans that have ended, and no others."""

    rollups: list[Rollup]
    environment: str
    length_seconds: float | None
    since: str | None


class Pause(TypedDict):
    """Until when nothing runs against an environment; null where it is not paused."""

    environment: str
    paused_until: str | None


class Hello(TypedDict):
    """The first event of a stream. `resumed` says that nothing was missed since the Last-Event-ID that was sent."""

    version: str
    location: str
    started: str | None
    resumed: bool


class ViolationChanged(TypedDict):
    """A violation was opened, closed or acknowledged."""

    change: str
    violation: KeptViolation


class EnvironmentChanged(TypedDict):
    """The verdict of an environment changed, or its pause; the verdict is null where it is watched no more."""

    environment: str
    verdict: Verdict | None
    paused_until: str | None


class Reset(TypedDict):
    """Events were missed: what is shown must be asked for anew."""

    why: str


class Wrong(TypedDict):
    """What is wrong, and what to do next."""

    message: str
    next: str


class Error(TypedDict):
    """A request that could not be answered as it was asked."""

    error: Wrong
