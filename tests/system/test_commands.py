"""The commands around the daemon: plan, setup, sweep, the lists, the configuration, help and completion."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

import monitor
import monitor.probes
from monitor.cli import COMMANDS, app, common
from monitor.core.payload import synthetic_user
from monitor.embedded.faults import FAULTS
from monitor.probe import discover
from tests.conftest import in_database
from tests.system import COMMAND, ENVIRONMENT, Daemon, holdfast, until, variables
from tests.system.conftest import Place

REPOSITORY = Path(monitor.__file__).parents[1]
PROBES = discover(monitor.probes)
PATIENT = {name: {"budget": "9s"} for name in PROBES}
GROUPS = {"config", "violations", "bind", "history", "ledger"}
SUBCOMMANDS = (
    *("config check", "config show", "config schema", "violations list", "violations show", "violations ack"),
    *("bind init", "bind check", "bind try"),
    *("history check", "ledger list", "ledger declare-restore", "ledger verify"),
)


async def test_version() -> None:
    """--version is the version of the package."""
    ended = await holdfast("--version", command=(COMMAND,))
    assert (ended.code, ended.out) == (0, f"holdfast {monitor.__version__}\n")


@pytest.mark.parametrize("command", ["", *COMMANDS, *SUBCOMMANDS])
async def test_every_help_has_an_example(command: str) -> None:
    """--help says what a command does and shows a line that one can type."""
    ended = await holdfast(*command.split(), "--help")
    assert (ended.code, ended.err) == (0, "")
    assert re.search(rf"holdfast {command or 'demo'}", ended.out.partition("Usage:")[2].partition("\n")[2]), ended.out


@pytest.mark.parametrize("command", ["", "sweep", "config check"])
async def test_h_is_help(command: str) -> None:
    """-h is --help, and a sentence is broken only where the terminal ends."""
    short, long = [await holdfast(*command.split(), flag, env=variables(COLUMNS="400")) for flag in ("-h", "--help")]
    assert (short.code, short.out) == (0, long.out)
    if command == "sweep":
        assert "What a run may still need is kept, and it is said until when. Ends with 0" in short.out


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("chek",), ("run", "--nope"), ("plan",), ("plan", "a", "b"), ("config", "x")]
)
async def test_a_wrong_usage(arguments: tuple[str, ...]) -> None:
    """A wrong usage ends with 64, in words, on standard error."""
    ended = await holdfast(*arguments)
    assert (ended.code, ended.out) == (64, "")
    assert "Usage:" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    "command",
    [
        *("check", "run", "report", "violations list", "violations show 1", "ledger list"),
        *(f"{each} production" for each in ("check", "plan", "setup", "sweep", "ledger verify")),
    ],
)
def test_without_a_configuration(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever needs one says where it was looked for and what to do next, and ends with 78."""
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, command.split())
    assert (ended.exit_code, ended.stdout) == (78, "")
    looked = "holdfast: no configuration was found at ./holdfast.yaml or /etc/holdfast/holdfast.yaml"
    assert ended.stderr.startswith(f"{looked}; name one by --config FILE or HOLDFAST_CONFIG")


@pytest.mark.parametrize("command", [*(each for each in COMMANDS if each not in GROUPS), *SUBCOMMANDS])
def test_every_command_can_be_quiet_and_verbose(command: str) -> None:
    """Scripts may give --quiet and --verbose to whatever they run."""
    ended = CliRunner().invoke(app, [*command.split(), "-q", "-v", "--quiet", "--verbose", "--help"])
    assert (ended.exit_code, "--quiet" in ended.stdout, "--verbose" in ended.stdout) == (0, True, True)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("rows-droped", "'rows-dropped-after-commit' or 'row-locks-dropped'"), ("ttl", "'ttl-never-set'")],
)
def test_a_name_that_was_cut_short_is_known_by_its_beginning(typed: str, meant: str) -> None:
    """What begins as it does, or nearly so, is named before what is merely as long."""
    ended = CliRunner().invoke(app, ["demo", "--fault", typed])
    assert (ended.exit_code, f"did you mean {meant}" in ended.stderr) == (64, True)


