"""The judge of list-append histories: against Elle's own cases, and one small history for each thing it can say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from monitor.core.history.cycles import Cycle
from monitor.core.history.graph import ANTI, FLOW, TIME, WRITE, Order, dependencies
from monitor.core.history.judge import Judgement, judge
from monitor.core.history.models import ANOMALIES, LEVELS, TIMEOUT, canonical, impossible, prohibited, weakest
from monitor.core.history.operations import Append, Kind, MicroOperation, Operation, Read, transactions
from monitor.core.history.proof import Witness
from monitor.core.history.recorded import Recorded
from monitor.core.history.versions import gather

CASES = json.loads((Path(__file__).parents[1] / "data" / "list_append_open.json").read_text())["cases"]
VALID = {True: True, False: False, None: "unknown"}


def _micro(word: str) -> MicroOperation:
    """`x+1` appends 1 to x; `x=12` reads it as [1, 2], `x=` as empty, `x=?` without a reply."""
    key, sign, rest = word[0], word[1], word[2:]
    if sign == "+":
        return Append(key, int(rest))
    return Read(key, None if rest == "?" else tuple(map(int, rest)))


def told(*lines: str, apart: bool = False) -> list[Operation]:
    """A history in small letters: a line is a transaction, `ok` and of a process of its own unless it says otherwise.

    "fail x+1" did not take place, "p1 x=12" is of process 1. All overlap, or else each ends before the next begins.
    """
    value: dict[int, tuple[MicroOperation, ...]] = {}
    kinds: dict[int, Kind] = {}
    processes: dict[int, str] = {}
    for number, line in enumerate(lines):
        words = line.split()
        kinds[number] = Kind(words.pop(0)) if words[0] in set(Kind) else Kind.OK
        processes[number] = words.pop(0) if words[0][0] == "p" else f"own{number}"
        value[number] = tuple(map(_micro, words))
    begin, end = [(n, Kind.INVOKE) for n in value], [(n, kinds[n]) for n in value]
    order = [each for pair in zip(begin, end, strict=True) for each in pair] if apart else begin + end
    return [Operation(kind, processes[n], value[n], place) for place, (n, kind) in enumerate(order)]


def judged(*lines: str, level: str = "strict-serializable", apart: bool = False) -> Judgement:
    """What is said of a history in small letters."""
    return judge(transactions(told(*lines, apart=apart)), levels=[level])


@pytest.mark.parametrize("case", CASES, ids=[f"{case['name']} ({case['source']})" for case in CASES])
def test_agrees_with_elle(case: dict[str, Any]) -> None:
    """Verdict, models ruled out and names are Elle's, but for a cycle in real time beside the plain one."""
    recorded = Recorded()
    operations = [operation for each in case["history"] if (operation := recorded.operation(each))]
    found = judge(transactions(operations), levels=case["models"] or (), anomalies=case["anomalies"] or ())
    expected = case["expect"]
    assert VALID[found.valid] == expected["valid"]
    assert found.valid is True or list(found.ruled_out) == expected["not"]
    assert [name for name in found.anomaly_types if not name.endswith("-realtime")] == [
        name for name in expected["anomaly_types"] if not name.endswith("-realtime")
    ]
    assert set(expected["anomaly_types"]) <= set(found.anomaly_types)


