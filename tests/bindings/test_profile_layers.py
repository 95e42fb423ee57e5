"""`profile` through a binding: an application's own rows, cached copies and API, each by itself and together."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from monitor.bindings import Binding
from monitor.core import document
from monitor.core.document import Document
from monitor.core.payload import PROFILED, Author, synthetic_user
from monitor.core.residue import Instance
from monitor.core.verdict import Kind, Reason
from monitor.embedded.servers import Servers
from monitor.ports import Place, Store, StoreError, Surroundings, Way
from monitor.probe import Probe
from monitor.probes.notify import NotifyProbe
from monitor.probes.profile import ProfileProbe
from monitor.probes.sync import SyncProbe
from monitor.stores.bound.documents import Translator
from tests.bindings.layers import API, SHIPPED, SQL, WAYS, MakeLayered, Running, layered, profiles, running
from tests.conftest import MakeProxy, MakeSite, Site
from tests.probes.breaking import HEAL, heals, run_ok, run_unknown
from tests.probes.replicated import behind

PROBE = ProfileProbe()


@pytest.fixture(scope="module")
async def application(servers: Servers) -> AsyncIterator[Running]:
    """The platform; a test that breaks it mends it."""
    async with running(servers) as application:
        yield application


@pytest.fixture
def database(application: Running) -> str:
    """The platform's own."""
    return application.database


@pytest.fixture
def make_layered(make_site: MakeSite, application: Running) -> MakeLayered:
    """Make an environment that is bound to the platform."""
    return layered(make_site, application.platform)


ALL = frozenset({"postgres", "redis", "api"})


def broken(body: str) -> str:
    """SQL of a trigger on the platform's profiles, before a row is written."""
    return f"""
        CREATE SCHEMA broken;
        CREATE FUNCTION broken.act() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
        CREATE TRIGGER zz_broken BEFORE INSERT OR UPDATE ON user_profiles
        FOR EACH ROW EXECUTE FUNCTION broken.act();
        GRANT USAGE ON SCHEMA broken TO holdfast;
    """


async def left_of(site: Site) -> str:
    """How many profiles of this environment's users there are."""
    return await site.sql("SELECT count(*) FROM user_profiles")


@pytest.mark.parametrize("way", WAYS)
async def test_is_ok_again_and_again_by_every_way(make_layered: MakeLayered, way: str) -> None:
    """Five runs in a row are ok by whatever layers; where rows can be deleted, none is left."""
    write, read, sections = WAYS[way]
    site = await make_layered(profiles(write, read, sections))
    before = await left_of(site)
    for _ in range(5):
        record = await run_ok(site, PROBE)
        assert record.finding.left_out == PROBE.left_out(site.environment.surroundings)
    if write == SQL:
        assert await left_of(site) == before


@pytest.mark.parametrize(
    ("sections", "places", "said"),
    [
        (ALL, set(Store), {"damaged", "tool"}),
        ({"postgres", "redis"}, set(Store), {"API", "tool"}),
        ({"postgres"}, set(Store), {"API", "cached copies", "tool"}),
        ({"postgres", "redis"}, {Store.POSTGRES}, {"API", "cached copies", "tool"}),
        ({"api"}, {Store.API}, {"rows", "cached copies", "tool"}),
    ],
)
def test_what_is_not_bound_is_said(sections: frozenset[str], places: set[Store], said: set[str]) -> None:
    """One sentence for each thing that is missing; with a pooler nothing is said of poolers."""
    layer = API if sections == {"api"} else SQL
    pooler = [Place(Store.POSTGRES, Way.POOLER)] if Store.POSTGRES in places else []
    around = Surroundings(
        places=(*map(Place, sorted(places)), *pooler), bound=profiles(layer, layer, frozenset(sections)).served()
    )
    sentences = PROBE.left_out(around)
    assert len(sentences) == len(said)
    assert all(any(word in sentence for sentence in sentences) for word in said)


@pytest.mark.parametrize("probe", [PROBE, SyncProbe(), NotifyProbe()], ids=lambda probe: probe.name)
async def test_the_shipped_binding_is_whole(make_layered: MakeLayered, probe: Probe[Any]) -> None:
    """As config/bindings/platform.yaml says it, with all its sections at once."""
    site = await make_layered(Binding.model_validate(SHIPPED), provision=probe.name == "notify")
    for _ in range(3):
        await run_ok(site, probe)


async def test_a_cache_that_is_never_told_is_stale(make_layered: MakeLayered, application: Running) -> None:
    """An API that goes on to answer from the copy of an older version is caught, and what was is closed."""
    site = await make_layered(profiles(API, API, ALL))
    await run_ok(site, PROBE)
    async with application.platform.broken("never-invalidates"):
        for _ in range(2):
            record = await site.run(PROBE)
            assert {violation.kind for violation in record.finding.violations} == {Kind.STALE}
    await heals(site, PROBE)


BREAKAGES = {
    "another language": ("NEW.auth_data := NEW.auth_data || '{\"preferences\": {}}'; RETURN NEW;", Kind.CORRUPT),
    "a foreign profile": ('NEW.auth_data := \'{"name": "somebody"}\'; RETURN NEW;', Kind.CORRUPT),
    "no profile": ("NEW.auth_data := '{}'; RETURN NEW;", Kind.CORRUPT),
    "more permissions": ('NEW.permissions := \'["read", "write", "own"]\'; RETURN NEW;', Kind.CORRUPT),
    "the old row": ("IF TG_OP = 'UPDATE' THEN RETURN OLD; END IF; RETURN NEW;", Kind.STALE),
}


