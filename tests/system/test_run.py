"""`holdfast run`: the life of a daemon, from its start over a reload to its end."""

from __future__ import annotations

import asyncio
import html
import json
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from monitor.core.payload import synthetic_user
from monitor.embedded.faults import FAULTS, Site
from monitor.embedded.faults.fault import REDIS
from monitor.embedded.servers import Servers
from monitor.stores.state import KeptState
from tests.conftest import MakeProxy
from tests.system import COMMAND, ENVIRONMENT, OFTEN, PATIENCE, RARELY, TOKEN, Daemon, described, holdfast, until, write
from tests.system.conftest import Place

FAST = {
    "thread": {"every": "400ms", "timeout": "390ms", "budget": "9s"},
    "session": {"every": "1s", "timeout": "990ms", "budget": "9s", "brief_ttl": "200ms"},
}


def daemon(place: Place, *arguments: str, values: dict[str, Any] | None = None, **more: Any) -> Daemon:
    """A daemon for a test's place."""
    return Daemon(place.configured(values, **more), place.folder, arguments=arguments)


async def ready(watching: Daemon) -> None:
    """Wait until every probe had its first turn."""

    async def answers() -> bool:
        return (await watching.get("/readyz")).status_code == 200

    await until(answers, what="/readyz")


async def test_shards_share_the_environments(place: Place) -> None:
    """Each environment is watched by one of two daemons of one configuration, and each of them has its own state."""
    values = place.values(probes=RARELY)
    ((_, stores),) = values["environments"].items()
    names = {f"shared-{number}" for number in range(6)}
    only_redis = {"redis": stores["redis"]}
    config = write(place.folder / "shared.yaml", {**values, "environments": dict.fromkeys(names, only_redis)})
    watched = []
    for part in ("1/2", "2/2"):
        async with Daemon(config, place.folder, arguments=("--shard", part)) as watching:
            known = (await watching.get("/api/v1/environments")).json()["environments"]
            watched += [each["environment"] for each in known]
            assert await watching.metric("holdfast_build_info", shard=part) == 1
            assert (place.folder / f"state.{part.replace('/', '-of-')}.db").exists()
    assert sorted(watched) == sorted(names)


async def test_what_a_refused_sweep_leaves_is_counted(place: Place) -> None:
    """Where the role may delete no more, how many synthetic items pile up is seen: who was refused sees it least."""
    file = place.configured(probes=RARELY, url=None)
    assert (await holdfast("setup", ENVIRONMENT, "--config", file)).code == 0
    rows = f"SELECT gen_random_uuid(), '0badcafe-1', '{synthetic_user(0)}', 'left', '{{}}' FROM generate_series(1, 7)"  # noqa: S608  constants
    await place.sql(f"INSERT INTO holdfast.threads (id, instance, user_id, name, metadata) {rows}")
    await place.sql("REVOKE DELETE ON ALL TABLES IN SCHEMA holdfast FROM holdfast")
    async with Daemon(file, place.folder) as watching:

        async def counted() -> bool:
            return await watching.metric("holdfast_synthetic_items", store="postgres") >= 7

        await until(counted, what="leftovers that are counted")


async def test_a_full_life(place: Place) -> None:
    """It starts, answers on every path over HTTP, and after SIGTERM ends with 0, having logged its end in order."""
    async with Daemon(place.configured(probes=OFTEN), place.folder, command=(COMMAND,)) as watching:
        assert (await watching.get("/healthz")).text == "alive\n"
        await ready(watching)
        health = await watching.get(f"/health/{ENVIRONMENT}")
        assert (health.status_code, health.json()["verdict"]) in {(200, "ok"), (200, "slow")}
        for path in ("/", "/metrics", "/api/v1/environments", f"/api/v1/environments/{ENVIRONMENT}", "/api/v1/runs"):
            assert (await watching.get(path)).status_code == 200, path
        assert await watching.metric("holdfast_environment_up", environment=ENVIRONMENT) == 1
        assert await watching.metric("holdfast_config_reload_success") == 1
        assert (await watching.get("/api/v1/violations")).json() == {"violations": []}
        assert await watching.stop() == 0
        names = [each["event"] for each in watching.events()]
    assert names.index("config.loaded") < names.index("daemon.started") < names.index("run.finished")
    assert names.index("daemon.stopping") < names.index("daemon.stopped") == len(names) - 1
    assert set(watching.events("sweep.finished")[0]) >= {"environment", "store", "removed"}
    assert (await place.rows(), await place.keys()) == (0, [])


