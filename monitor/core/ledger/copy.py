"""What a restored copy of a store means: whether it is whole up to the moment that it is of, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from monitor.core.ledger.entries import Entry, Mark, State, content_of, digest_of
from monitor.core.ledger.prefix import ACKNOWLEDGED, Copy, Point, Prefix
from monitor.core.verdict import Kind, Verdict

_MISSING = "acknowledged, and not there"
_LATE = "sent after the point"
_REFUSED = "refused, or never sent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """Writes next to each other that are wrong in one way: `records` of them left a record, `writes` are all of them.

    `sent` is when the first of them was sent, None where nobody knows; `acknowledged` when the last was, None where it
    never was.
    """

    kind: Kind
    why: str
    first: Mark
    last: Mark
    records: int
    writes: int
    sent: datetime | None = None
    acknowledged: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a copy comes to.

    `covers` are the records that had to be there, `since` and `until` when the first and the last of them were
    acknowledged. `present` are the records of this ledger that are there. `reason` says why nothing can be told.
    """

    verdict: Verdict
    reason: str = ""
    point: Point = field(default_factory=Point)
    covers: int = 0
    since: datetime | None = None
    until: datetime | None = None
    present: int = 0
    wrong: tuple[Wrong, ...] = ()
    left_out: tuple[str, ...] = ()


def judge(copy: Copy) -> Judgement:
    """Judge a copy. The same copy always comes to the same."""
    bench = _Bench(copy)
    if reason := bench.hindrance():
        return Judgement(verdict=Verdict.UNKNOWN, reason=reason, left_out=tuple(bench.left_out()))
    found = [(entry, bench.found(entry)) for entry in copy.entries]
    covered = [entry for entry, finding in found if entry.identified and finding.demanded]
    wrong = (*bench.register_missing(), *_ranges(found), *bench.strangers())
    verdict = Verdict.VIOLATED if wrong else Verdict.OK if covered else Verdict.UNKNOWN
    return Judgement(
        verdict=verdict,
        reason="no record is remembered that it would have to hold" if verdict is Verdict.UNKNOWN else "",
        point=bench.point,
        covers=len(covered),
        since=covered[0].answered if covered else None,
        until=covered[-1].answered if covered else None,
        present=sum(bench.prefix.own(mark) for mark in copy.digests),
        wrong=wrong,
        left_out=tuple(bench.left_out()),
    )


@dataclass(frozen=True, slots=True)
class _Finding:
    """What was found of one write. `demanded`: it had to be there. Without a kind it is right, or not to be told."""

    demanded: bool = False
    kind: Kind | None = None
    why: str = ""


_EITHER = _Finding()
_RIGHT = _Finding(demanded=True)


