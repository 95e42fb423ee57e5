"""A promise counts as broken only when a second look, at a node known to be the primary, agrees with the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from monitor.core.record import Node
from monitor.core.verdict import Finding, Json, Reason, Violation

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Generic[T]):
    """What was read, and, where it was not what was expected, what a new connection read and from which node."""

    first: T
    second: T | None = None
    node: Node | None = None

    @property
    def doubtful(self) -> bool:
        """Whether a second look was needed; what follows in a scenario would then stand on sand."""
        return self.second is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Confirmed violations of one check, or a doubt: something looked wrong and could not be confirmed."""

    violations: tuple[Violation, ...] = ()
    doubt: str = ""


def judge(name: str, reading: Reading[T], check: Callable[[T], Iterable[Violation]]) -> Judgement:
    """Apply a pure check to both looks. Only the kinds that both show are confirmed."""
    suspected = tuple(check(reading.first))
    if not suspected:
        return Judgement()
    seen = ", ".join(sorted({violation.kind for violation in suspected}))
    if reading.second is None or reading.node is None:
        return Judgement(doubt=f"{name}: {seen} was seen, and there was no second look")
    if not reading.node.primary:
        return Judgement(doubt=f"{name}: {seen} was seen, but {reading.node.address} is not the primary")
    again = {violation.kind for violation in check(reading.second)}
    where: dict[str, Json] = {"check": name, "confirmed_by": reading.node.evidence()}
    confirmed = tuple(
        replace(violation, evidence={**violation.evidence, **where})
        for violation in suspected
        if violation.kind in again
    )
    if not confirmed:
        return Judgement(
            doubt=f"{name}: {seen} was seen once, and a second look on a new connection did not confirm it"
        )
    return Judgement(violations=confirmed)


def conclude(judgements: Iterable[Judgement], *, checks: int, left_out: Iterable[str] = ()) -> Finding:
    """Confirmed violations first; else doubts are `unknown`; else all is well."""
    all_of_them = tuple(judgements)
    violations = [violation for judgement in all_of_them for violation in judgement.violations]
    doubts = [judgement.doubt for judgement in all_of_them if judgement.doubt]
    if doubts and not violations:
        return Finding.unknown(Reason.INCONCLUSIVE, "; ".join(doubts), checks=checks, left_out=left_out)
    return Finding.of(violations, checks=checks, left_out=left_out)