async def test_sigint_ends_it_as_well(place: Place) -> None:
    """SIGINT is as good as SIGTERM."""
    async with daemon(place) as watching:
        assert await watching.stop(signal.SIGINT) == 0
        assert "Traceback" not in watching.written()


async def test_a_run_under_way_is_waited_for(place: Place) -> None:
    """A run that is under way at SIGTERM ends in its verdict before the daemon does."""
    probes = {**RARELY, "session": {"every": "1h", "brief_ttl": "1500ms"}}
    async with daemon(place, probes=probes) as watching:
        await until(lambda: _has_keys(place), what="a session that waits for its end")
        assert await watching.stop() == 0
        names = [each["event"] for each in watching.events()]
        (run,) = watching.events("run.finished", probe="session")
    assert run["verdict"] in {"ok", "slow"}
    assert names.index("daemon.stopping") < len(names) - 1 - names[::-1].index("run.finished")
    assert await place.keys() == []


async def _has_keys(place: Place) -> bool:
    return len(await place.keys()) > 1


async def test_a_frozen_server_does_not_hold_up_the_end(place: Place) -> None:
    """With a run that hangs on a frozen server the end comes within shutdown_timeout and a little, with 0."""
    values = place.values(probes={"thread": {"every": "1m", "timeout": "50s"}}, url=None, shutdown_timeout="500ms")
    async with daemon(place, values=values) as watching:
        await ready(watching)
        place.servers.postgres.pause()
        run = asyncio.create_task(watching.post(f"/api/v1/environments/{ENVIRONMENT}/probes/thread/run"))
        await until(lambda: _asks(place.servers.postgres.port), what="a run that hangs")
        assert await watching.stop(within=10) == 0
        place.servers.postgres.resume()
        assert watching.events()[-1] | {"runs_cut_off": 1} == watching.events()[-1]
        await asyncio.gather(run, return_exceptions=True)
    assert "Traceback" not in watching.written()


def _asks(port: int) -> bool:
    """Whether a connection to this port is open or waits to be."""
    wanted = f":{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[2].endswith(wanted) and line.split()[3] in {"01", "02"} for line in lines)


