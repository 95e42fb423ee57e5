"""Ledgers for tests: what was written when, with which outcome, and what a store shows of it later."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from monitor.core.ledger.audit import Look
from monitor.core.ledger.entries import Entry, Mark, State, content_of, digest_of
from monitor.core.ledger.evidence import Epoch, Evidence, PostgresEvidence, RedisEvidence
from monitor.core.ledger.found import Break, Sighting

LADDER = (timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=7))
BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
SERIES = "0badcafe"
TICK = timedelta(seconds=1)
ANSWER = timedelta(milliseconds=10)


def at(seconds: float) -> datetime:
    """The moment so long after the beginning."""
    return BEGIN + timedelta(seconds=seconds)


def mark(n: int) -> Mark:
    """A mark of this ledger."""
    return Mark(SERIES, n)


def entry(
    n: int,
    state: State = State.ACKED,
    *,
    identified: bool = True,
    store: str = "postgres",
    seconds: float | None = None,
    epoch: int | None = 1,
) -> Entry:
    """Write `n`, sent `n` seconds after the beginning unless told, and answered at once."""
    moment = at(n if seconds is None else seconds)
    settled = state not in {State.INTENDED, State.PERHAPS}
    return Entry(
        environment="production",
        store=store,
        mark=mark(n),
        identified=identified,
        state=state,
        intended=moment,
        answered=moment + ANSWER if settled else None,
        epoch=epoch if state is State.ACKED else None,
        due=moment + ANSWER + LADDER[0],
    )


def digest(written: Entry) -> str:
    """The digest of what a record holds."""
    return digest_of(content_of(written.environment, written.store, written.mark))


POSTGRES = PostgresEvidence(
    address="db:5432",
    writable=True,
    system="7000000000000000001",
    timeline=1,
    started="2026-03-01 10:00:00+00",
    uptime=timedelta(hours=2),
    lsn=1000,
    delay=timedelta(milliseconds=200),
)
REDIS = RedisEvidence(
    address="cache:6379",
    writable=True,
    run_id="a" * 40,
    replid="1" * 40,
    replid2="0" * 40,
    second_offset=-1,
    offset=1000,
    uptime=timedelta(hours=2),
    flushes=0,
    evicted=0,
    expired=0,
    saved=1_700_000_000,
    appending=False,
    policy="noeviction",
    age=timedelta(minutes=5),
)


def epoch(id_: int, evidence: Evidence, *, first: float, last: float, place: str = "") -> Epoch:
    """Evidence that was seen from one moment to another."""
    store = "postgres" if isinstance(evidence, PostgresEvidence) else "redis"
    return Epoch(
        id=id_,
        environment="production",
        place=place or store,
        first=at(first),
        last=at(last),
        evidence=evidence,
        opening=evidence,
    )


def sighting(there: Iterable[Entry], *, register: int | None, evidence: Evidence = POSTGRES) -> Sighting:
    """A store that holds these records, whole, and that mark in its register."""
    return Sighting(
        evidence=evidence,
        register=None if register is None else mark(register),
        digests={written.mark: digest(written) for written in there},
    )


def look(
    entries: Collection[Entry],
    *,
    there: Collection[Entry] | None = None,
    register: int | None = -1,
    seconds: float = 100,
    evidence: Evidence = POSTGRES,
    moves: Collection[Entry] = (),
    breaks: Collection[Break] = (),
    epochs: Collection[Epoch] | None = None,
) -> Look:
    """A look that was taken twice, alike; unless told, everything acknowledged is there and nobody changed anything."""
    writes = sorted({*entries, *moves}, key=lambda written: written.mark.n)
    if there is None:
        there = [written for written in entries if written.owed and written.identified]
    if register == -1:
        register = max((written.mark.n for written in writes if written.owed), default=None)
    seen = sighting(there, register=register, evidence=evidence)
    return Look(
        environment="production",
        store="postgres" if isinstance(evidence, PostgresEvidence) else "redis",
        at=at(seconds),
        full=True,
        entries=tuple(entries),
        first=seen,
        second=seen,
        moves=tuple(writes),
        breaks=tuple(breaks),
        epochs=tuple(epochs) if epochs is not None else (epoch(1, evidence, first=-3600, last=seconds - 60),),
    )


def broke(held: int | None, *, expected: int, seconds: float, before: int | None = 1, epoch: int = 1) -> Break:
    """A register that held something else than was acknowledged last, on two connections."""
    seen = None if held is None else mark(held)
    return Break(
        id=expected,
        place="postgres",
        at=at(seconds),
        expected=(mark(expected),),
        first=seen,
        second=seen,
        writable=True,
        before=before,
        epoch=epoch,
    )


def once(seen: Look) -> Look:
    """The same look, without a second one."""
    return replace(seen, second=None)
