"""Amounts of memory as Redis writes them: `64kb`, `1mb`, where a kilobyte has 1024 bytes."""

from __future__ import annotations

import re

_UNITS = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
_WHOLE = re.compile(r"([0-9]{1,18})(b|kb|mb|gb)")


def parse(text: str) -> int:
    """An amount in bytes from its text.

    Raises ValueError, which names the text and shows the forms that are understood.
    """
    found = _WHOLE.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is not an amount of memory; write it like 64kb, 1mb or 2gb")
    return int(found[1]) * _UNITS[found[2]]


def text(amount: int) -> str:
    """The shortest exact text of an amount, such that parse(text(x)) == x."""
    for unit, size in sorted(_UNITS.items(), key=lambda each: -each[1]):
        if amount and amount % size == 0:
            return f"{amount // size}{unit}"
    return "0b"


def shown(amount: int) -> str:
    """About how much it is, for people."""
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if amount >= size:
            return f"{amount / size:.1f} {unit}"
    return f"{amount} bytes"