class TestReload:
    """What a new configuration changes, and how it comes to be read."""

    async def test_environments_come_and_go(self, place: Place) -> None:
        """After SIGHUP a new environment is probed, and one that was taken out is forgotten, also by the metrics."""
        values = place.values(url=None)
        async with daemon(place, values=values) as watching:
            await ready(watching)
            values["environments"] = {"oak": {"redis": {"url": place.url}}}
            place.configured(values)
            watching.tell(signal.SIGHUP)
            await watching.event("run.finished", environment="oak", probe="session")
            assert await watching.series("holdfast_runs_total", environment=ENVIRONMENT) == {}
            assert (await watching.get(f"/health/{ENVIRONMENT}")).status_code == 404
            assert (await watching.get("/health/oak")).status_code in {200, 503}
            assert [
                each["environment"] for each in (await _json(watching, "/api/v1/environments"))["environments"]
            ] == ["oak"]

    async def test_a_changed_interval_counts_from_now_on(self, place: Place) -> None:
        """A probe whose interval is made shorter runs more often."""
        values = place.values(url=None)
        async with daemon(place, values=values) as watching:
            await ready(watching)
            values["probes"] = FAST
            place.configured(values)
            watching.tell(signal.SIGHUP)
            await watching.event("run.finished", times=4, probe="thread")

    async def test_labels_change_without_leaving_old_series(self, place: Place) -> None:
        """An environment with another value of a label has one series of each kind, not the old one beside it."""
        values = place.values(url=None)
        values["environments"][ENVIRONMENT]["labels"] = {"tier": "low"}
        async with daemon(place, values=values) as watching:
            await ready(watching)
            assert await watching.metric("holdfast_environment_up", tier="low") == 1
            values["environments"][ENVIRONMENT]["labels"] = {"tier": "high"}
            place.configured(values)
            watching.tell(signal.SIGHUP)
            await watching.event("config.loaded", times=2)
            assert list(await watching.series("holdfast_environment_up", tier="low")) == []
            assert len(await watching.series("holdfast_environment_up", environment=ENVIRONMENT)) == 1

    async def test_a_bad_file_keeps_the_old_one(self, place: Place) -> None:
        """A file that cannot be used is refused as a whole and counted; a good one afterwards is taken."""
        values = place.values(probes=FAST, url=None)
        async with daemon(place, values=values) as watching:
            place.file.write_text("environments: {oak: {postgres: {dns: secret-mistake}}}")
            watching.tell(signal.SIGHUP)
            rejected = await watching.event("config.rejected")
            assert rejected["level"] == "error"
            assert any("holdfast.yaml:1" in problem and "dns" in problem for problem in rejected["problems"])
            assert await watching.metric("holdfast_config_reload_success") == 0
            (notice, *_) = await notices(watching)
            assert notice.startswith("configuration: the new one cannot be used, so the old one is in force: ")
            assert "did you mean `dsn`?" in notice
            runs = len(watching.events("run.finished"))
            await watching.event("run.finished", times=runs + 4, environment=ENVIRONMENT)  # files are looked at
            place.configured(values)
            watching.tell(signal.SIGHUP)
            await watching.event("config.loaded", times=2)
            assert await watching.metric("holdfast_config_reload_success") == 1
            assert await notices(watching) == []
            rejections = [
                value
                for name, value in (await _all_series(watching)).items()
                if "reject" in name or "reload_fail" in name
            ]
            assert rejections == [1]

    async def test_an_address_that_a_driver_refuses_keeps_the_old_one(self, place: Place) -> None:
        """A URL that looks right and that the driver cannot use is refused like any other mistake."""
        values = place.values(probes=FAST)
        async with daemon(place, values=values) as watching:
            values["environments"][ENVIRONMENT]["redis"]["url"] = f"{place.url}?db=main"
            place.configured(values)
            watching.tell(signal.SIGHUP)
            rejected = await watching.event("config.rejected")
            assert "'db'" in rejected["problems"][0]
            runs = len(watching.events("run.finished"))
            await watching.event("run.finished", times=runs + 2, environment=ENVIRONMENT)

    async def test_a_change_of_the_file_is_enough(self, place: Place) -> None:
        """Without any signal, a file that was written anew is read anew."""
        values = place.values(url=None)
        async with daemon(place, values=values) as watching:
            values["environments"]["oak"] = {"redis": {"url": place.url}}
            place.configured(values)
            await watching.event("run.finished", environment="oak")

    async def test_a_swapped_link_is_a_change(self, place: Place) -> None:
        """The file is reached over a link to a folder that is swapped, as Kubernetes does with a ConfigMap."""
        mount = place.folder / "mount"
        values = place.values(url=None)
        for number in (1, 2):
            (mount / f"..{number}").mkdir(parents=True)
            write(mount / f"..{number}" / "holdfast.yaml", values)
            values["environments"]["oak"] = {"redis": {"url": place.url}}
        (mount / "..data").symlink_to("..1")
        (mount / "holdfast.yaml").symlink_to("..data/holdfast.yaml")
        async with Daemon(mount / "holdfast.yaml", place.folder) as watching:
            (mount / "..data_new").symlink_to("..2")
            (mount / "..data_new").replace(mount / "..data")
            for each in (mount / "..1").iterdir():
                each.unlink()
            (mount / "..1").rmdir()
            await watching.event("run.finished", environment="oak")

    async def test_a_revoked_token_opens_nothing(self, place: Place) -> None:
        """From a reload on the new token counts and the old one does not, and nothing waits for a restart."""
        values = place.values(url=None)
        async with daemon(place, values=values) as watching:
            values["http"]["token"] = "another-token-of-these-tests"
            place.configured(values)
            await watching.event("config.loaded", times=2)
            path = f"/api/v1/environments/{ENVIRONMENT}/resume"
            tokens = (TOKEN, values["http"]["token"])
            assert [(await watching.post(path, token=token)).status_code for token in tokens] == [401, 200]
            assert await notices(watching) == []

    async def test_what_waits_for_a_restart_is_said(self, place: Place) -> None:
        """A changed address of the page is not taken, and that is said."""
        values = place.values(url=None)
        async with daemon(place, values=values) as watching:
            values["http"]["listen"] = "127.0.0.1:1"
            place.configured(values)
            watching.tell(signal.SIGHUP)
            await watching.event(
                "config.doubtful", message="http.listen has changed; that takes effect at the next start"
            )
            assert (await watching.get("/healthz")).status_code == 200
            assert await notices(watching) == [
                "configuration: http.listen has changed; that takes effect at the next start"
            ]


