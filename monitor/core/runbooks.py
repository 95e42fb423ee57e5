"""Which runbook is about what. They are named as the alerts, so that all that tells of a thing leads to one page."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from monitor.core.advice import GONE
from monitor.core.verdict import Kind, Reason

LEAKED = frozenset({Kind.LEAKED, Kind.MISROUTED})
LATE = frozenset({Kind.LATE, Kind.STALE, Kind.TTL_LATE, Kind.TTL_MISSING})
_AWAY = {Reason.UNREACHABLE, Reason.TIMEOUT, Reason.REFUSED}
_NO_WRITES = {Reason.READ_ONLY, Reason.CAPACITY}


def of_kinds(kinds: AbstractSet[Kind]) -> str:
    """That of the gravest of what was found."""
    if kinds & LEAKED:
        return "HoldfastDataLeaked"
    if kinds & GONE:
        return "HoldfastDataLost"
    return "HoldfastDataLate" if kinds <= LATE else "HoldfastDataWrong"


def of_reason(reason: Reason | None) -> str:
    """That of why nothing could be told."""
    if reason in _NO_WRITES:
        return "HoldfastWritesNotRunning"
    return "HoldfastEnvironmentUnreachable" if reason in _AWAY else "HoldfastProbeCannotTell"