@pytest.mark.parametrize(
    ("http", "below"),
    [
        ({}, "http://127.0.0.1:9464/runbooks"),
        ({"listen": "0.0.0.0:80"}, "http://127.0.0.1:80/runbooks"),
        ({"listen": "127.0.0.1:0"}, "docs/runbooks"),
        ({"listen": "[::1]:80", "public_url": "https://holdfast.example"}, "https://holdfast.example/runbooks"),
    ],
)
def test_runbooks_are_where_the_daemon_serves_them(http: dict[str, str], below: str) -> None:
    """Whoever installed it has no clone: links lead to the daemon of the configuration, as far as that tells where."""
    loaded = common.from_flags({"http": http})
    assert (common.runbooks(None, loaded), common.runbooks("x", loaded)) == (below, "x")


def test_quiet_leaves_notes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for is printed, and nothing beside it."""
    monkeypatch.chdir(tmp_path)
    loud, quiet = (CliRunner().invoke(app, ["rules", *flags]) for flags in ((), ("--quiet",)))
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, loud.stdout, "")


async def test_probes_lists_every_probe() -> None:
    """Each probe is listed with its promise, its kinds and its settings with their defaults."""
    ended = await holdfast("probes")
    assert ended.code == 0
    for name, probe in PROBES.items():
        assert f"{name}: {probe.promise()}" in ended.out
        assert all(kind in ended.out for kind in probe.kinds)
        assert all(f"    {field}: " in ended.out for field in probe.model_fields)


async def test_faults_lists_every_fault() -> None:
    """Each fault is listed with its kind, its cause and its probe, in a line that is not cut."""
    ended = await holdfast("faults")
    lines = ended.out.splitlines()
    assert ended.code == 0
    for fault in FAULTS.values():
        (line,) = [line for line in lines if line.split()[:1] == [fault.name]]
        why = f" ({fault.cause.replace('_', ' ')})" if fault.cause else ""
        assert f"{fault.name} {fault.report}{why} by {fault.probe} " in " ".join(line.split())


class TestPlan:
    """`holdfast plan`."""

    async def test_touches_nothing(self, place: Place) -> None:
        """It shows statements and amounts of every probe that runs, for servers that are not there."""
        file = place.configured(dsn="postgresql://u:p@127.0.0.1:1/app", url="redis://127.0.0.1:1/0")
        ended = await holdfast("plan", ENVIRONMENT, "--config", file)
        assert ended.code == 0
        assert "INSERT INTO holdfast.messages" in ended.out
        assert "SET {key} VALUE PX" in ended.out
        shown = re.findall(r"^([a-z]+)  every ", ended.out, re.MULTILINE)
        left_out = re.findall(r"^([a-z]+) is left out", ended.out, re.MULTILINE)
        assert sorted(shown + left_out) == sorted(PROBES)
        amounts = re.findall(r"= [0-9.e+]+ runs, [0-9,]+ rows or keys and [0-9.,]+ MB an hour", ended.out)
        assert len(amounts) == len(shown)

    async def test_one_probe_alone(self, place: Place) -> None:
        """With --probe only that one is shown, also where it does not run; one that there is not ends with 64."""
        file = place.configured(url=None)
        ended = await holdfast("plan", ENVIRONMENT, "--config", file, "--probe", "thread", "-p", "session")
        assert re.findall(r"^([a-z]+) (?: every|is left out)", ended.out, re.MULTILINE) == ["thread", "session"]
        wrong = await holdfast("plan", ENVIRONMENT, "--config", file, "--probe", "thred")
        assert (wrong.code, "did you mean 'thread'?" in wrong.err) == (64, True)

    async def test_a_long_statement_is_shown_once(self, place: Place) -> None:
        """What an operation has shown before is said to be as it does, within one probe."""
        ended = await holdfast("plan", ENVIRONMENT, "--config", place.configured(), "--probe", "thread")
        assert ended.out.count("VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)") == 1
        assert " … (as append_message does)" in ended.out

    async def test_names_what_is_left_out(self, place: Place) -> None:
        """A probe that does not run here is named with the reason; an unknown environment ends with 64."""
        file = place.configured(url=None)
        ended = await holdfast("plan", ENVIRONMENT, "--config", file)
        assert "session is left out: it needs redis" in ended.out
        assert (await holdfast("plan", "nowhere", "--config", file)).code == 64


class TestSetup:
    """`holdfast setup`."""

    @pytest.fixture
    async def least(self, place: Place) -> AsyncIterator[str]:
        """The name of a role that is not there yet, and of a Valkey user; both are gone afterwards."""
        role = f"least_{place.database}"
        yield role
        await place.servers.valkey.command("ACL", "DELUSER", role)
        await place.sql(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role};")

    async def test_what_is_printed_works(self, place: Place, least: str) -> None:
        """The SQL runs as superuser, twice; with the ACL beside it the role and user that it makes suffice, no more."""
        values = place.values(probes=PATIENT)
        printed = await holdfast("setup", ENVIRONMENT, "--print", "--role", least, "--config", place.configured(values))
        assert printed.code == 0
        sql, header, redis = printed.out.partition(f"# Redis of {ENVIRONMENT}, for redis-cli")
        assert (header != "", "ACL" in sql) == (True, False)
        commands = "".join(f"{line}\n" for line in redis.splitlines() if line and not line.startswith("#"))
        for store, part in (("postgres", sql), ("redis", commands)):
            one = await holdfast(
                "setup", ENVIRONMENT, "--print", "--role", least, "--store", store, "--config", place.file
            )
            assert one.out == part
        for _ in range(2):
            await place.sql(sql)
        acl, save = commands.splitlines()
        assert save == "ACL SAVE"
        await place.servers.valkey.command(*acl.replace("CHOOSE-A-PASSWORD", "chosen").split())
        await place.sql(f"ALTER ROLE {least} PASSWORD 'chosen'")
        store = values["environments"][ENVIRONMENT]
        store["postgres"] = {"dsn": _as(place.dsn, least), "provision": "off"}
        store["redis"] = {"url": _as(place.url, least)}
        place.configured(values)
        checked = await holdfast("check", "--config", place.file)
        swept = await holdfast("sweep", ENVIRONMENT, "--all", "--config", place.file)
        again = await holdfast("setup", ENVIRONMENT, "--config", place.file)
        assert (checked.code, swept.code, again.code) == (0, 0, 0), checked.out + swept.err + again.err
        strong = await place.sql("SELECT rolname FROM pg_roles WHERE rolsuper OR rolbypassrls")
        assert least not in strong.splitlines()

    async def test_as_superuser(self, place: Place, least: str) -> None:
        """With the DSN of a superuser it makes all that itself, and may be run again."""
        values = place.values(url=None, probes=PATIENT)
        values["environments"][ENVIRONMENT]["postgres"]["provision"] = "off"
        file = place.configured(values)
        assert (await holdfast("check", "--config", file)).code == 3
        superuser = in_database(place.servers.postgres.superuser_dsn(), place.database)
        env = variables(HOLDFAST_SETUP_DSN=superuser)
        values["environments"][ENVIRONMENT]["postgres"]["dsn"] = _as(place.dsn, least)
        command = ("setup", ENVIRONMENT, "--role", least, "--config", place.configured(values))
        first = await holdfast(*command, env=env)
        assert (first.code, "password authentication failed" in first.err) == (2, True)
        await place.sql(f"ALTER ROLE {least} PASSWORD 'chosen'")
        for _ in range(2):
            ended = await holdfast(*command, env=env)
            assert (ended.code, "is ready for Holdfast" in ended.out) == (0, True), ended.err
        assert (await holdfast("check", "--config", file)).code == 0

    async def test_where_it_may_not(self, place: Place) -> None:
        """A role that may not make a schema ends with 2, and is told what a DBA must run."""
        await place.sql(f"REVOKE CREATE ON DATABASE {place.database} FROM holdfast")
        ended = await holdfast("setup", ENVIRONMENT, "--config", place.configured(url=None))
        assert (ended.code, ended.out) == (2, "")
        assert "permission denied" in ended.err
        assert f"holdfast setup {ENVIRONMENT} --print" in ended.err

    async def test_where_nobody_answers(self, place: Place) -> None:
        """A server that is not there ends with 2, with the reason."""
        ended = await holdfast("setup", ENVIRONMENT, "--config", place.configured(dsn="postgresql://u@127.0.0.1:1/app"))
        assert (ended.code, "check that the server runs" in ended.err) == (2, True)

    async def test_the_role_is_that_of_the_dsn(self, place: Place) -> None:
        """Without --role it is whom the configuration names in PostgreSQL; never an application's user in Redis."""
        file = place.configured(dsn="postgresql://shop_watch:x@127.0.0.1:1/shop", url="redis://shop:x@127.0.0.1:1/0")
        ended = await holdfast("setup", ENVIRONMENT, "--print", "--config", file)
        assert re.findall(r'CREATE ROLE "(\w+)"', ended.out) == ["shop_watch"]
        assert re.findall(r"^ACL SETUSER (\w+) ", ended.out, re.MULTILINE) == ["holdfast"]

    async def test_a_role_that_is_no_name(self, place: Place) -> None:
        """A role is a plain name, so that nothing else gets into the SQL."""
        ended = await holdfast("setup", ENVIRONMENT, "--print", "--role", 'x"; DROP', "--config", place.configured())
        assert (ended.code, ended.out) == (64, "")