async def notices(watching: Daemon) -> list[str]:
    """What the API says is wrong with the daemon itself; the page says the same."""
    found = [f"{each['about']}: {each['message']}" for each in (await _json(watching, "/api/v1/"))["notices"]]
    page = html.unescape((await watching.get("/")).text)
    assert page.count('class="notice"') == len(found)
    assert all(each.partition(": ")[2] in page for each in found)
    return found


async def _json(watching: Daemon, path: str) -> dict[str, Any]:
    found: dict[str, Any] = (await watching.get(path)).json()
    return found


async def _all_series(watching: Daemon) -> dict[str, float]:
    page = (await watching.get("/metrics")).text
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if not line.startswith("#")
    }


class TestRefusals:
    """Where it cannot start it says why, and ends."""

    async def test_a_taken_port(self, place: Place) -> None:
        """Where another process listens it ends with 1 and says what to do, without a traceback."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            ended = await holdfast(
                "run", "--config", place.configured(http={"listen": f"127.0.0.1:{port}"}), within=PATIENCE
            )
        assert ended.code == 1
        assert f"cannot listen on 127.0.0.1:{port}: it is in use" in ended.err
        assert "daemon.stop" not in ended.err
        assert ended.err.rstrip().splitlines()[-1].startswith('{"event":"daemon.failed"')
        assert "Traceback" not in ended.err

    @pytest.mark.parametrize("text", ["location: here", "environments: {}", "environments: [", "nonsense: 1"])
    async def test_a_configuration_that_cannot_be_used(self, place: Place, text: str) -> None:
        """Without environments, or with a mistake in it, it ends with 78."""
        place.file.write_text(text)
        ended = await holdfast("run", "--config", place.file)
        assert (ended.code, ended.out) == (78, "")
        assert "Traceback" not in ended.err

    async def test_a_url_that_a_driver_refuses(self, place: Place) -> None:
        """A URL that looks right and that the driver cannot use ends it with 78, and the password is not shown."""
        file = place.configured(url="redis://:planted-password@127.0.0.1:1/0?db=main")
        for command in ("run", "check"):
            ended = await holdfast(command, "--config", file)
            assert ended.code == 78, ended.err
            assert "environments.lime" in ended.err
            assert "'db'" in ended.err
            assert "planted-password" not in ended.err
            assert "Traceback" not in ended.err


@pytest.fixture
async def state(request: pytest.FixtureRequest, place: Place) -> AsyncIterator[str]:
    """The URL of a state database that cannot be used, in one of many ways."""
    folder, how = place.folder / "state", request.param
    folder.mkdir()
    file = folder / "state.db"
    if how == "no folder":
        folder.rmdir()
    elif how == "a file for a folder":
        folder.rmdir()
        folder.write_text("")
    elif how == "a folder for a file":
        file.mkdir()
    elif how == "another file":
        file.write_bytes(b"This is no database. " * 1000)
    elif how == "foreign tables":
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("CREATE TABLE facts (what TEXT)")
    elif how == "not writable":
        kept = KeptState(file)
        await kept.open()
        await kept.close()
        file.chmod(0o444)
        folder.chmod(0o555)
    yield f"sqlite:///{file}"
    if folder.is_dir():
        folder.chmod(0o755)


# Root may write anywhere: so it gives that up, where it is root that runs the tests.
AS_USER = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", "--") if os.geteuid() == 0 else ()


@pytest.mark.parametrize(
    "state",
    ["no folder", "a file for a folder", "a folder for a file", "another file", "foreign tables", "not writable"],
    indirect=True,
)
async def test_a_state_that_cannot_be_used_stops_no_probe(place: Place, state: str) -> None:
    """It says clearly what is wrong with the state file, probes without it, counts that, and ends with 0."""
    file = place.configured(probes=FAST, url=None, state=state)
    async with Daemon(file, place.folder, command=(*AS_USER, sys.executable, "-m", "monitor")) as watching:
        unusable = await watching.event("state.unusable")
        assert unusable["level"] == "error"
        assert state.removeprefix("sqlite:///") in unusable["message"]
        assert await notices(watching) == [f"state database: {unusable['message']}"]
        await watching.event("run.finished", times=3, verdict="ok")
        assert await watching.metric("holdfast_state_up") == 0
        assert await watching.stop() == 0
        assert "Traceback" not in watching.written()


async def test_a_state_file_that_breaks_later_stops_no_probe(place: Place) -> None:
    """Where the state file becomes unusable under way, that is logged, probing goes on, and the end is in order."""
    async with daemon(place, probes=FAST, url=None) as watching:
        await watching.event("run.finished")
        with closing(sqlite3.connect(place.state)) as connection:
            connection.execute("DROP TABLE runs")
            connection.commit()
        assert (await watching.event("state.failed"))["level"] == "error"
        runs = len(watching.events("run.finished"))
        await watching.event("run.finished", times=runs + 2)
        assert await watching.metric("holdfast_state_up") == 0
        assert (await watching.get("/")).status_code == 200
        assert await watching.stop() == 0


DYING = """
import asyncio
from monitor import app, cli

