"""How long a sick store is left alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from monitor.core.backoff import FIRST, LONGEST, Backoff


def test_waits_double_from_five_seconds_to_five_minutes() -> None:
    """5, 10, 20, … seconds, and never more than 300, however long the store is sick."""
    waits, state = [], Backoff()
    for _ in range(60):
        state = state.started().failed(1000.0)
        waits.append(state.until - 1000.0)
    assert waits[:8] == [5, 10, 20, 40, 80, 160, 300, 300]
    assert set(waits[8:]) == {300}


def test_a_healthy_store_admits_any_number_of_runs() -> None:
    """Runs against a healthy store are no trials."""
    state = Backoff().started().started()
    assert state.admits(0.0)
    assert not state.sick


@given(st.integers(1, 30), st.floats(0, 1e6))
def test_nothing_starts_before_the_wait_is_over(failures: int, now: float) -> None:
    """Up to the moment itself nothing is admitted; from then on one trial is."""
    state = Backoff()
    for _ in range(failures):
        state = state.started().failed(now)
    assert not state.admits(now)
    assert not state.admits(state.until - 0.001)
    assert state.admits(state.until)
    assert not state.started().admits(state.until + 1e6)


def test_a_trial_that_passes_ends_it_all() -> None:
    """One run that reached the store makes it healthy, and the next failure waits five seconds again."""
    state = Backoff().failed(0).started().failed(0).started().passed()
    assert state == Backoff()
    assert state.failed(0).until == FIRST.total_seconds()


def test_runs_that_fail_together_are_one_failure() -> None:
    """However many probes were under way when a store went, it is left alone for five seconds, not for minutes."""
    state = Backoff()
    for _ in range(9):
        state = state.failed(0)
    assert state == Backoff().failed(0)
    assert state.until == FIRST.total_seconds()


def test_an_abandoned_trial_makes_room_for_another() -> None:
    """A trial that was cancelled says nothing: the wait stays, and the next trial may start."""
    state = Backoff().failed(0).started().abandoned()
    assert state == Backoff().failed(0)
    assert state.admits(state.until)


class Sickness(RuleBasedStateMachine):
    """Runs that start whenever they are admitted and end in any way."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.now, self.trials = Backoff(), 0.0, 0

    @rule(seconds=st.floats(0, 400))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.now += seconds

    @precondition(lambda self: self.state.admits(self.now) and self.state.sick)
    @rule(outcome=st.sampled_from(["failed", "passed", "abandoned"]))
    def trial(self, outcome: str) -> None:
        """A trial starts, keeps all others out, and ends."""
        self.state = self.state.started()
        assert not self.state.admits(self.now + 1e9)
        self.state = self.state.failed(self.now) if outcome == "failed" else getattr(self.state, outcome)()
        assert self.state.sick == (outcome != "passed")

    @precondition(lambda self: not self.state.sick)
    @rule()
    def falls_sick(self) -> None:
        """A run fails."""
        self.state = self.state.started().failed(self.now)

    @invariant()
    def is_never_left_alone_for_longer_than_five_minutes(self) -> None:
        """Whatever happened, five minutes later a run is admitted."""
        assert self.state.admits(max(self.now, self.state.until))
        assert self.state.until <= self.now + LONGEST.total_seconds()


TestSickness = Sickness.TestCase
