"""What a killed daemon leaves under an application's keys is found and removed, and never anything else."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.bindings import Binding
from monitor.core.document import Document
from monitor.core.payload import PROFILED, SYNCED, synthetic_user
from monitor.core.residue import Broom, Instance, word_in, word_of
from monitor.core.session import Session
from monitor.core.verdict import Reason
from monitor.ports import Store, StoreError
from monitor.probes.session import SessionProbe
from monitor.stores.bound.cache import BoundCacheConnection, CachedCopies, cached_copies
from monitor.stores.bound.check_redis import grants
from monitor.stores.provision import redis_acl
from tests.conftest import MakeSite, Site
from tests.probes.breaking import run_ok, run_unknown

USER = "holdfast-user-0"
PRESENT, EARLIER, OTHER = Instance("0123abcd", 7), Instance("0123abcd", 6), Instance("89abcdef", 1)
LONGEST = timedelta(minutes=1)
BINDING = Binding.model_validate(
    {
        "redis": {
            "session": {"key": "app[1]:session:{user_id}:{session_id}", "value": {"u": "{user_id}", "d": "{payload}"}},
            "profile": {"key": "user_data:{user_id}", "ttl": "30m", "value": {"auth": "{payload}", "id": "{user_id}"}},
        }
    }
)


def run_id(age: timedelta) -> str:
    """The id of a run that began so long ago."""
    milliseconds = round((time.time() - age.total_seconds()) * 1000)
    return str(UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | secrets.randbits(62)))


MakeBound = Callable[[Instance], Awaitable[Site]]


@pytest.fixture
def database() -> str:
    """None is made: nothing here is asked of PostgreSQL."""
    return "none"


@pytest.fixture
async def make_bound(make_site: MakeSite, site: Site) -> MakeBound:
    """Make the environment of a daemon, on an empty Valkey; all have one name."""
    await site.servers.valkey.command("FLUSHALL")
    name = f"env-{secrets.token_hex(4)}"

    async def make(instance: Instance) -> Site:
        return await make_site(name, postgres_dsn=None, binding=BINDING, instance=instance, longest_run=LONGEST)

    return make


async def leave(here: Site, *, age: timedelta) -> str:
    """Leave a session, as a daemon does that is killed."""
    sessions = here.environment.sessions
    session = Session.of(sessions.key(run_id(age), "a-own", user=USER), user=USER)
    connection = await sessions.connect("session")
    await connection.save(session, ttl=3600)
    await connection.close()
    return session.key


async def keys(here: Site) -> set[str]:
    """All keys but indexes."""
    found: Any = await here.servers.valkey.command("KEYS", "*")
    names = {key.decode() if isinstance(key, bytes) else key for key in found}
    return {name for name in names if not name.endswith(":keys")}


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("everybody", [False, True])
async def test_exactly_the_leftovers_go(make_bound: MakeBound, *, everybody: bool, dry_run: bool) -> None:
    """By the index at a start, by SCAN for everybody's: those of earlier incarnations at once, others by their age."""
    minutes = timedelta(minutes=5)
    present, earlier, other = await make_bound(PRESENT), await make_bound(EARLIER), await make_bound(OTHER)
    young, old = await leave(present, age=timedelta()), await leave(present, age=minutes)
    killed, another = await leave(earlier, age=timedelta()), await leave(other, age=minutes)
    strangers = {
        "app[1]:session:42:5f2c",
        "app[1]:session:42:holdfast-",
        f"app1:session:1:{young}",
        f"app[1]:{old[:-40]}",
    }
    for stranger in strangers:
        await present.servers.valkey.command("SET", stranger, "x")

    gone = await present.environment.sweep(Store.REDIS, everybody=everybody, dry_run=dry_run)

    due = {old, killed} | ({another} if everybody else set())
    everything = {young, old, killed, another} | strangers
    assert gone == len(due)
    assert await keys(present) == (everything if dry_run else everything - due)


def document(user: str) -> Document:
    """Some document."""
    return Document(id=UUID(int=1), user=user, version=1, body='{"a": 1}')


async def cached(here: Site) -> tuple[CachedCopies, BoundCacheConnection]:
    """A connection to the cache of profiles."""
    copies = cached_copies(here.environment.bound, "profile")
    assert copies is not None
    return copies, await BoundCacheConnection.of(here.environment.bound, copies, "profile")


async def test_copies_go_when_no_run_needs_them(make_bound: MakeBound) -> None:
    """What is left of a copy's life tells its age; a customer's copy, and another daemon's, are not touched."""
    here, other = await make_bound(PRESENT), await make_bound(OTHER)
    copies, connection = await cached(here)
    users = [synthetic_user(PROFILED), synthetic_user(SYNCED)]
    for user in users:
        await connection.put(copies.key(user), document(user))
    theirs, others = await cached(other)
    await others.put(theirs.key(users[0]), document(users[0]))
    valkey = here.servers.valkey
    await valkey.command("SET", "user_data:42", "x", "PX", "1000")
    for key in (copies.key(users[0]), theirs.key(users[0])):
        await valkey.command("PEXPIRE", key, str(28 * 60 * 1000))
    assert await here.environment.sweep(Store.REDIS) == 1
    assert await keys(here) == {copies.key(users[1]), theirs.key(users[0]), "user_data:42"}
    await connection.close()
    await others.close()


