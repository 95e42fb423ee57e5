"""The judge of recorded list-append histories: which anomalies they show, and which consistency models they rule out.

After Elle: Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations", VLDB 2020, with
the anomalies of Adya, "Weak Consistency: A Generalized Theory and Optimistic Implementations for Distributed
Transactions", 1999. What each anomaly is, and why it is no false alarm, stands at the function that finds it, in
of_keys.py, of_transactions.py and cycles.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from monitor.core.history import models
from monitor.core.history.anomaly import Anomaly, Findings
from monitor.core.history.components import components
from monitor.core.history.cycles import Cycle, OutOfTime, Search
from monitor.core.history.graph import Order, dependencies
from monitor.core.history.of_keys import anomalies_of_keys
from monitor.core.history.of_transactions import anomalies_of_transactions
from monitor.core.history.operations import Transaction
from monitor.core.history.proof import Witness
from monitor.core.history.versions import gather


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a history shows.

    `valid` is None where nothing that is forbidden was found, but too little could be judged. `anomaly_types` are the
    names of what is forbidden, and of what made the judgement undecided; `permitted` of what was found and is allowed.
    `ruled_out` are the weakest models that cannot hold, by all that was found; `also_ruled_out` the stronger ones.
    `anomalies` tells the first few of each name, `counts` how many there are; cycles are counted once a component.
    """

    valid: bool | None
    anomaly_types: tuple[str, ...]
    permitted: tuple[str, ...]
    ruled_out: tuple[str, ...]
    also_ruled_out: tuple[str, ...]
    anomalies: tuple[Anomaly, ...]
    counts: Mapping[str, int]
    transactions: int


def _ample() -> OutOfTime:
    return lambda: False


def judge(
    transactions: Sequence[Transaction],
    *,
    levels: Iterable[str] = (models.STRICTEST,),
    anomalies: Iterable[str] = (),
    patience: Callable[[], OutOfTime] = _ample,
) -> Judgement:
    """Judge a history by the levels that were promised, and by single anomalies that must not occur.

    The history has to be whole: every transaction that could have appended to its keys is in it, and the keys were
    empty before. `patience` is called for each component of the graph and returns a question that is asked now and
    then; once it answers that the time is over, the component is given up with one cycle that was found, if not the
    gravest. Linear for histories without anomalies. Raises KeyError for a level that is not known.
    """
    forbidden = models.prohibited(levels, anomalies)
    evidence = gather(transactions)
    findings = Findings()
    findings.add(anomalies_of_keys(evidence))
    findings.add(anomalies_of_transactions(evidence))
    order = _order(forbidden)
    graph = dependencies(evidence, order)
    if not graph.edges:
        findings.add([_undecided(models.EMPTY, "no transaction depends on another, so there is nothing to judge by")])
    cycles: list[Cycle] = []
    for component in components(graph):
        search = Search(component, order, patience())
        cycles += search.run()
        if search.timed_out:
            size = component.hubs.count(False)
            findings.add([_undecided(models.TIMEOUT, f"{size} transactions in one component; not searched to the end")])
    findings.add(_confirmed(transactions, cycles, order))
    return _judgement(findings, forbidden, len(transactions))


def _order(forbidden: frozenset[str]) -> Order:
    """The order that is needed to see what is forbidden; real time includes that of each process."""
    for order in (Order.REALTIME, Order.PROCESS):
        if any(name.endswith(f"-{order}") for name in forbidden):
            return order
    return Order.NONE


def _confirmed(transactions: Sequence[Transaction], cycles: list[Cycle], order: Order) -> Iterable[Anomaly]:
    witness = Witness(transactions, cycles, order)
    for cycle in cycles:
        yield witness.confirm(cycle) or _undecided(
            models.UNCONFIRMED, f"a {cycle.name} did not stand up to the operations: a fault of Holdfast's own"
        )


def _undecided(name: str, why: str) -> Anomaly:
    return Anomaly(name=name, transactions=(), keys=(), explanation=(why,))


def _judgement(findings: Findings, forbidden: frozenset[str], transactions: int) -> Judgement:
    found = frozenset(findings.counts)
    wrong = found & forbidden
    undecided = found & models.UNDECIDED
    impossible = models.impossible(found)
    weakest = models.weakest(impossible)
    return Judgement(
        valid=False if wrong else None if undecided else True,
        anomaly_types=tuple(sorted(wrong | undecided)),
        permitted=tuple(sorted(found - wrong - undecided)),
        ruled_out=weakest,
        also_ruled_out=tuple(sorted(impossible.difference(weakest))),
        anomalies=tuple(findings),
        counts=findings.counts,
        transactions=transactions,
    )
