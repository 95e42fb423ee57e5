"""Whose a synthetic record is, and when it is a leftover that may be removed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

PREFIX = "holdfast:"
ABANDONED = timedelta(hours=1)
"""No run lives so long: an older record has no daemon that will come back for it, whoever wrote it."""

_RUN = r"(?P<run>[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})"
_MARK = r"(?P<id>[0-9a-f]{8})-(?P<incarnation>0|[1-9][0-9]{0,8})"
_KEY = re.compile(
    rf"holdfast:(?P<environment>[a-z0-9][a-z0-9_-]{{0,62}}):{_MARK}"
    rf":(?:session|copy|cache|stream|channel|tenant|canary|ballast):{_RUN}:(?P<name>[a-z-]{{1,32}})"
)
_WORD = re.compile(rf"holdfast-(?P<environment>[0-9a-f]{{8}})-{_MARK}-{_RUN}-(?P<name>[a-z-]{{1,32}})")


@dataclass(frozen=True, slots=True)
class Instance:
    """One daemon with one state database: its id lives as long as that, its incarnation grows with each start.

    Its mark is in every record that it writes, so that two daemons never take each other's records for phantoms,
    and a restarted one knows what its killed predecessor left.
    """

    id: str
    incarnation: int

    @property
    def mark(self) -> str:
        """What stands in a record."""
        return f"{self.id}-{self.incarnation}"


def key_of(environment: str, instance: Instance, run_id: str, name: str, *, kind: str) -> str:
    """The key of a synthetic thing of one run. `kind` is one that a sweep knows, `name` lower-case words."""
    return f"{PREFIX}{environment}:{instance.mark}:{kind}:{run_id}:{name}"


def word_of(environment: str, instance: Instance, run_id: str, name: str) -> str:
    """The same as a word of letters, digits and hyphens, which may stand anywhere in a key of an application's.

    A sweep knows it there. It is at most 100 characters long where `name` has some ten, as ids of sessions may be.
    """
    return f"{_stem(environment)}-{instance.mark}-{run_id}-{name}"


def word_in(key: str) -> str | None:
    """The first such word in a key."""
    found = _WORD.search(key)
    return found[0] if found else None


def words_pattern(environment: str) -> str:
    """The pattern of all such words of an environment, for SCAN."""
    return f"{_stem(environment)}-*"


def _stem(environment: str) -> str:
    """How such words begin. An environment's name has hyphens itself, so its hash stands for it."""
    return f"holdfast-{sha256(environment.encode()).hexdigest()[:8]}"


def index_key(environment: str, instance_id: str) -> str:
    """The key of the index of all keys that a daemon, in all its incarnations, has written and not yet deleted."""
    return f"{PREFIX}{environment}:{instance_id}:keys"


def register_key(environment: str, instance_id: str) -> str:
    """The key of the register that each of a daemon's writes moves. No sweep takes what a ledger keeps."""
    return f"{PREFIX}{environment}:{instance_id}:register"


def record_key(environment: str, instance_id: str, series: str, n: int) -> str:
    """The key of one record that a daemon looks for again."""
    return f"{PREFIX}{environment}:{instance_id}:record:{series}:{n}"


def records_key(environment: str, instance_id: str) -> str:
    """The key of the index of all records that a daemon has not yet deleted."""
    return f"{PREFIX}{environment}:{instance_id}:records"


def ledgers_key(environment: str) -> str:
    """The key under which the ids of all daemons stand that keep a ledger."""
    return f"{PREFIX}{environment}:ledgers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broom:
    """What a sweep takes: records of an environment that no run will ask for again.

    Of this daemon's other incarnations everything, for they are dead; of its present one what is older than `own_age`,
    longer than any run lasts; of other daemons what is older than `any_age`.
    """

    environment: str
    instance: Instance
    own_age: timedelta
    any_age: timedelta = ABANDONED

    def takes(self, key: str, now: datetime) -> bool:
        """Whether a Redis key is a leftover. Whatever is not exactly of Holdfast's making is foreign."""
        found = self._ours(key)
        if found is None:
            return False
        age = now.timestamp() - (UUID(found["run"]).int >> 80) / 1000  # a UUIDv7 begins with its milliseconds
        if found["id"] == self.instance.id and int(found["incarnation"]) != self.instance.incarnation:
            return True
        own = found["id"] == self.instance.id
        return age > (self.own_age if own else self.any_age).total_seconds()

    def index_of(self, key: str) -> str | None:
        """The index in which a key of Holdfast's in this environment stands."""
        found = self._ours(key)
        return index_key(self.environment, found["id"]) if found else None

    def _ours(self, key: str) -> re.Match[str] | None:
        """A key of this environment's: one under Holdfast's prefix, or one of an application's with a word in it."""
        if found := _KEY.fullmatch(key):
            return found if found["environment"] == self.environment else None
        word = _WORD.search(key)
        return word if word and word[0].startswith(f"{_stem(self.environment)}-") else None
