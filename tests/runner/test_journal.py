"""What is kept of runs, also while the state database fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from monitor import journal as journal_module
from monitor.core.recent import Recent
from monitor.core.record import RunRecord
from monitor.core.verdict import Finding, Kind, Reason, Violation
from monitor.core.violations import Changes, KeptViolation, Stage
from monitor.journal import Journal
from monitor.ports import Acknowledgement, StateError
from monitor.probes.thread import ThreadProbe
from monitor.stores.state import KeptState
from tests.runner import ShiftedClock

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OK = Finding.of((), checks=1)
UNKNOWN = Finding.unknown(Reason.UNREACHABLE, "gone")
NUMBERS = count(1)


def violated(*kinds: Kind) -> Finding:
    """A finding of these kinds."""
    return Finding.of([Violation(kind=kind, subject="m", expected="a", actual="b") for kind in kinds], checks=1)


def run(finding: Finding = OK, *, environment: str = "production", probe: str = "thread") -> RunRecord:
    """A run, one second after the one before."""
    number = next(NUMBERS)
    return RunRecord(
        run_id=f"run-{number:08d}",
        environment=environment,
        probe=probe,
        started=NOON + timedelta(seconds=number),
        took=timedelta(milliseconds=5),
        finding=finding,
    )


class MoodyState(KeptState):
    """A real state that fails when it is told to, counts what it is given, and can be held up after a look."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(path)
        self.trouble = ""
        self.groups: list[int] = []
        self.looked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def save(self, ended: Sequence[RunRecord], changed: Sequence[KeptViolation]) -> None:
        """Keep, or fail."""
        if self.trouble:
            raise StateError(self.trouble)
        self.groups.append(len(ended))
        await super().save(ended, changed)

    async def acknowledgements(self) -> list[Acknowledgement]:
        """What is kept; whoever asked learns of it only when the test says so."""
        found = await super().acknowledgements()
        self.looked.set()
        await self.go_on.wait()
        return found

    async def prune(self, *, runs: datetime, failures: datetime, violations: datetime) -> int:
        """Forget, or fail."""
        if self.trouble:
            raise StateError(self.trouble)
        return await super().prune(runs=runs, failures=failures, violations=violations)


class Told:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def ran(self, record: RunRecord, _changes: Changes) -> None:
        """A run ended."""
        self.told.append(record.verdict)

    def acknowledged(self, kept: KeptViolation) -> None:
        """Somebody acknowledged a violation."""
        self.told.append(f"acknowledged {kept.kind}")


