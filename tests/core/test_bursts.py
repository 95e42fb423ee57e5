"""What a burst wrote against what came back: each way to break it is named, and an unbroken one is silent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.bursts import Kept, Look, Reload, Seen, judge
from monitor.core.confirmation import Reading
from monitor.core.conversation import Transcript
from monitor.core.openloop import Act, Cause, Sample, Stop
from monitor.core.payload import Author, Message, synthetic_user
from monitor.core.record import Node
from monitor.core.verdict import Kind, Reason, Verdict

AUTHOR = Author(environment="production", probe="load", run_id="01a203df-6d7d-74c0-b2d2-881acb5edeb3")
PRIMARY = Node(store="postgres", address="db:5432", primary=True, version="15", position="0/1", identity="7-1")
FEW = settings(max_examples=15, deadline=None)
SAMPLE = Sample(act=Act.APPEND, due=1.0, given=1.0, began=1.0, ended=1.01)


def kept(user: int, messages: int) -> Kept:
    """A conversation of so many acknowledged messages."""
    thread = AUTHOR.thread(user, user=synthetic_user(user))
    return Kept(thread=thread, acknowledged=tuple(message(user, n) for n in range(1, messages + 1)))


def message(user: int, number: int) -> Message:
    """One message of a user's conversation."""
    return AUTHOR.message(user, number, light=True)


def came_back(whole: Kept, *more: Message) -> Transcript:
    """What its owner reads where nothing is wrong, and `more`."""
    messages = (*whole.acknowledged, *more)
    return Transcript(thread=whole.thread, count=len(messages), messages=messages)


NOTHING = Transcript(thread=None, count=None, messages=())


def twice(read: Transcript) -> Reading[Transcript]:
    """The same on a new connection to the primary."""
    return Reading(first=read, second=read, node=PRIMARY)


def seen(users: int, messages: int, **changes: object) -> Seen:
    """A burst in which nothing is wrong: everybody reads all of their own, and nothing of anybody else's."""
    all_of_them = [kept(user, messages) for user in range(users)]
    made = Seen(
        samples=(SAMPLE,),
        reloads=tuple(Reload(name="reload", kept=each, reading=Reading(first=came_back(each))) for each in all_of_them),
        looks=tuple(
            Look(
                name="look",
                kept=each,
                user=synthetic_user((user + 1) % users),
                reading=Reading(first=NOTHING),
            )
            for user, each in enumerate(all_of_them)
        ),
        owners={one.id: each.thread.user for each in all_of_them for one in each.acknowledged},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def reading(whole: Seen, user: int, read: Transcript) -> Seen:
    """The same burst, where this is what one user reads, again and again."""
    reloads = [*whole.reloads]
    reloads[user] = replace(reloads[user], reading=twice(read))
    return replace(whole, reloads=tuple(reloads))


def _swapped(read: Transcript) -> Transcript:
    first, second, *others = read.messages
    return replace(read, messages=(second, first, *others))


BREAKS: dict[str, tuple[Kind, Callable[[Transcript], Transcript]]] = {
    "a message is missing": (Kind.LOST, lambda read: replace(read, messages=read.messages[1:])),
    "everything is missing": (Kind.LOST, lambda _: NOTHING),
    "two have changed places": (Kind.REORDERED, _swapped),
    "one is there twice": (Kind.DUPLICATED, lambda read: replace(read, messages=(*read.messages, read.messages[-1]))),
    "one has other content": (
        Kind.CORRUPT,
        lambda read: replace(read, messages=(replace(read.messages[0], content="x"), *read.messages[1:])),
    ),
    "one was never written": (
        Kind.PHANTOM,
        lambda read: replace(read, messages=(*read.messages, message(9, 77))),
    ),
    "one is another user's": (
        Kind.LEAKED,
        lambda read: replace(read, messages=(*read.messages, message(1, 2))),
    ),
}


@FEW
@given(st.integers(2, 8), st.integers(2, 60))
def test_what_came_back_whole_is_ok(users: int, messages: int) -> None:
    """Every conversation, and every look of somebody else, is a check that passed."""
    finding = judge(seen(users, messages))
    assert (finding.verdict, finding.checks, finding.left_out) == (Verdict.OK, 2 * users, ())


@pytest.mark.parametrize("name", BREAKS)
@FEW
@given(st.integers(2, 8), st.integers(2, 60))
def test_each_break_has_its_name(name: str, users: int, messages: int) -> None:
    """What is wrong with one user's conversation is named by exactly its kind."""
    kind, broken = BREAKS[name]
    whole = seen(users, messages)
    finding = judge(reading(whole, 0, broken(came_back(whole.reloads[0].kept))))
    assert (finding.verdict, {violation.kind for violation in finding.violations}) == (Verdict.VIOLATED, {kind})


def test_losses_that_are_alike_are_told_for_each_conversation() -> None:
    """Two users who each lost their only message are two losses."""
    whole = seen(2, 1)
    broken = reading(reading(whole, 0, came_back(kept(0, 0))), 1, came_back(kept(1, 0)))
    assert [violation.evidence["thread"] for violation in judge(broken).violations] == [
        str(reload.kept.thread.id) for reload in whole.reloads
    ]


def test_what_is_seen_once_only_is_no_violation() -> None:
    """A second look on a new connection has to agree."""
    whole = seen(2, 3)
    right = came_back(whole.reloads[0].kept)
    once = replace(whole.reloads[0], reading=Reading(first=NOTHING, second=right, node=PRIMARY))
    finding = judge(replace(whole, reloads=(once, *whole.reloads[1:])))
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, Reason.INCONCLUSIVE)


