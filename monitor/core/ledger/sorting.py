"""What each entry comes to: what was found of it against what its sender knows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monitor.core.ledger.entries import WRONG, Entry, Fate, Mark, State, content_of, digest_of
from monitor.core.ledger.found import Sighting
from monitor.core.ledger.ladder import since
from monitor.core.ledger.look import Look


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """Entries by what became of them. Only what both looks show is `wrong`; the rest of it is `doubtful`.

    `standing` are wrong already known, of which nothing has changed. `strays` are records that nobody intended,
    `foreign` the counts of those of series that this ledger does not know.
    """

    right: Sequence[tuple[Entry, Fate]] = ()
    wrong: Sequence[tuple[Entry, Fate]] = ()
    standing: Sequence[tuple[Entry, Fate]] = ()
    doubtful: Sequence[tuple[Entry, Fate]] = ()
    strays: Sequence[Mark] = ()
    doubtful_strays: Sequence[Mark] = ()
    foreign: Mapping[str, int]


def fate_of(entry: Entry, digest: str | None) -> Fate:
    """What an identified entry comes to where its record has that digest, or is not there."""
    if digest is None:
        return Fate.LOST if entry.owed else Fate.ABSENT
    if entry.state is State.REFUSED:
        return Fate.PHANTOM
    if entry.state is State.RETIRED:
        return Fate.RESURRECTED
    content = content_of(entry.environment, entry.store, entry.mark)
    return Fate.FOUND if digest == digest_of(content) else Fate.CORRUPT


def sort(look: Look) -> Sorted:
    """Sort the entries that were asked for, and what was found beside them."""
    right: list[tuple[Entry, Fate]] = []
    wrong: list[tuple[Entry, Fate]] = []
    standing: list[tuple[Entry, Fate]] = []
    doubtful: list[tuple[Entry, Fate]] = []
    for entry in look.entries:
        if not entry.identified:
            continue
        fate = fate_of(entry, look.first.digests.get(entry.mark))
        if fate not in WRONG:
            right.append((entry, fate))
        elif _known(entry, fate):
            standing.append((entry, fate))
        elif since(entry) > look.at:
            continue
        elif _confirmed(entry, fate, look.second):
            wrong.append((entry, fate))
        else:
            doubtful.append((entry, fate))
    strays, foreign = _strays(look)
    again = look.second.digests if look.second is not None and look.second.evidence.writable else {}
    return Sorted(
        right=right,
        wrong=wrong,
        standing=standing,
        doubtful=doubtful,
        strays=[mark for mark in strays if mark in again],
        doubtful_strays=[mark for mark in strays if mark not in again],
        foreign=foreign,
    )


def _known(entry: Entry, fate: Fate) -> bool:
    return fate is entry.fate and (fate is Fate.LOST or entry.accepted is not None)


def _confirmed(entry: Entry, fate: Fate, second: Sighting | None) -> bool:
    return second is not None and second.evidence.writable and fate_of(entry, second.digests.get(entry.mark)) is fate


def _strays(look: Look) -> tuple[list[Mark], Mapping[str, int]]:
    """Records of this daemon that are no entry's: of series that are known, and the counts of the others."""
    beyond = set(look.first.digests)
    beyond.difference_update(entry.mark for entry in (*look.entries, *look.moves))
    series = look.series if beyond else frozenset[str]()
    strays: list[Mark] = []
    foreign: dict[str, int] = {}
    for mark in sorted(beyond):
        if mark.series in series:
            strays.append(mark)
        else:
            foreign[mark.series] = foreign.get(mark.series, 0) + 1
    return strays, foreign