@pytest.mark.parametrize("name", BREAKAGES)
@pytest.mark.parametrize("layer", [SQL, API])
async def test_what_the_database_does_to_a_profile_is_named(make_layered: MakeLayered, layer: str, name: str) -> None:
    """Through the rows and through the API alike."""
    body, kind = BREAKAGES[name]
    site = await make_layered(profiles(layer, layer, frozenset({layer})))
    await run_ok(site, PROBE)
    await site.sql(broken(body))
    record = await site.run(PROBE)
    assert {violation.kind for violation in record.finding.violations} == {kind}, record.finding.message
    await site.sql(HEAL)
    await heals(site, PROBE)


async def test_a_copy_of_another_shape_is_no_damage(make_layered: MakeLayered) -> None:
    """Where an API caches in another shape than the binding says, that is inconclusive, and said."""
    given = profiles(API, API, ALL).model_dump(mode="json", exclude_unset=True)
    given["redis"]["profile"]["value"] = {"profile": "{payload}"}
    site = await make_layered(Binding.model_validate(given))
    record = await run_unknown(site, PROBE, Reason.INCONCLUSIVE)
    assert "not as the binding says" in record.finding.message


async def test_an_api_that_is_down_is_unknown_and_the_rows_go_on(
    make_layered: MakeLayered, application: Running
) -> None:
    """Only what is bound to the API cannot tell; it names the API."""
    through, beside = (
        await make_layered(profiles(API, API, ALL)),
        await make_layered(profiles(SQL, SQL, frozenset({"postgres", "redis"}))),
    )
    async with application.platform.broken("down"):
        record = await run_unknown(through, PROBE, Reason.CAPACITY)
        assert record.finding.place == "api"
        await run_ok(beside, PROBE)
    await application.platform.kill()
    record = await run_unknown(through, PROBE, Reason.UNREACHABLE)
    assert record.finding.place == "api"
    await application.platform.start()
    await run_ok(through, PROBE)


async def test_a_store_under_it_that_is_down_is_the_reason(make_layered: MakeLayered, make_proxy: MakeProxy) -> None:
    """Redis, where copies are bound, is named as what could not be asked."""
    site = await make_layered(profiles(SQL, SQL, frozenset({"postgres"})))
    valkey = site.servers.valkey
    proxy = await make_proxy(valkey.port)
    here = await make_layered(
        profiles(SQL, SQL, frozenset({"postgres", "redis"})), redis_url=behind(proxy, valkey.url, valkey.port)
    )
    await run_ok(here, PROBE)
    proxy.refuse = True
    record = await run_unknown(here, PROBE, Reason.UNREACHABLE)
    assert record.finding.place == "redis"


def written(run: str) -> Document:
    """The profile of a run."""
    author = Author(environment="prod", probe="profile", run_id=run)
    return document.profile(author, user=synthetic_user(PROFILED), version=1)


async def test_two_daemons_of_one_account_are_told_apart_from_a_damage(make_layered: MakeLayered) -> None:
    """What another daemon has written to the same account is inconclusive, and says what to do."""
    binding, instance = profiles(SQL, SQL, frozenset({"postgres"})), Instance("0123abcd", 1)
    ours, theirs = [(await make_layered(binding, instance=instance)).environment.profiles for _ in range(2)]
    mine, other = await ours.connect("test"), await theirs.connect("test")
    try:
        await mine.insert(written("a"))
        await other.insert(written("b"))
        with pytest.raises(StoreError, match="accounts of its own") as caught:
            await mine.load(written("a"))
        assert caught.value.reason is Reason.INCONCLUSIVE
        await mine.remove(written("a"))
    finally:
        await mine.close()
        await other.close()


async def test_an_earlier_run_of_ours_is_an_older_version(make_layered: MakeLayered) -> None:
    """What this daemon knows to have stored before is version 0: whoever is shown it reads something old."""
    site = await make_layered(profiles(SQL, SQL, frozenset({"postgres"})))
    translator, first, second = Translator(site.environment.bound, synthetic_user(PROFILED)), written("a"), written("b")
    place = Place(Store.POSTGRES)
    for each in (first, second):
        translator.began(each)
        translator.acknowledged(each)
    old = translator.read(translator.payload(first), None, second, place=place)
    assert (old.id, old.version, old.said) == (second.id, 0, first.said)
    assert translator.shown_by(place)


async def test_a_profile_is_read_as_what_it_means(make_layered: MakeLayered) -> None:
    """As JSON or as text of JSON, in any spelling; any part that is changed makes another document of it."""
    site = await make_layered(profiles(SQL, SQL, frozenset({"postgres"})))
    translator, expected = Translator(site.environment.bound, synthetic_user(PROFILED)), written("a")
    translator.began(expected)
    payload, read = translator.payload(expected), partial(translator.read, expected=expected, place=Place(Store.API))
    spelled = json.dumps(payload, sort_keys=True, indent=1)
    for right in (payload, spelled):
        for permissions in (None, ["read", "write"], '["read", "write"]'):
            assert read(right, permissions).digest == expected.digest
    assert translator.document(payload) == expected
    for name in payload:
        broken = {**payload, name: {"other": True}}
        assert read(broken, None).digest != expected.digest
        assert translator.document(broken) is None
    for nothing in (None, [], "", "x", 3, {}):
        assert read(nothing, None).digest != expected.digest
        assert translator.document(nothing) is None
