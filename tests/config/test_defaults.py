"""config/holdfast.yaml says every setting, each with its default."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

import monitor.probes
from monitor.complaints import settable
from monitor.configfile import effective, load
from monitor.probe import Probe, discover
from monitor.settings import settings_type

FILE = Path(__file__).parents[2] / "config" / "holdfast.yaml"


@pytest.fixture(scope="module")
def probes() -> dict[str, type[Probe[object]]]:
    """The probes that Holdfast has."""
    return discover(monitor.probes)


def example() -> str:
    """The file with what is commented out brought back: lines that begin with # and two spaces or more."""
    return re.sub(r"^#(?=  )", "", FILE.read_text(), flags=re.MULTILINE)


def test_file_has_the_defaults(probes: dict[str, type[Probe[object]]]) -> None:
    """Loading the file changes nothing."""
    expected = load(None, probes=probes, environ={}).settings
    assert effective(expected) == effective(load(FILE, probes=probes, environ={}).settings)


def test_file_mentions_every_key(probes: dict[str, type[Probe[object]]]) -> None:
    """Every key that can be set is in the file, at least commented out, and of probes below `probes`."""
    written = yaml.safe_load(example())
    paths = list(settable(settings_type(probes), environments=["production"]))
    wanted = [path for path in paths if path[:1] != ("environments",) or path[2:3] != ("probes",)]
    missing = [path for path in wanted if not _mentions(written, path)]
    assert missing == []
    assert len(wanted) > 20


def _mentions(tree: object, path: tuple[str, ...]) -> bool:
    return not path or (isinstance(tree, dict) and path[0] in tree and _mentions(tree[path[0]], path[1:]))


def test_example_is_right(probes: dict[str, type[Probe[object]]], tmp_path: Path) -> None:
    """The example environment of the file is one that works, and it shows the defaults of what has one."""
    file = tmp_path / "holdfast.yaml"
    file.write_text(example())
    (tmp_path / "bindings").mkdir()
    (tmp_path / "bindings" / "app.yaml").write_text('redis: {session: {key: "session:{user_id}:{session_id}"}}\n')
    environ = {"HOLDFAST_PASSWORD": "p", "HOLDFAST_TOKEN": "t"}
    result = load(file, probes=probes, environ=environ)
    production = result.settings.environments["production"]
    assert production.postgres is not None
    assert production.redis is not None
    fields = {**type(production.postgres).model_fields, **type(production.redis).model_fields}
    assert production.postgres.provision == fields["provision"].default
    assert {production.postgres.max_connections, production.redis.max_connections} == {
        fields["max_connections"].default
    }
    assert production.objective == type(production).model_fields["objective"].default
    assert result.warnings == ()


def test_every_key_has_its_reason() -> None:
    """Above each key stands a comment that says why, unless it only opens a section or names a probe."""
    lines = example().splitlines()
    bare = [
        line.strip()
        for before, line in pairwise(lines)
        if re.match(r"\s+\w+: \S", line) and not before.strip().startswith("#") and "{every" not in line
    ]
    assert bare == []
