"""The short form of `make ledger-kills`, and that what it holds the ledger against would tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.core.ledger.entries import Mark
from tests.soak.ledger_kills import kill_often
from tests.soak.reckoning import Account, Kept, Known, Told, Written, twice
from tests.soak.wire import POSTGRES, REDIS, Language, Wire

KILLS = 6
SEED = 20_261_122


@pytest.mark.timeout(400)
async def test_kills_during_failovers_find_no_false_loss_and_hide_none(tmp_path: Path) -> None:
    """Whatever the daemon was at when it was killed, the next one calls lost what is lost, and nothing else."""
    report = await kill_often(kills=KILLS, least=3, seed=SEED, folder=tmp_path, say=print)
    assert report.complaints == []
    assert report.kills >= KILLS
    assert sum(store["acked"] for store in report.stores.values()) > 20 * KILLS, "hardly anything was written"
    assert set(report.coverage.values()) == {1}


def entry(n: int, *, series: str = "aaaaaaaa", state: str = "acked", fate: str = "unseen") -> Written:
    """One entry, a move of the register."""
    return Written(
        series=series,
        n=n,
        identified=False,
        state=state,
        answered=None if state in {"intended", "perhaps"} else 1.0,
        fate=fate,
        verified=None,
        due=None,
    )


def marks(*numbers: int) -> set[Mark]:
    """Marks of one series."""
    return {Mark("aaaaaaaa", n) for n in numbers}


def record(n: int, **changes: Any) -> Written:
    """One entry that has a record."""
    return replace(entry(n), identified=True, **changes)


HELD = Known(sent=marks(1, 2, 3, 4), answered=marks(1, 2, 3, 4), moves=marks(1, 2), records=set())
ONE = Told(first="aaaaaaaa/3", last="aaaaaaaa/3", records=0, writes=1, cause="failover")
RIGHT = Kept(entries=[entry(1), entry(2), entry(3, fate="lost"), entry(4, state="perhaps")], losses=[ONE])


def test_a_ledger_that_is_right_has_no_complaint() -> None:
    """What is gone is called lost, and what was never acknowledged is not."""
    assert list(Account().settle(RIGHT, HELD)) == []


@pytest.mark.parametrize(
    ("entries", "losses", "known", "complaint"),
    [
        ([entry(1), entry(2), entry(3)], [], HELD, "UNSEEN LOSS"),
        ([entry(1), entry(2, fate="lost"), entry(3, fate="lost")], [ONE, ONE], HELD, "is called lost, and is there"),
        ([entry(1), entry(4, state="perhaps", fate="lost")], [], HELD, "and was never acknowledged"),
        ([entry(1), entry(3, fate="lost")], [], HELD, "losses of 0 writes"),
        ([entry(1), entry(3, fate="lost")], [ONE, ONE], HELD, "losses of 2 writes"),
        ([entry(1), entry(2)], [], replace(HELD, answered=marks(1)), "that no server answered"),
        ([entry(1), record(2)], [], HELD, "by its move"),
        ([entry(1), record(2, state="retired")], [], HELD, "without ever having been found"),
        ([entry(1), entry(2, series="b"), entry(3)], [], replace(HELD, moves=marks(1, 3)), "a series begins twice"),
    ],
)
def test_each_thing_that_is_wrong_is_told(
    entries: list[Written], losses: list[Told], known: Known, complaint: str
) -> None:
    """Broken in one way, that way is named."""
    assert any(complaint in each for each in Account().settle(Kept(entries=entries, losses=losses), known))


def test_a_false_loss_stays_one() -> None:
    """What was once called lost and is there is not forgiven by calling it found."""
    account = Account()
    assert list(account.settle(Kept(entries=[entry(1, fate="lost")], losses=[]), HELD)) != []
    assert list(account.settle(Kept(entries=[entry(1, fate="found")], losses=[]), HELD)) != []


def test_numbers_and_series_are_used_once() -> None:
    """One number under two marks, and more series than daemons."""
    assert list(twice(marks(1, 2), starts=1)) == []
    assert list(twice({Mark("aaaaaaaa", 1), Mark("bbbbbbbb", 1)}, starts=2)) == ["a number was sent under two marks"]
    assert list(twice({Mark("aaaaaaaa", 1), Mark("bbbbbbbb", 2)}, starts=1)) == ["there are more series than 1 starts"]


MARK = b"0a1b2c3d/12"
SENT_POSTGRES = b"\x00\x00\x00\x08daemonid\x00\x00\x00\x0b" + MARK + b"\x00\x00\x00\x0b0a1b2c3d/11\x00\x00\x00\x01\x00"
ROW = b"D\x00\x00\x00\x1b\x00\x02\x00\x00\x00\x01%b\x00\x00\x00\x0b0a1b2c3d/11"
READY = b"Z\x00\x00\x00\x05%b"
SENT_REDIS = b"*4\r\n$4\r\nEVAL\r\n$9\r\nx PEXPIRE\r\n$1\r\n2\r\n$11\r\n" + MARK + b"\r\n"


@pytest.mark.parametrize(
    ("language", "sent", "answer", "acked"),
    [
        (POSTGRES, SENT_POSTGRES, ROW % b"\x01" + READY % b"I", True),
        (POSTGRES, SENT_POSTGRES, ROW % b"\x01" + READY % b"T", False),
        (POSTGRES, SENT_POSTGRES, ROW % b"\x00" + READY % b"I", False),
        (
            POSTGRES,
            SENT_POSTGRES,
            ROW % b"\x01" + READY % b"T" + b"C\x00\x00\x00\x0bROLLBACK\x00" + READY % b"I",
            False,
        ),
        (POSTGRES, SENT_POSTGRES, ROW % b"\x01" + READY % b"T" + b"C\x00\x00\x00\x0bCOMMIT\x00" + READY % b"I", True),
        (REDIS, SENT_REDIS, b"$2\r\nab\r\n*2\r\n:1\r\n$11\r\n0a1b2c3d/11\r\n", True),
        (REDIS, SENT_REDIS, b"$2\r\nab\r\n*2\r\n:0\r\n$11\r\n0a1b2c3d/11\r\n", False),
        (REDIS, SENT_REDIS, b"$2\r\nab\r\n-READONLY You can't write against a read only replica.\r\n", False),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_wire_tells_what_was_sent_and_answered(
    language: Language, sent: bytes, answer: bytes, *, acked: bool, size: int
) -> None:
    """However the streams are cut into chunks, and nothing in them is changed."""
    wire = Wire(language=language)
    there, back = wire._of_one()
    assert b"".join(there(sent[at : at + size]) for at in range(0, len(sent), size)) == sent
    assert b"".join(back(answer[at : at + size]) for at in range(0, len(answer), size)) == answer
    mark = Mark("0a1b2c3d", 12)
    assert wire.sent == {mark: 1}
    assert wire.answered == ({mark} if acked else set())
