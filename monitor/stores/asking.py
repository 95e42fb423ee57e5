"""One request to a store: counted, and whatever fails in it said as one of Holdfast's reasons."""

from __future__ import annotations

from time import monotonic
from types import TracebackType
from typing import Protocol

from monitor.ports import Outcome, Store, StoreError, Tally


class Askable(Protocol):
    """A way into a store."""

    @property
    def store(self) -> Store:
        """Which kind of store it leads to."""

    @property
    def tally(self) -> Tally:
        """Where requests are counted."""

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What its driver raises where a store fails."""

    def as_store_error(self, error: Exception, outcome: Outcome) -> StoreError:
        """Such a failure with its reason; the outcome is what to assume of a request whose answer was lost."""


class Asked:
    """The block in which a request is made and answered. Written out, since each run has dozens of them.

    `writing` says that, should the answer be lost, the request may have taken effect all the same. `waiting` says that
    the store is not busy meanwhile.
    """

    __slots__ = ("_before", "_outcome", "_sent_bytes", "_waiting", "_way")

    def __init__(self, way: Askable, *, sent_bytes: int, writing: bool, waiting: bool = False) -> None:
        self._way = way
        self._sent_bytes = sent_bytes
        self._outcome = Outcome.INDETERMINATE if writing else Outcome.FAILED
        self._waiting = waiting

    async def __aenter__(self) -> None:
        self._before = monotonic()

    async def __aexit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        seconds = 0.0 if self._waiting else monotonic() - self._before
        outcome, failure = self._outcome, None
        if error is None:
            outcome = Outcome.OK
        elif isinstance(error, StoreError):
            outcome = error.outcome
        elif isinstance(error, self._way.failures):
            failure = self._way.as_store_error(error, outcome)
            outcome = failure.outcome
        self._way.tally.add(self._way.store, outcome, seconds=seconds, sent_bytes=self._sent_bytes)
        if failure is not None:
            raise failure from None  # the original's text may hold the address and its password
