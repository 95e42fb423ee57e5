"""Where settings come from, which wins, and what is said about what is wrong."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from monitor.configfile import ConfigError, Loaded, Problem, effective, load, schema, secrets_in
from monitor.core.secrets import MASK
from monitor.ports import Store
from monitor.standins import nowhere

from . import PROBES

ENVIRONMENT = """
environments:
  production:
    postgres: {dsn: "postgresql://holdfast:hunter2secret@db.example/app"}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The path of a configuration file that is not there yet."""
    return tmp_path / "holdfast.yaml"


def loaded(file: Path, text: str, *, environ: dict[str, str] | None = None, **overrides: object) -> Loaded:
    """What is loaded from a text in a file."""
    file.write_text(text)
    return load(file, probes=PROBES, environ=environ or {}, overrides=overrides)


def problems(file: Path, text: str, *, environ: dict[str, str] | None = None, **overrides: object) -> list[Problem]:
    """What is wrong with a text in a file."""
    with pytest.raises(ConfigError) as caught:
        loaded(file, text, environ=environ, **overrides)
    return list(caught.value.problems)


def test_defaults_without_any_source() -> None:
    """Without file, variables and flags there are the defaults, and a warning that nothing is watched."""
    result = load(None, probes=PROBES, environ={})
    assert result.settings.http.listen == "127.0.0.1:9464"
    assert (result.settings.http.host, result.settings.http.port) == ("127.0.0.1", 9464)
    assert result.settings.retention.failures == timedelta(days=90)
    assert [problem.key for problem in result.warnings] == ["environments"]
    assert result.files == ()


def test_equal_settings_of_a_probe_are_one_object(file: Path) -> None:
    """A thousand environments with the common settings hold those; whose own differ holds its own, and no more."""
    text = (
        "environments:\n  one: {redis: {url: redis://a}}\n"
        "  two: {redis: {url: redis://b}, probes: {chat: {every: 2m}}}\n"
    )
    settings = loaded(file, text).settings
    one, two = settings.environments["one"].probes, settings.environments["two"].probes
    assert one is settings.probes
    assert {name for name, probe in two.by_name().items() if probe is settings.probes.by_name()[name]} == {
        *settings.probes.by_name()
    } - {"chat"}
    assert two.by_name()["chat"].every == timedelta(minutes=2)


def test_what_is_read_again_is_equal(file: Path) -> None:
    """An environment in which nothing changed equals what was read before, so that a reload lets it be."""
    text = "environments:\n  one: {redis: {url: redis://a}, probes: {chat: {every: 2m}}}\n  two: {redis: {url: redis://b}}\n"
    before, after = loaded(file, text).settings, loaded(file, text.replace("redis://b", "redis://c")).settings
    assert before.environments["one"] == after.environments["one"]
    assert before.environments["two"] != after.environments["two"]


def test_flags_over_variables_over_file(file: Path) -> None:
    """Each source changes only what it names, and the later wins."""
    text = (
        "location: file\nlogging: {level: error, format: json}\nretention: {runs: 1d, failures: 1d, violations: 1d}\n"
    )
    environ = {
        "HOLDFAST_LOGGING__LEVEL": "warning",
        "HOLDFAST_RETENTION__RUNS": "2d",
        "HOLDFAST_RETENTION__FAILURES": "2d",
    }
    settings = loaded(file, text, environ=environ, retention={"runs": "3d"}).settings
    assert settings.location == "file"
    assert (settings.logging.level, settings.logging.format) == ("warning", "json")
    assert [settings.retention.runs.days, settings.retention.failures.days, settings.retention.violations.days] == [
        3,
        2,
        1,
    ]


def test_environment_from_variables_only() -> None:
    """A whole environment can come from variables, single values as text and sections as JSON."""
    environ = {
        "HOLDFAST_ENVIRONMENTS__PRODUCTION__POSTGRES__DSN": "postgresql://holdfast@db.example/app",
        "HOLDFAST_ENVIRONMENTS__PRODUCTION__POSTGRES__MAX_CONNECTIONS": "3",
        "HOLDFAST_ENVIRONMENTS__PRODUCTION__POSTGRES__PROVISION": "off",
        "HOLDFAST_ENVIRONMENTS__PRODUCTION__LABELS": '{"tier": "critical"}',
        "HOLDFAST_ENVIRONMENTS__PRODUCTION__PROBES__CHAT__EVERY": "1m",
        "HOLDFAST_PROBES__CHAT__MESSAGES": "7",
        "HOLDFAST_HTTP": '{"listen": "0.0.0.0:80"}',
        "HOLDFAST_ENVIRONMENTS__STAGING": '{"redis": {"url": "redis://h"}}',
    }
    settings = load(None, probes=PROBES, environ=environ).settings
    production = settings.environments["production"]
    assert production.postgres is not None
    assert (production.postgres.max_connections, production.postgres.provision.value) == (3, "off")
    assert production.labels == {"tier": "critical"}
    chat = production.active()["chat"]
    assert (chat.every, chat.model_dump()["messages"]) == (timedelta(minutes=1), 7)
    assert settings.http.port == 80
    assert settings.environments["staging"].stores == {Store.REDIS}


def test_process_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the variables that are given count."""
    monkeypatch.setenv("HOLDFAST_LOCATION", "elsewhere")
    assert load(None, probes=PROBES, environ={}).settings.location == "local"


