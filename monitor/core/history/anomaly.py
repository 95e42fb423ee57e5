"""What is found: an anomaly by its name, and the sentences that show it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from monitor.core.history.operations import Element, Key, Transaction

KEPT = 10
"""So many anomalies of one name are told in full; the others are counted. Ten fill a screen."""

_SHOWN = 12  # elements of a list in a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """One anomaly. `transactions` are places in the history; `explanation` are sentences, a cycle's one per edge."""

    name: str
    transactions: tuple[int, ...]
    keys: tuple[Key, ...]
    explanation: tuple[str, ...]


@dataclass(slots=True)
class Findings:
    """Anomalies by name: the first ones whole, all of them counted."""

    kept: dict[str, list[Anomaly]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, found: Iterable[Anomaly]) -> None:
        """Take these in."""
        for anomaly in found:
            self.counts[anomaly.name] = self.counts.get(anomaly.name, 0) + 1
            kept = self.kept.setdefault(anomaly.name, [])
            if len(kept) < KEPT:
                kept.append(anomaly)

    def __iter__(self) -> Iterator[Anomaly]:
        for name in sorted(self.kept):
            yield from self.kept[name]


def named(transaction: Transaction) -> str:
    """A transaction, as a sentence names it."""
    return f"transaction {transaction.place} (process {transaction.process})"


def listed(elements: Sequence[Element]) -> str:
    """A list, cut in the middle where it is long."""
    if len(elements) <= _SHOWN:
        return f"[{', '.join(map(repr, elements))}]"
    head, tail = elements[: _SHOWN // 2], elements[-_SHOWN // 2 :]
    return f"[{', '.join(map(repr, head))}, … {len(elements) - _SHOWN} more …, {', '.join(map(repr, tail))}]"
