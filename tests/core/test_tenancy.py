"""Who reached whose data: sights judged on tables, and by mutation."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core import tenancy
from monitor.core.confirmation import Reading
from monitor.core.payload import USERS, Author, synthetic_user
from monitor.core.record import Node
from monitor.core.tenancy import (
    NO_LONGER_ANYBODY,
    NOBODY,
    SOMEBODY_ELSE,
    Look,
    Part,
    Row,
    Seen,
    Sight,
    Unseen,
    owners_of,
    tenants_of,
)
from monitor.core.verdict import Finding, Kind, Reason, Verdict

AUTHOR = Author(environment="production", probe="isolation", run_id="01a203df-6d7d-74c0-b2d2-881acb5edeb3")
TENANTS = tenants_of(AUTHOR, 3)
A, B, C = (tenant.user for tenant in TENANTS)
PATHS = ("the table messages", "the view own_messages", "UPDATE messages")
VIEWERS = (NOBODY, A, B, C, NO_LONGER_ANYBODY)
PRIMARY = Node(
    store="postgres", address="db:5432", primary=True, version="PostgreSQL 18", position="0/1", identity="started 1"
)
STANDBY = replace(PRIMARY, primary=False)
HEALTHY = Look(
    sights=tuple(
        Sight(path=path, viewer=viewer, owners=frozenset({viewer} & {A, B, C}))
        for path, viewer in product(PATHS, VIEWERS)
    )
)


def with_sight(path: str, viewer: str, *owners: str) -> Look:
    """The healthy look, but for what one viewer reached by one path."""
    changed = Sight(path=path, viewer=viewer, owners=frozenset(owners))
    return replace(
        HEALTHY, sights=tuple(changed if (s.path, s.viewer) == (path, viewer) else s for s in HEALTHY.sights)
    )


def judged(
    first: Look, second: Look | None = None, *, node: Node = PRIMARY, unseen: tuple[Unseen, ...] = ()
) -> Finding:
    """What is said of one part; without a second look where the probe takes none."""
    reading = Reading(first=first, second=second, node=node if second else None)
    return tenancy.judge(Seen(users=(A, B, C), parts=(Part(name="on the primary", reading=reading),), unseen=unseen))


def test_each_user_reaches_its_own_and_nobody_nothing() -> None:
    """A healthy look is ok, and every sight counts as a check."""
    finding = judged(HEALTHY)
    assert (finding.verdict, finding.checks) == (Verdict.OK, len(PATHS) * len(VIEWERS))


@pytest.mark.parametrize(
    ("viewer", "owners", "who"),
    [
        (A, (A, B), f"{A} reached what belongs to {B}"),
        (B, (A, B, C), f"{B} reached what belongs to {A} and {C}"),
        (B, (A,), f"{B} reached what belongs to {A}"),
        (A, (A, SOMEBODY_ELSE), f"{A} reached what belongs to somebody else"),
        (NOBODY, (C,), f"whoever is no user reached what belongs to {C}"),
        (NO_LONGER_ANYBODY, (A, B, C), f"whoever is no user any more reached what belongs to {A} and {B} and {C}"),
    ],
)
def test_what_is_reached_beyond_ones_own_is_leaked(viewer: str, owners: tuple[str, ...], who: str) -> None:
    """The violation names the path, who reached and whose it was."""
    look = with_sight(PATHS[1], viewer, *owners)
    finding = judged(look, look)
    (violation,) = finding.violations
    assert (finding.verdict, violation.kind) == (Verdict.VIOLATED, Kind.LEAKED)
    assert violation.subject == f"{PATHS[1]} on the primary"
    assert violation.actual == who
    assert violation.evidence["reached"] == {viewer: sorted(set(owners) - {viewer})}
    assert violation.evidence["confirmed_by"] == PRIMARY.evidence()


@pytest.mark.parametrize(
    ("second", "node"),
    [
        (None, PRIMARY),
        (HEALTHY, PRIMARY),
        (with_sight(PATHS[1], A, A, B), PRIMARY),
        (with_sight(PATHS[0], A, A, B), STANDBY),
    ],
    ids=["no second look", "not seen again", "seen again by another path only", "seen again on a standby"],
)
def test_what_was_seen_once_is_not_enough(second: Look | None, node: Node) -> None:
    """Without a second look at the primary that agrees on the path, nobody can tell."""
    finding = judged(with_sight(PATHS[0], A, A, B), second, node=node)
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, Reason.INCONCLUSIVE)
    assert PATHS[0] in finding.message


def test_whoever_does_not_find_its_own_proves_nothing() -> None:
    """Where a policy hides everything from everybody, that nothing was leaked means nothing."""
    finding = judged(with_sight(PATHS[2], B))
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, Reason.INCONCLUSIVE)
    assert f"{PATHS[2]} on the primary: {B} did not reach what is its own" in finding.message


def test_what_an_api_does_not_show_is_asked_of_the_api() -> None:
    """No policy and no trigger is asked about where a request was the path."""
    reading = Reading(first=with_sight(PATHS[2], B))
    part = Part(name="through the API", reading=reading, hiding=tenancy.HIDDEN_BY_API)
    message = tenancy.judge(Seen(users=(A, B), parts=(part,))).message
    assert "does the API answer from an old cache" in message
    assert "policy" not in message


def test_a_weakness_alone_is_no_violation_and_not_ok() -> None:
    """What the catalogue says without a row that was seen is a doubt; beside a leak it is evidence."""
    weakness = "the policy reports on holdfast.messages permits SELECT besides what the policy `owner` does"
    finding = judged(replace(HEALTHY, weaknesses=(weakness,)))
    assert (finding.verdict, finding.reason, finding.message) == (Verdict.UNKNOWN, Reason.INCONCLUSIVE, weakness)
    leaking = replace(with_sight(PATHS[0], A, A, B), weaknesses=(weakness,))
    (violation,) = judged(leaking, leaking).violations
    assert violation.evidence["weaknesses"] == [weakness]


def test_a_leak_outweighs_a_part_that_was_not_seen() -> None:
    """A pooler that refuses makes a run unknown, but not one that found a leak on the primary."""
    unseen = (Unseen(reason=Reason.REFUSED, message="no", place="postgres pooler"),)
    finding = judged(HEALTHY, unseen=unseen)
    assert (finding.verdict, finding.reason, finding.place) == (Verdict.UNKNOWN, Reason.REFUSED, "postgres pooler")
    leaking = with_sight(PATHS[0], A, A, B)
    assert judged(leaking, leaking, unseen=unseen).verdict is Verdict.VIOLATED


@given(
    path=st.sampled_from(PATHS),
    viewer=st.sampled_from(VIEWERS),
    taken=st.sets(st.sampled_from((A, B, C, SOMEBODY_ELSE)), min_size=1),
)
def test_mutation_whatever_one_viewer_reaches_too_much_is_found(path: str, viewer: str, taken: set[str]) -> None:
    """Give one viewer by one path what belongs to others: exactly that path is named, with exactly those owners."""
    own = {viewer} & {A, B, C}
    look = with_sight(path, viewer, *own, *taken)
    finding = judged(look, look)
    foreign = sorted(taken - {viewer})
    assert [violation.subject for violation in finding.violations] == ([f"{path} on the primary"] if foreign else [])
    assert [violation.evidence["reached"] for violation in finding.violations] == (
        [{viewer: foreign}] if foreign else []
    )
    assert tenancy.leaks(look) == bool(foreign)


@given(
    marked=st.lists(st.sampled_from([tenant.user for tenant in TENANTS])),
    carried=st.lists(st.sampled_from(TENANTS)),
    noise=st.lists(st.text(max_size=8)),
)
def test_rows_belong_to_their_mark_and_to_whoever_s_secret_they_carry(
    marked: list[str], carried: list[tenancy.Tenant], noise: list[str]
) -> None:
    """A row is its user's; a secret gives its owner away, whatever the row is marked with; other text tells nothing."""
    rows: list[Row] = [(user, "") for user in marked]
    rows += [(None, tenant.secret) for tenant in carried]
    rows += [(None, text) for text in noise]
    assert owners_of(rows, TENANTS) == {*marked, *(tenant.user for tenant in carried)}


def test_a_customer_is_never_named() -> None:
    """Whoever is no user of this run is somebody else, and no text of the row goes on."""
    assert owners_of([("alice@example.org", "her secret")], TENANTS) == {SOMEBODY_ELSE}


def test_users_have_what_nobody_else_has() -> None:
    """Every user of every run has its own identifier and secret."""
    others = tenants_of(replace(AUTHOR, run_id="01a203df-6d7d-74c0-b2d2-881acb5edeb4"), USERS)
    everybody = (*tenants_of(AUTHOR, USERS), *others)
    assert len({tenant.id for tenant in everybody}) == len({tenant.secret for tenant in everybody}) == 2 * USERS
    assert [tenant.user for tenant in others] == [synthetic_user(number) for number in range(USERS)]


def test_only_what_a_run_wrote_is_synthetic() -> None:
    """A secret of any run is recognized wherever it stands, and a customer's words about Holdfast are not."""
    assert all(tenancy.is_synthetic(f'{{"content": "{tenant.secret}"}}') for tenant in TENANTS)
    for words in ("how do I install holdfast?", "holdfast-secret-", f"holdfast-secret-{'x' * 32}", ""):
        assert not tenancy.is_synthetic(words)
