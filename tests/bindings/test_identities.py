"""The ids of synthetic users in an application: each daemon's own, the same after a restart, and no customer's."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from monitor.bindings import Ids, IdStyle
from monitor.core.payload import USERS, synthetic_user
from monitor.core.residue import Instance
from monitor.stores.bound.identities import Id, Identities

LEAST_INT4 = -(2**31)
daemons = st.integers(min_value=0, max_value=2**32 - 1).map(lambda number: f"{number:08x}")


def _users(daemon: str, kind: str, *, incarnation: int = 1) -> list[Id]:
    ids = Ids(user=IdStyle.model_validate({"kind": kind}))
    identities = Identities(ids, environment="production", instance=Instance(daemon, incarnation))
    return [identities.user(synthetic_user(number)) for number in range(USERS)]


@given(daemons)
def test_numbers_fit_an_integer_of_four_bytes_and_are_no_customers(daemon: str) -> None:
    """They are ten different ones, so low that no sequence has come there, and not too low for `integer`."""
    users = _users(daemon, "number")
    assert len(set(users)) == USERS
    assert all(isinstance(user, int) and LEAST_INT4 <= user <= -1_000_000_000 for user in users)


@given(daemons, st.integers(min_value=0, max_value=9))
def test_a_restart_finds_its_users_again(daemon: str, incarnation: int) -> None:
    """They follow from the daemon, whichever incarnation of it asks: what a killed one left can be removed."""
    for kind in ("text", "uuid", "number"):
        assert _users(daemon, kind, incarnation=incarnation) == _users(daemon, kind)


def test_each_kind_has_its_form() -> None:
    """Text names Holdfast; a uuid is one, and another for each environment and daemon."""
    assert _users("3f2a1b0c", "text")[4] == "holdfast-3f2a1b0c-4"
    one, other = _users("3f2a1b0c", "uuid"), _users("3f2a1b0d", "uuid")
    assert all(isinstance(user, UUID) for user in one)
    assert not set(one) & set(other)


def test_what_is_read_back_is_known_again() -> None:
    """An id leads back to the synthetic user, whatever type the server gives it; a stranger's stays as it is."""
    identities = Identities(
        Ids(user=IdStyle(kind="number")), environment="production", instance=Instance("3f2a1b0c", 1)
    )
    for number in range(USERS):
        user = synthetic_user(number)
        assert identities.owner(identities.user(user), asked=user) == user
    assert identities.owner(7, asked=synthetic_user(0)) == "7"
