"""Anomalies that show in one transaction, and lost updates, for which one has to read and append to one key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monitor.core.history.anomaly import Anomaly, listed, named
from monitor.core.history.operations import Append, Element, Key, Kind, MicroOperation, Read, Transaction
from monitor.core.history.versions import Evidence

Value = tuple[MicroOperation, ...]


def anomalies_of_transactions(evidence: Evidence) -> Iterator[Anomaly]:
    """All of them. Only transactions that are known to be committed, and that touch a key twice, are looked at."""
    updates: dict[tuple[Key, tuple[Element, ...]], list[int]] = {}
    for number, transaction in enumerate(evidence.transactions):
        value = transaction.value
        if transaction.kind is not Kind.OK or len({operation[0] for operation in value}) == len(value):
            continue
        value = tuple(operation for operation in value if not evidence.keys[operation.key].repeated)
        yield from internal(transaction, value)
        yield from future_read(transaction, value)
        for key, seen in _updated(value):
            updates.setdefault((key, seen), []).append(number)
    yield from lost_updates(evidence, updates)


def internal(transaction: Transaction, value: Value) -> Iterator[Anomaly]:
    """Internal: a transaction's read disagrees with its own earlier reads and appends of that key.

    The axiom INT of Cerone, Bernardi and Gotsman 2015. No false alarm: only operations of one transaction, in its own
    order, are compared; where it has not read before, only the end of the list is expected, not its beginning.
    """
    known: dict[Key, tuple[Element, ...]] = {}
    whole: set[Key] = set()
    for operation in value:
        key = operation.key
        if isinstance(operation, Append):
            known[key] = (*known.get(key, ()), operation.element)
            continue
        seen, wanted = operation.elements or (), known.get(key, ())
        if seen != wanted if key in whole else wanted != seen[max(0, len(seen) - len(wanted)) :]:
            told = f"{'' if key in whole else 'a list that ends with '}{listed(wanted)}"
            sentence = f"{named(transaction)} read {listed(seen)} from {key!r}; its own doings before ask for {told}"
            yield _anomaly("internal", key, sentence, transaction)
            return
        known[key] = seen
        whole.add(key)


def future_read(transaction: Transaction, value: Value) -> Iterator[Anomaly]:
    """Future-read: a transaction reads an element that it appends only afterwards.

    A violation of the axiom EXT of Cerone, Bernardi and Gotsman 2015, and a G1c of one transaction. No false alarm: an
    element is appended once, so nobody else can have appended it before.
    """
    seen: dict[Key, set[Element]] = {}
    for operation in value:
        key = operation.key
        if isinstance(operation, Read):
            seen.setdefault(key, set()).update(operation.elements or ())
        elif operation.element in seen.get(key, ()):
            sentence = f"{named(transaction)} read {operation.element!r} from {key!r} before it appended it"
            yield _anomaly("future-read", key, sentence, transaction)
            return


def lost_updates(evidence: Evidence, updates: Mapping[tuple[Key, tuple[Element, ...]], list[int]]) -> Iterator[Anomaly]:
    """Lost-update: two committed transactions read the same version of a key, and both then appended to it.

    Berenson et al. 1995 (P4); Adya 1999; Bailis et al. 2013. No false alarm: both are known to be committed, both read
    before they appended, and what they read is equal; in a serial order the second of them would have read the append
    of the first.
    """
    for (key, seen), numbers in updates.items():
        if len(numbers) > 1:
            these = [evidence.transactions[number] for number in numbers]
            more = f", and {len(these) - 2} more," if len(these) > 2 else ""  # noqa: PLR2004  two are told
            both = f"{named(these[0])} and {named(these[1])}{more}"
            yield _anomaly(
                "lost-update", key, f"{both} read {listed(seen)} from {key!r}, and each appended to it", *these
            )


def _updated(value: Value) -> Iterator[tuple[Key, tuple[Element, ...]]]:
    """The keys that a transaction appended to after it had read them, with what it read first."""
    first: dict[Key, tuple[Element, ...]] = {}
    written: set[Key] = set()
    for operation in value:
        key = operation.key
        if isinstance(operation, Read):
            first.setdefault(key, operation.elements or ())
        elif key not in written:
            written.add(key)
            if key in first:
                yield key, first[key]


def _anomaly(name: str, key: Key, sentence: str, *transactions: Transaction) -> Anomaly:
    places = tuple(transaction.place for transaction in transactions)
    return Anomaly(name=name, transactions=places, keys=(key,), explanation=(sentence,))