async def test_a_copy_is_the_application_s_and_comes_back(make_bound: MakeBound) -> None:
    """It lies where the application looks, lives as long as there, and damage to it is seen."""
    here = await make_bound(PRESENT)
    copies, connection = await cached(here)
    user = synthetic_user(PROFILED)
    key, expected = copies.key(user), document(user)
    assert key == f"user_data:holdfast-{PRESENT.id}-{PROFILED}"
    assert not (await connection.peek(key)).present
    await connection.put(key, expected)
    assert (await connection.peek(key)).document == expected
    assert 1_790_000 < int(str(await here.servers.valkey.command("PTTL", key)).strip()) <= 1_800_000
    await connection.damage(key)
    assert (await connection.peek(key)).damaged
    await connection.delete(key)
    assert not (await connection.peek(key)).present
    await connection.close()


def test_a_key_of_a_forgotten_binding_is_still_a_leftover() -> None:
    """A sweep knows the word wherever it stands, whatever the template was when the key was written."""
    word = word_of("prod", EARLIER, run_id(timedelta()), "a-own")
    broom = Broom(environment="prod", instance=PRESENT, own_age=LONGEST)
    now = datetime.now(UTC)
    assert len(word) <= 100
    assert word_in(f"x-{word}.json") == word
    assert broom.takes(f"x-{word}.json", now)
    assert broom.index_of(f"x-{word}.json") == "holdfast:prod:0123abcd:keys"
    assert not Broom(environment="prod2", instance=PRESENT, own_age=LONGEST).takes(word, now)


FOREIGN = st.text("hodfast-:{}0123456789abcdef_ ", max_size=120) | st.text(max_size=40)


@given(foreign=FOREIGN, environment=st.sampled_from(["prod", "prod-2", "holdfast"]))
def test_a_foreign_key_is_never_taken(foreign: str, environment: str) -> None:
    """Without a word of ours in it no key is a leftover, whatever else it looks like."""
    broom = Broom(environment=environment, instance=PRESENT, own_age=timedelta(), any_age=timedelta())
    now = datetime.now(UTC) + timedelta(days=1)
    assert not broom.takes(foreign, now)
    assert not broom.takes(f"session:holdfast-{PRESENT.id}-0:{foreign}", now)


@given(place=st.integers(0, 200), removed=st.integers(1, 3), inserted=st.text("0123456789abcdefgh-", max_size=2))
def test_a_mutilated_word_is_foreign_or_names_another_run(place: int, removed: int, inserted: str) -> None:
    """Any small change makes a word that is none, or one of the very form, of a daemon's run or a name."""
    word = word_of("prod", EARLIER, "01a203df-6d7d-74c0-b2d2-881acb5edeb3", "a-own")
    place %= len(word)
    altered = word[:place] + inserted + word[place + removed :]
    found = word_in(altered)
    if found is not None:
        stem, environment, daemon, incarnation, *run, last = found.split("-", 9)
        UUID("-".join(run))
        assert (stem, len(environment), len(daemon), incarnation.isdigit(), last != "") == (
            "holdfast",
            8,
            8,
            True,
            True,
        )


async def test_what_the_acl_lacks_is_named(make_site: MakeSite, site: Site) -> None:
    """Before the first run a user without the keys is refused, and told the words that let it in."""
    valkey = site.servers.valkey
    user = f"app-{secrets.token_hex(4)}"
    await valkey.command(*redis_acl(user=user).replace("CHOOSE-A-PASSWORD", "planted").split())
    url = valkey.url.rpartition("@")[2].removeprefix("redis://")
    here = await make_site(postgres_dsn=None, redis_url=f"redis://{user}:planted@{url}", binding=BINDING)
    record = await run_unknown(here, SessionProbe(), Reason.REFUSED)
    granted = record.finding.message.partition("ACL SETUSER ")[2].split()
    assert granted[0] == user
    assert granted[1].startswith(r"~app\[1\]:session:*:holdfast-")
    assert set(granted[1:]) < set(grants(here.environment.bound))
    await valkey.command("ACL", "SETUSER", user, *grants(here.environment.bound))
    await run_ok(here, SessionProbe())
    connection = await here.environment.ways.primary_redis.connect("test")
    for foreign in ("app[1]:session:42:5f2c", "user_data:42"):
        with pytest.raises(StoreError, match="extend the ACL"):
            await connection.ask(("GET", foreign))
    await connection.close()
    await valkey.command("ACL", "DELUSER", user)


async def test_a_server_without_the_module_is_named(make_site: MakeSite) -> None:
    """RedisJSON that is not there is a misconfiguration, said before the first run."""
    binding = Binding.model_validate({"redis": {"session": {"key": "s:{session_id}", "encoding": "redisjson"}}})
    here = await make_site(postgres_dsn=None, binding=binding)
    record = await run_unknown(here, SessionProbe(), Reason.MISCONFIGURED)
    assert "the binding keeps s:{session_id} by RedisJSON, which this server does not have" in record.finding.message
