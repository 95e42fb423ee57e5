"""What is asked of a judge of one store, and what comes back: values, made and used by others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from monitor.core.ledger.entries import Entry, Mark
from monitor.core.ledger.evidence import Epoch, Evidence
from monitor.core.ledger.found import Audited, Break, Loss, Outage, Restore, Sighting
from monitor.core.verdict import Violation


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Everything that a run knows of one store when it judges.

    `at` is the moment just before the first look: what was acknowledged later is not owed by it. `entries` are those
    that were asked for, as the ledger had them just before; `full` says that they are all that it has. `first` and
    `second` were read on two connections to the primary; the second only where the first was not right. `moves` are
    the latest writes, identified or not, oldest first: at least as far back as the oldest of `breaks`, those that
    nobody has judged yet; both are best asked for after the looks, for a break may be found meanwhile. `losses` are
    those that were found before, the latest first. `elsewhere` is what replicas said of themselves. `happened` is what
    PostgreSQL knows of transactions whose answer was lost. `evicts` says that the declared policy permits records to
    be evicted. `lifetime` is after what time a record goes by itself, where it does.
    """

    environment: str
    store: str
    at: datetime
    full: bool
    entries: tuple[Entry, ...]
    first: Sighting
    second: Sighting | None = None
    moves: tuple[Entry, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    breaks: tuple[Break, ...] = ()
    losses: tuple[Loss, ...] = ()
    outages: tuple[Outage, ...] = ()
    restores: tuple[Restore, ...] = ()
    elsewhere: Mapping[str, Evidence] = field(default_factory=dict)
    happened: Mapping[Mark, bool | None] = field(default_factory=dict)
    evicts: bool = False
    lifetime: timedelta | None = None

    @property
    def series(self) -> frozenset[str]:
        """The series that this ledger has handed out, as far as it remembers them."""
        marks = [entry.mark for entry in (*self.entries, *self.moves)]
        marks += [mark for broken in self.breaks for mark in broken.expected if mark is not None]
        return frozenset(mark.series for mark in marks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a look comes to. `audited` and `losses` are for the ledger, the rest for the finding.

    `losses` are new ones, without an id, and new forms of known ones, with theirs: accepted, or come back. `judged`
    are the ids of breaks. `doubt` says why something that looked wrong could not be confirmed; `left_out` what was not
    checked.
    """

    checks: int
    violations: tuple[Violation, ...] = ()
    audited: tuple[Audited, ...] = ()
    losses: tuple[Loss, ...] = ()
    judged: tuple[int, ...] = ()
    doubt: str = ""
    left_out: tuple[str, ...] = ()
