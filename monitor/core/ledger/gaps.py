"""Which acknowledged writes are missing together: what a register that went back lost, and records beside that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.core.ledger.entries import Entry, Fate, Mark, State
from monitor.core.ledger.evidence import Epoch, same_server
from monitor.core.ledger.found import Break
from monitor.core.ledger.ladder import since
from monitor.core.ledger.look import Look
from monitor.core.ledger.sorting import Sorted


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Acknowledged writes, lowest first, that one event took away.

    `kept` is the last write before them that is there, None where none is known; `emptied` says that nothing of ours
    is left at all. `suffix` says that nothing later had been acknowledged before the event and is there. `at` is when
    it was found, `before` and `after` are the epochs in which it was surely there and surely not.
    """

    lost: tuple[Entry, ...]
    kept: Entry | None
    emptied: bool
    suffix: bool
    at: datetime
    before: Epoch | None
    after: Epoch | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """All gaps of a look; `ahead` are registers that held what nobody had intended, `unsure` breaks not confirmed."""

    gaps: tuple[Gap, ...] = ()
    ahead: tuple[Mark, ...] = ()
    foreign: tuple[Mark, ...] = ()
    unsure: tuple[Break, ...] = ()


def latest(look: Look) -> Entry | None:
    """The newest write that was acknowledged before the look and is not known to be lost."""
    owed = [
        entry
        for entry in (*look.entries, *look.moves)
        if entry.owed and entry.fate is not Fate.LOST and _by(entry, look.at)
    ]
    return max(owed, key=lambda entry: entry.mark.n, default=None)


def behind(look: Look, register: Mark | None) -> bool:
    """Whether a register holds less than was acknowledged before the look, and no break tells why."""
    newest = latest(look)
    if newest is None or (register is not None and register.series not in look.series):
        return False
    explained = any(_sure(broken) and _by(newest, broken.at) for broken in look.breaks)
    return not explained and (register is None or register.n < newest.mark.n)


def gaps(look: Look, found: Sorted) -> Gaps:
    """Each event of which a register tells, then the records that are missing beside these.

    Breaks are left for a look at everything: only that tells which records went with the moves.
    """
    missing = {entry.mark: entry for entry, fate in found.wrong if fate is Fate.LOST}
    if not missing and not look.breaks and look.second is None:
        return Gaps()
    there = {entry.mark for entry, fate in found.right if fate is Fate.FOUND}
    writes = {entry.mark: entry for entry in (*look.moves, *look.entries)}
    gone = {entry.mark for entry in writes.values() if entry.fate is Fate.LOST}
    series = look.series
    events: list[Gap] = []
    ahead: list[Mark] = []
    foreign: list[Mark] = []
    unsure: list[Break] = []
    for broken in (*(look.breaks if look.full else ()), *_unnoticed(look)):
        held = broken.second
        owed = [entry for mark, entry in writes.items() if entry.owed and mark not in gone and _by(entry, broken.at)]
        if not _sure(broken):
            unsure.append(broken)
            continue
        if held is None:
            after = owed
        elif held.series not in series:
            foreign.append(held)
            oldest = min((mark.n for mark in missing), default=held.n)
            after = [entry for entry in owed if entry.identified and entry.mark.n >= oldest]
        elif _never_written(held, broken, writes):
            ahead.append(held)
            continue
        else:
            after = [entry for entry in owed if entry.mark.n > held.n]
        lost = [entry for entry in after if entry.mark in missing or not entry.identified]
        if lost:
            gone |= {entry.mark for entry in lost}
            before = [e for e in (*owed, *_held(held, writes)) if e.mark not in gone]
            suffix = not any(entry.mark in there for entry in after)
            events.append(_event(look, broken, lost, before=before, suffix=suffix))
    if rest := [entry for mark, entry in missing.items() if mark not in gone]:
        events.append(beside(look, rest))
    return Gaps(gaps=tuple(events), ahead=tuple(ahead), foreign=tuple(foreign), unsure=tuple(unsure))