def _as(address: str, user: str) -> str:
    """The same address for another user, whose password is `chosen`."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=f"{user}:chosen@{parts.hostname}:{parts.port}"))


class TestSweep:
    """`holdfast sweep`."""

    async def test_takes_what_a_killed_daemon_left_and_nothing_else(self, place: Place) -> None:
        """--dry-run counts, the sweep removes, strangers' rows and keys stay, and a second sweep finds nothing."""
        probes = {"thread": {"every": "1h"}, "session": {"every": "1h", "brief_ttl": "5s", "timeout": "30s"}}
        file = place.configured(probes=probes)
        made = await holdfast("setup", ENVIRONMENT, "--config", file)  # else a session may come before the schema
        assert made.code == 0
        async with Daemon(file, place.folder) as watching:
            await until(lambda: _has_session(place), what="a session under way")
            watching.kill()
        await place.sql(
            "INSERT INTO holdfast.threads (id, instance, user_id, name, metadata)"
            " VALUES (gen_random_uuid(), '0badcafe-1', 'a-customer', 'mine', '{}')"
        )
        await place.servers.valkey.command("SET", f"holdfast:{ENVIRONMENT}:notes", "mine")
        left = [key for key in await place.keys() if ":session:" in key]
        assert left

        counted = await holdfast("sweep", ENVIRONMENT, "--dry-run", "--config", file)
        assert (counted.code, f"{ENVIRONMENT} redis: {len(left)} would go\n" in counted.out) == (0, True)
        assert [key for key in await place.keys() if ":session:" in key] == left
        swept = await holdfast("sweep", ENVIRONMENT, "--config", file)
        assert (swept.code, f"{ENVIRONMENT} redis: {len(left)} removed\n" in swept.out) == (0, True)
        assert (await place.rows(), await place.keys()) == (1, [f"holdfast:{ENVIRONMENT}:notes"])
        again = await holdfast("sweep", ENVIRONMENT, "--all", "--config", file)
        assert (again.code, again.out) == (0, f"{ENVIRONMENT} postgres: 0 removed\n{ENVIRONMENT} redis: 0 removed\n")

    async def test_says_what_is_kept_and_until_when(self, place: Place) -> None:
        """What a run may still need is kept and counted, with the next step, which differs while a daemon runs."""
        file = place.configured(probes={"thread": {"every": "1h", "timeout": "10m"}}, url=None)
        assert (await holdfast("setup", ENVIRONMENT, "--config", file)).code == 0
        columns, user = "id, instance, user_id, name, metadata", synthetic_user(0)
        values = f"gen_random_uuid(), '0badcafe-1', '{user}', 'of another daemon', '{{}}'"
        await place.sql(f"INSERT INTO holdfast.threads ({columns}) VALUES ({values})")  # noqa: S608  constants
        ours, everybody = [
            (await holdfast("sweep", ENVIRONMENT, *flags, "--config", file)).out for flags in ((), ("--all",))
        ]
        at = r"[0-9:]{8} UTC\n"
        kept = rf"{ENVIRONMENT} postgres: 0 removed; 1 kept: "
        assert re.fullmatch(rf"{kept}of other daemons or checks, .* `--all` takes it after {at}", ours)
        assert re.fullmatch(rf"{kept}younger than 20m, .*; run this again after {at}", everybody)
        async with Daemon(file, place.folder) as watching:
            await watching.event("run.finished", probe="thread")  # what it leaves when it is killed would go as well
            beside = await holdfast("sweep", ENVIRONMENT, "--all", "--config", file)
        assert "the daemon of this configuration is running, and sweeps by itself" in beside.out
        await place.sql("UPDATE holdfast.threads SET created_at = created_at - interval '30 minutes'")
        old = await holdfast("sweep", ENVIRONMENT, "--all", "--config", file)
        assert old.out == f"{ENVIRONMENT} postgres: 1 removed\n"

    async def test_one_sick_store_does_not_keep_the_other_dirty(self, place: Place) -> None:
        """Where a store is not there, the other is swept, and the end is 2."""
        ended = await holdfast(
            "sweep", ENVIRONMENT, "--all", "--config", place.configured(dsn="postgresql://u@127.0.0.1:1/app")
        )
        assert (ended.code, ended.out) == (2, f"{ENVIRONMENT} redis: 0 removed\n")
        assert "check that the server runs" in ended.err

    async def test_a_state_file_that_is_none(self, place: Place) -> None:
        """With a state file that cannot be read it is said that only what is old goes, and the sweep takes place."""
        place.state.write_bytes(b"This is no database. " * 1000)
        ended = await holdfast("sweep", ENVIRONMENT, "--config", place.configured(url=None))
        assert (ended.code, ended.out) == (0, f"{ENVIRONMENT} postgres: 0 removed\n")
        assert "only what is old enough" in ended.err


