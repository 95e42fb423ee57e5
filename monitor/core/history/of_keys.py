"""Anomalies that show in the reads of one key, without a graph.

Every function yields one finding for each thing that is wrong, with its first witness.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from monitor.core.history import models
from monitor.core.history.anomaly import Anomaly, listed, named
from monitor.core.history.operations import Element, Kind
from monitor.core.history.versions import Evidence, Versions


def anomalies_of_keys(evidence: Evidence) -> Iterator[Anomaly]:
    """All of them, key by key."""
    for versions in evidence.keys.values():
        if versions.repeated:
            yield duplicate_appends(evidence, versions)
            continue
        unwelcome = _unwelcome(evidence, versions)
        if unwelcome:
            yield from aborted_or_garbage_reads(evidence, versions, unwelcome)
            yield from dirty_updates(evidence, versions)
        if versions.intermediate:
            yield from intermediate_reads(evidence, versions)
        if not versions.plain:
            yield from duplicate_elements(evidence, versions)
        if versions.strays:
            yield incompatible_order(evidence, versions)


def duplicate_appends(evidence: Evidence, versions: Versions) -> Anomaly:
    """Duplicate-appends: an element was appended to a key more than once, by whatever transactions.

    No fault of the database: such a history cannot be judged, as it is not known which append a read saw. The key is
    left out of everything else, and the history is at best unknown.
    """
    element, first, second = versions.repeated[0]
    sentence = f"{element!r} was appended to {versions.key!r} more than once: this key cannot be judged"
    return _anomaly(models.REPEATED_APPENDS, evidence, versions, sentence, first, second)


def _unwelcome(evidence: Evidence, versions: Versions) -> set[Element]:
    """Elements that were read although their transaction failed, or although nobody appended them."""
    writers, transactions = versions.writers, evidence.transactions
    return {
        element
        for element in versions.observed()
        if (writer := writers.get(element)) is None or transactions[writer].kind is Kind.FAIL
    }


def aborted_or_garbage_reads(evidence: Evidence, versions: Versions, unwelcome: set[Element]) -> Iterator[Anomaly]:
    """G1a (aborted read) and garbage-read: a read saw an element that an aborted transaction appended, or nobody.

    G1a: Adya 1999, PL-2: a committed transaction has read from an aborted one. Garbage read: Kingsbury and Alvaro,
    VLDB 2020. No false alarm: only a transaction that is known to have failed is called aborted, never one that is
    indeterminate; and nobody wrote what no operation of the history appends.
    """
    left = set(unwelcome)
    for reader, elements in versions.reads:
        for element in sorted(left.intersection(elements), key=str):
            left.discard(element)
            writer = versions.writers.get(element)
            saw = f"{_read(evidence, versions, reader, elements)}; "
            if writer is None:
                yield _anomaly("garbage-read", evidence, versions, f"{saw}nobody appended {element!r}", reader)
            else:
                sentence = f"{saw}{element!r} was appended by {named(evidence.transactions[writer])}, which failed"
                yield _anomaly("G1a", evidence, versions, sentence, reader, writer)
        if not left:
            return


def dirty_updates(evidence: Evidence, versions: Versions) -> Iterator[Anomaly]:
    """Dirty-update: a committed append stands upon an aborted one, with nothing committed between.

    Kingsbury and Alvaro, VLDB 2020. No false alarm: both are in one list that a committed transaction read, the first
    is known to have failed, the second is known to be committed, and what lies between is aborted or indeterminate.
    """
    aborted: Element | None = None
    for element in versions.order:
        writer = versions.writers.get(element)
        kind = None if writer is None else evidence.transactions[writer].kind
        if kind is Kind.FAIL and aborted is None:
            aborted = element
        elif kind is Kind.OK and writer is not None:
            if aborted is not None:
                failed = versions.writers[aborted]
                built = (
                    f"{named(evidence.transactions[writer])} appended {element!r} to {versions.key!r} upon {aborted!r}"
                )
                sentence = f"{built}, which {named(evidence.transactions[failed])} had appended, and which failed"
                yield _anomaly("dirty-update", evidence, versions, sentence, failed, writer)
            aborted = None


def intermediate_reads(evidence: Evidence, versions: Versions) -> Iterator[Anomaly]:
    """G1b (intermediate read): a read ends with an element after which its transaction appended more to the key.

    Adya 1999, PL-2. No false alarm: both appends are of one transaction, which is not the reader, and the later one is
    not the end of the list. An indeterminate writer has either committed (G1b) or not (G1a); either way the levels
    that exclude the one exclude the other.
    """
    told: set[Element] = set()
    for reader, elements in versions.reads:
        last = elements[-1] if elements else None
        if last is None or last not in versions.intermediate or last in told or versions.writers[last] == reader:
            continue
        told.add(last)
        writer = versions.writers[last]
        sentence = f"{last!r} was not the last that {named(evidence.transactions[writer])} appended"
        saw = _read(evidence, versions, reader, elements)
        yield _anomaly("G1b", evidence, versions, f"{saw}; {sentence}", reader, writer)


def duplicate_elements(evidence: Evidence, versions: Versions) -> Iterator[Anomaly]:
    """Duplicate-elements: a read shows an element more than once.

    Kingsbury and Alvaro, VLDB 2020. No false alarm: the element was appended once in the whole history (a key of which
    this is not true is not judged).
    """
    for reader, elements in versions.reads:
        if len(set(elements)) != len(elements):
            ((twice, times),) = Counter(elements).most_common(1)
            sentence = f"{_read(evidence, versions, reader, elements)}, with {twice!r} {times} times"
            yield _anomaly("duplicate-elements", evidence, versions, f"{sentence}; it was appended once", reader)
            return


def incompatible_order(evidence: Evidence, versions: Versions) -> Anomaly:
    """Incompatible-order: of two reads of a key neither is a prefix of the other.

    Kingsbury and Alvaro, VLDB 2020. No false alarm: lists only grow at their end, so that all committed states of a
    key are prefixes of the last; one of the two reads saw what was never committed.
    """
    reader, elements = versions.strays[0]
    other = next(number for number, seen in versions.reads if seen == versions.longest)
    one = _read(evidence, versions, reader, elements)
    sentence = f"{one}, but {_read(evidence, versions, other, versions.longest)}; neither is the other's beginning"
    return _anomaly("incompatible-order", evidence, versions, sentence, reader, other)


def _read(evidence: Evidence, versions: Versions, reader: int, elements: tuple[Element, ...]) -> str:
    return f"{named(evidence.transactions[reader])} read {listed(elements)} from {versions.key!r}"


def _anomaly(name: str, evidence: Evidence, versions: Versions, sentence: str, *numbers: int) -> Anomaly:
    places = tuple(evidence.transactions[number].place for number in numbers)
    return Anomaly(name=name, transactions=places, keys=(versions.key,), explanation=(sentence,))
