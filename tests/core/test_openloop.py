"""Open loop: moments that nothing moves, latencies that count from them, and limits that stop a burst."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core import latencies
from monitor.core.burst_summary import summed
from monitor.core.latencies import PERCENTILES
from monitor.core.openloop import (
    Act,
    Cause,
    Figures,
    Limits,
    Replay,
    Sample,
    Watch,
    counted,
    nearest_rank,
    operations,
)
from monitor.core.verdict import Reason

FEW = settings(max_examples=25, deadline=None)  # a busy machine is no fault
FIGURES = Figures(rate=50, seconds=30, ramp=3, users=4, connections=2)
LIMITS = Limits(errors=0.05, p99=1.0, lag=2.0, in_flight=100)

figures = st.builds(
    Figures,
    rate=st.floats(1, 1000),
    seconds=st.floats(0.1, 20),
    ramp=st.just(0.0),
    users=st.integers(2, 8),
    connections=st.integers(1, 9),
).flatmap(
    lambda made: st.floats(0, made.seconds).map(
        lambda ramp: Figures(
            rate=made.rate, seconds=made.seconds, ramp=ramp, users=made.users, connections=made.connections
        )
    )
)


@FEW
@given(figures)
def test_operations_are_due_in_order_and_within_the_burst(made: Figures) -> None:
    """Moments rise to the end of the burst, and once the rate has risen they lie apart by its inverse."""
    due = [operation.due for operation in operations(made)]
    assert due == sorted(due)
    assert all(-1e-9 <= moment <= made.seconds + 1 / made.rate for moment in due)
    steady = [b - a for a, b in pairwise(due) if a >= made.ramp]
    assert steady == pytest.approx([1 / made.rate] * len(steady))


@FEW
@given(figures)
def test_the_rate_that_is_asked_is_the_rate_of_what_is_due(made: Figures) -> None:
    """As many are due by each moment as the mean rate until then says, to the one that is next."""
    half = made.seconds / 2
    due = sum(operation.due < half for operation in operations(made))
    assert abs(made.asked(0, half) * half - due) <= 1


@FEW
@given(figures, st.integers(0, 7))
def test_a_user_s_operations_go_over_one_connection_and_begin_with_a_conversation(made: Figures, turn: int) -> None:
    """Each user's come in turn, over one connection, and each chapter begins by being created."""
    by_user = defaultdict(list)
    for operation in operations(made, turn=turn):
        by_user[operation.user].append(operation)
    for mine in by_user.values():
        assert len({operation.lane for operation in mine}) == 1
        chapters = defaultdict(list)
        for operation in mine:
            chapters[operation.chapter].append(operation.act)
        assert all(acts[0] is Act.CREATE and Act.CREATE not in acts[1:] for acts in chapters.values())
        assert all(acts.count(Act.APPEND) <= 50 for acts in chapters.values())


def test_a_burst_is_the_same_for_the_same_run_and_counted_before_it_begins() -> None:
    """Eight in ten operations append; the others look, now the owner and now somebody else."""
    made = list(operations(FIGURES, turn=3))
    assert made == list(operations(FIGURES, turn=3))
    assert Counter(operation.act for operation in made) == counted(FIGURES)
    shares = {act: count / len(made) for act, count in counted(FIGURES).items()}
    assert shares[Act.APPEND] > 0.8
    assert shares[Act.RELOAD] == pytest.approx(shares[Act.LOOK], abs=0.01)


def ended(number: int, *, latency: float = 0.01, failed: Reason | None = None) -> Sample:
    """An operation that took so long from its due moment."""
    due = number / 50
    return Sample(act=Act.APPEND, due=due, given=due, began=due, ended=due + latency, failed=failed)


def watch(*samples: Sample) -> Watch:
    """What was seen so far."""
    made = Watch(LIMITS)
    for sample in samples:
        made.ended(sample)
    return made


def test_what_is_healthy_stops_nothing() -> None:
    """Two failures of many, one slow answer in a hundred, and a few that wait are no reason."""
    samples = [ended(n) for n in range(97)]
    samples += [ended(97, failed=Reason.TIMEOUT), ended(98, failed=Reason.TIMEOUT), ended(99, latency=9)]
    assert watch(*samples).stop(2.0, [1.9, 1.95]) is None