class Book:
    """Journals on one and the same file, as a daemon, its successor and a command have them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids = count(1)
        self.states: list[MoodyState] = []

    async def journal(self) -> tuple[Journal, MoodyState]:
        """One more journal, loaded."""
        state = MoodyState(self._path)
        self.states.append(state)
        await state.open()
        made = Journal(state, clock=ShiftedClock(), new_id=lambda: f"violation-{next(self._ids)}")
        await made.load()
        return made, state


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    """A file for journals."""
    made = Book(tmp_path / "state.db")
    yield made
    for state in made.states:
        await state.close()


async def ids(journal: Journal) -> list[str]:
    """The runs that a reader of the journal sees, the earliest first."""
    return [record.run_id for record in reversed(await journal.runs(limit=100_000))]


async def test_runs_are_kept_in_groups(book: Book) -> None:
    """Runs wait for the next flush, can be read meanwhile, and are kept together."""
    journal, state = await book.journal()
    runs = [run() for _ in range(20)]
    for each in runs:
        await journal.add(each)
    assert state.groups == []
    assert await ids(journal) == [each.run_id for each in runs]
    await journal.flush()
    await journal.flush()
    assert state.groups == [20]
    assert await ids(journal) == [each.run_id for each in runs]


async def test_a_violation_is_kept_at_once(book: Book) -> None:
    """What opens or closes a violation is in the file when the run is reported; what repeats it waits."""
    journal, state = await book.journal()
    await journal.add(run())
    changes = await journal.add(run(violated(Kind.LOST)))
    assert [kept.stage for kept in await state.violations()] == [Stage.OPEN]
    await journal.add(run(violated(Kind.LOST)))
    assert state.groups == [2]
    await journal.add(run(OK))
    assert state.groups == [2, 2]
    (kept,) = await state.violations()
    assert (kept.id, kept.stage, kept.times) == (changes.opened[0].id, Stage.CLOSED, 2)


async def test_nothing_is_lost_while_the_state_fails(book: Book) -> None:
    """Runs and violations of the time without a state are all kept when it works again, and the trouble is named."""
    journal, state = await book.journal()
    runs = [run()]
    await journal.add(runs[0])
    state.trouble = "the disk is full"
    for finding in (violated(Kind.LOST), UNKNOWN, OK, violated(Kind.STALE), violated(Kind.STALE)):
        runs.append(run(finding))
        await journal.add(runs[-1])
    await journal.flush()
    assert journal.trouble == "the disk is full"
    assert await ids(journal) == [each.run_id for each in runs]
    assert [kept.kind for kept in journal.standing()] == [Kind.STALE]
    assert await state.runs() == []
    state.trouble = ""
    await journal.flush()
    assert journal.trouble == ""
    assert [each.run_id for each in reversed(await state.runs())] == [each.run_id for each in runs]
    kept = {each.kind: (each.stage, each.times) for each in await state.violations()}
    assert kept == {Kind.LOST: (Stage.CLOSED, 1), Kind.STALE: (Stage.OPEN, 2)}


async def test_what_waits_is_bounded(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that fails for long costs the oldest runs and no more memory."""
    monkeypatch.setattr(journal_module, "_PENDING", 10)
    journal, state = await book.journal()
    state.trouble = "locked"
    runs = [run() for _ in range(25)]
    for each in runs:
        await journal.add(each)
        await journal.flush()
    state.trouble = ""
    await journal.flush()
    assert [each.run_id for each in reversed(await state.runs())] == [each.run_id for each in runs[-10:]]


async def test_runs_that_end_while_others_are_being_kept_are_kept_next(book: Book) -> None:
    """A flush takes what there is, and forgets nothing that came meanwhile."""
    journal, state = await book.journal()
    runs = [run() for _ in range(40)]

    async def report() -> None:
        for each in runs:
            await journal.add(each)
            await asyncio.sleep(0)

    await asyncio.gather(report(), *(journal.flush() for _ in range(10)))
    await journal.flush()
    assert sum(state.groups) == 40
    assert [each.run_id for each in reversed(await state.runs())] == [each.run_id for each in runs]


async def test_a_restart_knows_what_stood_open(book: Book) -> None:
    """A new daemon repeats a violation of its predecessor's instead of opening another, and closes it."""
    before, _ = await book.journal()
    (opened,) = (await before.add(run(violated(Kind.LOST)))).opened
    journal, state = await book.journal()
    assert journal.standing("production") == [opened]
    assert (journal.latest("production"), journal.standing("staging")) == ({}, [])
    changes = await journal.add(run(violated(Kind.LOST)))
    assert ([kept.id for kept in changes.repeated], changes.opened) == ([opened.id], ())
    assert [kept.id for kept in (await journal.add(run(OK))).closed] == [opened.id]
    assert journal.standing() == []
    assert [kept.stage for kept in await state.violations()] == [Stage.CLOSED]


async def test_a_restart_with_a_sick_state_starts_all_the_same(book: Book) -> None:
    """Trouble at the start is noted, and runs are taken in; what stood is learnt later."""
    before, _ = await book.journal()
    await before.add(run(violated(Kind.LOST)))
    state = KeptState(None)
    journal = Journal(state, clock=ShiftedClock(), new_id=lambda: "v")
    await journal.load()
    assert "no such table" in journal.trouble
    assert (await journal.add(run(OK))).closed == ()
    await state.close()


async def test_an_acknowledgement_quietens_until_a_pass(book: Book) -> None:
    """It is kept with its note at once, repeats keep it, and the next one after a pass is open."""
    journal, state = await book.journal()
    (opened,) = (await journal.add(run(violated(Kind.LOST)))).opened
    kept = await journal.acknowledge(opened.id, note="known, see #42")
    assert kept is not None
    assert (kept.stage, kept.note) == (Stage.ACKNOWLEDGED, "known, see #42")
    assert await state.violations() == [kept]
    (again,) = (await journal.add(run(violated(Kind.LOST)))).repeated
    assert again.stage is Stage.ACKNOWLEDGED
    await journal.add(run(OK))
    assert [each.stage for each in (await journal.add(run(violated(Kind.LOST)))).opened] == [Stage.OPEN]
    assert await journal.acknowledge("nobody") is None


