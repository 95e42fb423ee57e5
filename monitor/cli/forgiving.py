"""What the declaration of a restore forgives, told before it is made: records, and the losses that stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.cli.ledger_text import moment, several
from monitor.core.ledger.entries import WRONG, Entry, Fate
from monitor.core.ledger.found import Loss
from monitor.core.ledger.ladder import since


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgiven:
    """Of one store: records that are known to be wrong, others, what becomes of its losses, when its ledger begins.

    `begins` is None where that is not after the moment to which it is restored.
    """

    store: str
    wrong: int
    others: int
    losses: tuple[str, ...]
    begins: datetime | None


def forgiven(store: str, entries: Sequence[Entry], losses: Sequence[Loss], *, point: datetime) -> Forgiven:
    """What a restore to `point` that is declared now forgives of one store; `losses` are those that nothing settled."""
    records = [
        entry
        for entry in entries
        if entry.identified and entry.owed and entry.accepted is None and _later(entry, point)
    ]
    wrong = sum(entry.fate in WRONG for entry in records)
    begins = entries[0].intended if entries else None
    return Forgiven(
        store=store,
        wrong=wrong,
        others=len(records) - wrong,
        losses=tuple(fate_of(loss, entries, point=point) for loss in losses),
        begins=begins if begins is not None and begins > point else None,
    )


def fate_of(loss: Loss, entries: Sequence[Entry], *, point: datetime) -> str:
    """What becomes of a loss: one with records goes with the last of these, one without any as a whole."""
    named = f"the loss of {several(loss.writes, 'write')} to {loss.store} that was found at {moment(loss.found)}"
    gone = [
        entry
        for entry in entries
        if entry.fate is Fate.LOST and entry.accepted is None and loss.first.n <= entry.mark.n <= loss.last.n
    ]
    count = sum(_later(entry, point) for entry in gone)
    first, last = _acknowledged(loss, "first"), _acknowledged(loss, "last")
    if first is not None and first > point:
        count = loss.writes
    records = [entry for entry in gone if entry.identified]
    over = all(_later(entry, point) for entry in records) if loss.records else count == loss.writes
    if over:
        return f"settles {named}"
    if last is not None and last <= point:
        return f"forgives nothing of {named}; it stays a violation"
    least = "at least " if len(gone) < loss.writes else ""
    return f"forgives {least}{count} of {named}; it stays a violation"


def words(found: Sequence[Forgiven]) -> Iterator[str]:
    """Sentences about losses that stand."""
    for each in found:
        yield from each.losses


def warnings(found: Sequence[Forgiven]) -> Iterator[str]:
    """What the moment itself gives reason to warn of."""
    for each in found:
        if each.begins is not None:
            yield (
                f"that is before the first write to {each.store} that the ledger remembers, of {moment(each.begins)}:"
                " all that it knows of that store is forgiven"
            )


def _later(entry: Entry, point: datetime) -> bool:
    return since(entry) > point


def _acknowledged(loss: Loss, which: str) -> datetime | None:
    told = loss.details.get("acknowledged")
    text = told.get(which) if isinstance(told, dict) else None
    return datetime.fromisoformat(text) if isinstance(text, str) else None