def test_empty_variable_is_not_set() -> None:
    """A variable that is set to nothing is as if it were not set."""
    assert load(None, probes=PROBES, environ={"HOLDFAST_HTTP__TOKEN": ""}).settings.http.token is None


def test_dollar_in_variable_is_kept() -> None:
    """References are expanded in the file only: a password in a variable may hold whatever it likes."""
    settings = load(None, probes=PROBES, environ={"HOLDFAST_HTTP__TOKEN": "${PASSWORD}"}).settings
    assert secrets_in(settings) == ["${PASSWORD}"]


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("HOLDFAST_HTTP__LISTEN", "hunter2secret", "http.listen"),
        ("HOLDFAST_HTTP__LISTN", "hunter2secret", "http.listn"),
        ("HOLDFAST_HTTP", "hunter2secret", "http"),
        ("HOLDFAST_HTTP", '{"listen": "hunter2secret"}', "http.listen"),
        ("HOLDFAST_PROBES", "{hunter2secret", "probes"),
        ("HOLDFAST_PROBES__CHAT__EVERY", "hunter2secret", "probes.chat.every"),
        ("HOLDFAST_ENVIRONMENTS__P__REDIS__URL", "hunter2secret", "environments.p.redis.url"),
        ("HOLDFAST_ENVIRONMENTS__P__LABELS__TIER", "x", "environments.p"),
    ],
)
def test_problem_names_the_variable(file: Path, name: str, value: str, key: str) -> None:
    """What is wrong in a variable is told with its name and its key, and without its value."""
    found = problems(file, ENVIRONMENT, environ={name: value})
    assert [(problem.where, problem.key) for problem in found] == [(name, key)]
    assert "hunter2" not in str(found)


def test_problem_names_the_command_line(file: Path) -> None:
    """What is wrong in a flag is told as such, even where the file has the key too."""
    found = problems(file, "http: {listen: 127.0.0.1:1}", http={"listen": "hunter2secret"})
    assert [(problem.where, problem.key) for problem in found] == [("command line", "http.listen")]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HOLDFAST_LOCATON", "HOLDFAST_LOCATION"),
        ("HOLDFAST_HTTP_LISTEN", "HOLDFAST_HTTP__LISTEN"),
        ("HOLDFAST_HTP__LISTEN", "HOLDFAST_HTTP__LISTEN"),
        ("HOLDFAST_ENVIRONMENTS_PRODUCTION_POSTGRES_DSN", "HOLDFAST_ENVIRONMENTS__PRODUCTION__POSTGRES__DSN"),
    ],
)
def test_variable_close_to_a_setting_is_refused(file: Path, name: str, meant: str) -> None:
    """A variable that is nearly a setting is refused as an unknown key is, and the setting is named."""
    expected = [Problem(where=name, key="", message=f"is no setting; did you mean {meant}?")]
    assert expected == list(problems(file, ENVIRONMENT, environ={name: "x"}))


