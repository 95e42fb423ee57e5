"""Conversations that are broken in one known way, and the one name that this must have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.conversation import SHOWN, Expected, Transcript, compare, difference
from monitor.core.payload import Author, Message, Thread
from monitor.core.verdict import Kind, Violation

AUTHOR = Author(environment="test", probe="thread", run_id="0190aaaa-0000-7000-8000-000000000000")


@dataclass(frozen=True)
class Tale:
    """What must come back, and a reload in which it did."""

    expected: Expected
    read: Transcript
    edited: Message | None
    deleted: Message
    reverted: Message


def tell(singles: int, batch: int, *, author: Author = AUTHOR, edit: bool = True) -> Tale:
    """The thread probe's story: singles one by one, a batch, something rolled back, an edit, a deletion."""
    header = author.thread(0, user="holdfast-user-1")
    written = [author.message(0, number) for number in range(1, singles + 1)]
    deleted = author.message(0, singles + 1)
    reverted = author.message(0, singles + 2)
    together = [author.message(0, number) for number in range(singles + 3, singles + 3 + batch)]
    edited = author.message(0, 1, version=1) if edit and written else None
    messages = (*([edited] if edited else written[:1]), *written[1:], *together)
    expected = Expected(
        thread=header,
        messages=messages,
        earlier={edited.id: written[0].digest} if edited else {},
        absent={deleted.id: Kind.RESURRECTED, reverted.id: Kind.PHANTOM},
        atomic=frozenset(message.id for message in together),
    )
    read = Transcript(thread=header, count=len(messages), messages=messages)
    return Tale(expected=expected, read=read, edited=edited, deleted=deleted, reverted=reverted)


def kinds(expected: Expected, read: Transcript) -> list[Kind]:
    """The kinds that are reported, each once."""
    return sorted({violation.kind for violation in compare(expected, read)})


def showing(read: Transcript, messages: Sequence[Message]) -> Transcript:
    """The same reload with other messages; the header's own count is untouched."""
    return replace(read, messages=tuple(messages))


Break = Callable[[Tale, Random], tuple[Transcript, set[Kind]]]
BREAKS: dict[str, Break] = {}


def breaks(function: Break) -> Break:
    """Take up one way to break a conversation."""
    BREAKS[function.__name__] = function
    return function


def singles_of(tale: Tale) -> list[Message]:
    """The messages that were appended one by one."""
    return [message for message in tale.expected.messages if message.id not in tale.expected.atomic]


def without(tale: Tale, gone: Sequence[Message]) -> Transcript:
    """A reload that lacks some messages."""
    ids = {message.id for message in gone}
    return showing(tale.read, [message for message in tale.read.messages if message.id not in ids])


def with_one(tale: Tale, changed: Message) -> Transcript:
    """A reload in which one message is another under the same id."""
    return showing(tale.read, [changed if message.id == changed.id else message for message in tale.read.messages])


def inserted(tale: Tale, extra: Message, rng: Random) -> Transcript:
    """A reload with one message more, anywhere."""
    messages = list(tale.read.messages)
    messages.insert(rng.randint(0, len(messages)), extra)
    return showing(tale.read, messages)


@breaks
def nothing(tale: Tale, _rng: Random) -> tuple[Transcript, set[Kind]]:
    """What is whole is not broken."""
    return tale.read, set()


