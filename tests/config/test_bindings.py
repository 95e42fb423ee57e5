"""Files of bindings as parts of a configuration, and alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from monitor.bindingfile import read_binding
from monitor.bindings import Binding
from monitor.configfile import ConfigError, Loaded, binding_schema, effective, load, schema, secrets_in

from . import PROBES

SECRET = "hunter2secret"
SHIPPED = Path(__file__).parents[2] / "config" / "bindings"
SESSIONS = 'redis: {session: {key: "session:{user_id}:{session_id}"}}\n'
REQUESTS = """
messages: {metadata: "no"}
api:
  headers: {X-Api-Key: "key ${TOKEN}", X-Tenant: "${TENANT:-everybody}"}
  threads:
    create: {method: POST, path: /threads, body: {name: "{name}", license: "${file:license}"}, returns: {thread_id: id}}
    append: {method: POST, path: "/threads/{thread_id}/messages", body: {content: "{content}"}}
    load: {path: "/threads/{thread_id}", returns: {thread_id: id, name: name}}
    messages:
      path: "/threads/{thread_id}/messages"
      returns: {message_id: id, role: role, content: content}
    delete: {method: DELETE, path: "/threads/{thread_id}"}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration whose environment has a Redis, an API and the binding beside it."""
    path = tmp_path / "holdfast.yaml"
    path.write_text("""