async def _has_session(place: Place) -> bool:
    return any(":session:" in key for key in await place.keys())


class TestConfig:
    """`holdfast config`."""

    async def test_show_can_be_loaded_again(self, place: Place) -> None:
        """What is in force is shown with every default, as a file that can be used, its secrets masked."""
        file = place.configured()
        shown = await holdfast("config", "show", "--config", file)
        assert shown.code == 0
        values: dict[str, Any] = yaml.safe_load(shown.out)
        assert values["probes"]["thread"]["messages"] == PROBES["thread"].model_fields["messages"].default
        assert values["shutdown_timeout"] == "10s"
        assert "********" in values["environments"][ENVIRONMENT]["postgres"]["dsn"]
        copy = place.folder / "copy.yaml"
        copy.write_text(shown.out)
        checked = await holdfast("config", "check", "--config", copy)
        assert (checked.code, checked.err) == (0, "")
        assert yaml.safe_load((await holdfast("config", "show", "--config", copy)).out) == values

    async def test_schema_fits_the_commented_file(self, place: Place) -> None:
        """The JSON Schema is one, takes config/holdfast.yaml and a real configuration, and refuses a wrong key."""
        schema = json.loads((await holdfast("config", "schema")).out)
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        validator.validate(yaml.safe_load((REPOSITORY / "config" / "holdfast.yaml").read_text()))
        values = place.values()
        validator.validate(values)
        values["environments"][ENVIRONMENT]["postgres"]["dns"] = "x"
        assert not validator.is_valid(values)

    async def test_check(self, place: Place) -> None:
        """A good file ends with 0 and names the environments, or nothing when quiet; a bad one says every problem."""
        good = await holdfast("config", "check", "--config", place.configured())
        assert (good.code, ENVIRONMENT in good.out) == (0, True)
        quiet = await holdfast("config", "check", "--quiet", "--config", place.file)
        assert (quiet.code, quiet.out) == (0, "")
        place.file.write_text("locaton: x\nhttp: {listen: nowhere}\n")
        bad = await holdfast("config", "check", "--config", place.file)
        assert (bad.code, bad.out) == (78, "")
        assert "2 problems" in bad.err
        assert "holdfast.yaml:1: locaton: unknown key; did you mean `location`?" in bad.err
        assert "holdfast.yaml:2: http.listen: expected HOST:PORT" in bad.err

    async def test_check_warns_of_what_would_not_do_what_is_meant(self, place: Place) -> None:
        """A state file that this user cannot use is a warning, and watching nothing is no tick; both end with 0."""
        lost = place.configured(state=f"sqlite:///{place.folder}/none/state.db")
        warned = await holdfast("config", "check", "--config", lost)
        assert (warned.code, warned.out.startswith("! the configuration can be used, with 1 warning")) == (0, True)
        assert f"warning: state: the state file {place.folder}/none/state.db cannot be used" in warned.err
        assert "make it, writable for Holdfast's user" in warned.err
        place.file.write_text(f"state: sqlite:///{place.state}\n")
        empty = await holdfast("config", "check", "--config", place.file)
        assert (empty.code, empty.out) == (0, "! the configuration is valid, but watches nothing\n")
        assert "nothing is watched; add one" in empty.err

    async def test_an_option_of_a_dsn(self, place: Place) -> None:
        """A slip in an option is refused with the nearest; what only the server can know is left to it, with advice."""
        slip = await holdfast("config", "check", "--config", place.configured(dsn=f"{place.dsn}?sslmod=require"))
        assert (slip.code, "unknown option sslmod; did you mean sslmode?" in slip.err) == (78, True)
        file = place.configured(dsn=f"{place.dsn}?no_such_thing=1", url=None)
        passed, asked = await holdfast("config", "check", "--config", file), await holdfast("check", "--config", file)
        assert (passed.code, asked.code) == (0, 3)
        said = " ".join(asked.out.split())
        assert '"no_such_thing"' in said
        assert "check what follows the ? in the DSN, else run" in said

    async def test_is_found_and_overridden(self, place: Place) -> None:
        """./holdfast.yaml is found without a flag, HOLDFAST_CONFIG names another, and variables win over both."""
        place.configured()
        here = await holdfast("config", "check", cwd=place.folder)
        named = await holdfast("config", "check", env=variables(HOLDFAST_CONFIG=str(place.file)))
        over = await holdfast("config", "show", cwd=place.folder, env=variables(HOLDFAST_LOCATION="over"))
        assert [ENVIRONMENT in each.out for each in (here, named)] == [True, True]
        assert yaml.safe_load(over.out)["location"] == "over"


