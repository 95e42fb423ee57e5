"""Which environments a page shows: found by words and a verdict, the worst first, so many at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monitor.core.verdict import Verdict

SIZE = 50
"""Environments on a page: what one screen of a wall shows, and what is rendered in some milliseconds."""
LARGEST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody asked for: words, which must all occur; a verdict; the number of a page, from 1, and its size.

    `ranked` is the worst first and then by name, else in the order in which they are given.
    """

    q: str = ""
    verdict: Verdict | None = None
    page: int = 1
    size: int = SIZE
    ranked: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One environment as it can be sought: its name, its labels, and how it stands now."""

    name: str
    verdict: Verdict
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The names that a page shows, in order, and where that page stands.

    `counts` has every verdict, over all environments whatever is asked for; `matching` is how many fit, `pages` on how
    many pages, at least one. A page beyond the last is empty.
    """

    wanted: Wanted
    names: Sequence[str]
    matching: int
    pages: int
    counts: Mapping[Verdict, int]

    @property
    def total(self) -> int:
        """How many environments there are."""
        return sum(self.counts.values())

    @property
    def verdict(self) -> Verdict:
        """The worst of all; unknown where there is none."""
        return max((verdict for verdict, count in self.counts.items() if count), default=Verdict.UNKNOWN, key=_gravity)


def listed(entries: Iterable[Entry], wanted: Wanted) -> Listing:
    """What a page shows of these environments."""
    entries = tuple(entries)
    words = wanted.q.casefold().split()
    fit = [
        entry
        for entry in entries
        if wanted.verdict in (None, entry.verdict) and (not words or all(word in _text(entry) for word in words))
    ]
    if wanted.ranked:
        fit.sort(key=lambda entry: (-entry.verdict.gravity, entry.name))
    start = (wanted.page - 1) * wanted.size
    counted = Counter(entry.verdict for entry in entries)
    return Listing(
        wanted=wanted,
        names=[entry.name for entry in fit[start : start + wanted.size]],
        matching=len(fit),
        pages=max(1, -(-len(fit) // wanted.size)),
        counts={verdict: counted[verdict] for verdict in Verdict},
    )


def _text(entry: Entry) -> str:
    """Where words are sought; labels as `tier:critical`."""
    return " ".join((entry.name, *(f"{name}:{value}" for name, value in entry.labels.items()))).casefold()


def _gravity(verdict: Verdict) -> int:
    return verdict.gravity