def beside(look: Look, missing: Sequence[Entry]) -> Gap:
    """Records that are missing although the register is right, or more of them than it told."""
    lost = sorted(missing, key=_number)
    gone = {entry.mark for entry in lost}
    kept = [
        entry
        for entry in (*look.moves, *look.entries)
        if entry.owed and _by(entry, look.at) and entry.fate is not Fate.LOST and entry.mark not in gone
    ]
    seen = max(max(since(entry), entry.verified or since(entry)) for entry in lost)
    return Gap(
        lost=tuple(lost),
        kept=max((entry for entry in kept if entry.mark.n < lost[0].mark.n), key=_number, default=None),
        emptied=not kept and look.first.register is None,
        suffix=not any(entry.mark.n > lost[0].mark.n for entry in kept),
        at=look.at,
        before=epoch_at(look, seen),
        after=epoch_now(look),
    )


def epoch_at(look: Look, moment: datetime) -> Epoch | None:
    """The primary's epoch that stood at a moment."""
    begun = [epoch for epoch in look.epochs if epoch.place == look.store and epoch.first <= moment]
    return max(begun, key=lambda epoch: epoch.first, default=None)


def epoch_now(look: Look) -> Epoch:
    """What the primary says of itself in the latest look."""
    evidence = (look.second or look.first).evidence
    own = [e for e in look.epochs if e.place == look.store and same_server(e.evidence, evidence)]
    known = max(own, key=lambda epoch: epoch.id, default=None)
    return Epoch(
        id=known.id if known is not None else 0,
        environment=look.environment,
        place=look.store,
        first=known.first if known is not None else look.at,
        last=look.at,
        evidence=evidence,
        opening=known.opening if known is not None else None,
    )


def _unnoticed(look: Look) -> Iterable[Break]:
    """A register that went back, of which no write has told yet."""
    if look.second is None or not behind(look, look.first.register):
        return
    newest = latest(look)
    yield Break(
        id=0,
        place=look.store,
        at=look.at,
        expected=(newest.mark if newest is not None else None,),
        first=look.first.register,
        second=look.second.register,
        writable=look.second.evidence.writable,
        before=newest.epoch if newest is not None else None,
        epoch=0,
    )


def _event(look: Look, broken: Break, lost: Sequence[Entry], *, before: Iterable[Entry], suffix: bool) -> Gap:
    """What a register tells that went back; one that holds nothing tells that nothing is left."""
    lost = sorted(lost, key=_number)
    emptied = broken.second is None and suffix
    by_id = {epoch.id: epoch for epoch in look.epochs}
    known = by_id.get(broken.before) if broken.before is not None else None
    return Gap(
        lost=tuple(lost),
        kept=None if emptied else max((e for e in before if e.mark.n < lost[0].mark.n), key=_number, default=None),
        emptied=emptied,
        suffix=suffix,
        at=broken.at,
        before=known or epoch_at(look, since(lost[-1])),
        after=by_id.get(broken.epoch) or epoch_now(look),
    )


def _held(held: Mark | None, writes: Mapping[Mark, Entry]) -> Iterable[Entry]:
    """The write that a register holds, whether its answer is known or not."""
    return () if held is None or held not in writes else (writes[held],)


def _never_written(held: Mark, broken: Break, writes: Mapping[Mark, Entry]) -> bool:
    """Whether nobody had intended that mark when it was found, or the server had said that it is not written."""
    known = writes.get(held)
    if known is not None:
        return known.intended > broken.at or known.state is State.REFUSED
    return held.n > max((entry.mark.n for entry in writes.values() if entry.intended <= broken.at), default=-1)


def _sure(broken: Break) -> bool:
    return broken.first == broken.second and broken.writable


def _by(entry: Entry, moment: datetime) -> bool:
    return entry.answered is not None and entry.answered <= moment


def _number(entry: Entry) -> int:
    return entry.mark.n
