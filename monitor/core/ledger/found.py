"""What stores answered, what was found in them, and what the ledger keeps of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from monitor.core.ledger.entries import Fate, Mark
from monitor.core.ledger.evidence import Evidence
from monitor.core.verdict import Json

SETTLED_BY = "settled_by"  # in the details of a loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a store answered to a write.

    `moved` says whether the register held what was expected and was moved; else nothing at all was written and
    `before` is what it holds. `weak`: acknowledged although the wait for a synchronous standby was cancelled.
    """

    moved: bool
    before: Mark | None
    weak: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one look found on one node in one snapshot.

    `digests` has those of the records that were asked for and are there, by their marks. `others` are the ledgers of
    other daemons that have records here: daemon, how many records, seconds since its register last moved.
    """

    evidence: Evidence
    register: Mark | None
    digests: Mapping[Mark, str]
    others: tuple[tuple[str, int, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """The register held another mark than the last one that was acknowledged, or one whose answer was lost.

    `second` is what a new connection read before anything was written again. `entry` is the write that found it.
    """

    id: int
    place: str
    at: datetime
    expected: tuple[Mark | None, ...]
    first: Mark | None
    second: Mark | None
    writable: bool
    before: int | None
    """The epoch in which the last write had been acknowledged."""
    epoch: int
    """The epoch in which it was found."""
    judged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """How long one operation (`connect`, `read`, `write`) was not possible: surely `least`, at the most `most`.

    `began` is the last moment at which it surely worked, `ended` the first at which it surely worked again; None while
    it lasts.
    """

    store: str
    operation: str
    began: datetime
    ended: datetime | None
    least: timedelta
    most: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Acknowledged writes that were found to be lost together, and why. The history of these stays.

    `first` and `last` are the lowest and the highest number that is lost, `records` how many identified ones, `writes`
    how many in all; `suffix` says whether nothing later had been acknowledged. RPO bounds: the time between the
    acknowledgements of what was kept last and lost last. `details` is what the violation's evidence says.
    """

    id: int = 0
    environment: str
    store: str
    found: datetime
    cause: str
    first: Mark
    last: Mark
    records: int
    writes: int
    suffix: bool
    least: timedelta
    most: timedelta
    accepted: datetime | None = None
    details: Mapping[str, Json] = field(default_factory=dict)

    @property
    def settled_by(self) -> str:
        """Which declaration settled it; empty while it stands, and where it was acknowledged or its data came back."""
        return str(self.details.get(SETTLED_BY, ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Somebody declared that an environment was restored to a point: what was acknowledged later is forgiven."""

    environment: str
    at: datetime
    declared: datetime
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What a look found of an entry, and when it is due again; `due` None after the last rung."""

    mark: Mark
    fate: Fate
    at: datetime
    rung: int
    due: datetime | None
    accepted: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a ledger stands for one store of an environment, as the metrics show it.

    `live` are identified records that are owed and not known to be lost, `indeterminate` those whose answer was lost,
    `expired` those that were retired. `due` are the looks that fell due within the past hour or are overdue,
    `verified` those of them that were taken. `oldest` is the age of the oldest record that was found as it should be.
    """

    live: int = 0
    lost: int = 0
    indeterminate: int = 0
    expired: int = 0
    due: int = 0
    verified: int = 0
    oldest: timedelta | None = None
    recovery_point: timedelta | None = None
    recovery_time: timedelta | None = None
