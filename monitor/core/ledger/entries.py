"""The ledger's entries: a write that was intended before it was sent, what became of it, and what was found of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

_STUFF = ("naïve café", "Ωμέγα", "日本語", "שלום", "e\u0301", "𝛑🜚", "a\\b'c\"d", "\t|\u200d|")


class State(StrEnum):
    """What a sender knows of its write. Only `acked` makes an obligation."""

    INTENDED = "intended"
    """Recorded before it was sent. Where the daemon died before the outcome, it is as good as `perhaps`."""
    ACKED = "acked"
    REFUSED = "refused"
    """The server itself said no, or it was never sent: it must not be there."""
    PERHAPS = "perhaps"
    """The answer was lost: presence and absence are both right, for ever."""
    RETIRING = "retiring"
    """Its deletion was intended: presence and absence are both right until that is acknowledged."""
    RETIRED = "retired"
    """Its deletion was acknowledged: it must not come back."""


class Fate(StrEnum):
    """What the latest look found of an entry."""

    UNSEEN = "unseen"
    FOUND = "found"
    ABSENT = "absent"
    """Not there, and that is right: of a write whose answer was lost, was refused or retired."""
    LOST = "lost"
    CORRUPT = "corrupt"
    PHANTOM = "phantom"
    RESURRECTED = "resurrected"


WRONG = frozenset({Fate.LOST, Fate.CORRUPT, Fate.PHANTOM, Fate.RESURRECTED})
"""The fates that break a promise."""


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """The number of one write, unmistakable: `series` is drawn anew at each start of a daemon.

    A state file that was lost or restored from an older copy thus never takes later writes for its own. As text,
    `SERIES/N`, it is what the register of a store holds.
    """

    series: str
    n: int

    def __str__(self) -> str:
        return f"{self.series}/{self.n}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The mark that a register holds; None where that was never a mark."""
        series, slash, n = text.partition("/")
        return cls(series, int(n)) if slash and n.isascii() and n.isdigit() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One write to one store of one environment.

    Every write moves the store's register to its mark; an `identified` one also leaves a record that is looked for
    again. Numbers grow by one with each intent of an environment's store, whatever the series. `intended` and
    `answered` are moments of the ledger's clock, which never goes back. `epoch` is the id of the evidence that stood
    when it was acknowledged. `weak` was acknowledged although the wait for its synchronous standby was cancelled.
    `xid` is PostgreSQL's, where it was known before the outcome was.

    `rung` is how many of the ladder's looks are done, `due` the moment of the next, None after the last. `verified` is
    when it was last found there, whole. `accepted` is when somebody acknowledged or declared that it is lost.
    `retired` is when its deletion was acknowledged.
    """

    environment: str
    store: str
    mark: Mark
    identified: bool
    state: State
    intended: datetime
    answered: datetime | None = None
    epoch: int | None = None
    weak: bool = False
    xid: str = ""
    rung: int = 0
    due: datetime | None = None
    verified: datetime | None = None
    fate: Fate = Fate.UNSEEN
    accepted: datetime | None = None
    retired: datetime | None = None

    @property
    def owed(self) -> bool:
        """Whether it must be there."""
        return self.state is State.ACKED


def content_of(environment: str, store: str, mark: Mark) -> str:
    """What an identified record holds: a function of its key, so that it is recomputed and never remembered."""
    seed = hashlib.sha256(f"{environment}|{store}|{mark}".encode()).hexdigest()
    return f"{mark} {_STUFF[int(seed[0], 16) % len(_STUFF)]} {seed}"


def digest_of(content: str) -> str:
    """The hash by which a record is compared; the content itself need not travel in evidence."""
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]
