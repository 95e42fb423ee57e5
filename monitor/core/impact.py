"""Who is affected by what is broken, and what that may cost: two products that anybody can check by hand.

Users affected now = all users of the environment, while it is affected; else none.
Revenue at risk = revenue per hour * the hours for which it was affected.

An environment is affected while a violation of it stands, acknowledged or not, or while it cannot be used. Several
probes that see the same thing count once, for it is the same users. What is merely slow does not count: the error
budget tells that. All users and not a share of them, since a violation is closed by the first run in which all was
right: as long as it stands, every run that could tell has been hit. So both are ceilings: nobody is known to be spared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from monitor.core.record import RunRecord
from monitor.core.verdict import Reason
from monitor.core.violations import KeptViolation

FORMULA = (
    "Users affected = all users of an environment while it is affected, else none. "
    "Revenue at risk = revenue per hour * hours affected. "
    "It is affected while a violation stands, acknowledged or not, or while a store of it cannot be used "
    "(unreachable, timeout, capacity, read-only); what several probes see at once counts once, and slowness does not "
    "count. Both are ceilings: Holdfast's users are synthetic, and cannot tell which of the real ones were spared."
)
UNUSABLE = frozenset({Reason.UNREACHABLE, Reason.TIMEOUT, Reason.CAPACITY, Reason.READ_ONLY})
"""Reasons that users feel, too. `refused` is not one: it may be Holdfast's own account alone that is refused."""

Span: TypeAlias = tuple[datetime, datetime]
"""From when until when, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stakes:
    """What an environment is worth: how many people use it, and what they bring in an hour. None: nobody said."""

    users: int | None = None
    revenue_per_hour: float | None = None

    def users_affected(self, *, affected: bool) -> int | None:
        """How many are affected now."""
        return self.users if affected or self.users is None else 0

    def at_risk(self, affected: timedelta) -> float | None:
        """The revenue of so long a time, in whatever currency the settings mean."""
        return None if self.revenue_per_hour is None else self.revenue_per_hour * (affected / timedelta(hours=1))


def unusable(resting: Iterable[Reason | None], latest: Iterable[RunRecord]) -> bool:
    """Whether people cannot use an environment.

    `resting` is why stores are left alone. That a primary takes no writes does not make it rest: a latest run says it.
    """
    return any(reason in UNUSABLE for reason in resting) or any(
        record.finding.reason is Reason.READ_ONLY and "replica" not in record.finding.place for record in latest
    )


def broken(standing: Iterable[KeptViolation], probes: Collection[str]) -> bool:
    """Whether a violation stands that one of these probes found, which are those that could see it close."""
    return any(kept.probe in probes for kept in standing)


def together(spans: Iterable[Span]) -> list[Span]:
    """The same times with none of them twice, in order."""
    merged: list[Span] = []
    for began, ended in sorted(span for span in spans if span[0] < span[1]):
        if merged and began <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], ended))
        else:
            merged.append((began, ended))
    return merged


def within(spans: Iterable[Span], since: datetime, until: datetime) -> timedelta:
    """How much of a period these times cover, each moment once."""
    cut = ((max(began, since), min(ended, until)) for began, ended in spans)
    return sum((ended - began for began, ended in together(cut)), timedelta())
