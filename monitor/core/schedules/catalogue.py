"""The schedules: each shows one anomaly, if the isolation level lets it occur.

The anomalies are those of Adya, "Weak Consistency", 1999, of Berenson et al., "A Critique of ANSI SQL Isolation
Levels", 1995 (lost update), of Bailis et al., "Highly Available Transactions", 2013 (OTV), and of Fekete, O'Neil and
O'Neil, "A Read-Only Transaction Anomaly Under Snapshot Isolation", 2004. That such schedules tell the levels of real
databases apart was shown by Kleppmann's Hermitage, 2014.

Before each of them x is 10 and y is 20, and z and w are not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.core.levels import LEVELS, Isolation
from monitor.core.schedules.notation import Schedule, schedule
from monitor.core.verdict import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A schedule, and the weakest level that prevents its anomaly."""

    schedule: Schedule
    prevented_from: Isolation

    def prevented_at(self, level: Isolation) -> bool:
        """Whether a level promises that the anomaly does not occur."""
        return LEVELS.index(level) >= LEVELS.index(self.prevented_from)

    @property
    def shown_at(self) -> Isolation | None:
        """The strongest level at which it must occur, and with it the control; None where no level shows it."""
        place = LEVELS.index(self.prevented_from)
        return LEVELS[place - 1] if place else None


_AT_ALL_LEVELS = {
    # Two transactions write x and y; the one comes first at x, the other at y.
    ("G0", Kind.DIRTY_WRITE): """
        T1 begin
        T2 begin
        T1 write x 11
        T2 write x 12
        T2 write y 22
        T1 write y 21
        T1 commit
        T2 commit
        afterwards read x shows 12
        afterwards read y shows 21
    """,
    # What is read has been taken back.
    ("G1a", Kind.ABORTED_READ): """
        T1 begin
        T2 begin
        T1 write x 101
        T1 read x is 101
        T2 read x shows 101
        T1 abort
        T2 commit
    """,
    # What is read was never meant to last.
    ("G1b", Kind.INTERMEDIATE_READ): """
        T1 begin
        T2 begin
        T1 write x 101
        T2 read x shows 101
        T1 write x 11
        T1 read x is 11
        T1 commit
        T2 commit
    """,
    # Each of two transactions sees what the other writes.
    ("G1c", Kind.CIRCULAR_FLOW): """
        T1 begin
        T2 begin
        T1 write x 11
        T2 write y 22
        T1 read x is 11
        T1 read y shows 22
        T2 read x shows 11
        T1 commit
        T2 commit
    """,
    # A transaction that was seen vanishes: T3 sees what T2 wrote to y, and then not what it wrote to x before.
    ("OTV", Kind.TORN): """
        T1 begin
        T2 begin
        T3 begin
        T1 write x 11
        T1 write y 19
        T2 write x 12
        T1 commit
        T3 read x
        T2 write y 18
        T3 read y
        T2 commit
        T3 read y shows 18
        T3 read x shows 11
        T3 commit
    """,
    # Whoever locks what it reads before it writes loses nothing, at whatever level.
    ("locked update", Kind.LOST_UPDATE): """
        T1 begin
        T2 begin
        T1 lock x is 10
        T2 lock x shows 10
        T1 add x 1
        T1 commit
        T2 add x 2
        T2 commit
        afterwards read x shows 12
    """,
}
_BELOW_REPEATABLE_READ = {
    # A row appears between two questions after it.
    ("predicate-many-preceders", Kind.READ_SKEW): """
        T1 begin
        T2 begin
        T1 count over 25 is 0
        T2 insert z 30
        T2 commit
        T1 count over 25 shows 1
        T1 commit
    """,
    # Both read 10; what the one adds to it, the other overwrites.
    ("lost update", Kind.LOST_UPDATE): """
        T1 begin
        T2 begin
        T1 read x is 10
        T2 read x is 10
        T1 add x 1
        T2 add x 2
        T1 commit
        T2 commit
        afterwards read x shows 12
    """,
    # x is read before, and y after another transaction.
    ("G-single", Kind.READ_SKEW): """
        T1 begin
        T2 begin
        T1 read x is 10
        T2 write x 12
        T2 write y 18
        T2 commit
        T1 read y shows 18
        T1 commit
    """,
    # Of two registers one is over 15, and then none is under it.
    ("G-single by a predicate", Kind.READ_SKEW): """
        T1 begin
        T2 begin
        T1 count over 15 is 1
        T2 write x 18
        T2 commit
        T1 count under 15 shows 0
        T1 commit
    """,
    # What is over 19 when x is 10 is to go, and is not there any more.
    ("G-single by a write predicate", Kind.READ_SKEW): """
        T1 begin
        T2 begin
        T1 read x is 10
        T2 write x 12
        T2 write y 18
        T2 commit
        T1 delete over 19 shows 0
        T1 commit
    """,
}
_BELOW_SERIALIZABLE = {
    # Each reads both and writes one of them, as if the other were not there.
    ("G2-item", Kind.WRITE_SKEW): """
        T1 begin
        T2 begin
        T1 read x is 10
        T1 read y is 20
        T2 read x is 10
        T2 read y is 20
        T1 write x 11
        T2 write y 21
        T1 commit
        T2 commit
        afterwards read x shows 11
        afterwards read y shows 21
    """,
    # Each finds no row over 25, and makes one.
    ("G2", Kind.WRITE_SKEW): """
        T1 begin
        T2 begin
        T1 count over 25 is 0
        T2 count over 25 is 0
        T1 insert z 30
        T2 insert w 42
        T1 commit
        T2 commit
        afterwards count over 25 shows 2
    """,
    # T3 sees T2 and not T1; T1 has not seen T2 and commits all the same.
    ("G2 with a read-only transaction", Kind.WRITE_SKEW): """
        T1 begin
        T1 read x is 10
        T1 read y is 20
        T2 begin
        T2 read y is 20
        T2 write y 25
        T2 commit
        T3 begin
        T3 read x is 10
        T3 read y is 25
        T3 commit
        T1 write x 0
        T1 commit
        afterwards read x shows 0
    """,
}

SCHEDULES: Mapping[str, Known] = {
    name: Known(schedule=schedule(name, kind, text), prevented_from=level)
    for level, texts in zip(LEVELS, (_AT_ALL_LEVELS, _BELOW_REPEATABLE_READ, _BELOW_SERIALIZABLE), strict=True)
    for (name, kind), text in texts.items()
}
"""Every schedule, by its name."""
