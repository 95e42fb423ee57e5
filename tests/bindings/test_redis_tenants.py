"""Users' sessions under an application's keys, as isolation asks for them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import pytest
from uuid_utils import uuid7

from monitor.bindings import Binding
from monitor.core.payload import Author
from monitor.core.tenancy import Tenant, leaks, tenants_of
from monitor.stores.bound.tenant_keys import BoundTenantKeys
from tests.conftest import MakeSite, Site

WAYS: dict[str, tuple[Mapping[str, Any], set[str]]] = {
    "json": (
        {"key": "session:{user_id}:{session_id}", "value": {"user_id": "{user_id}", "data": "{payload}"}},
        {"GET", "EVAL"},
    ),
    "text": ({"key": "s:{session_id}", "value": {"data": "{payload_text}"}}, {"GET", "EVAL"}),
    "hash": ({"key": "s:{session_id}", "encoding": "hash"}, {"HGETALL", "EVAL"}),
    "pickle": ({"key": "s:{session_id}", "encoding": "pickle"}, {"GET", "EVAL"}),
}


@pytest.fixture
def database() -> str:
    """None is made: nothing here is asked of PostgreSQL."""
    return "none"


async def bound(make_site: MakeSite, session: Mapping[str, Any]) -> Site:
    """An environment whose sessions are kept so."""
    return await make_site(postgres_dsn=None, binding=Binding.model_validate({"redis": {"session": session}}))


def three(here: Site, run_id: str) -> tuple[Tenant, ...]:
    """Three users of one run."""
    return tuple(tenants_of(Author(environment=here.environment.name, probe="isolation", run_id=run_id), 3))


@pytest.mark.parametrize("way", WAYS)
async def test_each_finds_its_own_and_nothing_is_left(make_site: MakeSite, way: str) -> None:
    """In every encoding, by every path; before they are settled, and once cleared, nobody finds anything."""
    session, paths = WAYS[way]
    here = await bound(make_site, session)
    run_id = str(uuid7())
    tenants = three(here, run_id)
    keys = await BoundTenantKeys.of(here.environment.bound, "isolation")
    owners = [{(sight.viewer, tuple(sight.owners)) for sight in (await keys.look(run_id, tenants, fence=False)).sights}]
    await keys.settle(run_id, tenants)
    settled = await keys.look(run_id, tenants, fence=False)
    owners.append({(sight.viewer, tuple(sight.owners)) for sight in settled.sights})
    await keys.clear(run_id, tenants)
    owners.append(
        {(sight.viewer, tuple(sight.owners)) for sight in (await keys.look(run_id, tenants, fence=False)).sights}
    )
    await keys.close()
    nobody = {(tenant.user, ()) for tenant in tenants}
    assert owners == [nobody, {(tenant.user, (tenant.user,)) for tenant in tenants}, nobody]
    assert {sight.path for sight in settled.sights} == paths
    assert not leaks(settled)
    assert await here.servers.valkey.command("KEYS", f"*{here.environment.instance}*") == []


async def test_what_is_another_s_is_a_leak(make_site: MakeSite) -> None:
    """Where a key of one user holds what is another's, the look says whose it is."""
    here = await bound(make_site, WAYS["json"][0])
    run_id = str(uuid7())
    tenants = three(here, run_id)
    keys = await BoundTenantKeys.of(here.environment.bound, "isolation")
    await keys.settle(run_id, tenants)
    (first, _), (second, _), _ = keys.keys(run_id, tenants)
    await here.servers.valkey.command("COPY", first, second, "REPLACE")
    look = await keys.look(run_id, tenants, fence=False)
    await keys.clear(run_id, tenants)
    await keys.close()
    assert leaks(look)
    assert {(sight.viewer, *sight.owners) for sight in look.sights if sight.viewer not in sight.owners} == {
        (tenants[1].user, tenants[0].user)
    }


async def test_a_user_of_its_own_is_kept_to_its_keys(make_site: MakeSite, site: Site) -> None:
    """With a Redis user in the URL, the fence around Holdfast's keys is looked at as without a binding."""
    valkey, user = site.servers.valkey, f"app-{secrets.token_hex(4)}"
    await valkey.command("ACL", "SETUSER", user, "on", ">planted", "~holdfast:*", "~session:*holdfast-*", "+@all")
    binding = Binding.model_validate({"redis": {"session": WAYS["json"][0]}})
    url = f"redis://{user}:planted@127.0.0.1:{valkey.port}/0"
    here = await make_site(postgres_dsn=None, redis_url=url, binding=binding)
    run_id = str(uuid7())
    tenants = three(here, run_id)
    keys = await BoundTenantKeys.of(here.environment.bound, "isolation")
    assert keys.fenced
    await keys.settle(run_id, tenants)
    assert not leaks(await keys.look(run_id, tenants, fence=True))
    await valkey.command("ACL", "SETUSER", user, "~*")
    assert leaks(await keys.look(run_id, tenants, fence=True))
    await keys.clear(run_id, tenants)
    await keys.close()
    await valkey.command("ACL", "DELUSER", user)
