"""What `holdfast ledger` says: a copy's wrongs summed up, what is lost of a store, what a restore would forgive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.cli.forgiving import forgiven, warnings
from monitor.cli.ledger_text import Kept, print_kept
from monitor.cli.verified_text import print_verified
from monitor.cli.verify import Verified
from monitor.core.ledger.copy import Judgement, Wrong
from monitor.core.ledger.entries import Entry, Fate, Mark, State
from monitor.core.ledger.found import Loss, Restore, Standing
from monitor.core.verdict import Kind, Verdict
from monitor.ports import Store

BEGIN = datetime(2026, 11, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def mark(n: int) -> Mark:
    """The mark of one write."""
    return Mark("aaaa", n)


def gone(n: int, *, identified: bool) -> Entry:
    """A write of each second that is lost."""
    return Entry(
        environment="lime",
        store="postgres",
        mark=mark(n),
        identified=identified,
        state=State.ACKED,
        intended=BEGIN + n * SECOND,
        answered=BEGIN + n * SECOND,
        fate=Fate.LOST,
    )


def loss(
    first: int, last: int, records: int, *, accepted: datetime | None = None, by: str = "", suffix: bool = True
) -> Loss:
    """A loss of the writes of these seconds."""
    moments = {"first": (BEGIN + first * SECOND).isoformat(), "last": (BEGIN + last * SECOND).isoformat()}
    return Loss(
        environment="lime",
        store="postgres",
        found=BEGIN + 60 * SECOND,
        cause="empty_restart",
        first=mark(first),
        last=mark(last),
        records=records,
        writes=last - first + 1,
        suffix=suffix,
        least=SECOND,
        most=2 * SECOND,
        accepted=accepted,
        details={"acknowledged": moments, **({"settled_by": by} if by else {})},
    )


def test_many_ranges_are_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    """The sum comes first, then ten ranges, then how many more there are."""
    wrong = [
        Wrong(kind=kind, why="deleted before", first=mark(n), last=mark(n), records=1, writes=1)
        for n, kind in enumerate([Kind.RESURRECTED] * 11 + [Kind.LOST])
    ]
    moves = Wrong(kind=Kind.PHANTOM, why="sent after", first=mark(20), last=mark(22), records=0, writes=3)
    found = Judgement(verdict=Verdict.VIOLATED, wrong=(*wrong, moves), covers=1, since=BEGIN, until=BEGIN)
    print_verified(Verified(store=Store.POSTGRES, as_of=None, judgement=found), environment="lime", live=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "✘ violated  lime postgres (copy): 1 record lost; 3 writes phantom (0 of them records);"
        " 11 records resurrected in 11 ranges"
    )
    assert lines[1].startswith("  covers      1 record acknowledged")
    assert lines[2] == "  resurrected 1 record: aaaa/0: deleted before"
    assert (len(lines), lines[-1]) == (13, "  and 3 more: --format json has all")


def test_a_loss_that_stands_is_a_cross(capsys: pytest.CaptureFixture[str]) -> None:
    """Also one of mere moves; a loss that is settled says by what, and one in the midst has no RPO."""
    restored = BEGIN + 90 * SECOND
    kept = Kept(
        environment="lime",
        standings={Store.POSTGRES: Standing(live=1, due=1)},
        standing={Store.POSTGRES: [loss(1, 3, 0)]},
        losses=[
            loss(1, 3, 0),
            loss(5, 5, 1, accepted=restored, by="a declared restore", suffix=False),
            loss(7, 7, 1, accepted=BEGIN),
        ],
        restores=[Restore(environment="lime", at=BEGIN, declared=restored)],
    )
    print_kept(kept, quiet=False)
    first, *_, head, moves, record, other = capsys.readouterr().out.partition("\n\nrestores")[0].splitlines()
    assert first.startswith("✘ lime postgres: 1 record live, 3 writes lost (0 of them records), ")
    assert "1 look due" in first
    assert head.split() == ["found", "store", "cause", "records", "writes", "range", "RPO", "settled"]
    assert ("empty restart" in moves, moves.split()[-4:]) == (True, ["1s", "to", "2s", "no"])
    assert " -         2026-11-01 12:01:30.000 UTC, by a declared restore" in record
    assert other.rstrip().endswith("1s to 2s  2026-11-01 12:00:00.000 UTC")


def test_a_ledger_without_a_loss_speaks_for_its_own_writes(capsys: pytest.CaptureFixture[str]) -> None:
    """Another probe may have lost something: that nothing is lost is said of the ledger alone."""
    kept = Kept(environment="lime", standings={Store.POSTGRES: Standing(live=2)}, standing={Store.POSTGRES: []})
    print_kept(kept, quiet=False)
    told = capsys.readouterr().out
    assert told.startswith("✔ lime postgres: 2 records live, none of the ledger's own writes lost, ")


@pytest.mark.parametrize(
    ("first", "last", "records", "point", "wanted"),
    [
        (1, 13, 0, 6.5, "forgives 7 of the loss of 13 writes"),
        (1, 13, 0, 0.5, "settles the loss of 13 writes"),
        (1, 13, 0, 13.5, "forgives nothing of the loss of 13 writes"),
        (1, 13, 1, 6.5, "settles the loss of 13 writes"),
        (1, 13, 1, 12.5, "forgives 1 of the loss of 13 writes"),
    ],
)
def test_what_a_restore_forgives_of_a_loss(first: int, last: int, records: int, point: float, wanted: str) -> None:
    """What was acknowledged after its moment; a loss with records goes with the last of these that is gone."""
    entries = [gone(n, identified=records > 0 and n == 8) for n in range(first, last + 1)]
    found = forgiven("postgres", entries, [loss(first, last, records)], point=BEGIN + point * SECOND)
    assert found.losses[0].startswith(wanted)
    assert found.losses[0].endswith("it stays a violation") is not wanted.startswith("settles")
    assert found.wrong == (1 if records and point < 8 else 0)
    assert len(list(warnings([found]))) == (1 if point < first else 0)