STOPS = {
    Cause.ERRORS: (
        [ended(n, failed=Reason.CAPACITY if n % 5 == 0 else None) for n in range(50)],
        [],
        "10 of the latest 50 operations failed (10 capacity), and 5% may",
    ),
    Cause.P99: (
        [ended(n, latency=1.5 if n > 90 else 0.01) for n in range(100)],
        [],
        "the p99 of the latest 100 operations, from the intended start, is 1500 ms, and 1000 ms may be",
    ),
    Cause.QUEUE: (
        [ended(n) for n in range(100)],
        [2.0] * 101,
        "101 operations wait for an answer, and 100 may: the store does not keep pace",
    ),
}


@pytest.mark.parametrize("cause", STOPS)
def test_a_limit_that_is_passed_stops_the_burst_and_is_named(cause: Cause) -> None:
    """Each limit by itself, with figures and reason."""
    samples, waiting, message = STOPS[cause]
    stop = watch(*samples).stop(2.0, waiting)
    assert stop is not None
    assert (stop.cause, stop.message) == (cause, message)
    assert stop.reason is (Reason.CAPACITY if cause is Cause.ERRORS else None)


def test_a_server_that_answers_nothing_stops_the_burst_too() -> None:
    """What waits has waited as long as it has: no answer has to come for that."""
    made = watch(*(ended(n) for n in range(50)))
    waiting = [1 + n / 50 for n in range(50)]
    assert made.stop(2.0, waiting) is None
    stop = made.stop(2.2, waiting)
    assert stop is not None
    assert stop.cause is Cause.P99


def test_a_replica_is_behind_by_what_it_has_not_replayed() -> None:
    """Counted from when the primary had it, by one clock; nothing is missing once it is replayed."""
    replay = Replay()
    assert replay.lag(0.0, 100) == 0.0
    replay.written(1.0, 100)
    replay.written(2.0, 200)
    replay.written(3.0, 300)
    assert [replay.lag(3.5, 50), replay.lag(3.5, 100), replay.lag(3.5, 250)] == [2.5, 1.5, 0.5]
    assert replay.lag(9.0, 300) == 0.0
    assert replay.stop(2.0, name="eu-2", limits=LIMITS) is None
    stop = replay.stop(2.1, name="eu-2", limits=LIMITS)
    assert stop is not None
    assert (stop.cause, stop.message) == (Cause.LAG, "replica eu-2 is 2.1 s behind, and 2.0 s may be")


def test_a_stall_is_in_the_latencies_of_all_that_were_due_meanwhile() -> None:
    """A server that stalls for a second at 100 a second: a closed loop notes one, an open loop the hundred."""
    free, samples = 0.0, list[Sample]()
    stalled = Figures(rate=100, seconds=10, ramp=0, users=2, connections=1)
    for operation in operations(stalled):
        began = max(operation.due, free)
        free = began + (1.0 if operation.number == 300 else 0.001)
        due = operation.due
        samples.append(Sample(act=operation.act, due=due, given=due, began=began, ended=free))
    (*_, whole) = summed(samples, stalled).parts
    open_p99, closed_p99 = whole.latency.at[2], whole.service.at[2]
    assert closed_p99 == pytest.approx(0.001, rel=0.01)
    assert open_p99 == pytest.approx(0.91, rel=0.02)
    assert sum(sample.latency > 0.05 for sample in samples) > 100
    assert sum(sample.service > 0.05 for sample in samples) == 1


@settings(max_examples=8, deadline=None)
@given(st.lists(st.floats(1e-6, 3000), min_size=1, max_size=300))
def test_percentiles_have_three_digits(values: list[float]) -> None:
    """A histogram is as good as the values themselves, to a thousandth."""
    found = latencies.spread(values)
    assert found.count == len(values)
    for percentile, value in zip(PERCENTILES, found.at, strict=True):
        assert value == pytest.approx(nearest_rank(values, percentile / 100), rel=2e-3, abs=1e-6)


def test_a_burst_that_never_began_has_a_summary() -> None:
    """Nothing was done: all figures are zero, and nothing is divided by that."""
    summary = summed([], FIGURES)
    assert (summary.ended, summary.seconds, summary.answered, summary.slices) == (0, 0.0, 0.0, ())
    assert latencies.curve([], (50.0,)) == []


def test_a_burst_in_figures_tells_what_was_asked_and_what_was_answered() -> None:
    """Failures are counted by reason and stand in no latency; slices hold every operation once."""
    samples = [ended(n, failed=Reason.TIMEOUT if n == 7 else None) for n in range(200)]
    summary = summed(samples, Figures(rate=50, seconds=4, ramp=0, users=2, connections=1))
    assert summary.errors == {"timeout": 1}
    assert [part.failed for part in summary.parts] == [1, 1]
    assert summary.parts[-1].latency.count == 199
    assert summary.asked == pytest.approx(50)
    assert sum(each.failed for each in summary.slices) == 1