async def test_an_acknowledgement_in_the_file_shows_up(book: Book) -> None:
    """`holdfast violations ack` works on the file, and the daemon knows with the next flush."""
    journal, state = await book.journal()
    (opened,) = (await journal.add(run(violated(Kind.LOST)))).opened
    command, _ = await book.journal()
    await command.acknowledge(opened.id, note="known")
    await journal.add(run(violated(Kind.LOST)))
    await journal.flush()
    (kept,) = journal.standing()
    assert (kept.stage, kept.note, kept.times) == (Stage.ACKNOWLEDGED, "known", 2)
    (kept,) = await state.violations()
    assert (kept.stage, kept.note, kept.times) == (Stage.ACKNOWLEDGED, "known", 2)


async def test_a_further_note_is_added(book: Book) -> None:
    """Who acknowledges once more keeps the earlier notes, also in the file, while the daemon is about to save."""
    journal, state = await book.journal()
    (opened,) = (await journal.add(run(violated(Kind.LOST)))).opened
    await journal.acknowledge(opened.id, note="known")
    command, _ = await book.journal()
    await command.acknowledge(opened.id, note="restore under way")
    await journal.add(run(violated(Kind.LOST)))
    await journal.flush()
    for (kept,) in (journal.standing(), await state.violations()):
        assert (kept.stage, kept.note, kept.times) == (Stage.ACKNOWLEDGED, "known\nrestore under way", 2)


async def test_a_violation_that_closes_during_a_look_stays_closed(book: Book) -> None:
    """A flush that asked the file before a run closed a violation does not bring it back."""
    journal, state = await book.journal()
    await journal.add(run(violated(Kind.LOST)))
    state.looked.clear()
    state.go_on.clear()
    flushing = asyncio.create_task(journal.flush())
    await state.looked.wait()
    closing = asyncio.create_task(journal.add(run(OK)))
    await asyncio.sleep(0)
    assert journal.standing() == []
    state.go_on.set()
    await flushing
    assert journal.standing() == []
    await closing
    assert (journal.standing(), [kept.stage for kept in await state.violations()]) == ([], [Stage.CLOSED])


async def test_readers_see_what_is_not_kept_yet(book: Book) -> None:
    """A violation that closed while nothing can be kept is not listed as open, and is listed as closed."""
    journal, state = await book.journal()
    (opened,) = (await journal.add(run(violated(Kind.LOST)))).opened
    state.trouble = "read-only"
    await journal.add(run(OK))
    assert await journal.violations(stages=[Stage.OPEN]) == []
    assert [kept.id for kept in await journal.violations(stages=[Stage.CLOSED])] == [opened.id]
    found = await journal.violation(opened.id)
    assert found is not None
    assert found.stage is Stage.CLOSED


async def test_a_violation_is_found_by_an_unmistakable_beginning(book: Book) -> None:
    """A prefix that fits one violation finds it; one that fits several, or none, finds nothing."""
    journal, _ = await book.journal()
    await journal.add(run(violated(Kind.LOST, Kind.STALE)))
    one = await journal.violation("violation-1")
    assert one is not None
    assert one.kind is Kind.LOST
    assert await journal.violation("violation-") is None
    assert await journal.violation("x") is None


async def test_runs_are_filtered_also_while_they_wait(book: Book) -> None:
    """Environment, probe, verdict and limit choose among kept and waiting runs alike, the latest first."""
    journal, _ = await book.journal()
    runs = [run(), run(UNKNOWN), run(probe="session"), run(environment="staging"), run()]
    for each in runs[:3]:
        await journal.add(each)
    await journal.flush()
    for each in runs[3:]:
        await journal.add(each)

    async def numbers(**wanted: str | int) -> list[int]:
        found = await journal.runs(**wanted)  # type: ignore[arg-type]  # the filters below
        return [[each.run_id for each in runs].index(record.run_id) for record in found]

    assert await numbers() == [4, 3, 2, 1, 0]
    assert await numbers(limit=2) == [4, 3]
    assert await numbers(environment="production", probe="thread") == [4, 1, 0]
    assert await numbers(verdict="unknown") == [1]