def test_variable_with_the_form_of_a_setting_is_refused(file: Path) -> None:
    """Two underscores are nobody else's: such a variable is refused, whatever it is near to; an empty one is not."""
    (problem,) = problems(file, ENVIRONMENT, environ={"HOLDFAST_COLOUR__OF__DOOR": "red"})
    assert problem.where == "HOLDFAST_COLOUR__OF__DOOR"
    assert "LOCATION, SHARD, STATE, HTTP" in problem.message
    assert loaded(file, ENVIRONMENT, environ={"HOLDFAST_COLOUR__OF__DOOR": ""}).warnings == ()


@pytest.mark.parametrize(
    "name",
    [
        "HOLDFAST_PORT",
        "HOLDFAST_SERVICE_HOST",
        "HOLDFAST_PORT_9464_TCP_ADDR",
        "HOLDFAST_HTTP_PORT",
        "HOLDFAST_CONFIG",
        "HOLDFAST_SETUP_DSN",
        "X",
    ],
)
def test_foreign_variable_is_let_be(file: Path, name: str) -> None:
    """What Kubernetes and others put into the environment is no concern."""
    assert loaded(file, ENVIRONMENT, environ={name: "tcp://10.0.0.1:9464"}).warnings == ()


def test_variable_that_the_file_refers_to_is_no_doubt(file: Path) -> None:
    """A variable that the file names in a reference is meant, whatever it is called."""
    text = ENVIRONMENT + "location: ${HOLDFAST_LOCATON}\n"
    assert loaded(file, text, environ={"HOLDFAST_LOCATON": "x"}).warnings == ()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("${A}", "one"),
        ("x${A}y${A}z", "xoneyonez"),
        ("'${A}'", "one"),
        ('"${A}"', "one"),
        ("${A:-default}", "one"),
        ("${B:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${B:-a: b # c, [d]}", "a: b # c, [d]"),
        ("$${A}", "${A}"),
        ("$$ ${A} $", "$$ one $"),
        ("$A", "$A"),
        ("${file:secret}", "from a file"),
        ("${RECURSIVE}", "${A}"),
        ("|-\n  two\n  ${A}", "two\none"),
    ],
)
def test_reference(file: Path, written: str, expected: str) -> None:
    """A reference in any kind of YAML string stands for its value, once."""
    (file.parent / "secret").write_text("from a file\n")
    environ = {"A": "one", "EMPTY": "", "RECURSIVE": "${A}"}
    assert expected == loaded(file, f"location: {written}\n", environ=environ).settings.location


def test_what_asks_no_store_needs_no_secret(file: Path) -> None:
    """An address whose secret is not there leads nowhere, which is told; no other key may be without its value."""
    text = """
state: "sqlite:///${PLACE:-state.db}"
environments:
  one:
    postgres: {dsn: "postgresql://holdfast:${GONE}@db.example/app", replicas: {eu: "${EU}"}, max_connections: 9}
    redis: {url: "redis://:${file:gone}@cache.example"}
"""
    file.write_text(text)
    found = load(file, probes=PROBES, environ={}, stand_in=nowhere)
    hosts = [urlsplit(address).hostname for address in found.settings.environments["one"].addresses().values()]
    assert hosts == ["postgres-dsn.invalid", "postgres-replicas-eu.invalid", "redis-url.invalid"]
    keys = [f"environments.one.{key}" for key in ("postgres.dsn", "postgres.replicas.eu", "redis.url")]
    assert [problem.key for problem in found.unresolved] == keys
    with pytest.raises(ConfigError) as strict:
        load(file, probes=PROBES, environ={})
    assert [problem.key for problem in strict.value.problems] == keys
    file.write_text(text.replace("${PLACE:-state.db}", "${PLACE}"))
    with pytest.raises(ConfigError, match="PLACE is not set"):
        load(file, probes=PROBES, environ={}, stand_in=nowhere)