@pytest.mark.parametrize(
    ("name", "lines", "ruled_out"),
    [
        ("G0", ["x+1 y+1", "x+2 y+2", "x=12", "y=21"], "read-uncommitted"),
        ("G1a", ["fail x+1", "x=1", "x+2"], "read-committed"),
        ("G1b", ["x+1 x+2", "x=1"], "read-committed"),
        ("G1c", ["x+1 y=1", "y+1 x=1"], "read-committed"),
        ("G1c", ["x+1", "x+2 y+1", "y=1 x+3", "x=132"], "read-committed"),
        ("G-single-item", ["x+1 y+1", "x=1 y="], "consistent-view repeatable-read"),
        ("G-nonadjacent-item", ["x+1", "x=1 y=", "y+1", "y=1 x="], "repeatable-read snapshot-isolation"),
        ("G2-item", ["x= y+1", "y= x+1"], "repeatable-read"),
        ("lost-update", ["x= x+1", "x= x+2"], "cursor-stability update-atomic"),
        ("lost-update", ["x= x+1", "x= x+2", "x=12"], "cursor-stability update-atomic"),
        ("internal", ["x+1", "x+2 x=1"], "read-atomic"),
        ("internal", ["x+1 x=", "x=1"], "read-atomic"),
        ("internal", ["x+1", "x=1 x+2 x=1"], "read-atomic"),
        ("future-read", ["x=1 x+1", "x=1"], "read-committed"),
        ("future-read", ["x+1 x=12 x+2", "x=12"], "read-committed"),
        ("dirty-update", ["fail x+1", "x+2", "x=12"], "read-committed"),
        ("dirty-update", ["fail x+1", "info x+2", "fail x+3", "x+4", "x=1234"], "read-committed"),
        ("duplicate-elements", ["x+1", "x=11"], "read-uncommitted"),
        ("incompatible-order", ["x+1", "x+2", "x=12", "x=21"], "read-committed"),
        ("incompatible-order", ["x+1", "x+2", "x=12", "x=2"], "read-committed"),
        ("garbage-read", ["x+1", "x=17"], "read-uncommitted"),
    ],
)
def test_each_anomaly_has_its_name(name: str, lines: list[str], ruled_out: str) -> None:
    """The smallest history with an anomaly is called by its name, and rules out the weakest models that forbid it."""
    found = judged(*lines)
    assert found.valid is False
    assert name in found.anomaly_types
    assert set(ruled_out.split()) <= set(found.ruled_out)


STRONG = ["strong-session-read-uncommitted", "strong-session-read-committed", "strong-session-snapshot-isolation"]


@pytest.mark.parametrize(
    ("name", "lines", "level"),
    [
        ("G0-process", ["p1 x+2", "p1 x+1", "p2 x=12"], STRONG[0]),
        ("G0-realtime", ["p1 x+2", "p1 x+1", "p2 x=12"], "strong-read-uncommitted"),
        ("G1c-process", ["p1 x=1", "p1 y+1", "p2 y=1", "p2 x+1"], STRONG[1]),
        ("G1c-realtime", ["p1 x=1", "p2 x+1"], "strong-read-committed"),
        ("G-single-item-process", ["p1 x+1", "p1 x=", "p2 x=1"], STRONG[2]),
        ("G-single-item-realtime", ["p1 x+1", "p2 x=", "p2 x=1"], "strong-snapshot-isolation"),
        ("G-nonadjacent-item-process", ["p0 x= z=1", "p1 x+1", "p1 z=", "p2 z+1"], STRONG[2]),
        ("G2-item-process", ["p1 x+1", "p1 y=", "p2 y+1 z=", "p3 z+1 x="], "strong-session-serializable"),
    ],
)
def test_sessions_and_time_are_edges_where_a_level_cares(name: str, lines: list[str], level: str) -> None:
    """Nothing is wrong with the data; only the order in which one session, or the clock, saw it."""
    found = judged(*lines, level=level, apart=True)
    assert (found.valid, found.anomaly_types, found.ruled_out) == (False, (name,), (level,))
    assert judged(*lines, level="serializable", apart=True).valid is True
    assert judged(*lines, level=level).valid is not False  # where all overlap, there is no order


def test_what_overlaps_has_no_order_in_time() -> None:
    """A stale read is one only if the append had been answered before the read began."""
    assert judged("x+1", "x=", apart=True).anomaly_types == ("G-single-item-realtime",)
    assert judged("x+1", "x=").valid is True
    assert judged("info x+1", "x=", apart=True).valid is True


@pytest.mark.parametrize(
    ("lines", "level"),
    [
        (["x= y+1", "y= x+1"], "snapshot-isolation"),
        (["x+1 y+1", "x=1 y="], "read-committed"),
        (["x= x+1", "x= x+2", "x=12"], "read-committed"),
        (["fail x+1", "x=1", "y+1", "y=1"], "read-uncommitted"),
        (["x+1 y=1", "y+1 x=1"], "read-uncommitted"),
    ],
)
def test_what_a_level_permits_is_no_fault(lines: list[str], level: str) -> None:
    """At a weaker level the same history is valid, and what was found is told as permitted."""
    found = judged(*lines, level=level)
    assert (found.valid, found.anomaly_types) == (True, ())
    assert found.permitted
    assert judged(*lines).valid is False


