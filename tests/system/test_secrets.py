"""A password or token never leaves: not in a log, on a page, in a report, nor in a traceback, however it is spelled."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest

from tests.system import ENVIRONMENT, Daemon, Ended, holdfast, variables
from tests.system.conftest import Place

# In every spelling of a secret (as it is, percent-encoded, in quotes, escaped) the middle stays as it is.
NEEDLE = "Zq7XplantedXk9"
PASSWORD = f"""a/b@'"\\ü%{NEEDLE}%ü\\"'@b/a"""
ENCODED = quote(PASSWORD, safe="")
TOKEN = f"t-{NEEDLE}-t"
FAST = {
    "thread": {"every": "500ms", "timeout": "490ms"},
    "session": {"every": "500ms", "timeout": "490ms", "brief_ttl": "100ms"},
}


@pytest.fixture
async def planted(place: Place) -> AsyncIterator[Place]:
    """A place where the role and the user `planted` have the password, which is right."""
    literal = PASSWORD.replace("'", "''")
    await place.sql(
        f"CREATE ROLE planted LOGIN PASSWORD '{literal}'; GRANT CREATE ON DATABASE {place.database} TO planted;"
    )
    await place.servers.valkey.command("ACL", "SETUSER", "planted", "on", f">{PASSWORD}", "~*", "&*", "+@all")
    yield place
    await place.servers.valkey.command("ACL", "DELUSER", "planted")
    await place.sql("DROP OWNED BY planted CASCADE; DROP ROLE planted;")


def values(place: Place, *, password: str = ENCODED, port: int | None = None, **more: Any) -> dict[str, Any]:
    """A configuration with the password in both addresses, and the token."""
    dsn = f"postgresql://planted:{password}@127.0.0.1:{port or place.servers.postgres.port}/{place.database}"
    url = f"redis://planted:{password}@127.0.0.1:{port or place.servers.valkey.port}/0"
    found = place.values(dsn=dsn, url=url, probes=FAST, **more)
    found["http"]["token"] = TOKEN
    return found


def assert_silent(**texts: str) -> None:
    """The secret is in none of these texts."""
    for name, text in texts.items():
        place = text.find(NEEDLE)
        assert place < 0, f"{name} tells: …{text[max(0, place - 300) : place + 100]}…"


async def everything_shown(watching: Daemon) -> dict[str, str]:
    """What the page, the metrics, and the API show, also to whoever asks in a wrong way."""
    paths = ("/", "/metrics", f"/health/{ENVIRONMENT}", "/readyz", "/api/v1/environments", "/api/v1/runs")
    paths += (
        f"/environments/{ENVIRONMENT}",
        f"/api/v1/environments/{ENVIRONMENT}",
        "/api/v1/violations",
        "/api/v1/openapi.json",
        "/nothing",
    )
    texts = {path: (await watching.get(path)).text for path in paths}
    run = f"/api/v1/environments/{ENVIRONMENT}/probes/thread/run"
    texts["run"] = (await watching.post(run, token=TOKEN)).text
    texts["refused"] = (await watching.post(run, token="wrong")).text
    headers = (await watching.get("/")).headers
    return texts | {"headers": str(headers)}


async def every_report(place: Place, env: Mapping[str, str] | None = None) -> dict[str, Ended]:
    """Every command that reads the configuration."""
    commands = [("check", "--verbose", "--format", form) for form in ("text", "json", "junit")]
    commands += [("config", "show"), ("config", "check"), ("plan", ENVIRONMENT), ("setup", ENVIRONMENT)]
    commands += [("setup", ENVIRONMENT, "--print"), ("sweep", ENVIRONMENT, "--all"), ("violations", "list")]
    return {" ".join(command): await holdfast(*command, "--config", place.file, env=env) for command in commands}


async def test_healthy(planted: Place) -> None:
    """With the right password all is well, in debug too, and nothing that anybody can see has it."""
    planted.configured(values(planted, logging={"level": "debug"}))
    async with Daemon(planted.file, planted.folder, arguments=("--verbose",)) as watching:
        await watching.event("run.finished", probe="thread", verdict="ok")
        await watching.event("run.finished", probe="session", verdict="ok")
        shown = await everything_shown(watching)
        assert '"verdict": "ok"' in shown["run"]
        reports = await every_report(planted)
        assert await watching.stop() == 0
    assert {name: each.code for name, each in reports.items() if each.code not in {0, 1}} == {}
    assert_silent(log=watching.written(), **shown, **{name: each.out + each.err for name, each in reports.items()})


async def test_wrong(planted: Place) -> None:
    """With a wrong password, and with a port where nobody listens, what is said has the reason and no password."""
    for changes, reason in (({"password": f"{ENCODED}wrong"}, "refused"), ({"port": 1}, "unreachable")):
        planted.configured(values(planted, **changes))
        async with Daemon(planted.file, planted.folder, arguments=("--verbose",)) as watching:
            await watching.event("run.finished", probe="thread", reason=reason)
            await watching.event("run.finished", probe="session", reason=reason)
            shown = await everything_shown(watching)
            assert await watching.stop() == 0
        reports = [
            await holdfast("check", "--verbose", "--config", planted.file, "--format", form)
            for form in ("text", "json")
        ]
        assert [each.code for each in reports] == [3, 3]
        assert_silent(
            log=watching.written(), **shown, **{f"check {n}": each.out + each.err for n, each in enumerate(reports)}
        )


MALFORMED = {
    "an @ in it": f"postgresql://u:{NEEDLE}@x@127.0.0.1/app",
    "a / in it": f"postgresql://u:{NEEDLE}/x@127.0.0.1/app",
    "a # in it": f"postgresql://u:{NEEDLE}#x@127.0.0.1/app",
    "a space in it": f"postgresql://u:{NEEDLE} x@127.0.0.1/app",
    "at the port": f"postgresql://u@127.0.0.1:{NEEDLE}/app",
    "another scheme": f"mysql://u:{NEEDLE}@127.0.0.1/app",
    "no scheme": f"u:{NEEDLE}@127.0.0.1/app",
    "key and value": f"host=127.0.0.1 password={NEEDLE}",
    "brackets": f"postgresql://u:[{NEEDLE}@127.0.0.1/app",
}


@pytest.mark.parametrize("address", MALFORMED.values(), ids=MALFORMED)
async def test_malformed(place: Place, address: str) -> None:
    """An address that is none is refused, for either store, from the file or a variable, and not repeated."""
    place.configured(place.values(dsn=address, url=address.replace("postgresql:", "redis:")))
    ended = await holdfast("config", "check", "--config", place.file)
    assert ended.code == 78
    assert_silent(out=ended.out, err=ended.err)


@pytest.mark.parametrize("name", ["password", "sslpassword"])
async def test_in_the_query(place: Place, name: str) -> None:
    """A password that is given as a parameter is one as well."""
    dsn = f"postgresql://u@127.0.0.1:1/app?{name}={ENCODED}"
    file = place.configured(place.values(dsn=dsn, url=None))
    reports = [
        await holdfast(*command, "--config", file)
        for command in (("config", "show"), ("check", "--verbose"), ("check", "--format", "json"))
    ]
    assert [each.code for each in reports] == [0, 3, 3]
    assert_silent(**{f"report {n}": each.out + each.err for n, each in enumerate(reports)})


CRASHING = """
from monitor import cli
from monitor.stores import environment, postgres