async def prune(self):
    await asyncio.sleep(0.5)
    raise OSError("the ground gave way")

app.App._prune = prune
cli.main()
"""


async def test_a_dead_background_task_ends_it(place: Place) -> None:
    """Where a task that has no end dies, the daemon says which and why, stops in order, and ends with 1."""
    watching = Daemon(place.configured(probes=RARELY), place.folder, script=DYING)
    async with watching:
        assert await watching.ended() == 1
        names = [each["event"] for each in watching.events() if each]
    assert watching.events("daemon.failed", task="prune") != []
    assert "the ground gave way" in watching.written()
    assert names.index("daemon.failed") < names.index("daemon.stopping") < names.index("daemon.stopped")


async def test_a_pause_survives_a_restart(place: Place) -> None:
    """An environment paused over the API is paused after a restart too, until it is resumed."""
    values = place.values(probes=FAST, url=None)
    async with daemon(place, values=values) as watching:
        refused = await watching.post(f"/api/v1/environments/{ENVIRONMENT}/pause", token="wrong")
        assert refused.status_code == 401
        paused = await watching.post(f"/api/v1/environments/{ENVIRONMENT}/pause", {"for": "1h"})
        assert paused.status_code == 200
        assert await watching.stop(signal.SIGTERM) == 0
    async with daemon(place, values=values) as again:
        await ready(again)
        assert await again.metric("holdfast_paused", environment=ENVIRONMENT) == 1
        assert again.events("run.finished") == []
        page = await _json(again, f"/api/v1/environments/{ENVIRONMENT}")
        assert page["paused_until"] == paused.json()["paused_until"]
        assert await again.metric("holdfast_unknown_total", probe="thread", reason="paused") > 0
        assert (await again.post(f"/api/v1/environments/{ENVIRONMENT}/resume")).status_code == 200
        await again.event("run.finished", times=2)
        assert await again.metric("holdfast_paused", environment=ENVIRONMENT) == 0
        assert await again.stop() == 0


async def test_a_violation_from_its_opening_to_its_end(place: Place, make_proxy: MakeProxy) -> None:
    """It is logged, shown and listed; acknowledged in the file it is quiet in the daemon; healed it is closed."""
    fault = FAULTS["ttl-never-set"]
    proxy = await make_proxy(place.servers.valkey.port)
    site = Site(servers=place.servers, proxies={REDIS: proxy})
    values = place.values(url=place.url.replace(f":{place.servers.valkey.port}/", f":{proxy.port}/"), probes=FAST)
    gauge = {"environment": ENVIRONMENT, "probe": fault.probe, "kind": fault.report}
    async with daemon(place, values=values) as watching:
        await watching.event("run.finished", probe=fault.probe, verdict="ok")
        assert await watching.metric("holdfast_open_violations", **gauge) == 0
        await fault.inject(site)
        opened = await watching.event("violation.opened", **gauge)
        assert await watching.metric("holdfast_open_violations", **gauge) == 1
        assert (await watching.get(f"/health/{ENVIRONMENT}")).status_code == 503

        id_ = opened["violation"]
        listed = await holdfast("violations", "list", "--config", place.file)
        assert id_[-12:] in listed.out
        shown = await holdfast("violations", "show", id_[-12:], "--config", place.file)
        assert all(word in shown.out for word in (fault.report, opened["run_id"], "evidence", "expected"))
        quiet = await holdfast("violations", "ack", id_[-12:], "--note", "known, #412", "--config", place.file)
        assert (listed.code, shown.code, quiet.code) == (0, 0, 0)

        async def is_quiet() -> bool:
            return await watching.metric("holdfast_open_violations", **gauge) == 0

        await until(is_quiet, what="the acknowledgement in the daemon")
        found = (await _json(watching, f"/api/v1/violations/{id_}")) | {"evidence": ""}
        assert (found["stage"], found["note"]) == ("acknowledged", "known, #412")
        once_more = ("violations", "ack", id_[-12:], "--config", place.file)
        again, noted = await holdfast(*once_more), await holdfast(*once_more, "--note", "restore under way")
        assert [(each.code, "already" in each.out) for each in (again, noted)] == [(0, True), (0, True)]

        async def is_noted() -> bool:
            notes = (await _json(watching, f"/api/v1/violations/{id_}"))["note"]
            return bool(notes == "known, #412\nrestore under way")

        await until(is_noted, what="the second note in the daemon")

        await fault.heal(site)
        await watching.event("violation.closed", violation=id_)
        assert await watching.stop() == 0
    assert len(watching.events("violation.opened")) == len(watching.events("violation.closed")) == 1
    rest = await holdfast("violations", "list", "--config", place.file)
    everything = await holdfast("violations", "list", "--all", "--format", "json", "--config", place.file)
    assert rest.out == "no violation is open\n"
    (closed,) = json.loads(everything.out)
    assert (closed["id"], closed["stage"], closed["note"]) == (id_, "closed", "known, #412\nrestore under way")
    late = await holdfast("violations", "ack", id_, "--config", place.file)
    assert (late.code, "was closed at" in late.err) == (1, True)


async def test_violations_without_a_state_file(place: Place) -> None:
    """Where no daemon ever ran, and where no violation has such an id, that is said."""
    file = place.configured()
    ended = await holdfast("violations", "list", "--config", file)
    assert (ended.code, "has the daemon of this configuration ever run here?" in ended.err) == (1, True)


async def test_violations_of_a_state_that_cannot_be_used(place: Place) -> None:
    """Where the path of the state file cannot be used, that is said; an empty id is no id."""
    file = place.configured(state=f"sqlite:///{place.folder}/none/state.db")
    ended = await holdfast("violations", "list", "--config", file)
    assert (ended.code, f"its folder {place.folder}/none does not exist" in ended.err) == (1, True)
    empty = await holdfast("violations", "show", "", "--config", file)
    assert (empty.code, "the id is empty" in empty.err) == (64, True)


async def test_a_server_that_is_down_at_the_start(place: Place) -> None:
    """The daemon starts, says unknown and why, is ready, and is ok once the server is there."""
    async with Servers(fsync=False) as own:
        values = place.values(dsn=own.postgres.dsn, url=None, probes=FAST)
        await own.postgres.stop()
        async with daemon(place, values=values) as watching:
            run = await watching.event("run.finished")
            assert (run["verdict"], run["reason"]) == ("unknown", "unreachable")
            await ready(watching)
            assert (await watching.get(f"/health/{ENVIRONMENT}")).status_code == 503
            assert (await watching.get("/healthz")).status_code == 200
            assert await watching.metric("holdfast_environment_up", environment=ENVIRONMENT) == 0
            await own.postgres.start()
            await watching.event("run.finished", verdict="ok")
            assert await watching.metric("holdfast_environment_up", environment=ENVIRONMENT) == 1
            assert (await watching.get(f"/health/{ENVIRONMENT}")).status_code == 200
            assert await watching.stop() == 0
    assert watching.events("violation.opened") == []


async def test_a_sick_store_is_left_alone(place: Place) -> None:
    """A store that hangs up on everyone is asked a few times, however often its probe is due; the rest is counted."""
    asked = 0

    def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.transport.abort()

    counter = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = counter.sockets[0].getsockname()[1]
    probes = {"session": {"every": "100ms", "timeout": "99ms"}}
    async with (
        counter,
        daemon(place, dsn=None, url=f"redis://127.0.0.1:{port}/0", probes=probes) as watching,
    ):

        async def many_were_due() -> bool:
            return await watching.metric("holdfast_unknown_total", probe="session", reason="missed") >= 40

        await until(many_were_due, what="forty turns that were left out")
        assert 1 <= asked <= 5
        assert len(watching.events("run.finished")) <= 3
        assert await watching.stop() == 0


async def test_a_store_that_falls_silent_during_a_sweep_blocks_no_probe(place: Place, make_proxy: MakeProxy) -> None:
    """Whatever a sweep holds is given back, so that the probes find out themselves, and recover."""
    proxy = await make_proxy(place.servers.postgres.port)
    dsn = place.dsn.replace(f":{place.servers.postgres.port}/", f":{proxy.port}/")
    script = SHORT_SWEEPS.replace("GATE", repr(str(place.folder / "gate")))
    file = place.configured(dsn=dsn, url=None, probes=FAST)
    async with Daemon(file, place.folder, script=script) as watching:
        await watching.event("sweep.begins")
        proxy.blackhole = True
        (place.folder / "gate").touch()
        await watching.event("run.finished", verdict="unknown")
        proxy.blackhole = False
        proxy.cut()
        await watching.event("run.finished", verdict="ok")


SHORT_SWEEPS = """
import asyncio, datetime, pathlib, structlog
from monitor import app, cli
from monitor.stores import environment

