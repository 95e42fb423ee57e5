"""Long conversations read in pages, newest first and counted, broken in one known way; and the name that this has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core import pages
from monitor.core.confirmation import Reading
from monitor.core.conversation import SHOWN, Expected
from monitor.core.pages import NOTHING, Counted, Look, Page, Seen
from monitor.core.payload import Author, Message
from monitor.core.record import Node
from monitor.core.verdict import Kind, Reason, Verdict

AUTHOR = Author(environment="test", probe="history", run_id="0190aaaa-0000-7000-8000-000000000000")
PRIMARY = Node(store="postgres", address="db:5432", primary=True, version="15", position="0/1", identity="7-1")
MESSAGES = tuple(AUTHOR.message(0, number, light=True) for number in range(1, 61))
HEADER = AUTHOR.thread(0, user="holdfast-user-1")


def history(size: int) -> Expected:
    """A conversation of that many messages."""
    return Expected(thread=HEADER, messages=MESSAGES[:size])


def walk(stored: Sequence[Message], limit: int) -> list[Message]:
    """Read page after page by a cursor, as a client does from a table that holds these rows."""
    found, after = list[Message](), 0
    while True:
        rest = sorted((each for each in stored if each.number > after), key=lambda each: each.number)
        found += rest[:limit]
        if len(rest[:limit]) < limit:
            return found
        after = found[-1].number


@dataclass(frozen=True, kw_only=True)
class Case:
    """A conversation in a table, the size of a page, and chance."""

    stored: list[Message]
    limit: int
    rng: Random

    def place(self) -> int:
        """Any place in it."""
        return self.rng.randrange(len(self.stored))


Break = Callable[[Case], tuple[list[Message], set[Kind]]]
BREAKS: dict[str, Break] = {}


def breaks(function: Break) -> Break:
    """Take up one way to break a walk over pages."""
    BREAKS[function.__name__] = function
    return function


@breaks
def nothing(case: Case) -> tuple[list[Message], set[Kind]]:
    """What is whole is not broken."""
    return walk(case.stored, case.limit), set()


@breaks
def rows_missing(case: Case) -> tuple[list[Message], set[Kind]]:
    """Some rows are not in the table."""
    gone = case.rng.sample(range(len(case.stored)), case.rng.randint(1, len(case.stored)))
    return walk([each for place, each in enumerate(case.stored) if place not in gone], case.limit), {Kind.LOST}


@breaks
def newest_cut(case: Case) -> tuple[list[Message], set[Kind]]:
    """Pages that end before the end."""
    return walk(case.stored[: case.place()], case.limit), {Kind.LOST}


@breaks
def boundary_skipped(case: Case) -> tuple[list[Message], set[Kind]]:
    """A cursor that begins each page one row too late."""
    return [each for place, each in enumerate(case.stored, start=1) if place % (case.limit + 1)], (
        {Kind.LOST} if len(case.stored) > case.limit else set()
    )


@breaks
def boundary_repeated(case: Case) -> tuple[list[Message], set[Kind]]:
    """A cursor that shows the last row of each page again as the first of the next."""
    found = list[Message]()
    for place in range(0, len(case.stored), case.limit):
        found += case.stored[max(0, place - 1) : place + case.limit]
    return found, {Kind.DUPLICATED} if len(case.stored) > case.limit else set()


@breaks
def page_repeated(case: Case) -> tuple[list[Message], set[Kind]]:
    """A cursor that does not get on."""
    return [*case.stored[: case.limit], *case.stored], {Kind.DUPLICATED}


@breaks
def newest_first(case: Case) -> tuple[list[Message], set[Kind]]:
    """The whole backwards."""
    return case.stored[::-1], {Kind.REORDERED} if len(case.stored) > 1 else set()


@breaks
def ties_shuffled(case: Case) -> tuple[list[Message], set[Kind]]:
    """Sorted by a second in which several were written: two at least have changed places."""
    if len(case.stored) == 1:
        return case.stored, set()
    place = case.rng.randrange(len(case.stored) - 1)
    found = list(case.stored)
    found[place], found[place + 1] = found[place + 1], found[place]
    return found, {Kind.REORDERED}


@breaks
def cursor_along_a_wrong_order(case: Case) -> tuple[list[Message], set[Kind]]:
    """A cursor by number over pages that are sorted otherwise skips what it has passed: one cause, one name."""
    if len(case.stored) < 3:
        return case.stored, set()
    return [case.stored[1], case.stored[0], *case.stored[3:]], {Kind.REORDERED}


@breaks
def content_altered(case: Case) -> tuple[list[Message], set[Kind]]:
    """A character more."""
    place = case.place()
    altered = replace(case.stored[place], content=(case.stored[place].content or "") + "x")
    return [*case.stored[:place], altered, *case.stored[place + 1 :]], {Kind.CORRUPT}


@breaks
def foreign_row(case: Case) -> tuple[list[Message], set[Kind]]:
    """A message that nobody wrote here."""
    place = case.place()
    stranger = replace(AUTHOR, run_id="another").message(0, 3)
    return [*case.stored[:place], stranger, *case.stored[place:]], {Kind.PHANTOM}


@breaks
def written_twice(case: Case) -> tuple[list[Message], set[Kind]]:
    """A retry under another id."""
    copy = replace(case.stored[case.place()], id=UUID(int=case.rng.getrandbits(128)), number=1000)
    return [*case.stored, copy], {Kind.DUPLICATED}


SIZES = st.integers(1, 60)
LIMITS = st.integers(1, 30)
SEEDS = st.integers(0, 2**32)


@pytest.mark.parametrize("name", BREAKS)
@settings(max_examples=100, deadline=None)
@given(size=SIZES, limit=LIMITS, seed=SEEDS)
def test_each_breakage_of_pages_has_its_one_name(name: str, size: int, limit: int, seed: int) -> None:
    """Pages of any size over a conversation of any length, broken in one way, show exactly the kind of that way."""
    case = Case(stored=list(MESSAGES[:size]), limit=limit, rng=Random(seed))  # noqa: S311  the same
    found, wanted = BREAKS[name](case)
    violations = pages.walked(history(size), Page(messages=tuple(found), asked="page"))
    assert {violation.kind for violation in violations} == wanted
    assert len(violations) <= SHOWN


Newest = Callable[[Case], tuple[Sequence[Message], set[Kind]]]
NEWEST: Mapping[str, Newest] = {
    "right": lambda case: (case.stored[::-1][: case.limit], set()),
    "more than asked for": lambda case: (case.stored[::-1], set()),
    "without the last": lambda case: (case.stored[-2::-1][: case.limit] if len(case.stored) > 1 else (), {Kind.LOST}),
    "without one of them": lambda case: (
        [each for each in case.stored[::-1] if each is not case.stored[-min(2, case.limit, len(case.stored))]],
        {Kind.LOST},
    ),
    "empty": lambda _: ((), {Kind.LOST}),
    "oldest first": lambda case: (case.stored[: case.limit], _disorder(case)),
    "in the order of the whole": lambda case: (
        case.stored[-case.limit :],
        {Kind.REORDERED} if min(case.limit, len(case.stored)) > 1 else set(),
    ),
    "doubled": lambda case: (
        [case.stored[-1], *case.stored[::-1][: case.limit]],
        {Kind.DUPLICATED},
    ),
}


def _disorder(case: Case) -> set[Kind]:
    """The oldest page in its order is in disorder where it has two messages, and lacks the newest where it has one."""
    if min(case.limit, len(case.stored)) > 1:
        return {Kind.REORDERED}
    return {Kind.LOST} if len(case.stored) > 1 else set()


@pytest.mark.parametrize("name", NEWEST)
@settings(max_examples=100, deadline=None)
@given(size=SIZES, limit=LIMITS, seed=SEEDS)
def test_each_breakage_of_the_newest_page_has_its_one_name(name: str, size: int, limit: int, seed: int) -> None:
    """What fills the place of a missing message is no stranger, and a wrong order is nothing but that."""
    case = Case(stored=list(MESSAGES[:size]), limit=limit, rng=Random(seed))  # noqa: S311  the same
    found, wanted = NEWEST[name](case)
    violations = pages.newest(history(size), Page(messages=tuple(found), asked="newest"), limit=limit)
    assert {violation.kind for violation in violations} == wanted


@pytest.mark.parametrize(
    ("count", "wanted"),
    [
        (Counted(header=9, messages=9), []),
        (Counted(header=9, messages=8), [Kind.LOST]),
        (Counted(header=8, messages=8), [Kind.LOST]),
        (Counted(header=9, messages=10), [Kind.PHANTOM]),
        (Counted(header=10, messages=10), [Kind.PHANTOM]),
        (Counted(header=8, messages=9), [Kind.CORRUPT]),
        (Counted(header=None, messages=9), [Kind.LOST]),
        (Counted(header=8, messages=7), [Kind.LOST, Kind.CORRUPT]),
        (NOTHING, [Kind.LOST, Kind.LOST]),
    ],
)
def test_counts_that_disagree_are_named(count: Counted, wanted: list[Kind]) -> None:
    """Too few is lost, too many phantom, and a header that agrees with neither is corrupt."""
    assert [violation.kind for violation in pages.counted(history(9), {HEADER.id: count})] == wanted


def test_a_thread_of_which_no_count_came_is_lost() -> None:
    """An answer without the thread is one of nothing."""
    assert [violation.kind for violation in pages.counted(history(9), {})] == [Kind.LOST, Kind.LOST]


@pytest.mark.parametrize("left", [Counted(header=0, messages=0), Counted(header=None, messages=1)])
def test_what_remains_of_a_deleted_thread_is_resurrected(left: Counted) -> None:
    """A header alone or a message alone is enough."""
    one, other = UUID(int=1), UUID(int=2)
    found = list(pages.remains([one, other], {one: NOTHING, other: left}))
    assert [(violation.kind, violation.evidence["thread"]) for violation in found] == [(Kind.RESURRECTED, str(other))]


def test_absence_needs_what_stayed() -> None:
    """Where nothing is left, and not even what was to stay is seen, nothing can be told."""
    read: Reading[Mapping[UUID, Counted]] = Reading(first={HEADER.id: NOTHING})
    gone = Look(name="gone", reading=read, check=partial(pages.remains, [HEADER.id]))
    assert pages.judge(Seen(looks=(), gone=gone, sibling_found=True)).verdict is Verdict.OK
    finding = pages.judge(Seen(looks=(), gone=gone, sibling_found=False))
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, Reason.INCONCLUSIVE)


def test_a_look_that_a_second_look_does_not_confirm_is_a_doubt() -> None:
    """The newest page missed a message once, and had it on a new connection."""
    expected = history(5)
    right = Page(messages=expected.messages[::-1], asked="newest")
    wrong = replace(right, messages=right.messages[1:])

    def look(second: Page) -> Look[Page]:
        reading = Reading(first=wrong, second=second, node=PRIMARY)
        return Look(name="newest", reading=reading, check=partial(pages.newest, expected, limit=3))

    assert pages.judge(Seen(looks=(look(right),))).reason is Reason.INCONCLUSIVE
    (violation,) = pages.judge(Seen(looks=(look(wrong),))).violations
    assert (violation.kind, violation.evidence["numbers"], violation.evidence["asked"]) == (Kind.LOST, [5], "newest")
    assert violation.subject.startswith("1 of 3 ")


def test_what_remains_says_how_somebody_can_ask_the_same() -> None:
    """The statement or the request of the application by which it was found."""
    left = Counted(header=None, messages=1, asked="SELECT count(*) …")
    (violation,) = pages.remains([HEADER.id], {HEADER.id: left})
    assert violation.evidence["asked"] == "SELECT count(*) …"