async def connect(self, label):
    dsn, password = self._door._dsn, {password!r}
    raise KeyError(dsn, password, [password], "quoted: " + repr(password) + ascii(password))

async def sweep(self, store, **how):
    return 0

postgres.Postgres.connect = connect
environment.LiveEnvironment.sweep = environment.LiveEnvironment.census = sweep
cli.main()
"""
FALLING = """
from monitor import cli
from monitor.stores import environment

class Falling(environment.LiveEnvironment):
    def __init__(self, name, *, addresses, **more):
        secret = next(iter(addresses.values()))
        raise RuntimeError(f"fell over {{secret}} {{password!r}} {{password!a}} {{password}}")

import monitor.fleet
password = {password!r}
monitor.fleet.LiveEnvironment = Falling
cli.main()
"""


async def test_in_a_traceback(place: Place) -> None:
    """A fault of Holdfast's own is told with its traceback, from which the password is taken out."""
    place.configured(values(place, port=1))
    script = CRASHING.format(password=PASSWORD)
    async with Daemon(place.file, place.folder, script=script) as watching:
        failed = await watching.event("run.failed", probe="thread")
        shown = await everything_shown(watching)
        assert await watching.stop() == 0
    assert "KeyError" in failed["exception"]
    assert "********" in failed["exception"]
    checked = await holdfast("check", "-v", "--config", place.file, "--format", "json", script=script)
    (run,) = [run for run in json.loads(checked.out)["runs"] if run["probe"] == "thread"]
    assert (checked.code, run["reason"]) == (3, "internal")
    assert_silent(log=watching.written(), out=checked.out, err=checked.err, **shown)


@pytest.mark.parametrize(
    "command", [("run",), ("check",), ("check", "-v"), ("sweep", ENVIRONMENT), ("setup", ENVIRONMENT)]
)
async def test_in_the_fall_of_a_command(place: Place, command: tuple[str, ...]) -> None:
    """A command that falls over says how, with its traceback, ends with a number of its own, and tells no password."""
    place.configured(values(place))
    fallen = await holdfast(*command, "--config", place.file, script=FALLING.format(password=PASSWORD))
    assert fallen.code == (1 if command == ("run",) else 70)
    assert "RuntimeError" in fallen.err
    assert "fell over" in fallen.err
    assert "********" in fallen.err
    assert_silent(out=fallen.out, err=fallen.err)


async def test_from_a_variable_and_a_file(planted: Place) -> None:
    """A password that comes from a variable or a mounted file is hidden like one that stands in the file."""
    (planted.folder / "password").write_text(ENCODED + "\n")
    changed = values(planted)
    store = changed["environments"][ENVIRONMENT]
    store["postgres"]["dsn"] = store["postgres"]["dsn"].replace(ENCODED, "${PLANTED}")
    store["redis"]["url"] = store["redis"]["url"].replace(ENCODED, "${file:password}")
    planted.configured(changed)
    reports = await every_report(planted, env=variables(PLANTED=ENCODED))
    assert {name: each.code for name, each in reports.items() if each.code not in {0, 1}} == {}
    assert_silent(**{name: each.out + each.err for name, each in reports.items()})
