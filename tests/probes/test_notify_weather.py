"""What can befall pushed changes without breaking the promise, and what a probe of them sends."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import monitor.probes
from monitor.configfile import load
from monitor.core.verdict import Reason
from monitor.fleet import left_out, parts_left_out
from monitor.ports import Place, Store, Surroundings, Way
from monitor.probe import discover
from monitor.probes.notify import NotifyProbe
from monitor.stores import listening, streams, subscriptions
from tests.conftest import MakeProxy, MakeSite, Site
from tests.probes.breaking import run_ok, run_unknown

PROBE = NotifyProbe()


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("redis_url", "pub/sub and streams are not checked: there is no redis"),
        ("postgres_dsn", "LISTEN/NOTIFY is not checked: there is no postgres"),
    ],
)
async def test_one_store_is_enough(make_site: MakeSite, missing: str, said: str) -> None:
    """Where there is one store only, its channels are checked, and the others are said to be left out."""
    site = await make_site(**{missing: None})
    record = await run_ok(site, PROBE)
    assert said in record.finding.left_out
    assert record.finding.checks == (1 if missing == "redis_url" else 2)


def test_what_is_not_checked_through_a_pooler_is_said() -> None:
    """A transaction pooler cannot LISTEN; without one there is nothing to say of it."""
    places = [Place(Store.POSTGRES), Place(Store.REDIS)]
    assert not any("pooler" in sentence for sentence in PROBE.left_out(Surroundings(places=tuple(places))))
    assert any(
        "pooler" in sentence
        for sentence in PROBE.left_out(Surroundings(places=(*places, Place(Store.POSTGRES, Way.POOLER))))
    )


@pytest.mark.parametrize(
    ("rule", "step"),
    [
        ("-subscribe", "subscribe"),
        ("-publish", "publish"),
        ("-xadd", "publish"),
        ("-xgroup", "connect"),
        ("-xclaim", ""),
    ],
)
async def test_a_command_that_the_acl_forbids_is_refused_and_no_loss(
    site: Site, make_site: MakeSite, rule: str, step: str
) -> None:
    """The reason is `refused`, and the message says that the ACL is to be extended."""
    valkey = site.servers.valkey
    words = ("on", ">planted-secret", "~holdfast:*", "&holdfast:*", "+@all", rule)
    await valkey.command("ACL", "SETUSER", "narrow", *words)
    here = await make_site(redis_url=f"redis://narrow:planted-secret@127.0.0.1:{valkey.port}/0")
    record = await run_unknown(here, PROBE, Reason.REFUSED)
    assert "extend the ACL" in record.finding.message
    assert not step or f"in step {step}" in record.finding.message
    await valkey.command("ACL", "DELUSER", "narrow")


@pytest.mark.parametrize("command", [b"PUBLISH", b"XADD", b"XACK"])
async def test_a_connection_that_is_cut_is_no_loss(
    site: Site, make_site: MakeSite, make_proxy: MakeProxy, command: bytes
) -> None:
    """Pub/sub promises nothing to a subscriber whose connection broke; the next run is right again."""
    valkey = site.servers.valkey
    proxy = await make_proxy(valkey.port)
    here = await make_site(postgres_dsn=None, redis_url=valkey.url.replace(f":{valkey.port}/", f":{proxy.port}/"))
    count = 0

    def cut(sent: list[bytes]) -> list[bytes]:
        nonlocal count
        count += sent[0] == command
        if sent[0] == command and count == 3:
            proxy.cut()
        return sent

    proxy.rewrite = cut
    await run_unknown(here, PROBE, Reason.UNREACHABLE)
    await run_ok(here, PROBE)


async def test_a_backend_that_is_terminated_is_no_loss(site: Site) -> None:
    """Whoever listens is thrown out by an administrator again and again: unknown, and then right again."""
    await run_ok(site, PROBE)
    await site.sql(
        """
        CREATE SCHEMA cut;
        CREATE FUNCTION cut.pg_notify(text, text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND query LIKE 'LISTEN%' AND pid <> pg_backend_pid();
            PERFORM pg_catalog.pg_notify($1, $2);
        END $$;
        GRANT USAGE ON SCHEMA cut TO holdfast;
        """
    )
    await site.sql(f"ALTER ROLE holdfast IN DATABASE {site.database} SET search_path = cut, pg_catalog")
    await run_unknown(site, PROBE, Reason.UNREACHABLE)
    await site.sql(f"ALTER ROLE holdfast IN DATABASE {site.database} RESET search_path")
    await run_ok(site, PROBE)


@pytest.mark.parametrize("probe", [NotifyProbe(), NotifyProbe(messages=25)], ids=["default", "larger"])
async def test_the_plan_is_what_postgres_logs(site: Site, probe: NotifyProbe) -> None:
    """Every statement of a run, as PostgreSQL itself logs it, is in the plan as often as it was sent."""
    await run_ok(site, probe)
    await site.sql(f"ALTER DATABASE {site.database} SET log_statement = 'all'")
    log = site.servers.postgres.log
    before = log.stat().st_size
    await run_ok(site, probe)
    statements = re.findall(r"LOG:  (?:statement|execute [^:]*): (.*)", log.read_bytes()[before:].decode())
    sent: Counter[str] = Counter()
    for statement in statements:
        shown = re.sub(r"'holdfast-user-\d'", "'holdfast-user-N'", statement)
        shown = re.sub(r'"holdfast_[0-9a-f]+"', '"holdfast_…"', shown)
        sent[re.sub(r"timeout = \d+", "timeout = …", shown)] += 1
    planned: Counter[str] = Counter()
    for use in probe.plan():
        for statement in listening.OPERATIONS.get(use.operation, ()):
            each = use.operation == "notify_together" and "pg_notify" in statement
            planned[statement] += probe.messages // 2 if each else use.times
    assert dict(sent) == dict(planned)


async def test_the_plan_is_what_goes_over_the_wire(site: Site, make_site: MakeSite, make_proxy: MakeProxy) -> None:
    """Every command to Redis is in the plan as often as it was sent; reads are as many as there was time for."""
    valkey = site.servers.valkey
    proxy = await make_proxy(valkey.port)
    here = await make_site(postgres_dsn=None, redis_url=valkey.url.replace(f":{valkey.port}/", f":{proxy.port}/"))
    await run_ok(here, PROBE)
    sent: Counter[str] = Counter()

    def count(command: list[bytes]) -> list[bytes]:
        sent[command[0].decode()] += 1
        return command

    proxy.rewrite = count
    await run_ok(here, PROBE)
    planned: Counter[str] = Counter()
    together = PROBE.messages // 2
    for use in PROBE.plan():
        for command in (subscriptions.OPERATIONS | streams.OPERATIONS).get(use.operation, ()):
            name = command.split()[0]
            planned[name] += together if name in {"PUBLISH", "XADD"} and "together" in use.operation else use.times
    for setup in ("AUTH", "CLIENT"):  # once for each connection
        assert sent.pop(setup) == 5
    for name in ("XREADGROUP", "XACK", "ECHO"):
        assert 1 <= sent.pop(name) <= planned.pop(name)
    assert +sent == +planned


@pytest.mark.parametrize(
    ("store", "runs"),
    [("redis: {url: redis://cache}", ["notify", "session"]), ("postgres: {dsn: postgresql://db/app}", ["notify"])],
)
def test_it_is_scheduled_where_there_is_either_store(tmp_path: Path, store: str, runs: list[str]) -> None:
    """A configuration with one store has it among the probes that run, with what it leaves out."""
    file = tmp_path / "holdfast.yaml"
    file.write_text(f"environments: {{production: {{{store}}}}}\n")
    environment = load(file, probes=discover(monitor.probes), environ={}).settings.environments["production"]
    assert set(runs) <= set(environment.active())
    assert "notify" not in left_out(environment)
    assert any("is not checked" in part or "are not checked" in part for part in parts_left_out(environment)["notify"])