environments:
  production:
    redis: {url: redis://h}
    api:
      base_url: https://app.example
      auth: {kind: token, accounts: [{id: a, token: t0ken-a}, {id: b, token: t0ken-b}, {id: c, token: t0ken-c},
             {id: d, token: t0ken-d}]}
    binding: app/binding.yaml
""")
    (tmp_path / "app").mkdir()
    return path


def loaded(file: Path, binding: str, **environ: str) -> Loaded:
    """What is loaded with such a binding."""
    (file.parent / "app" / "binding.yaml").write_text(binding)
    return load(file, probes=PROBES, environ=environ)


def test_path_is_relative_to_the_configuration(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Wherever the daemon is started, the path is looked for beside the configuration; an absolute one is itself."""
    monkeypatch.chdir("/")
    result = loaded(file, SESSIONS)
    binding = result.settings.environments["production"].binding
    assert binding is not None
    assert set(binding.served()) == {"session"}
    absolute = tmp_path / "app" / "binding.yaml"
    file.write_text(file.read_text().replace("app/binding.yaml", str(absolute)))
    assert load(file, probes=PROBES, environ={}).settings.environments["production"].binding == binding


def test_a_variable_names_the_file(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable wins over the configuration, whose file is then not read, and is relative to where one stands."""
    (tmp_path / "other.yaml").write_text(SESSIONS)
    monkeypatch.chdir(tmp_path)
    environ = {"HOLDFAST_ENVIRONMENTS__PRODUCTION__BINDING": "other.yaml"}
    result = load(file, probes=PROBES, environ=environ)
    assert result.files == (file, Path("other.yaml"))
    with pytest.raises(ConfigError) as caught:
        load(file, probes=PROBES, environ={"HOLDFAST_ENVIRONMENTS__PRODUCTION__BINDING": "none.yaml"})
    (problem,) = caught.value.problems
    assert problem.where == "HOLDFAST_ENVIRONMENTS__PRODUCTION__BINDING"
    assert "none.yaml cannot be read" in problem.message


def test_every_file_can_be_watched(file: Path) -> None:
    """The files that a configuration came from are its own, those of bindings, and those that they refer to."""
    folder = file.parent / "app"
    (folder / "license").write_text("a license")
    assert set(loaded(file, REQUESTS, TOKEN="x").files) == {file, folder / "binding.yaml", folder / "license"}


def test_what_is_filled_into_requests_is_never_shown(file: Path) -> None:
    """What ${…} stood for in requests is masked like any secret, a default is not, and accounts' tokens are."""
    (file.parent / "app" / "license").write_text("a license\n")
    settings = loaded(file, REQUESTS, TOKEN=SECRET).settings
    assert secrets_in(settings) == ["a license", SECRET, "t0ken-a", "t0ken-b", "t0ken-c", "t0ken-d"]
    shown = effective(settings)["environments"]["production"]
    assert shown["binding"]["api"]["headers"] == {"X-Api-Key": "key ********", "X-Tenant": "everybody"}
    everything = json.dumps(shown) + repr(effective(settings))
    assert [secret for secret in secrets_in(settings) if secret in everything] == []


def test_what_is_shown_can_be_loaded_again(file: Path) -> None:
    """A configuration as it is shown has its binding whole, and is the same once it is loaded again."""
    (file.parent / "app" / "license").write_text("a license")
    shown = effective(loaded(file, REQUESTS, TOKEN=SECRET).settings)
    file.write_text(yaml.safe_dump(shown))
    again = effective(load(file, probes=PROBES, environ={}).settings)
    assert again == shown


def test_no_secret_is_in_a_complaint(file: Path) -> None:
    """What is wrong in a binding may quote it, but for what ${…} stood for."""
    text = REQUESTS.replace("X-Tenant:", "X-${TENANT}:").replace("method: DELETE", "method: '${TOKEN}'")
    with pytest.raises(ConfigError) as caught:
        loaded(file, text, TOKEN=SECRET)
    assert len(caught.value.problems) > 1
    assert SECRET not in str(caught.value)


def test_alone_it_is_judged_by_the_same_words(tmp_path: Path) -> None:
    """A binding that is read alone names file, line and key, too, whatever is wrong with it."""
    path = tmp_path / "binding.yaml"
    path.write_text("redis:\n  sesion: {}\n  session: {key: ${NOT_SET}, ttl: 5}\n")
    with pytest.raises(ConfigError) as caught:
        read_binding(path, environ={})
    assert [(problem.where, problem.key) for problem in caught.value.problems] == [
        (f"{path}:2", "redis.sesion"),
        (f"{path}:3", "redis.session.key"),
        (f"{path}:3", "redis.session.ttl"),
    ]
    with pytest.raises(ConfigError, match="cannot be read"):
        read_binding(tmp_path / "none.yaml", environ={})
    path.write_text("- a\n")
    with pytest.raises(ConfigError, match="expected keys"):
        read_binding(path, environ={})
    path.write_text(SESSIONS)
    assert set(read_binding(path, environ={}).served()) == {"session"}


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_bindings_load(path: Path) -> None:
    """Each binding that ships can be used, is valid by the schema for editors, and can be shown and loaded again."""
    binding = read_binding(path, environ={})
    assert binding.served()
    Draft202012Validator(binding_schema()).validate(yaml.safe_load(path.read_text("utf-8")))
    assert Binding.model_validate(binding.model_dump(mode="json")) == binding


def test_schema_that_ships_is_this_one() -> None:
    """`holdfast config schema --binding > config/bindings/binding.schema.json` writes it anew, for editors."""
    assert json.loads((SHIPPED / "binding.schema.json").read_text("utf-8")) == binding_schema()


def test_schema_of_a_binding() -> None:
    """The schema for editors takes a binding, as a path in a configuration, too, and refuses a wrong key."""
    made = binding_schema()
    Draft202012Validator.check_schema(made)
    validator = Draft202012Validator(made)
    validator.validate(yaml.safe_load(SESSIONS))
    validator.validate(yaml.safe_load(REQUESTS))
    assert not validator.is_valid({"redis": {"sesion": {}}})
    whole = Draft202012Validator(schema(PROBES))
    whole.validate({"environments": {"a": {"redis": {"url": "x"}, "binding": "app.yaml"}}})
    whole.validate({"environments": {"a": {"redis": {"url": "x"}, "binding": yaml.safe_load(SESSIONS)}}})
    assert not whole.is_valid({"environments": {"a": {"binding": 5}}})


def test_a_list_is_told_what_a_binding_begins_with(tmp_path: Path) -> None:
    """The keys of a configuration would lead astray."""
    path = tmp_path / "app.yaml"
    path.write_text("- threads\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"expected keys such as `postgres:`, found a list"):
        read_binding(path, environ={})
