"""A loss: what is gone, why, how much time that is, whom it is forgiven; told once, and again while it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitor.core.ledger.causes import Cause, Explanation, Scene, cause_of
from monitor.core.ledger.entries import Entry, Mark, State
from monitor.core.ledger.evidence import Epoch, as_json
from monitor.core.ledger.found import SETTLED_BY, Loss
from monitor.core.ledger.gaps import Gap
from monitor.core.ledger.ladder import since
from monitor.core.ledger.look import Look
from monitor.core.ledger.recovery import extent, recovery_time
from monitor.core.ledger.splits import split_between
from monitor.core.ledger.wording import counted, violation
from monitor.core.verdict import Json, Violation

_BY_POLICY, _BY_RESTORE = "a declared policy", "a declared restore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Losses as the ledger keeps them, those of them that are violations, and which entries are forgiven since when."""

    losses: tuple[Loss, ...] = ()
    violations: tuple[Violation, ...] = ()
    accepted: Mapping[Mark, datetime]
    left_out: tuple[str, ...] = ()


def tell(look: Look, gap: Gap) -> Told:
    """A new loss, or two where a part of it is forgiven."""
    explanation = cause_of(_scene(look, gap))
    permitted = explanation.cause is Cause.EXPIRY or (look.evicts and explanation.cause is Cause.EVICTION)
    if permitted:
        loss = _settled(_loss(look, gap, explanation), look.at, by=_BY_POLICY)
        sentence = f"gone as declared: {counted(loss)}: {explanation.why}"
        return Told(losses=(loss,), accepted={e.mark: look.at for e in gap.lost}, left_out=(sentence,))
    accepted = {e.mark: moment for e in gap.lost if (moment := forgiven(look, since(e))) is not None}
    held = [_part(gap, [e for e in gap.lost if e.mark not in accepted], explanation, look, accepted=None)]
    declared = max(accepted.values(), default=None)
    held.append(_part(gap, [e for e in gap.lost if e.mark in accepted], explanation, look, accepted=declared))
    losses = tuple(loss for loss in held if loss is not None)
    return Told(
        losses=losses,
        violations=tuple(violation(loss) for loss in losses if loss.accepted is None),
        accepted=accepted,
    )


def stand(look: Look, missing: Sequence[Entry], *, ladder: tuple[timedelta, ...]) -> Told:
    """Losses that were told before, of which `missing` are still gone and accepted by nobody."""
    accepted = {e.mark: moment for e in missing if (moment := forgiven(look, since(e))) is not None}
    still = [entry for entry in missing if entry.mark not in accepted]
    losses: list[Loss] = []
    violations: list[Violation] = []
    for loss in look.losses:
        if loss.accepted is not None:
            continue
        now = _form(look, loss, [e for e in still if _of(loss, e)], ladder=ladder)
        if now != loss:
            losses.append(now)
        if now.accepted is None:
            violations.append(violation(now))
    return Told(losses=tuple(losses), violations=tuple(violations), accepted=accepted)


def orphans(look: Look, missing: Sequence[Entry]) -> tuple[Entry, ...]:
    """Of entries that are known to be lost, those of which no loss is remembered."""
    return tuple(
        entry for entry in missing if not any(loss.accepted is None and _of(loss, entry) for loss in look.losses)
    )


def forgiven(look: Look, acknowledged: datetime) -> datetime | None:
    """When a restore was declared that forgives what was acknowledged at that moment: after its point, before that."""
    declared = [r.declared for r in look.restores if r.at < acknowledged <= r.declared]
    return min(declared, default=None)


def _scene(look: Look, gap: Gap) -> Scene:
    last = since(gap.lost[-1])
    return Scene(
        before=gap.before,
        after=gap.after,
        epochs=look.epochs,
        first=since(gap.lost[0]),
        last=last,
        emptied=gap.emptied,
        suffix=gap.suffix,
        split=split_between(look, gap.before, gap.after),
        lived=look.at - last,
        lifetime=look.lifetime,
    )