def test_files_of_references_are_told(file: Path) -> None:
    """Files that the configuration came from are told, so that they can be watched."""
    (file.parent / "secret").write_text("token")
    assert loaded(file, "http: {token: ${file:secret}}").files == (file, file.parent / "secret")


def test_reference_to_a_large_or_binary_file(file: Path) -> None:
    """A file that cannot be one value is refused."""
    (file.parent / "large").write_bytes(b"x" * 2_000_000)
    (file.parent / "binary").write_bytes(b"\xff\xfe")
    text = "location: ${file:large}\nhttp: {token: ${file:binary}}\nlogging: {level: ${file:.}}"
    messages = [problem.message.replace(str(file.parent), "") for problem in problems(file, text)]
    assert [message.split("; ")[0] for message in messages] == [
        "/large is larger than 1048576 bytes",
        "/binary is not UTF-8 text",
        "there is no file ",
    ]


def test_own_probe_settings_are_laid_over_the_common_ones(file: Path) -> None:
    """An environment's probe settings win key by key; what it does not name comes from the common ones."""
    text = """
probes:
  chat: {every: 1m, messages: 9, budgets: {connect: 1s}}
environments:
  a: {postgres: {dsn: "postgresql://h/a"}, probes: {chat: {messages: 3, budgets: {reload: 2s}}}}
  b: {postgres: {dsn: "postgresql://h/b"}}
"""
    environments = loaded(file, text).settings.environments
    a, b = (environments[name].active()["chat"].model_dump() for name in "ab")
    assert (a["every"], a["messages"], a["budgets"]) == ("1m", 3, {"connect": "1s", "reload": "2s"})
    assert (b["messages"], b["budgets"]) == (9, {"connect": "1s"})


def test_probe_is_checked_as_it_will_run(file: Path) -> None:
    """A common setting that fits only together with an environment's own is judged where both are known."""
    text = "probes: {chat: {every: 2m}}\nenvironments: {a: {redis: {url: redis://h}, probes: {chat: {timeout: 1m}}}}"
    assert loaded(file, text).settings.environments["a"].probes.by_name()["chat"].timeout == timedelta(minutes=1)


def test_active_probes(file: Path) -> None:
    """A probe is active where it is enabled and the environment has every store that it needs."""
    text = """
probes: {both: {enabled: true}}
environments:
  postgres: {postgres: {dsn: "postgresql://h/db"}}
  redis: {redis: {url: redis://h}}
  all:
    postgres: {dsn: "postgresql://h/db", max_connections: 5}
    redis: {url: redis://h}
    probes: {chat: {enabled: no}}
"""
    environments = loaded(file, text).settings.environments
    assert {name: sorted(environment.active()) for name, environment in environments.items()} == {
        "postgres": ["chat"],
        "redis": ["login"],
        "all": ["both", "login"],
    }


def test_environment_without_probes_is_a_warning(file: Path) -> None:
    """An environment in which nothing runs is told with its line."""
    text = "environments:\n  a: {redis: {url: redis://h}, probes: {login: {enabled: false}}}\n"
    assert [(w.where, w.key) for w in loaded(file, text).warnings] == [(f"{file}:2", "environments.a")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (No such file or directory); correct the path or its permissions"),
        (b"location: \xff", "is not UTF-8 text (byte 10); save it as UTF-8"),
        (b"# " + b"x" * 2_000_000, "is larger than 1048576 bytes; is it the right file?"),
    ],
)
def test_file_that_cannot_be_read(file: Path, content: bytes | None, message: str) -> None:
    """A file that is missing, no text or far too large is refused as a whole."""
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(file, probes=PROBES, environ={})
    assert caught.value.problems == (Problem(where=str(file), key="", message=message),)


