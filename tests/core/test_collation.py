"""Answers of an index against its table's: break them in one way, and that way is named, and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.collation import WORDS, Answers, Asked, Comparison, Look, Version, compare, left_out, right
from monitor.core.verdict import Kind

PAGE = 3


def answers(order: list[int]) -> Answers:
    """What a right index answers about rows that stand in this order, each with a word of its own."""
    pages = {(Asked.PAGE, id_): tuple(order[place : place + PAGE]) for place, id_ in enumerate(order)}
    return {(Asked.ORDER, 0): tuple(order)} | {(Asked.EQUAL, id_): (id_,) for id_ in order} | pages


def comparison(by_table: Answers, by_index: Answers, *, forced: bool = True) -> Comparison:
    """Of an index."""
    return Comparison(index="words_icu", collation="und-x-icu", forced=forced, by_index=by_index, by_table=by_table)


def look(compared: Comparison, *, rows: int = WORDS, versions: tuple[Version, ...] = ()) -> Look:
    """A look at one index."""
    words = {id_: f"word-{id_}" for id_ in range(1, rows + 1)}
    return Look(words=words, comparisons=(compared,), versions=versions)


orders = st.integers(4, 12).flatmap(lambda size: st.permutations(range(1, size + 1)))


@given(orders)
def test_an_index_that_answers_as_its_table_is_right(order: list[int]) -> None:
    """Whatever the order is."""
    seen = look(comparison(answers(order), answers(order)))
    assert (list(compare(seen)), list(left_out(seen)), right(seen)) == ([], [], True)


@given(orders, st.data())
def test_a_row_that_the_index_does_not_have_is_lost(order: list[int], data: st.DataObject) -> None:
    """That row is named, and nothing that stands in its place on a page."""
    gone = data.draw(st.sampled_from(order))
    left = [id_ for id_ in order if id_ != gone]
    following = {
        (Asked.PAGE, id_): tuple(each for each in order[place:] if each != gone)[:PAGE]
        for place, id_ in enumerate(order)
    }
    seen = look(comparison(answers(order), {**answers(left), **following}))
    (violation,) = compare(seen)
    assert (violation.kind, violation.evidence["rows"]) == (Kind.LOST, [f"word-{gone}"])
    assert not right(seen)


@given(orders, st.data())
def test_a_row_that_stands_elsewhere_is_reordered(order: list[int], data: st.DataObject) -> None:
    """Two rows that changed places in the index's order alone, as by a change of the collation."""
    one, other = data.draw(st.lists(st.sampled_from(range(len(order))), min_size=2, max_size=2, unique=True))
    swapped = [*order]
    swapped[one], swapped[other] = swapped[other], swapped[one]
    seen = look(comparison(answers(order), {**answers(order), (Asked.ORDER, 0): tuple(swapped)}))
    (violation,) = compare(seen)
    assert violation.kind is Kind.REORDERED
    assert violation.evidence["rows"] == [f"word-{id_}" for id_ in sorted((order[one], order[other]))]


@given(orders, st.data())
def test_a_row_that_comes_twice_is_duplicated(order: list[int], data: st.DataObject) -> None:
    """In any answer."""
    twice = data.draw(st.sampled_from(order))
    seen = look(comparison(answers(order), {**answers(order), (Asked.EQUAL, twice): (twice, twice)}))
    (violation,) = compare(seen)
    assert (violation.kind, violation.evidence["rows"]) == (Kind.DUPLICATED, [f"word-{twice}"])


@given(orders, st.data())
def test_a_row_that_no_table_answers_with_is_a_phantom(order: list[int], data: st.DataObject) -> None:
    """The index finds a row under another row's word."""
    asked, found = data.draw(st.lists(st.sampled_from(order), min_size=2, max_size=2, unique=True))
    seen = look(comparison(answers(order), {**answers(order), (Asked.EQUAL, asked): (asked, found)}))
    (violation,) = compare(seen)
    assert (violation.kind, violation.evidence["rows"]) == (Kind.PHANTOM, [f"word-{found}"])


def test_an_index_that_was_not_used_proves_nothing() -> None:
    """What it seems to answer is no violation, and it is said that it was not compared."""
    seen = look(comparison(answers([1, 2, 3, 4]), answers([4, 3, 2, 1]), forced=False))
    assert list(compare(seen)) == []
    (sentence,) = left_out(seen)
    assert sentence.startswith("the index holdfast.words_icu is not compared with its table: ")


def test_a_table_without_its_rows_or_indexes_proves_less() -> None:
    """Both are said, with what to do."""
    fewer = look(comparison(answers([1, 2]), answers([1, 2])), rows=WORDS - 1)
    none = replace(fewer, comparisons=(), words=dict.fromkeys(range(WORDS), ""))
    for seen, words in ((fewer, "279 of 280 rows; run `holdfast setup ENV`"), (none, "holdfast.words has none")):
        (sentence,) = left_out(seen)
        assert words in sentence


OWN = Version(index="words_icu", collation="und-x-icu", recorded="1", actual="2", refresh="ALTER COLLATION …")
DRIFTED = (
    "the collation und-x-icu of the index holdfast.words_icu has drifted: version 1 is recorded, the server now has 2;"
    " every index on text may be in the wrong order: REINDEX them, then ALTER COLLATION …"
)


@pytest.mark.parametrize(
    ("version", "sentences"),
    [
        (OWN, [DRIFTED]),
        (replace(OWN, actual="1"), []),
        (replace(OWN, recorded=None, actual=None), []),
        (replace(OWN, recorded=None), [DRIFTED.replace("version 1 is", "version unknown is")]),
        (
            replace(OWN, recorded=None, actual=None, kept=False),
            ["drift of the collation und-x-icu is not seen: PostgreSQL before 15 keeps no version of it"],
        ),
    ],
    ids=["drifted", "same", "none", "unrecorded", "not kept"],
)
def test_the_drift_of_a_collation_is_said(version: Version, sentences: list[str]) -> None:
    """With both versions, the index, and what to do; it is no violation as long as the index answers right."""
    seen = look(comparison(answers([1, 2, 3]), answers([1, 2, 3])), versions=(version,))
    assert (list(compare(seen)), list(left_out(seen))) == ([], sentences)


def test_many_rows_are_counted_and_a_few_are_shown() -> None:
    """The message stays short, the evidence has all of them."""
    order = list(range(1, 13))
    seen = look(comparison(answers(order), {}))
    (violation,) = compare(seen)
    first = "'word-1', 'word-2', 'word-3', 'word-4', 'word-5'"
    assert violation.actual == f"12 rows not found by the index: {first} and 7 more"
    assert violation.evidence["rows"] == [f"word-{id_}" for id_ in order]