class TestCompletion:
    """What the shell is told after TAB."""

    async def complete(self, place: Place, line: str) -> list[str]:
        """What may stand at the end of a line, as bash asks for it."""
        words = line.split(" ")
        env = variables(_HOLDFAST_COMPLETE="complete_bash", COMP_WORDS="\n".join(words), COMP_CWORD=str(len(words) - 1))
        ended = await holdfast(env=env, cwd=place.folder, command=(COMMAND,))
        assert ended.err == ""
        return ended.out.split()

    @pytest.mark.parametrize(
        ("line", "wanted"),
        [
            ("holdfast vio", ["violations"]),
            ("holdfast check li", [ENVIRONMENT]),
            ("holdfast plan ", [ENVIRONMENT, "oak"]),
            ("holdfast sweep o", ["oak"]),
            ("holdfast check --probe th", ["thread"]),
            ("holdfast check --format j", ["json", "junit"]),
            ("holdfast demo --fault ttl-n", ["ttl-never-set"]),
            ("holdfast violations a", ["ack"]),
            ("holdfast ledger v", ["verify"]),
            ("holdfast ledger list o", ["oak"]),
            ("holdfast ledger verify li", [ENVIRONMENT]),
        ],
    )
    async def test_names(self, place: Place, line: str, wanted: list[str]) -> None:
        """Commands, environments, probes, forms and faults are completed."""
        values = place.values()
        values["environments"]["oak"] = values["environments"][ENVIRONMENT]
        place.configured(values)
        assert await self.complete(place, line) == wanted

    async def test_the_named_configuration_is_read(self, place: Place) -> None:
        """After --config the environments are those of that file; a broken one completes to nothing, in silence."""
        other = place.folder / "other.yaml"
        place.configured().replace(other)
        assert await self.complete(place, f"holdfast plan --config {other} ") == [ENVIRONMENT]
        other.write_text("environments: [")
        assert await self.complete(place, f"holdfast plan --config {other} ") == []

    async def test_the_script_for_a_shell(self) -> None:
        """--show-completion prints a script for the shell that asks."""
        script = await holdfast(command=("bash", "-c", f"{COMMAND} --show-completion; exit $?"))
        assert (script.code, "_HOLDFAST_COMPLETE" in script.out) == (0, True)


async def test_a_terminal_without_a_tick(place: Place) -> None:
    """Where the terminal cannot show a sign, another is shown, and the exit is that of the verdict."""
    env = variables(PYTHONIOENCODING="ascii")
    ended = await holdfast("check", "--config", place.configured(probes=PATIENT), env=env, command=(COMMAND,))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == "? ok"
