"""What to do about a violation, and what becomes of it: the same words for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.core.ledger.entries import WRONG
from monitor.core.verdict import Kind
from monitor.core.violations import KeptViolation

LEDGER = "durability"
"""The probe that keeps the ledger: what it found to be gone or damaged does not get right by itself."""
GONE = frozenset({Kind.LOST, Kind.EVICTED, Kind.TTL_EARLY, Kind.LOST_UPDATE})
"""Kinds of which something that was acknowledged is no longer there."""
KEEP = "Keep the old primary's disk and logs before anything is restored or failed back."
"""Whatever is gone from the store that answers now may still stand there, and nowhere else."""


def next_steps(kept: KeptViolation) -> Sequence[str]:
    """What somebody on call does about a violation, in order, what cannot be undone first; nothing once it is closed.

    Commands stand between grave accents.
    """
    if kept.closed:
        return ()
    steps = [KEEP] if kept.kind in GONE else []
    steps.append(look_again(check(kept.environment, kept.probe)))
    if kept.acknowledged:
        return steps
    if (kept.probe, kept.kind) == (LEDGER, Kind.LOST):
        return [*steps, _loss(kept)]
    command = f"`holdfast violations ack {kept.id[-12:]}`"
    return [*steps, f"Once somebody is at it, acknowledge it with {command}: {once_acknowledged(kept)}."]


def check(environment: str, probe: str) -> str:
    """The command for one more run of a probe."""
    return f"holdfast check {environment} --probe {probe}"


def look_again(command: str) -> str:
    """By what one tells whether it was so but for a moment."""
    return f"Look again with `{command}`: found twice, it is real."


def _loss(kept: KeptViolation) -> str:
    """What is to be said of a loss in a ledger, which no check can tell."""
    environment = kept.environment
    return (
        f"If this loss is known and accepted: `holdfast violations ack {kept.id[-12:]}` (the next run then closes it; "
        f"the data stays gone). If it was a restore: `holdfast ledger declare-restore {environment} --at TIME`, the "
        f"point that it was restored to. `holdfast ledger list {environment} --losses` has the history."
    )


def once_acknowledged(kept: KeptViolation) -> str:
    """What an acknowledgement brings about."""
    if not _settled(kept):
        return "it is quiet until its check has passed again"
    return f"the next run takes {_what(kept)} as accepted, and closes it"


def ending(kept: KeptViolation) -> str:
    """Why a violation was closed."""
    if not _settled(kept):
        return "by the first run in which all was right"
    if kept.acknowledged:
        return f"acknowledged: {_what(kept)} is accepted"
    if kept.kind is Kind.LOST:
        return "the data was back, a restore was declared, or it had been looked for to the end of its ladder"
    return "it was right again, or had been looked at to the end of its ladder"


def _settled(kept: KeptViolation) -> bool:
    """Whether its end is somebody's word rather than a check that passes."""
    return kept.probe == LEDGER and kept.kind in {Kind(fate) for fate in WRONG}


def _what(kept: KeptViolation) -> str:
    return "the loss" if kept.kind is Kind.LOST else "it"
