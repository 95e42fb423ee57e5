"""Which consistency model forbids which anomaly, and which models a history rules out.

The models and their order are those of https://jepsen.io/consistency; who forbids what is said by Adya ("Weak
Consistency", 1999: PL-1 to PL-3, PL-2+, PL-CS, PL-2.99, SI), Bailis et al. ("Highly Available Transactions", 2013),
Cerone, Bernardi and Gotsman ("A Framework for Transactional Consistency Models with Atomic Visibility", 2015), and
Daudjee and Salem ("Lazy Database Replication with Snapshot Isolation", 2006) for the session and strong variants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

STRICTEST = "strict-serializable"

PROCESS, REALTIME = "-process", "-realtime"
_VARIANTS = ("", PROCESS, REALTIME)

TIMEOUT = "cycle-search-timeout"
EMPTY = "empty-transaction-graph"
REPEATED_APPENDS = "duplicate-appends"
UNCONFIRMED = "unconfirmed-cycle"
UNDECIDED = frozenset({TIMEOUT, EMPTY, REPEATED_APPENDS, UNCONFIRMED})
"""What keeps a history from being called valid without making it invalid: there is too little to judge by."""

_WEAKER: Mapping[str, tuple[str, ...]] = {
    "read-committed": ("read-uncommitted",),
    "cursor-stability": ("read-committed",),
    "monotonic-view": ("read-committed",),
    "monotonic-atomic-view": ("read-committed",),
    "monotonic-snapshot-read": ("read-committed",),
    "consistent-view": ("cursor-stability", "monotonic-view"),
    "forward-consistent-view": ("consistent-view",),
    "update-serializable": ("forward-consistent-view",),
    "read-atomic": ("monotonic-atomic-view",),
    "update-atomic": ("read-atomic",),
    "causal-cerone": ("read-atomic",),
    "prefix": ("causal-cerone",),
    "parallel-snapshot-isolation": ("causal-cerone", "update-atomic"),
    "repeatable-read": ("cursor-stability", "monotonic-atomic-view"),
    "snapshot-isolation": (
        "forward-consistent-view",
        "monotonic-atomic-view",
        "monotonic-snapshot-read",
        "parallel-snapshot-isolation",
        "prefix",
    ),
    "view-serializable": (),
    "serializable": ("repeatable-read", "update-serializable", "snapshot-isolation", "view-serializable"),
    "strong-session-read-uncommitted": ("read-uncommitted",),
    "strong-session-read-committed": ("read-committed", "strong-session-read-uncommitted"),
    "strong-session-snapshot-isolation": ("snapshot-isolation", "strong-session-read-committed"),
    "strong-session-serializable": ("serializable", "strong-session-snapshot-isolation"),
    "strong-read-uncommitted": ("strong-session-read-uncommitted",),
    "strong-read-committed": ("strong-session-read-committed", "strong-read-uncommitted"),
    "strong-snapshot-isolation": ("strong-session-snapshot-isolation", "strong-read-committed"),
    "strict-serializable": ("strong-session-serializable", "strong-snapshot-isolation"),
}
"""Each model with those that it includes: who keeps the first keeps the others."""

_FORBIDS: Mapping[str, tuple[str, ...]] = {
    "read-uncommitted": ("G0", "duplicate-elements", "garbage-read"),
    "read-committed": ("G1",),
    "cursor-stability": ("G1", "lost-update"),
    "consistent-view": ("G-single",),
    "read-atomic": ("internal", "G1a", "future-read"),
    "update-atomic": ("lost-update",),
    "repeatable-read": ("G2-item", "lost-update"),
    "snapshot-isolation": ("internal", "G1", "G-nonadjacent"),
    "serializable": ("internal", "G1", "G2"),
    "strong-session-read-uncommitted": ("G0-process",),
    "strong-session-read-committed": ("G1c-process",),
    "strong-session-snapshot-isolation": ("G1-process", "G-nonadjacent-process"),
    "strong-session-serializable": ("G1-process", "G2-process"),
    "strong-read-uncommitted": ("G0-realtime",),
    "strong-read-committed": ("G1c-realtime",),
    "strong-snapshot-isolation": ("G1-realtime", "G-nonadjacent-realtime"),
    "strict-serializable": ("G1-realtime", "G2-realtime"),
}
"""What each model forbids beyond what the models that it includes forbid."""

_ALIASES: Mapping[str, str] = {
    "PL-1": "read-uncommitted",
    "PL-2": "read-committed",
    "PL-CS": "cursor-stability",
    "PL-2L": "monotonic-view",
    "PL-MSR": "monotonic-snapshot-read",
    "PL-2+": "consistent-view",
    "PL-FCV": "forward-consistent-view",
    "PL-2.99": "repeatable-read",
    "PL-SI": "snapshot-isolation",
    "PL-3U": "update-serializable",
    "PL-3": "serializable",
    "PL-SS": "strict-serializable",
    "conflict-serializable": "serializable",
    "strong-serializable": "strict-serializable",
}

_WORSE_THAN: Mapping[str, tuple[str, ...]] = {
    "G0": ("G1c",),
    "G1a": ("G1",),
    "G1b": ("G1",),
    "G1c": ("G1",),
    "G-single-item": ("G-single", "G-nonadjacent-item"),
    "G-single": ("G-nonadjacent",),
    "G-nonadjacent-item": ("G-nonadjacent", "G2-item"),
    "G-nonadjacent": ("G2",),
    "G2-item": ("G2",),
}
"""Cycles, each with those of which it is a special case."""


def _special_cases() -> dict[str, set[str]]:
    """Each anomaly with those that it also is: of its own kind, and with more edges allowed (process, then time)."""
    found: dict[str, set[str]] = {
        "future-read": {"G1c"},  # a cycle of one: a transaction depends on itself
        "incompatible-order": {"G1a"},  # of two orders that exclude each other one was not committed
        "dirty-update": {"G1a"},  # a committed state was built upon an aborted one
        "lost-update": {"write-skew", "G2-item"},
        "write-skew": {"G2"},
    }
    for name in [*_WORSE_THAN, "G1", "G2"]:
        others = _WORSE_THAN.get(name, ())
        alone = name in {"G1a", "G1b"}  # nothing in these is an edge
        for place, variant in enumerate(_VARIANTS[:1] if alone else _VARIANTS):
            implied = found.setdefault(name + variant, set())
            implied.update(other + variant for other in others)
            if place + 1 < len(_VARIANTS) and not alone:
                implied.add(name + _VARIANTS[place + 1])
    return found


def _reach(starts: Iterable[str], steps: Mapping[str, Iterable[str]]) -> frozenset[str]:
    seen = set(starts)
    todo = list(seen)
    while todo:
        new = set(steps.get(todo.pop(), ())) - seen
        seen |= new
        todo.extend(new)
    return frozenset(seen)


def _reverse(steps: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for start, ends in steps.items():
        for end in ends:
            found.setdefault(end, set()).add(start)
    return found


_IMPLIES = _special_cases()
_IMPLIED_BY = _reverse(_IMPLIES)
_STRONGER = _reverse(_WEAKER)
_FORBIDDEN_BY = _reverse(_FORBIDS)

LEVELS: tuple[str, ...] = tuple(sorted({*_WEAKER, *_STRONGER, *_ALIASES}))
"""Every name by which a level can be declared."""

ANOMALIES: tuple[str, ...] = tuple(sorted({*_IMPLIES, *_IMPLIED_BY, *_FORBIDDEN_BY} - {"write-skew"}))
"""Every anomaly, and class of anomalies, that can be asked for by name."""


def canonical(level: str) -> str:
    """The one name of a level. Raises KeyError where there is none."""
    name = _ALIASES.get(level, level)
    if name not in _WEAKER and name not in _STRONGER:
        raise KeyError(level)
    return name


def implied(anomalies: Iterable[str]) -> frozenset[str]:
    """These and all that they also are: G0 is a G1c, a read skew is a G2."""
    return _reach(anomalies, _IMPLIES)


def prohibited(levels: Iterable[str], anomalies: Iterable[str] = ()) -> frozenset[str]:
    """What a history must not show if it is to keep these levels, and show none of these anomalies."""
    kept = _reach(map(canonical, levels), _WEAKER)
    named = {name for level in kept for name in _FORBIDS.get(level, ())}
    return _reach(named.union(anomalies), _IMPLIED_BY)


def impossible(anomalies: Iterable[str]) -> frozenset[str]:
    """Every model that cannot hold where these anomalies occur."""
    broken = {level for name in implied(anomalies) for level in _FORBIDDEN_BY.get(name, ())}
    return _reach(broken, _STRONGER)


def weakest(levels: Iterable[str]) -> tuple[str, ...]:
    """Those of some models that include none of the others, by name."""
    all_of_them = frozenset(levels)
    return tuple(sorted(each for each in all_of_them if not (_reach([each], _WEAKER) - {each}) & all_of_them))
