"""When a record is looked for again: after a minute, an hour, a day and a week, however often a daemon starts."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timedelta

from monitor.core.ledger.entries import WRONG, Entry, Fate, State
from monitor.core.ledger.found import Audited


def since(entry: Entry) -> datetime:
    """The moment from which an entry's looks are counted: its deletion, else its outcome, else its intent."""
    return entry.retired or entry.answered or entry.intended


def climbed(begin: datetime, at: datetime, ladder: tuple[timedelta, ...]) -> int:
    """How many rungs lie behind a look at that moment; a late one takes all that have passed at once."""
    return bisect_right(ladder, at - begin)


def due(begin: datetime, rung: int, ladder: tuple[timedelta, ...]) -> datetime | None:
    """When the look after so many is due; None after the last."""
    return begin + ladder[rung] if rung < len(ladder) else None


def over(entry: Entry, at: datetime, ladder: tuple[timedelta, ...]) -> bool:
    """Whether the last rung has passed at that moment, looked for or not."""
    return climbed(since(entry), at, ladder) >= len(ladder)


def after_look(
    entry: Entry, fate: Fate, *, at: datetime, ladder: tuple[timedelta, ...], accepted: datetime | None = None
) -> Audited:
    """What a look at an entry leads to.

    What is wrong is due at once until its ladder ends, unless somebody has accepted it. What was refused or retired is
    looked for once: that it is not there.
    """
    passed = climbed(since(entry), at, ladder)
    rung = max(entry.rung, passed)
    following = due(since(entry), rung, ladder)
    if fate in WRONG and accepted is None:
        known = fate is entry.fate
        following = None if known and over(entry, at, ladder) else at
    elif entry.state in {State.REFUSED, State.RETIRED}:
        following = due(since(entry), 0, ladder) if passed == 0 else None
    return Audited(mark=entry.mark, fate=fate, at=at, rung=rung, due=following, accepted=accepted)


def spent(entry: Entry, audited: Audited) -> bool:
    """Whether a look was an entry's last, so that what it may have left in the store is to be deleted."""
    return audited.due is None and entry.state not in {State.RETIRED, State.REFUSED}
