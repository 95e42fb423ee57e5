"""What `plan()` of isolation says is what a healthy run sends, on every way that it goes."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from monitor.core.payload import Author
from monitor.core.tenancy import tenants_of
from monitor.ports import Store
from monitor.probes.isolation import ROWS_OF_ONE, SECRET_BYTES, IsolationProbe
from monitor.stores import attempts
from monitor.stores.operations import CATALOGUE
from monitor.stores.provision import redis_acl
from tests.conftest import MakeProxy, MakeSite, Site
from tests.probes.breaking import run_ok

PROBES = [IsolationProbe(), IsolationProbe(users=5)]


def planned(probe: IsolationProbe, store: Store) -> Counter[str]:
    """Everything that goes to the primary of a store, by what is sent."""
    counted: Counter[str] = Counter()
    for use in probe.plan():
        if use.store is store and "pooler" not in use.operation:
            for sent in CATALOGUE[store][use.operation]:
                counted[sent] += use.times
    return counted


def shown(statement: str) -> str:
    """A statement as the catalogue shows it."""
    statement = re.sub(r"'holdfast-user-\d'", "'holdfast-user-N'", statement, count=1)
    statement = re.sub(r"timeout = \d+", "timeout = …", statement)
    return attempts.SHOWN if statement.startswith("DO ") else statement


@pytest.mark.parametrize("probe", PROBES, ids=["default", "more users"])
async def test_the_plan_is_what_the_server_logs(site: Site, probe: IsolationProbe) -> None:
    """Every statement of a run, as PostgreSQL itself logs it, is in the plan as often as it was sent."""
    await run_ok(site, probe)
    await site.sql(f"ALTER DATABASE {site.database} SET log_statement = 'all'")
    log = site.servers.postgres.log
    before = log.stat().st_size
    await run_ok(site, probe)
    written = log.read_bytes()[before:].decode().replace("\n\t", "\n")

    statements = re.findall(r"LOG:  (?:statement|execute [^:]*): (.*?)\n(?=\d{4}-|\Z)", written, re.DOTALL)
    assert Counter(map(shown, statements)) == planned(probe, Store.POSTGRES)
    assert "ERROR" not in written


def test_the_block_that_is_sent_is_the_one_that_is_shown() -> None:
    """But for the attempts themselves, of which the plan shows one."""
    tenants = tenants_of(Author(environment="production", probe="isolation", run_id="r"), 3)
    sent = attempts.block("0123abcd-1", tenants[0], tenants)
    frame = r"(?s)VALUES .* AS attempts"
    assert re.sub(frame, "", sent) == re.sub(frame, "", attempts.SHOWN)
    example = re.search(r"'UPDATE threads', .* = …", attempts.SHOWN)
    assert example is not None
    first = example[0].replace("holdfast-user-N", "holdfast-user-0").replace("…", f"'{tenants[0].id}'")
    assert first.replace("'UPDATE holdfast", "$sql$UPDATE holdfast") in sent


async def test_the_rows_of_the_plan_are_the_rows_that_are_there(site: Site) -> None:
    """A user has as many rows as the plan reckons with, and secrets of the length that it says."""
    await run_ok(site, IsolationProbe())
    (tenant, _) = tenants_of(Author(environment="production", probe="isolation", run_id="r"), 2)
    connection = await site.environment.tenants.connect("test")
    await connection.settle(tenant)
    assert await site.environment.sweep(Store.POSTGRES, everybody=True, dry_run=True) == 0  # too young
    assert await site.environment.left(Store.POSTGRES) == ROWS_OF_ONE
    assert len(tenant.secret) == SECRET_BYTES
    await connection.clear(tenant)
    assert await site.environment.left(Store.POSTGRES) == 0
    await connection.close()


@pytest.fixture
async def redis_user(site: Site) -> AsyncIterator[str]:
    """A Redis user with the printed ACL; -> what stands in a URL before the @."""
    user, valkey = f"fenced-{secrets.token_hex(4)}", site.servers.valkey
    await valkey.command(*redis_acl(user=user).replace("CHOOSE-A-PASSWORD", "planted").split())
    yield f"{user}:planted"
    await valkey.command("ACL", "DELUSER", user)


@pytest.mark.parametrize("probe", PROBES, ids=["default", "more users"])
async def test_the_plan_is_what_goes_over_the_wire_to_redis(
    site: Site, make_site: MakeSite, make_proxy: MakeProxy, probe: IsolationProbe, redis_user: str
) -> None:
    """Every command of a run is in the plan as often as it was sent."""
    proxy = await make_proxy(site.servers.valkey.port)
    here = await make_site(redis_url=f"redis://{redis_user}@127.0.0.1:{proxy.port}/0")
    await run_ok(here, probe)
    sent: Counter[str] = Counter()

    def count(command: list[bytes]) -> list[bytes]:
        sent[command[0].decode()] += 1
        return command

    proxy.rewrite = count
    await run_ok(here, probe)
    for setup in ("AUTH", "CLIENT"):
        assert sent.pop(setup) == 1
    commands: Counter[str] = Counter()
    for command, times in planned(probe, Store.REDIS).items():
        commands[command.split()[0]] += times
    assert sent == commands


@pytest.mark.parametrize("users", [2, 3, 8])
async def test_is_ok_again_and_again_and_leaves_nothing(site: Site, users: int) -> None:
    """Ten runs in a row are ok, and neither a row nor a key is left behind."""
    for _ in range(10):
        await run_ok(site, IsolationProbe(users=users))
    for store in Store:
        assert await site.environment.left(store) == 0
