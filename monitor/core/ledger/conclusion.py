"""What a run of `durability` comes to: the accounts of its stores, and what kept it from having them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.core import collation
from monitor.core.confirmation import Reading, judge
from monitor.core.ledger.look import Account
from monitor.core.verdict import Finding, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something could not be done in a store."""

    reason: Reason
    message: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a run saw of one store: what its look comes to, what its indexes answered, and what failed on the way."""

    store: str
    account: Account | None = None
    indexes: Reading[collation.Look] | None = None
    failures: tuple[Failure, ...] = ()
    left_out: tuple[str, ...] = ()


def conclude(shown: Sequence[Shown]) -> Finding:
    """Violations first, whatever else failed; then what failed; then what could not be confirmed; else all is well."""
    accounts = [each.account for each in shown if each.account is not None]
    failures = [failure for each in shown for failure in each.failures]
    checks = sum(account.checks for account in accounts)
    left_out = (
        *(sentence for account in accounts for sentence in account.left_out),
        *dict.fromkeys(sentence for each in shown for sentence in each.left_out),  # of both stores, once
    )
    violations = [violation for account in accounts for violation in account.violations]
    doubts = [account.doubt for account in accounts if account.doubt]
    for each in shown:
        if each.indexes is not None:
            judgement = judge("indexes against their table", each.indexes, collation.compare)
            violations += judgement.violations
            doubts += [judgement.doubt] if judgement.doubt else []
            left_out = (*left_out, *collation.left_out(each.indexes.first))
            checks += len(each.indexes.first.comparisons)
    if violations:
        also = tuple(f"this could not be done: {failure.message}" for failure in failures)
        return Finding.of(violations, checks=checks, left_out=(*left_out, *also))
    if failures:
        first, *others = failures
        message = "; ".join(dict.fromkeys((first.message, *(failure.message for failure in others))))
        return Finding.unknown(first.reason, message, checks=checks, place=first.place, left_out=left_out)
    if doubts:
        return Finding.unknown(Reason.INCONCLUSIVE, "; ".join(doubts), checks=checks, left_out=left_out)
    return Finding.of((), checks=checks, left_out=left_out)