@breaks
def one_single_dropped(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """An acknowledged message is missing."""
    return without(tale, [rng.choice(singles_of(tale))]), {Kind.LOST}


@breaks
def all_dropped(tale: Tale, _rng: Random) -> tuple[Transcript, set[Kind]]:
    """Only the header is left."""
    return showing(tale.read, []), {Kind.LOST}


@breaks
def newest_cut(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """A reader's limit cuts off the newest messages, singles among them."""
    kept = rng.randint(0, len(singles_of(tale)) - 1)
    return showing(tale.read, tale.read.messages[:kept]), {Kind.LOST}


@breaks
def lost_with_its_count(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """A lost transaction took the header's count with it: one cause, one name."""
    read = without(tale, [rng.choice(singles_of(tale))])
    return replace(read, count=len(read.messages)), {Kind.LOST}


@breaks
def part_of_the_batch_dropped(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """A transaction came in part."""
    batch = [message for message in tale.expected.messages if message.id in tale.expected.atomic]
    return without(tale, rng.sample(batch, rng.randint(1, len(batch) - 1))), {Kind.TORN}


@breaks
def whole_batch_dropped(tale: Tale, _rng: Random) -> tuple[Transcript, set[Kind]]:
    """A transaction that is missing as a whole is lost, not torn."""
    batch = [message for message in tale.expected.messages if message.id in tale.expected.atomic]
    return without(tale, batch), {Kind.LOST}


@breaks
def singles_and_part_of_the_batch_dropped(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """Where more than the batch suffered it is plain loss."""
    batch = [message for message in tale.expected.messages if message.id in tale.expected.atomic]
    gone = [rng.choice(singles_of(tale)), *rng.sample(batch, rng.randint(1, len(batch) - 1))]
    return without(tale, gone), {Kind.LOST}


@breaks
def content_altered(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """A character more."""
    message = rng.choice(tale.expected.messages)
    return with_one(tale, replace(message, content=(message.content or "") + "x")), {Kind.CORRUPT}


@breaks
def content_emptied(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """Empty is not null, nor the other way round."""
    message = rng.choice(tale.expected.messages)
    return with_one(tale, replace(message, content=None if message.content is not None else "")), {Kind.CORRUPT}


@breaks
def metadata_altered(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """A key more in the metadata."""
    message = rng.choice(tale.expected.messages)
    return with_one(tale, replace(message, metadata='{"a":1,' + message.metadata[1:])), {Kind.CORRUPT}


@breaks
def metadata_mangled(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """Metadata that is no JSON any more."""
    message = rng.choice(tale.expected.messages)
    return with_one(tale, replace(message, metadata=message.metadata[:-1])), {Kind.CORRUPT}


@breaks
def role_altered(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """Another speaker."""
    message = rng.choice(tale.expected.messages)
    return with_one(tale, replace(message, role="system")), {Kind.CORRUPT}


@breaks
def type_altered(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """Another type of message."""
    message = rng.choice(tale.expected.messages)
    return with_one(tale, replace(message, type="other")), {Kind.CORRUPT}


@breaks
def number_altered(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """Another sequence number at the right place."""
    message = rng.choice(tale.expected.messages)
    return with_one(tale, replace(message, number=message.number + 1000)), {Kind.CORRUPT}


@breaks
def previous_version(tale: Tale, _rng: Random) -> tuple[Transcript, set[Kind]]:
    """What an acknowledged edit has replaced."""
    return with_one(tale, AUTHOR.message(0, 1)), {Kind.STALE}


@breaks
def version_never_written(tale: Tale, _rng: Random) -> tuple[Transcript, set[Kind]]:
    """Neither the version that was written last nor the one before."""
    return with_one(tale, AUTHOR.message(0, 1, version=2)), {Kind.CORRUPT}


@breaks
def two_swapped(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """Two messages changed places."""
    messages = list(tale.read.messages)
    one, other = rng.sample(range(len(messages)), 2)
    messages[one], messages[other] = messages[other], messages[one]
    return showing(tale.read, messages), {Kind.REORDERED}


@breaks
def two_renumbered(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """Two messages changed numbers, and places with them."""
    messages = list(tale.read.messages)
    one, other = rng.sample(range(len(messages)), 2)
    first, second = messages[one], messages[other]
    messages[one] = replace(second, number=first.number)
    messages[other] = replace(first, number=second.number)
    return showing(tale.read, messages), {Kind.REORDERED}


@breaks
def read_backwards(tale: Tale, _rng: Random) -> tuple[Transcript, set[Kind]]:
    """The newest first."""
    return showing(tale.read, tale.read.messages[::-1]), {Kind.REORDERED}


@breaks
def twice_under_its_id(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """The same row twice."""
    return inserted(tale, rng.choice(tale.expected.messages), rng), {Kind.DUPLICATED}


@breaks
def twice_under_another_id(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """A retry that wrote the same message again."""
    message = rng.choice(tale.expected.messages)
    copy = replace(message, id=UUID(int=rng.getrandbits(128)), number=rng.randint(1, 500))
    return inserted(tale, copy, rng), {Kind.DUPLICATED}


@breaks
def one_number_for_two(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """Two messages with one sequence number: their order is then nobody's promise."""
    messages = list(tale.read.messages)
    place = rng.randrange(1, len(messages))
    messages[place] = replace(messages[place], number=messages[place - 1].number)
    if rng.random() < 0.5:
        messages[place - 1], messages[place] = messages[place], messages[place - 1]
    return showing(tale.read, messages), {Kind.DUPLICATED}


@breaks
def foreign_row(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """A message that nobody wrote here."""
    stranger = replace(AUTHOR, run_id="another").message(0, rng.randint(1, 20))
    return inserted(tale, stranger, rng), {Kind.PHANTOM}


@breaks
def foreign_row_with_the_count(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """A surplus that the header counts too: one cause, one name."""
    read = inserted(tale, replace(AUTHOR, run_id="another").message(0, 3), rng)
    return replace(read, count=len(read.messages)), {Kind.PHANTOM}


@breaks
def deleted_row(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """A deletion that was acknowledged did not last."""
    return inserted(tale, tale.deleted, rng), {Kind.RESURRECTED}


@breaks
def rolled_back_row(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """What was rolled back shows."""
    return inserted(tale, tale.reverted, rng), {Kind.PHANTOM}


@breaks
def header_missing(tale: Tale, _rng: Random) -> tuple[Transcript, set[Kind]]:
    """Messages without their thread."""
    return replace(tale.read, thread=None, count=None), {Kind.LOST}


@breaks
def everything_missing(tale: Tale, _rng: Random) -> tuple[Transcript, set[Kind]]:
    """No header, no messages."""
    return replace(tale.read, thread=None, count=None, messages=()), {Kind.LOST}


@breaks
def header_changed(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """Another owner, name or metadata."""
    change: dict[str, str] = rng.choice([{"user": "x"}, {"name": "x"}, {"metadata": "{}"}, {"metadata": ""}])
    header: Thread = replace(tale.expected.thread, **change)  # type: ignore[arg-type]  # one of three strings
    return replace(tale.read, thread=header), {Kind.CORRUPT}


@breaks
def count_wrong(tale: Tale, rng: Random) -> tuple[Transcript, set[Kind]]:
    """The header's own count disagrees with what was written and with what is there."""
    wrong = rng.choice([None, 0, -1, len(tale.read.messages) - 1, len(tale.read.messages) + 1])
    return replace(tale.read, count=wrong), {Kind.CORRUPT}


@pytest.mark.parametrize("name", BREAKS)
@settings(max_examples=100, deadline=None)
@given(singles=st.integers(1, 12), batch=st.integers(2, 6), seed=st.integers(0, 2**32))
def test_each_breakage_has_its_one_name(name: str, singles: int, batch: int, seed: int) -> None:
    """A conversation of any length that is broken in one way, anywhere, shows exactly the kinds of that way."""
    tale = tell(singles, batch)
    read, wanted = BREAKS[name](tale, Random(seed))  # noqa: S311  the same
    assert kinds(tale.expected, read) == sorted(wanted)


PLACES = st.sets(st.integers(0, 39), min_size=1, max_size=39)


@settings(max_examples=300, deadline=None)
@given(places=PLACES)
def test_what_is_missing_is_told_by_its_numbers(places: set[int]) -> None:
    """Whichever messages are missing, all of them and no others are named, in their order."""
    tale = tell(40, 2, edit=False)
    gone = [tale.expected.messages[place] for place in sorted(places)]
    (violation,) = compare(tale.expected, without(tale, gone))
    assert violation.evidence["numbers"] == [message.number for message in gone]
    assert violation.subject.startswith(f"{len(gone)} of 42 ")


@settings(max_examples=100, deadline=None)
@given(places=PLACES, cut=st.integers(0, 30))
def test_what_is_changed_is_told_by_its_first_difference(places: set[int], cut: int) -> None:
    """Whichever messages were changed, the first is told first, and where its text parts from what was written."""
    tale = tell(40, 2, edit=False)
    read = tale.read
    for place in places:
        message = tale.expected.messages[place]
        content = message.content or ""
        altered = replace(message, content=f"{content[:cut]}\0{content[cut:]}")
        read = with_one(replace(tale, read=read), altered)
    first, *others = compare(tale.expected, read)
    changed = tale.expected.messages[min(places)]
    before = "" if changed.content is None else f"text:{changed.content[:cut]}"  # null becomes text at once
    parting = len(f"role={changed.role} type={changed.type} content={before}")
    assert first.subject == f"message {changed.number}"
    assert str(first.evidence["first_difference"]).startswith(f"at character {parting}: ")
    assert first.evidence["in_all"] == len(places)
    assert len(others) == min(len(places), SHOWN) - 1


@settings(max_examples=300, deadline=None)
@given(places=st.sets(st.integers(0, 41), min_size=2, max_size=2))
def test_a_wrong_order_is_told_by_its_first_place(places: set[int]) -> None:
    """Whichever two change places, the first place that is wrong is named, and both messages."""
    tale = tell(40, 2, edit=False)
    one, other = sorted(places)
    messages = list(tale.read.messages)
    messages[one], messages[other] = messages[other], messages[one]
    (violation,) = compare(tale.expected, showing(tale.read, messages))
    assert violation.subject == f"place {one + 1} of 42"
    assert str(messages[other].id) in violation.expected
    assert str(messages[one].id) in violation.actual


@settings(max_examples=300, deadline=None)
@given(places=PLACES)
def test_what_came_twice_is_told_one_by_one_up_to_a_bound(places: set[int]) -> None:
    """Whichever messages came twice, the first of them are named, and how many there are."""
    tale = tell(40, 2, edit=False)
    copies = [tale.expected.messages[place] for place in sorted(places)]
    found = compare(tale.expected, showing(tale.read, [*tale.read.messages, *copies]))
    assert [violation.subject for violation in found] == [f"message {copy.number}" for copy in copies[:SHOWN]]
    assert {violation.evidence["in_all"] for violation in found} == {len(copies)}


def seeded() -> Random:
    """Where a row is inserted does not matter, and is always the same."""
    return Random(7)  # noqa: S311  no secret hangs on it


Several = Callable[[Tale], Transcript]
INDEPENDENT: dict[str, tuple[Kind, Several]] = {
    "altered": (Kind.CORRUPT, lambda tale: with_one(tale, replace(tale.expected.messages[2], role="x"))),
    "old": (Kind.STALE, lambda tale: with_one(tale, AUTHOR.message(0, 1))),
    "copied": (
        Kind.DUPLICATED,
        lambda tale: inserted(tale, replace(tale.expected.messages[1], id=UUID(int=7)), seeded()),
    ),
    "foreign": (Kind.PHANTOM, lambda tale: inserted(tale, replace(AUTHOR, run_id="x").message(0, 9), seeded())),
    "deleted": (Kind.RESURRECTED, lambda tale: inserted(tale, tale.deleted, seeded())),
    "torn": (Kind.TORN, lambda tale: without(tale, tale.expected.messages[-1:])),
}


@settings(max_examples=200, deadline=None)
@given(names=st.lists(st.sampled_from(sorted(INDEPENDENT)), min_size=2, unique=True))
def test_several_breakages_have_all_their_names(names: list[str]) -> None:
    """Breakages of different messages do not hide each other, and nothing else is reported."""
    tale = tell(5, 3)
    for name in names:
        tale = replace(tale, read=INDEPENDENT[name][1](tale))
    assert kinds(tale.expected, tale.read) == sorted(INDEPENDENT[name][0] for name in names)


@settings(max_examples=200, deadline=None)
@given(
    singles=st.integers(0, 30),
    batch=st.integers(0, 30),
    edit=st.booleans(),
    run=st.uuids(),
    environment=st.sampled_from(["production", "a", "b-c_d"]),
)
def test_what_came_back_as_it_was_is_no_violation(
    singles: int, batch: int, run: UUID, environment: str, *, edit: bool
) -> None:
    """An unbroken conversation of any length, run and environment shows nothing."""
    author = Author(environment=environment, probe="thread", run_id=str(run))
    tale = tell(singles, batch, author=author, edit=edit)
    assert compare(tale.expected, tale.read) == ()


def test_jsonb_spelling_is_no_violation() -> None:
    """Metadata that a store spells in its own way, keys sorted by length and numbers written out, is unchanged."""
    message = replace(AUTHOR.message(0, 1), metadata='{"long": 1e16, "b": [1.50, -9223372036854775808], "a": "é"}')
    stored = replace(message, metadata='{"a": "\\u00e9", "b": [1.5, -9223372036854775808], "long": 10000000000000000}')
    expected = Expected(thread=AUTHOR.thread(0, user="u"), messages=(message,))
    assert compare(expected, Transcript(thread=expected.thread, count=1, messages=(stored,))) == ()


def test_a_batch_of_one_cannot_be_torn() -> None:
    """A transaction of one message that is missing is lost."""
    tale = tell(3, 1)
    gone = [message for message in tale.expected.messages if message.id in tale.expected.atomic]
    assert kinds(tale.expected, without(tale, gone)) == [Kind.LOST]


def test_a_missing_message_is_named_by_its_number_and_id() -> None:
    """Whoever gets up at night reads first how many messages are missing, then which."""
    tale = tell(4, 2)
    one, two = [tale.expected.messages[2]], [tale.expected.messages[0], tale.expected.messages[2]]
    (violation,) = compare(tale.expected, without(tale, one))
    assert said(violation) == ("1 of 6 acknowledged messages is missing", "all 6", "5, without number 3")
    assert violation.evidence["missing"] == [str(one[0].id)]
    (violation,) = compare(tale.expected, without(tale, two))
    assert said(violation) == ("2 of 6 acknowledged messages are missing", "all 6", "4, without numbers 1 and 3")
    (violation,) = compare(tale.expected, without(tale, tale.expected.messages[-3:]))
    why = "3, without numbers 4, 7 and 8 of 1 to 8; numbers 5 and 6 were not to stay"
    assert said(violation) == ("3 of 6 acknowledged messages are missing", "all 6", why)
    (violation,) = compare(tale.expected, without(tale, [tale.expected.messages[-1]]))
    torn = "1 of 2 messages of one transaction is missing"
    assert said(violation) == (torn, "all of them or none", "1, without number 8")


def said(violation: Violation) -> tuple[str, str, str]:
    """What a violation says in words."""
    return violation.subject, violation.expected, violation.actual


def test_a_change_is_shown_where_it_begins() -> None:
    """Whoever gets up at night reads what is different; digests, and how metadata is spelled, are for machines."""
    tale = tell(4, 0)
    message = replace(tale.expected.messages[1], role="system", metadata='{"b": 1, "a": 2}')
    expected = replace(tale.expected, messages=(message,), earlier={})
    seen = replace(message, metadata='{"a": 3, "b": 1}')
    (violation,) = compare(expected, Transcript(thread=expected.thread, count=1, messages=(seen,)))
    assert (violation.kind, violation.subject) == (Kind.CORRUPT, "message 2")
    assert '"a":2' in violation.expected
    assert '"a":3' in violation.actual
    assert "digest" not in f"{violation.expected} {violation.actual}"
    assert violation.evidence["found_digest"] == seen.digest


def test_evidence_of_a_large_loss_is_bounded() -> None:
    """Ten thousand lost messages make evidence that still fits on a page."""
    tale = tell(1000, 0)
    (violation,) = compare(tale.expected, showing(tale.read, []))
    assert len(str(violation)) < 3000
    assert violation.actual == "0, without numbers 1, 2, 3, 4, 5, 6, 7, 8 and 992 more"


def test_a_difference_is_shown_where_it_begins() -> None:
    """Two long texts are shown around the first place where they part."""
    assert difference("a" * 100 + "x", "a" * 100 + "y").startswith("at character 100: expected 'aaaaaaaaaaaax'")
    assert difference("same", "same and more").startswith("at character 4")


def test_work_grows_with_the_length_and_not_with_its_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the messages, twice the digests, also where everything is wrong at once."""
    asked = 0
    real = Message.digest.fget
    assert real is not None

    def counting(self: Message) -> str:
        nonlocal asked
        asked += 1
        return str(real(self))

    monkeypatch.setattr(Message, "digest", property(counting))
    work = []
    for size in (50, 100, 200):
        tale = tell(size, 2)
        strangers = [replace(AUTHOR, run_id="x").message(0, number) for number in range(size)]
        asked = 0
        compare(tale.expected, showing(tale.read, [*reversed(tale.read.messages), *strangers]))
        work.append(asked)
    assert work[2] - work[1] <= 2 * (work[1] - work[0])
