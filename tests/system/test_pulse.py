"""The daemon's pulse and ledger: over kills, reloads and pauses, and from a loss to its acknowledgement."""

from __future__ import annotations

import secrets
import signal

from tests.system import ENVIRONMENT, Daemon, holdfast, until, write
from tests.system.conftest import Place

PROBES = {"durability": {"every": "2s", "timeout": "1900ms", "rate": 20, "patience": "1s"}}
WHERE = {"environment": ENVIRONMENT, "store": "postgres"}


def daemon(place: Place) -> Daemon:
    """A daemon that watches both stores."""
    return Daemon(place.configured(probes=PROBES), place.folder)


async def test_a_daemon_that_is_killed_again_and_again_finds_no_loss(place: Place) -> None:
    """Killed in the midst of writes, each time the next daemon knows what it may find, and finds it."""
    for _ in range(8):
        async with daemon(place) as watching:
            await watching.event("run.finished", probe="durability", verdict="ok")
            moved = await place.sql("SELECT mark FROM holdfast.ledger_registers")
            for _ in range(secrets.randbelow(3) + 1):
                before = moved

                async def goes_on(before: str = before) -> bool:
                    return await place.sql("SELECT mark FROM holdfast.ledger_registers") != before

                await until(goes_on, what="a tick")
            watching.kill()
            assert watching.events("violation.opened") == []
            assert watching.events("run.finished", verdict="violated") == []
    async with daemon(place) as watching:
        run = await watching.event("run.finished", probe="durability", verdict="ok")
        assert run["checks"] >= 2 * 8
        assert await watching.stop() == 0
        assert "Traceback" not in watching.written()


async def test_a_loss_from_its_finding_to_its_acknowledgement(place: Place) -> None:
    """A flush is found by the pulse, told with its cause, kept over a restart, and settled by an acknowledgement."""
    async with daemon(place) as watching:
        await watching.event("run.finished", probe="durability", times=2, verdict="ok")
        await place.servers.valkey.command("FLUSHALL")
        opened = await watching.event("violation.opened", probe="durability", kind="lost")
        assert "flush" in opened["actual"]
        await watching.event("failover.observed", environment=ENVIRONMENT, store="redis")
        assert await watching.stop() == 0
    async with daemon(place) as watching:
        await watching.event("run.finished", probe="durability", verdict="violated")
        shown = await holdfast("violations", "show", opened["violation"], "--config", place.file)
        assert f"holdfast ledger list {ENVIRONMENT} --losses" in " ".join(shown.out.split())
        quiet = await holdfast("violations", "ack", opened["violation"], "--config", place.file)
        said = "the next run takes the loss as accepted, and closes it"
        assert (quiet.code, said in " ".join(quiet.out.split())) == (0, True)
        await watching.event("violation.closed", violation=opened["violation"])
        assert await watching.metric("holdfast_recovery_point_seconds", environment=ENVIRONMENT, store="redis") > 0
        assert await watching.stop() == 0


async def test_what_it_shows(place: Place) -> None:
    """Metrics, the page and the API tell how the ledger stands; before anything was due the coverage is nothing."""
    async with daemon(place) as watching:
        assert await watching.metric("holdfast_verification_coverage_ratio", **WHERE) == 0
        await watching.event("run.finished", probe="durability", verdict="ok")

        async def counted() -> bool:
            return await watching.metric("holdfast_ledger_records", state="live", **WHERE) > 0

        await until(counted, what="a record in the metrics")
        page = (await watching.get(f"/environments/{ENVIRONMENT}")).text
        assert '<tr><th scope="row">postgres</th>' in page
        shown = (await watching.get(f"/api/v1/environments/{ENVIRONMENT}")).json()["ledger"]
        assert shown["postgres"]["records"]["live"] > 0
        assert await watching.stop() == 0


async def test_a_reload_and_a_pause_break_nothing(place: Place) -> None:
    """While one pulse takes over from another, and after a pause, each write expects what the one before left."""
    async with daemon(place) as watching:
        await watching.event("run.finished", probe="durability", verdict="ok")
        for rate in (5, 20, 10, 20):
            values = place.values(probes={"durability": PROBES["durability"] | {"rate": rate}})
            loaded = len(watching.events("config.loaded"))
            write(place.file, values)
            watching.tell(signal.SIGHUP)
            await watching.event("config.loaded", times=loaded + 1)
        await watching.post(f"/api/v1/environments/{ENVIRONMENT}/pause", {"for": "1h"})
        await until(lambda: _quiet(place), what="no connection of the pulse")
        await watching.post(f"/api/v1/environments/{ENVIRONMENT}/resume")
        await watching.event("run.finished", probe="durability", times=len(watching.events("run.finished")) + 2)
        assert await watching.stop() == 0
        verdicts = {each["verdict"] for each in watching.events("run.finished")}
        assert verdicts <= {"ok", "slow"}, watching.written()
        assert "Traceback" not in watching.written()


async def _quiet(place: Place) -> bool:
    alive = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holdfast/durability'"
    return await place.sql(alive) == "0"