def test_what_is_indeterminate_accuses_nobody_until_it_was_seen() -> None:
    """A write skew with a transaction that may not have happened is none; once its append is read it is."""
    assert judged("info x= y+1", "y= x+1").valid is True
    assert judged("info x= y+1", "y= x+1", "y=1").anomaly_types == ("G2-item",)
    assert judged("info x=? y+1", "y= x+1", "y=1").valid is True
    unfinished = [each for each in told("info x= y+1", "y= x+1", "y=1") if each.kind is not Kind.INFO]
    assert judge(transactions(unfinished)).valid is True  # nobody knows what it read


def test_a_cycle_that_needs_an_indeterminate_commit_is_no_dirty_write() -> None:
    """Whoever allows aborted reads may have aborted it; whoever forbids them is contradicted either way."""
    lines = ["info x+1 y+1", "x+2 y+2", "x=12", "y=21"]
    assert judged(*lines, level="read-uncommitted").valid is True
    assert judged(*lines, level="read-committed").anomaly_types == ("G1c",)


def test_a_disputed_order_makes_no_dirty_write() -> None:
    """Of two orders one was never committed, and nobody knows which; the level below read committed allows that."""
    lines = ["x+1 y+1", "x+2 y+2", "x=12", "x=21", "y=21", "y=12"]
    assert judged(*lines, level="read-uncommitted").valid is True
    assert judged(*lines, level="read-committed").valid is False


def test_what_failed_is_in_no_cycle() -> None:
    """An aborted append has no place in the order of versions; that it was read is the only thing to say."""
    found = judged("fail x+1 y+1", "x+2 y+2", "x=12", "y=21")
    assert set(found.counts) == {"G1a", "dirty-update"}


@pytest.mark.parametrize("lines", [["x+1"], ["fail x+1"], ["x=", "y="]])
def test_nothing_to_judge_by_is_unknown(lines: list[str]) -> None:
    """Where no transaction depends on another, nothing was checked, and nothing is called valid."""
    found = judged(*lines, level="serializable")
    assert (found.valid, found.anomaly_types, found.ruled_out) == (None, ("empty-transaction-graph",), ())


def test_an_element_that_was_appended_twice_makes_its_key_unknown() -> None:
    """The key is left out; what the others show still counts."""
    twice = ["x+1", "x+1", "x=1", "y+1", "y=1"]
    assert (judged(*twice).valid, judged(*twice).anomaly_types) == (None, ("duplicate-appends",))
    assert judged(*twice, "z+1 y+2", "z=1 y=1").anomaly_types == ("G-single-item", "duplicate-appends")


def test_a_retry_of_a_failed_append_with_a_new_element_is_fine() -> None:
    """Failed appends leave no trace in a healthy history."""
    assert judged("fail x+1", "x+2", "x=2", apart=True).valid is True


def test_an_explanation_names_transactions_keys_and_elements() -> None:
    """Each edge of a cycle is a sentence that can be checked by hand."""
    (skew,) = (each for each in judged("x+1 y+1", "x=1 y=", apart=True).anomalies if each.name == "G-single-item")
    assert (skew.transactions, skew.keys) == ((3, 1), ("y", "x"))
    assert skew.explanation == (
        "transaction 3 (process own1) read [] from 'y', without 1, which transaction 1 (process own0) appended",
        "transaction 3 (process own1) read [1] from 'x', of which transaction 1 (process own0) appended 1",
    )


def test_when_time_is_over_some_cycle_is_told_all_the_same() -> None:
    """The gravest may be missed, the history is never called valid, and what is told was confirmed."""
    lines = ["x+1 y+1", "x+2 y+2", "x=12", "y=21"]
    found = judge(transactions(told(*lines)), patience=lambda: lambda: True)
    assert found.valid is False
    assert TIMEOUT in found.anomaly_types
    assert set(found.anomaly_types) & {"G0", "G1c", "G-single-item", "G2-item"}
    permitted = judge(transactions(told("x= y+1", "y= x+1")), levels=["read-committed"], patience=lambda: lambda: True)
    assert (permitted.valid, permitted.permitted) == (None, ("G2-item",))