def test_a_conversation_that_another_user_sees_is_leaked() -> None:
    """Unless row-level security binds nobody: then that is said, and nothing else."""
    whole = seen(3, 3)
    shown = replace(whole.looks[0], reading=twice(came_back(whole.looks[0].kept)))
    leaking = replace(whole, looks=(shown, *whole.looks[1:]))
    assert [violation.kind for violation in judge(leaking).violations] == [Kind.LEAKED]
    unbound = judge(replace(leaking, unbound="the role app is a superuser"))
    assert unbound.verdict is Verdict.OK
    assert "the role app is a superuser" in unbound.left_out[0]


@pytest.mark.parametrize("there", [True, False])
def test_what_was_perhaps_written_may_be_there_or_not(*, there: bool) -> None:
    """Its answer was lost: either is right."""
    perhaps = message(0, 4)
    whole = seen(2, 3)
    unsure = replace(whole.reloads[0].kept, perhaps=perhaps)
    read = came_back(unsure, *([perhaps] if there else []))
    reload = Reload(name="reload", kept=unsure, reading=Reading(first=read))
    assert judge(replace(whole, reloads=(reload, *whole.reloads[1:]))).verdict is Verdict.OK


def test_what_was_refused_must_not_be_there() -> None:
    """The server said no, and it is there all the same."""
    refused = message(0, 4)
    whole = seen(2, 3)
    unwritten = replace(whole.reloads[0].kept, refused=(refused,))
    reload = Reload(name="reload", kept=unwritten, reading=twice(came_back(unwritten, refused)))
    finding = judge(replace(whole, reloads=(reload, *whole.reloads[1:])))
    assert [violation.kind for violation in finding.violations] == [Kind.PHANTOM]


STOPPED = {
    Cause.P99: (Verdict.SLOW, None),
    Cause.LAG: (Verdict.SLOW, None),
    Cause.QUEUE: (Verdict.SLOW, None),
    Cause.ERRORS: (Verdict.UNKNOWN, Reason.CAPACITY),
    Cause.CROWDED: (Verdict.UNKNOWN, Reason.MISSED),
    Cause.EVIDENCE: (Verdict.UNKNOWN, Reason.INCONCLUSIVE),
    Cause.HAND: (Verdict.OK, None),
}


@pytest.mark.parametrize("cause", Cause)
def test_a_stop_is_no_violation_and_hides_none(cause: Cause) -> None:
    """What was answered was right; and where it was not, that counts for more than why the burst ended."""
    stop = Stop(cause=cause, message="why", reason=Reason.CAPACITY)
    whole = seen(2, 3, stop=stop)
    finding = judge(whole)
    assert (finding.verdict, finding.reason) == STOPPED[cause]
    assert "why" in " ".join((finding.message, *finding.left_out))
    assert judge(reading(whole, 0, NOTHING)).verdict is Verdict.VIOLATED


def test_a_burst_that_wrote_nothing_proves_nothing() -> None:
    """Without an acknowledged message there is no positive control."""
    assert judge(seen(2, 0)).reason is Reason.INCONCLUSIVE
    assert judge(Seen(samples=(), reloads=(), looks=(), owners={})).reason is Reason.INCONCLUSIVE


def test_all_that_a_latency_or_a_verdict_does_not_hold_is_said() -> None:
    """Failures by reason, Holdfast's own lateness, what it waited for, and what it could not remove."""
    late = replace(SAMPLE, given=1.2, began=1.2, ended=1.3)
    whole = seen(
        2,
        3,
        samples=(late, replace(SAMPLE, failed=Reason.TIMEOUT)),
        waited=1.25,
        left=2,
        unwatched=("replica r: gone",),
    )
    said = judge(whole).left_out
    assert said == (
        "replica r: gone",
        "1 of 2 operations failed and say nothing of data: 1 timeout",
        (
            "latencies hold Holdfast's own: it began one operation in a hundred 200 ms late or more,"
            " so the machine that it runs on is too busy for this rate"
        ),
        "the burst waited 1.2 s for connections that other probes had; that time is in no latency",
        "2 conversations could not be removed; the sweep takes them",
    )
