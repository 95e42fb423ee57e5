"""A daemon whose state is a schema of a PostgreSQL, which several daemons may share."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.conftest import in_database
from tests.system import ENVIRONMENT, Daemon, holdfast, write
from tests.system.conftest import Place

FAST = {"session": {"every": "1s", "timeout": "990ms", "budget": "9s", "brief_ttl": "200ms"}}
PASSWORD = "planted pass/word"


@pytest.fixture
async def state(place: Place) -> str:
    """The DSN of a database for states alone, with a password in it. The watched PostgreSQL stays out of it."""
    role = f"keeper_{place.database}"
    await place.sql(
        f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'; GRANT CREATE ON DATABASE {place.database} TO {role}"
    )
    address = in_database(place.servers.postgres.dsn, place.database).rpartition("@")[2]
    return f"postgresql://{role}:{quote(PASSWORD, safe='')}@{address}"


async def test_daemons_share_a_database_by_their_locations(place: Place, state: str) -> None:
    """Each has a schema, an id and runs of its own; a second one of a location is refused; no password is said.

    What a command asks of a state it asks there, too; after a restart all of it is still there.
    """
    folders = {location: place.folder / location for location in ("eu", "us")}
    files = {}
    for location, folder in folders.items():
        folder.mkdir()
        values = place.values(dsn=None, probes=FAST, state=state) | {"location": location}
        files[location] = write(folder / "holdfast.yaml", values)
    async with Daemon(files["eu"], folders["eu"]) as eu, Daemon(files["us"], folders["us"]) as us:
        second = await holdfast("run", "--config", files["eu"])
        assert second.code == 78
        assert "the state database (schema holdfast_state_eu) belongs to another daemon, which is running" in second.err
        for each in (eu, us):
            await each.event("run.finished", times=2, probe="session")
        ids = {each.events("daemon.started")[0]["instance"].partition("-")[0] for each in (eu, us)}
        assert len(ids) == 2
        found = await holdfast("violations", "list", "--format", "json", "--config", files["eu"])
        assert (found.code, json.loads(found.out)) == (0, [])
        swept = await holdfast("sweep", ENVIRONMENT, "--config", files["eu"])
        assert swept.code == 0
        assert await eu.metric("holdfast_state_up") == 1
        assert (await eu.stop(), await us.stop()) == (0, 0)
        shown = await holdfast("config", "show", "--config", files["eu"])
        for text in (eu.written(), us.written(), second.err, found.out, swept.out, shown.out):
            assert PASSWORD not in text
            assert quote(PASSWORD, safe="") not in text
    kept = (
        "SELECT (SELECT count(*) > 1 FROM holdfast_state_eu.runs) AND (SELECT count(*) > 1 FROM holdfast_state_us.runs)"
    )
    assert await place.sql(kept) == "t"
    async with Daemon(files["eu"], folders["eu"]) as again:
        started = again.events("daemon.started")[0]["instance"]
        assert started.partition("-")[0] in ids
        assert started.endswith("-2")
        assert await again.stop() == 0


async def test_a_state_database_that_cannot_be_used_is_said_without_its_password(place: Place, state: str) -> None:
    """The daemon probes on, its state in memory, and its log says what is wrong; a command ends with 1."""
    wrong = state.replace("planted", "mistaken")
    file = place.configured(dsn=None, probes=FAST, state=wrong.rpartition("/")[0] + "/nowhere")
    async with Daemon(file, place.folder) as watching:
        unusable = await watching.event("state.unusable")
        assert "the state database (schema holdfast_state_test) cannot be used" in unusable["message"]
        await watching.event("run.finished")
        found = await holdfast("violations", "list", "--config", file)
        assert found.code == 1
        assert await watching.stop() == 0
        for text in (watching.written(), found.err):
            assert "mistaken" not in text