app._SWEEP_TIMEOUT = datetime.timedelta(seconds=2)
sweep = environment.sweep_rows

async def silent(*arguments, **more):
    structlog.get_logger("holdfast").info("sweep.begins")
    while not pathlib.Path(GATE).exists():
        await asyncio.sleep(0.01)
    return await asyncio.sleep(3600)

environment.sweep_rows = silent
cli.main()
"""


async def test_two_daemons_beside_each_other(place: Place) -> None:
    """Two daemons with a state each watch one environment, and neither takes the other's data for a phantom."""
    folders = [place.folder / name for name in ("one", "two")]
    files = []
    for folder in folders:
        folder.mkdir()
        files.append(write(folder / "holdfast.yaml", described(folder, dsn=place.dsn, url=place.url, probes=FAST)))
    async with Daemon(files[0], folders[0]) as one, Daemon(files[1], folders[1]) as two:
        for each in (one, two):
            await each.event("run.finished", times=8, probe="thread", verdict="ok")
            await each.event("run.finished", times=3, probe="session", verdict="ok")
        for each in (one, two):
            assert await each.stop() == 0
            assert each.events("violation.opened") == []
            assert {run["verdict"] for run in each.events("run.finished")} <= {"ok", "slow", "unknown"}
        assert one.events("daemon.started")[0]["instance"] != two.events("daemon.started")[0]["instance"]
    assert (await place.rows(), await place.keys()) == (0, [])