def test_directory_is_no_file(tmp_path: Path) -> None:
    """A directory in the place of the file is refused."""
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        load(tmp_path, probes=PROBES, environ={})


def test_secret_is_in_no_representation(file: Path) -> None:
    """Passwords and tokens show neither in the effective configuration nor in any text of the settings."""
    text = ENVIRONMENT + "    redis: {url: 'redis://:pw@h?password=abc'}\nhttp: {token: t0ken}\n"
    settings = loaded(file, text).settings
    shown = effective(settings)
    assert shown["environments"]["production"]["postgres"]["dsn"] == f"postgresql://holdfast:{MASK}@db.example/app"
    assert shown["environments"]["production"]["redis"]["url"] == f"redis://:{MASK}@h?password={MASK}"
    assert shown["shutdown_timeout"] == "10s"
    everything = json.dumps(shown) + repr(settings) + str(settings)
    assert [secret for secret in ("hunter2", ":pw@", "abc", "t0ken") if secret in everything] == []
    assert secrets_in(settings) == ["abc", "hunter2secret", "pw", "t0ken"]


def test_encoded_secret_is_known_decoded_too(file: Path) -> None:
    """A percent-encoded password is a secret in both spellings."""
    settings = loaded(file, "environments: {a: {redis: {url: 'redis://:p%40ss@h'}}}").settings
    assert secrets_in(settings) == ["p%40ss", "p@ss"]


def test_settings_cannot_be_changed() -> None:
    """Settings are values: nothing can be assigned."""
    settings = load(None, probes=PROBES, environ={}).settings
    with pytest.raises(ValidationError, match="frozen"):
        settings.http.listen = "0.0.0.0:1"  # type: ignore[misc]  # mypy knows it too


def test_many_problems_are_cut_short(file: Path) -> None:
    """Of very many problems only the first hundred are told."""
    assert len(problems(file, "\n".join(f"key{number}: 1" for number in range(500)))) == 100


@pytest.mark.parametrize(
    "name", ["flow_with_reference", "addresses", "places", "anchors", "sections_without_lines", "provision_off"]
)
def test_schema_accepts_good_files(name: str) -> None:
    """What loads is valid by the schema too, where YAML alone can read it."""
    text = (Path(__file__).parent / "good" / f"{name}.yaml").read_text()
    text = re.sub(r"\$\{[^}]*\}", "x", text)
    Draft202012Validator(schema(PROBES)).validate(yaml.safe_load(text) or {})


@pytest.mark.parametrize(
    "text",
    [
        "locaton: x",
        "http: {lisen: x}",
        "retention: {runs: 7}",
        "retention: {runs: 7 days}",
        "probes: {nope: {}}",
        "probes: {chat: {every: 1}}",
        "environments: {A: {}}",
        "environments: {a: {redis: {url: x, max_connections: 101}}}",
    ],
)
def test_schema_refuses(text: str) -> None:
    """What an editor can know to be wrong is wrong by the schema."""
    assert not Draft202012Validator(schema(PROBES)).is_valid(yaml.safe_load(text))


def test_schema_describes_every_key() -> None:
    """Each key of the schema has a description, and defaults are written as one would write them."""
    made = schema(PROBES)
    Draft202012Validator.check_schema(made)
    sections = [made, *made["$defs"].values()]
    bare = [
        key
        for section in sections
        for key, value in section.get("properties", {}).items()
        if not value.get("description")
    ]
    assert bare == []
    assert made["$defs"]["Retention"]["properties"]["runs"]["default"] == "7d"
