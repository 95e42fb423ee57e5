"""How long something was not possible, told from attempts that succeeded and attempts that did not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from monitor.core.ledger.found import Outage

Operation: TypeAlias = Literal["connect", "read", "write"]
OPERATIONS: tuple[Operation, ...] = ("connect", "read", "write")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at one operation. `began` and `ended` are monotonic seconds, `at` is the moment of `ended`."""

    operation: Operation
    began: float
    ended: float
    at: datetime
    ok: bool

    @property
    def since(self) -> datetime:
        """The moment at which it began."""
        return self.at - timedelta(seconds=self.ended - self.began)


@dataclass(frozen=True, slots=True)
class Watch:
    """What is known of one operation.

    It was possible at some time during each attempt that succeeded, and not possible at some time during each that
    failed; nothing more is taken for sure. An outage therefore lasted at the most from the beginning of the last
    success before it to the end of the first one after it, and at least from the end of its first failure to the
    beginning of its last. Where nothing had ever succeeded before, it is reckoned from the beginning of the first
    failure: what was before, nobody watched.

    `resumed` is an outage that lasted when somebody else watched last. It is at least what it was then, and lasted at
    the most to the first success that is seen now.
    """

    worked: Attempt | None = None
    first: Attempt | None = None
    last: Attempt | None = None
    resumed: Outage | None = None

    @property
    def failing(self) -> bool:
        """Whether the latest attempt failed."""
        return self.first is not None

    def after(self, attempt: Attempt) -> Watch:
        """What is known after one more attempt."""
        if attempt.ok:
            return Watch(worked=attempt)
        return replace(self, first=self.first or attempt, last=attempt)

    def outage(self, store: str, attempt: Attempt) -> Outage | None:
        """The outage that this attempt prolongs or ends, asked before `after`; None where all was and is well."""
        if attempt.ok and self.first is None and self.resumed is None:
            return None
        before = self.worked or self.first or attempt
        first = self.first or attempt
        last = (self.last or first) if attempt.ok else attempt
        outage = Outage(
            store=store,
            operation=attempt.operation,
            began=before.since,
            ended=attempt.at if attempt.ok else None,
            least=timedelta(seconds=max(0.0, last.began - first.ended)),
            most=timedelta(seconds=attempt.ended - before.began),
        )
        if self.resumed is None:
            return outage
        began = self.resumed.began
        return replace(outage, began=began, least=max(outage.least, self.resumed.least), most=attempt.at - began)
