"""Where the writes of one store stand: the next number, the last that was acknowledged, and whose outcome is open."""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa

from monitor.core.ledger.entries import Mark, State
from monitor.stores.tables import ledger_entries


@dataclass(slots=True)
class Course:
    """In memory, from the state database at first use. Numbers are handed out once, whatever becomes of them."""

    last: int = 0
    acked: Mark | None = None
    open: list[Mark] = field(default_factory=list)
    """Later than `acked`, ascending."""

    def next(self, series: str) -> Mark:
        """A number that nobody had before."""
        self.last += 1
        return Mark(series, self.last)

    def intended(self, mark: Mark) -> None:
        """It may be sent from now on."""
        self.open.append(mark)

    def settled(self, mark: Mark, state: State) -> None:
        """How it ended."""
        if state is State.ACKED and (self.acked is None or self.acked.n < mark.n):
            self.acked = mark
            self.open = [each for each in self.open if each.n > mark.n]
        elif state is not State.PERHAPS and mark in self.open:
            self.open.remove(mark)

    def expected(self) -> tuple[Mark | None, ...]:
        """What the register may hold."""
        return (self.acked, *self.open)


def load(connection: sa.Connection, environment: str, store: str) -> Course:
    """From the state database. Whoever intended what is still open there does not live any more."""
    c = ledger_entries.c
    here = (c.environment == environment, c.store == store)
    connection.execute(sa.update(ledger_entries).where(*here, c.state == State.INTENDED).values(state=State.PERHAPS))
    # What is deleted since stood in the register all the same, surely if it was acknowledged, else perhaps.
    was_acked = c.answered.is_not(None) & (c.state != State.REFUSED)
    marks = sa.select(c.series, c.n).where(*here)
    last = connection.execute(sa.select(sa.func.max(c.n)).where(*here)).scalar_one() or 0
    acked = connection.execute(marks.where(was_acked).order_by(c.n.desc()).limit(1)).one_or_none()
    later = marks.where(~was_acked, c.state != State.REFUSED, c.n > (acked.n if acked else 0)).order_by(c.n)
    return Course(
        last=last,
        acked=Mark(acked.series, acked.n) if acked else None,
        open=[Mark(row.series, row.n) for row in connection.execute(later)],
    )