async def test_the_latest_run_of_each_probe_is_known(book: Book) -> None:
    """One per probe of an environment, until the environment leaves."""
    journal, _ = await book.journal()
    runs = [run(), run(), run(probe="session"), run(environment="staging")]
    for each in runs:
        await journal.add(each)
    assert journal.latest("production") == {"thread": runs[1], "session": runs[2]}
    journal.forget(["production"])
    assert (journal.latest("production"), journal.latest("staging")) == ({}, {"thread": runs[3]})


async def test_old_runs_are_forgotten_by_their_ages(book: Book) -> None:
    """Pruning counts back from now, and trouble with it is noted like any other."""
    journal, state = await book.journal()
    await journal.add(run())
    await journal.add(run(UNKNOWN))
    await journal.flush()
    age = journal._clock.now() - NOON
    await journal.prune(runs=age - timedelta(days=1), failures=age + timedelta(days=1), violations=timedelta())
    assert [record.verdict for record in await journal.runs()] == ["unknown"]
    state.trouble = "locked"
    await journal.prune(runs=timedelta(), failures=timedelta(), violations=timedelta())
    assert journal.trouble == "locked"


async def test_the_past_of_a_probe_is_recalled(book: Book) -> None:
    """A new daemon knows what ran before its start, little by little, beside what runs since."""
    probe = ThreadProbe(budget=timedelta(milliseconds=20))
    before, _ = await book.journal()
    runs = [run() for _ in range(3)]
    for each in runs:
        await before.add(each)
    await before.flush()
    journal, _ = await book.journal()
    journal.expect("production", {"thread": probe})
    latest = run(UNKNOWN)
    await journal.add(latest)
    assert journal.recent("production", "thread").started == (latest.started.timestamp(),)
    await journal.recall()
    recent = journal.recent("production", "thread")
    assert recent.started == tuple(each.started.timestamp() for each in (*runs, latest))
    assert recent.verdicts == ("ok", "ok", "ok", "unknown")
    journal.expect("production", {})
    assert journal.recent("production", "thread") == Recent()


async def test_a_closed_violation_is_not_acknowledged_into_life(book: Book) -> None:
    """An acknowledgement by the file that comes after the end changes nothing; one before it stays with its note."""
    journal, state = await book.journal()
    (opened,) = (await journal.add(run(violated(Kind.LOST)))).opened
    assert await state.acknowledge(opened.id, at=NOON, note="known")
    await journal.add(run(OK))
    assert not await state.acknowledge(opened.id, at=NOON, note="too late")
    (kept,) = await state.violations()
    assert (kept.stage, kept.acknowledged, kept.note) == (Stage.CLOSED, NOON, "known")
    assert journal.standing() == []


async def test_who_wants_to_know_is_told(book: Book) -> None:
    """A listener hears of runs and of acknowledgements, here and in the file, until it listens no more."""
    journal, state = await book.journal()
    listener = Told()
    journal.listen(listener)
    (opened,) = (await journal.add(run(violated(Kind.LOST, Kind.STALE)))).opened[:1]
    await state.acknowledge(opened.id, at=NOON, note="known")
    await journal.flush()
    assert journal.heard() == {"production"}
    await journal.acknowledge(journal.standing()[1].id)
    journal.unlisten(listener)
    await journal.add(run(OK))
    assert listener.told == ["violated", "acknowledged lost", "acknowledged stale"]
    assert journal.heard() == set()


async def test_violations_that_wait_are_bounded(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing can be kept, closed violations are forgotten first, those that stand never, and it is said."""
    monkeypatch.setattr(journal_module, "_UNSAVED", 10)
    journal, state = await book.journal()
    state.trouble = "locked"
    for _ in range(20):
        await journal.add(run(violated(Kind.LOST)))
        await journal.add(run(OK))
    await journal.add(run(violated(Kind.STALE)))
    assert (len(journal._unsaved), journal.forgotten) == (10, 11)
    assert journal.trouble == "locked; the oldest of what waited to be kept is forgotten"
    state.trouble = ""
    await journal.flush()
    assert journal.trouble == ""
    assert [kept.stage for kept in await state.violations()].count(Stage.OPEN) == 1
