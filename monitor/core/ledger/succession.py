"""Where another state file was in use meanwhile: what its daemon may have deleted is not accused of being lost."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import timedelta

from monitor.core.ledger.entries import Entry
from monitor.core.ledger.ladder import since
from monitor.core.ledger.look import Look


def deleted_by_another(look: Look, missing: Sequence[Entry], *, ladder: tuple[timedelta, ...]) -> tuple[Entry, ...]:
    """Of records that are missing, those whose ladder ended while this state file was not in use.

    A state file that was restored from an older copy still has them as acknowledged, and the one after that copy has
    retired them in time. Only asked where marks of another state file were seen.
    """
    awake = sorted(entry.intended for entry in (*look.entries, *look.moves))

    def slept(entry: Entry) -> bool:
        end = since(entry) + ladder[-1]
        place = bisect_left(awake, end - ladder[0])
        return end <= look.at and (place == len(awake) or awake[place] > end + ladder[0])

    return tuple(entry for entry in missing if slept(entry))