def test_each_component_has_its_own_time() -> None:
    """A component that is given up does not cost the next one its search."""
    answers = iter([True, False])
    components = [line.replace("x", a).replace("y", b) for a, b in ("xy", "zt") for line in ("x+1 y+1", "x=1 y=")]

    def patience() -> Any:
        answer = next(answers)
        return lambda: answer

    found = judge(transactions(told(*components)), patience=patience)
    assert (found.counts["G-single-item"], found.counts[TIMEOUT]) == (2, 1)


def test_the_first_ten_of_a_name_are_told_and_all_are_counted() -> None:
    """A thousand lost updates fit on a screen."""
    found = judge(
        transactions(
            Operation(Kind.OK, place, (Read(place // 2, ()), Append(place // 2, place)), place) for place in range(60)
        )
    )
    assert found.counts["lost-update"] == 30
    assert sum(each.name == "lost-update" for each in found.anomalies) == 10


def test_a_long_chain_needs_no_recursion() -> None:
    """A cycle through five thousand transactions is found, and a chain of as many is not one."""
    value = [(Append(n, 1), *([Read(n - 1, (1,))] if n else [])) for n in range(5000)]
    assert _serializable(value).valid is True
    found = _serializable([(Append(0, 1), Read(4999, (1,))), *value[1:]])
    assert found.anomaly_types == ("G1c",)
    assert len(found.anomalies[0].transactions) == 5000


def _serializable(values: Sequence[tuple[MicroOperation, ...]]) -> Judgement:
    """What is said of committed transactions of which nobody knows when they began."""
    return judge(
        transactions(Operation(Kind.OK, n, value, n) for n, value in enumerate(values)), levels=["serializable"]
    )


def test_one_read_skew_is_found_among_many_write_skews() -> None:
    """A ring with one `rw`, in a component full of cycles with two: the search is not led astray."""
    size = 300
    ring = [(Append("ring", n), Append("first", 1) if n == 0 else Append(n, 0)) for n in range(size - 1)]
    last: tuple[MicroOperation, ...] = (Append("ring", size - 1), Read("first", ()))
    reads: list[tuple[MicroOperation, ...]] = [(Read("ring", tuple(range(size))),)]
    noise: list[tuple[MicroOperation, ...]] = []
    for n in range(1, size - 1):
        noise += [(Append(n, k),) for k in range(1, 6)]
        noise.append((Read(n, tuple(range(6))), Read(f"end {n}", ())))
        noise.append((Append(f"end {n}", 1), Read("ring", ())))
    values = [*ring, last, *reads, *noise]
    found = _serializable(values)
    assert "G-single-item" in found.anomaly_types
    assert TIMEOUT not in found.anomaly_types


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("G0", ((0, 1, WRITE), (1, 0, WRITE))),
        ("G1c", ((0, 1, FLOW), (1, 0, FLOW))),
        ("G-single-item", ((0, 1, FLOW), (1, 0, ANTI))),
        ("G2-item", ((0, 1, ANTI), (1, 0, ANTI))),
        ("G1c-realtime", ((0, 1, FLOW), (1, 0, TIME))),
        ("G1c", ((0, 1, FLOW), (1, 2, FLOW))),
        ("G0", ((0, 1, FLOW), (1, 0, FLOW))),
    ],
)
def test_a_cycle_that_is_none_does_not_count(name: str, steps: tuple[tuple[int, int, int], ...]) -> None:
    """A fault in the search would make the verdict unknown, never a conviction."""
    recorded = transactions(told("x+1 y+1", "x=1 y=1 x+2", "x=12", apart=True))
    cycle = Cycle(name, steps)
    assert Witness(recorded, [cycle], Order.REALTIME).confirm(cycle) is None


def test_of_two_elements_in_reads_that_disagree_neither_is_first() -> None:
    """Only a list that shows both tells their order, or one that shows the first while none shows the second."""
    recorded = transactions(told("x+1", "x+3", "x+2", "x=13", "x=2"))
    cycle = Cycle("G1c", ((2, 0, FLOW), (0, 2, FLOW)))
    assert Witness(recorded, [cycle], Order.NONE).confirm(cycle) is None


def test_between_two_transactions_the_stronger_edge_counts() -> None:
    """Who was followed by an append and also missed another one of the same transaction makes no read skew of it."""
    assert set(judged("x+1 y= z=1", "x+2 y+1 z+1", "x=12", level="serializable").counts) == {"G1c"}


def test_the_graph_is_linear_where_pairs_are_not() -> None:
    """A thousand readers of an empty list, a thousand appends that nobody saw, and a thousand clients at once."""
    count = 1000
    values: list[MicroOperation] = [*[Read("x", ())] * count, *(Append("x", n) for n in range(count))]
    begins = [Operation(Kind.INVOKE, n, (value,), n) for n, value in enumerate(values)]
    ends = [Operation(Kind.OK, n, (value,), n + 2 * count) for n, value in enumerate(values)]
    again = [Operation(Kind.OK if n % 2 else Kind.INVOKE, n // 2, (Read("y", ()),), n + 4 * count) for n in range(200)]
    graph = dependencies(gather(transactions([*begins, *ends, *again])), Order.REALTIME)
    assert sum(map(len, graph.out)) < 4 * (len(values) + len(again))
    assert graph.knots() == []
    healthy = dependencies(gather(transactions(told("x= x+1", "x+2", "x+3", "x="))), Order.NONE)
    assert healthy.knots() == []  # who reads and appends does not come back to itself through a hub


class TestPairing:
    """Beginnings and ends."""

    def test_one_process_with_several_open_questions(self) -> None:
        """An end goes with the beginning that asked the same; there is no order between what overlaps."""
        lines = [*told("p1 x+1", "p1 x+2", "p1 x=")]
        assert [(each.invoked, each.completed) for each in transactions(lines)] == [(0, 3), (1, 4), (2, 5)]

    def test_an_end_alone_has_no_beginning_in_time(self) -> None:
        """It may have begun before everything, so it can be nobody's successor in time."""
        ends = [operation for operation in told("p1 x+1", "p1 x=", apart=True) if operation.kind is not Kind.INVOKE]
        assert [(each.invoked, each.completed) for each in transactions(ends)] == [(None, 1), (None, 3)]
        assert judge(transactions(ends), levels=["strong-session-serializable"]).valid is True

    def test_what_never_ended_is_indeterminate(self) -> None:
        """An invocation without an end may have taken place."""
        (only,) = transactions(told("x+1 x=1")[:1])
        assert only.kind is Kind.INFO
        assert only.value == (Append("x", 1), Read("x", None))
        assert (only.invoked, only.completed, only.place) == (0, None, 0)

    def test_an_end_without_a_value_did_what_was_asked(self) -> None:
        """Some clients record no value where they got no answer."""
        begin, end = told("info x+1")
        assert transactions([begin, end._replace(value=())])[0].value == (Append("x", 1),)


class TestModels:
    """Which model forbids what."""

    def test_every_level_can_be_asked_for(self) -> None:
        """Aliases mean the model that they name."""
        assert {canonical(level) for level in LEVELS} <= set(LEVELS)
        assert canonical("PL-SI") == "snapshot-isolation"
        with pytest.raises(KeyError, match="linearizable"):
            canonical("linearizable")

    @pytest.mark.parametrize("anomaly", ANOMALIES)
    def test_every_anomaly_is_forbidden_by_the_strictest(self, anomaly: str) -> None:
        """Nothing that can be found is allowed by strict serializability, and each rules something out."""
        assert anomaly in prohibited(["strict-serializable"])
        assert impossible([anomaly])

    def test_a_stronger_level_forbids_no_less(self) -> None:
        """What a model forbids, everything that includes it forbids."""
        for anomaly in ANOMALIES:
            out = impossible([anomaly])
            for level in {canonical(level) for level in LEVELS} - {"view-serializable"}:
                assert (anomaly in prohibited([level])) <= (level in out), (anomaly, level)
        assert weakest({"serializable", "read-committed", "snapshot-isolation"}) == ("read-committed",)
