"""Entries, epochs, breaks, outages and losses as the state database keeps them, and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from monitor.core.ledger.entries import Entry, Fate, Mark, State
from monitor.core.ledger.evidence import Epoch, as_json, from_json
from monitor.core.ledger.found import Break, Loss, Outage, Restore


def moment(seconds: float) -> datetime:
    """A moment as it was kept."""
    return datetime.fromtimestamp(seconds, UTC)


def seconds(at: datetime | None) -> float | None:
    """A moment as it is kept."""
    return at.timestamp() if at else None


def _moment(kept: float | None) -> datetime | None:
    return None if kept is None else moment(kept)


def _text(mark: Mark | None) -> str | None:
    return None if mark is None else str(mark)


def _mark(text: str | None) -> Mark | None:
    return None if text is None else Mark.parse(text)


def _known(text: str) -> Mark:
    mark = Mark.parse(text)
    if mark is None:
        raise ValueError(f"the state holds {text!r} in place of a mark")
    return mark


def entry_row(entry: Entry) -> dict[str, object]:
    """A new entry."""
    return {
        "environment": entry.environment,
        "store": entry.store,
        "n": entry.mark.n,
        "series": entry.mark.series,
        "identified": entry.identified,
        "state": entry.state,
        "intended": entry.intended.timestamp(),
        "answered": seconds(entry.answered),
        "epoch": entry.epoch,
        "weak": entry.weak,
        "xid": entry.xid,
        "rung": entry.rung,
        "due": seconds(entry.due),
        "verified": seconds(entry.verified),
        "fate": entry.fate,
        "accepted": seconds(entry.accepted),
        "retired": seconds(entry.retired),
    }


def entry(row: sa.RowMapping) -> Entry:
    """An entry as it was kept."""
    return Entry(
        environment=row["environment"],
        store=row["store"],
        mark=Mark(row["series"], row["n"]),
        identified=row["identified"],
        state=State(row["state"]),
        intended=moment(row["intended"]),
        answered=_moment(row["answered"]),
        epoch=row["epoch"],
        weak=row["weak"],
        xid=row["xid"],
        rung=row["rung"],
        due=_moment(row["due"]),
        verified=_moment(row["verified"]),
        fate=Fate(row["fate"]),
        accepted=_moment(row["accepted"]),
        retired=_moment(row["retired"]),
    )


def epoch_row(epoch: Epoch) -> dict[str, object]:
    """A new epoch; its id is the database's to give."""
    return {
        "environment": epoch.environment,
        "place": epoch.place,
        "first": epoch.first.timestamp(),
        "last": epoch.last.timestamp(),
        "evidence": as_json(epoch.evidence),
        "opening": as_json(epoch.opening or epoch.evidence),
    }


def epoch(row: sa.RowMapping) -> Epoch:
    """An epoch as it was kept."""
    return Epoch(
        id=row["id"],
        environment=row["environment"],
        place=row["place"],
        first=moment(row["first"]),
        last=moment(row["last"]),
        evidence=from_json(row["evidence"]),
        opening=from_json(row["opening"] or row["evidence"]),
    )


def break_row(environment: str, found: Break) -> dict[str, object]:
    """A new break; its id is the database's to give."""
    return {
        "environment": environment,
        "place": found.place,
        "at": found.at.timestamp(),
        "expected": [_text(mark) for mark in found.expected],
        "first": _text(found.first),
        "second": _text(found.second),
        "writable": found.writable,
        "before": found.before,
        "epoch": found.epoch,
        "judged": found.judged,
    }


def break_(row: sa.RowMapping) -> Break:
    """A break as it was kept."""
    return Break(
        id=row["id"],
        place=row["place"],
        at=moment(row["at"]),
        expected=tuple(_mark(text) for text in row["expected"]),
        first=_mark(row["first"]),
        second=_mark(row["second"]),
        writable=row["writable"],
        before=row["before"],
        epoch=row["epoch"],
        judged=row["judged"],
    )


def outage_row(environment: str, outage: Outage) -> dict[str, object]:
    """An outage, as it is by now."""
    return {
        "environment": environment,
        "store": outage.store,
        "operation": outage.operation,
        "began": outage.began.timestamp(),
        "ended": seconds(outage.ended),
        "least": outage.least.total_seconds(),
        "most": outage.most.total_seconds(),
    }


def outage(row: sa.RowMapping) -> Outage:
    """An outage as it was kept."""
    return Outage(
        store=row["store"],
        operation=row["operation"],
        began=moment(row["began"]),
        ended=_moment(row["ended"]),
        least=timedelta(seconds=row["least"]),
        most=timedelta(seconds=row["most"]),
    )


def loss_row(loss: Loss) -> dict[str, object]:
    """A loss; its id is the database's to give."""
    return {
        "environment": loss.environment,
        "store": loss.store,
        "found": loss.found.timestamp(),
        "cause": loss.cause,
        "first": str(loss.first),
        "last": str(loss.last),
        "records": loss.records,
        "writes": loss.writes,
        "suffix": loss.suffix,
        "least": loss.least.total_seconds(),
        "most": loss.most.total_seconds(),
        "accepted": seconds(loss.accepted),
        "details": dict(loss.details),
    }


def loss(row: sa.RowMapping) -> Loss:
    """A loss as it was kept."""
    return Loss(
        id=row["id"],
        environment=row["environment"],
        store=row["store"],
        found=moment(row["found"]),
        cause=row["cause"],
        first=_known(row["first"]),
        last=_known(row["last"]),
        records=row["records"],
        writes=row["writes"],
        suffix=row["suffix"],
        least=timedelta(seconds=row["least"]),
        most=timedelta(seconds=row["most"]),
        accepted=_moment(row["accepted"]),
        details=row["details"],
    )


def restore(row: sa.RowMapping) -> Restore:
    """A declared restore as it was kept."""
    return Restore(
        environment=row["environment"], at=moment(row["at"]), declared=moment(row["declared"]), note=row["note"]
    )
