"""What two texts have in common, and what only one of them has: what was expected beside what was found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

LONGEST = 2000
"""Characters of a text in which differences are sought; comparing takes the product of two lengths."""

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
_ALIKE = 0.6
"""Texts with less in common than this share, by characters of words, are not marked: all would be, and nothing said."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text, and whether the other text lacks it."""

    text: str
    only_here: bool


def compared(expected: str, actual: str) -> tuple[Sequence[Piece], Sequence[Piece]]:
    """Both texts in pieces, by words. Texts that are long or little alike are one piece each, unmarked."""
    plain = [Piece(expected, only_here=False)], [Piece(actual, only_here=False)]
    if max(len(expected), len(actual)) > LONGEST:
        return plain
    before, after = _WORDS.findall(expected), _WORDS.findall(actual)
    matcher = SequenceMatcher(a=before, b=after, autojunk=False)
    common = sum(_size(before[at : at + count]) for at, _, count in matcher.get_matching_blocks())
    if 2 * common < _ALIKE * (_size(before) + _size(after)):
        return plain
    left, right = list[Piece](), list[Piece]()
    for what, i1, i2, j1, j2 in matcher.get_opcodes():
        if i1 < i2:
            left.append(Piece("".join(before[i1:i2]), only_here=what != "equal"))
        if j1 < j2:
            right.append(Piece("".join(after[j1:j2]), only_here=what != "equal"))
    return left, right


def _size(words: Sequence[str]) -> int:
    """Characters, but for the spaces that any two texts share."""
    return sum(len(word) for word in words if not word.isspace())
