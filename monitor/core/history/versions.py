"""The versions of each list: who appended what, who read what, and in which order the elements came to be there.

Because a read returns every element, the longest read of a key is the order of its versions (Kingsbury and Alvaro,
"Elle", VLDB 2020).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from monitor.core.history.operations import Append, Element, Key, Kind, Read, Transaction


@dataclass(slots=True, eq=False)
class Versions:
    """What a history says of one key. Transactions are given by their number.

    `order` is the longest list that was read, each element at its first place. `reads` are those of transactions that
    took place, every one with what it saw. `intermediate` are elements after which the same transaction appended
    another. `strays` are reads that are no prefix of the longest. `repeated` are elements that were appended more
    than once: then nothing can be said of the key, and its reads are left out.
    """

    key: Key
    writers: dict[Element, int] = field(default_factory=dict)
    reads: list[tuple[int, tuple[Element, ...]]] = field(default_factory=list)
    intermediate: set[Element] = field(default_factory=set)
    repeated: list[tuple[Element, int, int]] = field(default_factory=list)
    longest: tuple[Element, ...] = ()
    order: tuple[Element, ...] = ()
    strays: list[tuple[int, tuple[Element, ...]]] = field(default_factory=list)
    latest: tuple[int, Element | None] = (-1, None)

    @property
    def plain(self) -> bool:
        """Whether all reads agree, and show each element once."""
        return len(self.order) == len(self.longest) and not self.strays

    def observed(self) -> Iterator[Element]:
        """Every element that was read; some more than once."""
        yield from self.order
        for _, elements in self.strays:
            yield from elements

    def settle(self) -> None:
        """Derive the order and the strays from the reads."""
        longest = max((elements for _, elements in self.reads), key=len, default=())
        self.longest = longest
        self.order = longest if len(set(longest)) == len(longest) else tuple(dict.fromkeys(longest))
        self.strays = [read for read in self.reads if read[1] != longest[: len(read[1])]]


@dataclass(slots=True, eq=False)
class Evidence:
    """A history by keys. `took_place` are the transactions that did: `ok`, or `info` with an append that was read.

    An `info` transaction of which nothing was ever read may not have happened, so it can be nobody's predecessor.
    That an append was read proves its commit, or an aborted read (G1a): read committed excludes either way whatever
    contradicts the rest. Therefore such transactions count in every cycle but one: none that accuses a level in which
    aborted reads are allowed (G0).
    """

    transactions: Sequence[Transaction]
    keys: dict[Key, Versions]
    took_place: list[bool]

    @property
    def judged(self) -> Iterator[Versions]:
        """The keys of which something can be said."""
        return (versions for versions in self.keys.values() if not versions.repeated)


def gather(transactions: Sequence[Transaction]) -> Evidence:
    """Sort a history by keys. Linear in the size of the history."""
    keys: dict[Key, Versions] = {}
    for number, transaction in enumerate(transactions):
        ok = transaction.kind is Kind.OK
        for operation in transaction.value:
            key = operation[0]
            versions = keys.get(key)
            if versions is None:
                versions = keys[key] = Versions(key)
            if isinstance(operation, Append):
                _write(versions, number, operation[1])
            elif ok:
                versions.reads.append((number, operation[1] or ()))
    evidence = Evidence(transactions, keys, [transaction.kind is Kind.OK for transaction in transactions])
    for versions in evidence.judged:
        versions.settle()
    _resolve(evidence)
    return evidence


def _write(versions: Versions, number: int, element: Element) -> None:
    if element in versions.writers:
        versions.repeated.append((element, versions.writers[element], number))
        return
    versions.writers[element] = number
    by, previous = versions.latest
    if by == number and previous is not None:
        versions.intermediate.add(previous)
    versions.latest = (number, element)


def _resolve(evidence: Evidence) -> None:
    """Find which `info` transactions took place, and let what they read count as well."""
    doubtful = {n for n, transaction in enumerate(evidence.transactions) if transaction.kind is Kind.INFO}
    if not doubtful:
        return
    proven = {
        writer
        for versions in evidence.judged
        for element in versions.observed()
        if (writer := versions.writers.get(element, -1)) in doubtful
    }
    changed = set()
    for number in sorted(proven):
        evidence.took_place[number] = True
        for operation in evidence.transactions[number].value:
            if isinstance(operation, Read) and operation.elements is not None:
                evidence.keys[operation.key].reads.append((number, operation.elements))
                changed.add(operation.key)
    for key in changed:
        if not evidence.keys[key].repeated:
            evidence.keys[key].settle()