class _Bench:
    """One copy, and what follows from it before any single write is judged."""

    def __init__(self, copy: Copy) -> None:
        self.copy = copy
        self.prefix = Prefix(copy)
        self.point = self.prefix.point
        self._records = {entry.mark for entry in copy.entries if entry.identified}
        self._oldest_move = next((entry.mark.n for entry in copy.entries if not entry.identified), None)
        given = copy.as_of
        self._must = None if given is None else given - copy.slack
        self._may = None if given is None or copy.live else given + copy.slack
        self._lower = max((each for each in (self.point.at_least, self._must) if each), default=None)
        self._upper = min((each for each in (self.point.at_most, self._may) if each), default=None)

    def hindrance(self) -> str:
        """Why nothing can be told, or nothing."""
        entries = self.copy.entries
        if not entries:
            return "the ledger remembers no write to this store"
        if self.prefix.position is None:
            return "it holds nothing that this ledger remembers to have written"
        if not self.prefix.holds(entries[0]):
            return f"it is older than all that the ledger remembers, which begins at {entries[0].intended:%F %T} UTC"
        if self._late(entries[0]):
            return f"the moment is before all that is remembered: the ledger begins at {entries[0].intended:%F %T} UTC"
        return ""

    def found(self, entry: Entry) -> _Finding:
        """What was found of one write."""
        inside = self.prefix.holds(entry)
        late = self._late(entry)
        if not entry.identified:
            return self._move(entry, inside=inside, late=late)
        digest = self.copy.digests.get(entry.mark)
        if digest is None:
            return _EITHER if late else self._absent(entry, inside=inside)
        phantom = _LATE if late or not (inside or self.copy.live) else ""
        if phantom or entry.state is State.REFUSED:
            return _Finding(kind=Kind.PHANTOM, why=phantom or _REFUSED)
        demanded = entry.state is State.ACKED or self._deleted_later(entry)
        if digest != self._expected(entry.mark):
            return _Finding(demanded=demanded, kind=Kind.CORRUPT, why="its content is another")
        if entry.state is State.RETIRED and entry.retired and self._lower and entry.retired < self._lower:
            return _Finding(kind=Kind.RESURRECTED, why="deleted before the point")
        return _RIGHT if demanded else _EITHER

    def _absent(self, entry: Entry, *, inside: bool) -> _Finding:
        if entry.state not in ACKNOWLEDGED or not (inside or self._too_early_for(entry)) or self.prefix.excuses(entry):
            return _EITHER
        if entry.state is not State.ACKED and not self._deleted_later(entry):
            return _EITHER
        return _Finding(demanded=True, kind=Kind.LOST, why=_MISSING)

    def _move(self, entry: Entry, *, inside: bool, late: bool) -> _Finding:
        """A move of the register that was not the last can be told by its place alone."""
        acknowledged = entry.state in ACKNOWLEDGED
        if inside and late and acknowledged:
            return _Finding(kind=Kind.PHANTOM, why=_LATE)
        if entry.state is State.REFUSED and entry.mark == self.copy.register:
            return _Finding(kind=Kind.PHANTOM, why=_REFUSED)
        if acknowledged and not inside and self._too_early_for(entry) and not self.prefix.excuses(entry):
            return _Finding(demanded=True, kind=Kind.LOST, why=_MISSING)
        return _EITHER

    def _late(self, entry: Entry) -> bool:
        """Whether a write was sent after the moment of which the copy has to be: then it must not be there."""
        return self._may is not None and entry.intended > self._may

    def _deleted_later(self, entry: Entry) -> bool:
        """Whether a write that is deleted by now was still found after the point, so that a copy must have it."""
        seen, retired = entry.verified, entry.retired
        return bool(seen and (retired is None or seen < retired) and self._upper and self._upper < seen)

    def _too_early_for(self, entry: Entry) -> bool:
        """Whether a write had been acknowledged by the moment of which the copy has to be."""
        return self._must is not None and entry.answered is not None and entry.answered <= self._must

    def register_missing(self) -> Iterator[Wrong]:
        """The register itself is data that was acknowledged; a store that keeps it for a time only may let it go."""
        gone = self.point.at_least is None or self.prefix.let_go(self.point.at_least)
        if self.copy.register is None and not gone:
            mark = max((mark for mark in self.copy.digests if self.prefix.own(mark)), key=lambda mark: mark.n)
            why = "the register of this daemon is not there"
            yield Wrong(kind=Kind.LOST, why=why, first=mark, last=mark, records=0, writes=1)

    def strangers(self) -> Iterator[Wrong]:
        """Records that this ledger never wrote, under marks that it would remember, or with another's content."""
        for mark in sorted(self._unremembered(), key=lambda mark: mark.n):
            if self._certain(mark):
                yield Wrong(kind=Kind.PHANTOM, why="never written", first=mark, last=mark, records=1, writes=1)

    def _unremembered(self) -> Iterator[Mark]:
        return (mark for mark in self.copy.digests if self.prefix.own(mark) and mark not in self._records)

    def _certain(self, mark: Mark) -> bool:
        """Moves are forgotten sooner than records: where they are remembered nothing else is forgotten."""
        remembered = self._oldest_move is not None and mark.n >= self._oldest_move
        return remembered or self.copy.digests[mark] != self._expected(mark)

    def left_out(self) -> Iterator[str]:
        """What was not judged."""
        unknown = sum(not self.prefix.own(mark) for mark in self.copy.digests)
        register = self.copy.register
        if unknown or (register is not None and not self.prefix.own(register)):
            yield (
                f"{unknown} records, or the register, are of writes that this ledger does not know:"
                " is the state database new, or restored from an older copy?"
            )
        forgotten = sum(not self._certain(mark) for mark in self._unremembered())
        if forgotten:
            yield f"{forgotten} records are of writes that the ledger has forgotten since, as it does in time"
        excused = sum(
            entry.identified and entry.state is State.ACKED and entry.mark not in self.copy.digests
            for entry in self.copy.entries
            if self.prefix.holds(entry) and self.prefix.excuses(entry)
        )
        if excused:
            yield (
                f"{excused} records are not there and need not be: they were lost in the live store, too, or a restore"
                " was declared, or their time to live is over"
            )

    def _expected(self, mark: Mark) -> str:
        return digest_of(content_of(self.copy.environment, self.copy.store, mark))


def _ranges(found: Sequence[tuple[Entry, _Finding]]) -> Iterator[Wrong]:
    """What is wrong, joined where nothing that is right lies between."""
    group: list[Entry] = []
    now = _EITHER
    for entry, finding in found:
        if group and finding is not _EITHER and (finding.kind, finding.why) != (now.kind, now.why):
            yield _range(group, now)
            group = []
        if finding.kind is not None:
            group.append(entry)
            now = finding
    if group:
        yield _range(group, now)


def _range(group: Sequence[Entry], finding: _Finding) -> Wrong:
    if finding.kind is None:
        raise ValueError("what is right makes no range")
    return Wrong(
        kind=finding.kind,
        why=finding.why,
        first=group[0].mark,
        last=group[-1].mark,
        records=sum(entry.identified for entry in group),
        writes=len(group),
        sent=group[0].intended,
        acknowledged=group[-1].answered,
    )
