"""Whether the id that an application returned for what was made leads there: before anything else is done with it."""

from __future__ import annotations

from collections.abc import Collection

from monitor.core.payload import Thread, canonical


def is_made(made: Thread, found: Thread, *, by: Collection[str]) -> bool:
    """Whether a thread that was found by the returned id is the one that was made.

    `by` are those of `name` and `metadata` that were written and are read back. One of them is enough: an application
    that spoils the other is for the probe to judge, and a customer's thread has neither.
    """
    if (found.id, found.user) != (made.id, made.user):
        return False
    same = {"name": found.name == made.name, "metadata": canonical(found.metadata) == canonical(made.metadata)}
    return not by or any(same[part] for part in by)