async def test_two_daemons_with_one_state(place: Place) -> None:
    """The second says that the state belongs to a daemon that runs, and ends with 78; the first goes on."""
    values = place.values(probes=OFTEN, url=None)
    async with daemon(place, values=values) as one:
        two = await holdfast("run", "--config", place.file)
        assert two.code == 78
        assert f"the state file {place.state} belongs to another daemon, which is running" in two.err
        assert "Traceback" not in two.err
        await one.event("run.finished", times=2, verdict="ok")
        assert await notices(one) == []
        one.kill()
    async with daemon(place, values=values) as three:
        assert await notices(three) == []


async def test_the_database_of_another_environment_is_refused(place: Place) -> None:
    """A daemon that was pointed at another environment's database probes nothing there, and names both."""
    assert (await holdfast("check", "--config", place.configured(url=None))).code in {0, 1}
    values = place.values(url=None)
    values["environments"] = {"oak": values["environments"][ENVIRONMENT]}
    async with daemon(place, values=values) as watching:
        run = await watching.event("run.finished")
        assert (run["verdict"], run["reason"]) == ("unknown", "misconfigured")
        assert "'lime'" in run["message"]
        assert "'oak'" in run["message"]
        assert await watching.stop() == 0
    assert await place.rows() == 0


async def test_the_token_is_needed_to_change_anything(place: Place) -> None:
    """Over real HTTP a run can be asked for with the token, and with nothing else."""
    async with daemon(place, url=None) as watching:
        await ready(watching)
        path = f"/api/v1/environments/{ENVIRONMENT}/probes/thread/run"
        assert (await watching.post(path, token="guessed")).status_code == 401
        answer = await watching.post(path, token=TOKEN)
        assert (answer.status_code, answer.json()["verdict"]) == (200, "ok")
        assert len(watching.events("run.finished")) == 2
