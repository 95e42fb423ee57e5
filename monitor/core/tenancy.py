"""Who reached whose data, by which path: what each synthetic user may reach is its own, and nothing else.

Everything that was tried is one sight: a viewer, a path, and the users whose data it reached there, by reading or by
changing. A user must reach itself, which is the control: it proves that the path leads somewhere and that there is
something to be found. Nobody must reach nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from monitor.core import confirmation
from monitor.core.confirmation import Judgement, Reading
from monitor.core.payload import Author, synthetic_user
from monitor.core.verdict import Finding, Json, Kind, Reason, Violation

NOBODY = "whoever is no user"
"""Who asks without ever having said which user it is."""
NO_LONGER_ANYBODY = "whoever is no user any more"
"""Who asks on a connection on which somebody was a user before."""
STRANGER = "whoever brings a token that nobody gave"
"""Who asks an API with something that only looks like a token."""
THE_REDIS_USER = "the Redis user"
"""Who asks for keys that are not Holdfast's, for all the users that share it."""
SOMEBODY_ELSE = "somebody else"
"""An owner that is no synthetic user of this run; never named, for it may be a customer."""

HIDDEN_BY_STORES = "does a policy, a trigger, a missing right or an eviction keep things from their owner?"
"""What to ask of rows and keys that are not seen by whoever owns them."""
HIDDEN_BY_API = (
    "does the API answer from an old cache or a replica that lags, leave out what is not on the first page, or ask for"
    " a right that the account lacks?"
)
"""The same of what an API answers."""

_OURS = re.compile(r"holdfast-(?:secret|attempt)-[0-9a-f]{32}")
Row = tuple[str | None, str | None]
"""The user and the content of one thing that was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A synthetic user of one run, the identifier of all that it owns, and the secret that stands in all of it."""

    run_id: str
    user: str
    id: UUID
    secret: str


def tenants_of(author: Author, count: int) -> tuple[Tenant, ...]:
    """The users of one run, 2 up to as many as there are synthetic ones."""
    return tuple(
        Tenant(
            run_id=author.run_id,
            user=synthetic_user(number),
            id=author.id("tenant", number),
            secret=f"holdfast-secret-{author.id('secret', number).hex}",
        )
        for number in range(count)
    )


def is_synthetic(text: str) -> bool:
    """Whether a secret stands in a text, or what an attempt to change things brought with it, of whichever run."""
    return _OURS.search(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Whose data one viewer reached by one path. A viewer is a user or nobody."""

    path: str
    viewer: str
    owners: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """All sights of one look. `weaknesses` are sentences about what the catalogue of the server says besides."""

    sights: tuple[Sight, ...]
    weaknesses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a run, by the way into the store that it went, such as "through the pooler".

    `hiding` asks what there could keep things from their owner.
    """

    name: str
    reading: Reading[Look]
    hiding: str = HIDDEN_BY_STORES


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """A part that could not be carried out, and why; `place` is the way into the store that failed."""

    reason: Reason
    message: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that one run saw, by the names of its users."""

    users: tuple[str, ...]
    parts: tuple[Part, ...]
    unseen: tuple[Unseen, ...] = ()
    left_out: tuple[str, ...] = ()


def owners_of(rows: Iterable[Row], tenants: Sequence[Tenant]) -> frozenset[str]:
    """Whose things these are: whoever they are marked with, and whoever's secret stands in them."""
    users = {tenant.user for tenant in tenants}
    secrets = {tenant.secret: tenant.user for tenant in tenants}
    found = set[str]()
    for user, content in rows:
        if user is not None:
            found.add(user if user in users else SOMEBODY_ELSE)
        if content in secrets:
            found.add(secrets[content])
    return frozenset(found)


def owners_in(text: str, tenants: Sequence[Tenant]) -> frozenset[str]:
    """Whose secrets stand anywhere in a text, such as the whole reply of an API."""
    return frozenset(tenant.user for tenant in tenants if tenant.secret in text)


def leaks(look: Look) -> bool:
    """Whether anybody reached what is not its own."""
    return any(_foreign(sight) for sight in look.sights)


def judge(seen: Seen) -> Finding:
    """Each path of each part; then the controls, and what the catalogue says. A leak outweighs what was not seen."""
    judgements: list[Judgement] = []
    for part in seen.parts:
        looked = part.reading.first
        for path in dict.fromkeys(sight.path for sight in looked.sights):
            check = partial(_leaked, users=seen.users, path=path, part=part.name)
            judgements.append(confirmation.judge(f"{path} {part.name}", part.reading, check))
        judgements += _uncontrolled(part, seen.users)
        judgements += (Judgement(doubt=weakness) for weakness in looked.weaknesses)
    checks = sum(len(part.reading.first.sights) for part in seen.parts)
    finding = confirmation.conclude(judgements, checks=checks, left_out=seen.left_out)
    if seen.unseen and not finding.violations:
        first = seen.unseen[0]
        return Finding.unknown(first.reason, first.message, checks=checks, place=first.place, left_out=seen.left_out)
    return finding


def _foreign(sight: Sight) -> frozenset[str]:
    return sight.owners - {sight.viewer}


def _leaked(look: Look, *, users: Sequence[str], path: str, part: str) -> Iterator[Violation]:
    """What was reached by one path that is not the viewer's own."""
    reached: dict[str, Json] = {
        sight.viewer: [*sorted(foreign)] for sight in look.sights if sight.path == path and (foreign := _foreign(sight))
    }
    if reached:
        viewer, owners = next(iter(reached.items()))
        others = f", and {len(reached) - 1} more did so" if len(reached) > 1 else ""
        cause = f"; for {look.weaknesses[0]}" if look.weaknesses else ""
        yield Violation(
            kind=Kind.LEAKED,
            subject=f"{path} {part}",
            expected=f"each of {len(users)} users reaches its own only, and whoever is no user nothing",
            actual=f"{viewer} reached what belongs to {' and '.join(map(str, owners or []))}{others}{cause}"
            if isinstance(owners, list)
            else "",
            evidence={"reached": reached, "weaknesses": [*look.weaknesses]},
        )


def _uncontrolled(part: Part, users: Sequence[str]) -> Iterator[Judgement]:
    """Where a user did not reach what is its own: that others did not either proves nothing then."""
    blind: dict[str, list[str]] = {}
    for sight in part.reading.first.sights:
        if sight.viewer in users and sight.viewer not in sight.owners:
            blind.setdefault(sight.path, []).append(sight.viewer)
    if blind:
        path, viewers = next(iter(blind.items()))
        others = f", and so {len(blind) - 1} other paths" if len(blind) > 1 else ""
        doubt = (
            f"{path} {part.name}: {' and '.join(viewers)} did not reach what is its own, so that others did not proves"
            f" nothing{others}; {part.hiding}"
        )
        yield Judgement(doubt=doubt)