def _part(
    gap: Gap, lost: Sequence[Entry], explanation: Explanation, look: Look, *, accepted: datetime | None
) -> Loss | None:
    if not lost:
        return None
    emptied = gap.emptied and len(lost) == len(gap.lost)
    loss = _loss(look, replace(gap, lost=tuple(lost), emptied=emptied), explanation)
    return loss if accepted is None else _settled(loss, accepted, by=_BY_RESTORE)


def _settled(loss: Loss, moment: datetime, *, by: str) -> Loss:
    """A loss that a declaration settles; that is kept with it, for what is declared may be declared anew."""
    return replace(loss, accepted=moment, details={**loss.details, SETTLED_BY: by})


def _loss(look: Look, gap: Gap, explanation: Explanation) -> Loss:
    size = extent(gap)
    first, last = gap.lost[0], gap.lost[-1]
    rpo: Json = {"least": size.least.total_seconds(), "most": size.most.total_seconds()} if gap.suffix else None
    acknowledged: dict[str, Json] = {
        "kept": since(gap.kept).isoformat() if gap.kept is not None else None,
        "first": since(first).isoformat(),
        "last": since(last).isoformat(),
    }
    details: dict[str, Json] = {
        "why": explanation.why,
        "cause": str(explanation.cause),
        "range": {"first": str(first.mark), "last": str(last.mark)},
        "suffix": gap.suffix,
        "emptied": gap.emptied,
        "records": size.records,
        "moves": size.writes - size.records,
        "writes": size.writes,
        "acknowledged": acknowledged,
        "rpo_seconds": rpo,
        "rto_seconds": recovery_time(look.outages, since_last=since(last), found=gap.at),
        "found": gap.at.isoformat(),
        "weak": _weak(size.weak, size.writes),
        "undecided": _undecided(look, first.mark, last.mark),
        "before": _seen(gap.before),
        "after": _seen(gap.after),
    }
    return Loss(
        environment=look.environment,
        store=look.store,
        found=gap.at,
        cause=str(explanation.cause),
        first=first.mark,
        last=last.mark,
        records=size.records,
        writes=size.writes,
        suffix=gap.suffix,
        least=size.least,
        most=size.most,
        details=details,
    )


def _form(look: Look, loss: Loss, missing: Sequence[Entry], *, ladder: tuple[timedelta, ...]) -> Loss:
    """A known loss as it stands now: its outages may have ended, its records may be back, or somebody forgave it."""
    details = dict(loss.details)
    last = _moment(details, "last")
    if last is not None:
        rto = recovery_time(look.outages, since_last=last, found=loss.found)
        details["rto_seconds"] = rto or details.get("rto_seconds")
    now = replace(loss, details=details)
    declared = forgiven(look, last) if last is not None else None
    if loss.records:
        if missing:
            return now
        return replace(now, accepted=look.at) if declared is None else _settled(now, declared, by=_BY_RESTORE)
    first = _moment(details, "first")
    pardon = forgiven(look, first) if first is not None and declared is not None else None
    if pardon is not None:
        return _settled(now, pardon, by=_BY_RESTORE)
    over = look.at if ladder and loss.found + ladder[-1] <= look.at else None
    return replace(now, accepted=over)


def _of(loss: Loss, entry: Entry) -> bool:
    return loss.first.n <= entry.mark.n <= loss.last.n


def _moment(details: Mapping[str, Json], which: str) -> datetime | None:
    acknowledged = details.get("acknowledged")
    text = acknowledged.get(which) if isinstance(acknowledged, dict) else None
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _weak(weak: int, writes: int) -> Json:
    if not weak:
        return None
    which = "all lost writes were" if weak == writes else f"{weak} of the {writes} lost writes were"
    return f"{which} acknowledged although the wait for the standby was cancelled"


def _undecided(look: Look, first: Mark, last: Mark) -> Json:
    """Writes among the lost whose answer had been lost, and what PostgreSQL knows of them: for information only."""
    between = [
        entry
        for entry in {e.mark: e for e in (*look.moves, *look.entries)}.values()
        if entry.state in {State.PERHAPS, State.INTENDED} and first.n < entry.mark.n < last.n
    ]
    committed = sum(look.happened.get(entry.mark) is True for entry in between)
    return {"writes": len(between), "known to have committed": committed} if between else None


def _seen(epoch: Epoch | None) -> Json:
    return None if epoch is None else as_json(epoch.evidence)
