"""Whatever the file, the variables and the flags hold: a configuration, or one kind of error."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from monitor.configfile import ConfigError, load

from . import PROBES

SECRET = "hunter2secret"
NAMES = """
location state http listen token logging format level shutdown_timeout retention runs probes chat login every budgets
enabled environments production labels tier objective postgres dsn provision redis url max_connections dns
"""
KEYS = st.sampled_from(NAMES.split())
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([SECRET, f"postgresql://u:{SECRET}@h:x/db", f"x {SECRET}", "${PW}", "${PW}x", "10s", "${", "off"]),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.one_of(KEYS, st.text(max_size=4)), inner)),
    max_leaves=20,
)
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def attempt(file: Path, **sources: object) -> str:
    """The text of the error, or nothing."""
    environ = {"PW": SECRET, **{str(key): str(value) for key, value in dict(sources.get("environ") or {}).items()}}  # type: ignore[call-overload]  # any mapping
    overrides = sources.get("overrides")
    try:
        load(file, probes=PROBES, environ=environ, overrides=overrides if isinstance(overrides, dict) else None)
    except ConfigError as error:
        str(error).encode()  # nothing that a terminal or a log could not take
        return str(error)
    return ""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration file with nothing in it."""
    path = tmp_path / "holdfast.yaml"
    path.touch()
    return path


@QUICK
@given(content=st.binary(max_size=200))
def test_any_bytes(file: Path, content: bytes) -> None:
    """No bytes at all make anything but a ConfigError."""
    file.write_bytes(content)
    attempt(file)


@QUICK
@given(text=st.text(st.sampled_from("abn:- \n\t{}[]&*!|>'\"%@`#?,$<=~0123.\\"), max_size=60))
@example("&a [*a]")
@example("? [a]\n: b")
@example("<<: 1")
@example("a: &a\n  <<: *a\n")
@example("%YAML 9.9\n---\na")
@example('a: "\\ud800"')
@example('a: "\\U00110000"')
@example("a: !!int x")
@example("a: !!float ''")
@example("a: 0b")
@example("a: 0x_")
@example("a: " + "9" * 5000)
@example("[" * 5000)
@example("{a: " * 3000)
@example("- " * 3000)
@example("location: \ue000" + "0\ue000 ${A}")
@example("location: ${file:\0}")
@example("location: ${file:/dev/zero}")
@example("a: =\nb: 2020-99-99\nc: 1:99")
def test_any_yaml(file: Path, text: str) -> None:
    """No YAML at all makes anything but a ConfigError."""
    file.write_text(text, encoding="utf-8", errors="replace")
    attempt(file)


@QUICK
@given(tree=TREES)
def test_any_values_and_no_secret(file: Path, tree: object) -> None:
    """No values in any place make anything but a ConfigError, and a password in any place is not in it."""
    file.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8", errors="replace")
    assert SECRET not in attempt(file)


@QUICK
@given(
    environ=st.dictionaries(
        st.lists(KEYS, min_size=1, max_size=4).map(lambda keys: "HOLDFAST_" + "__".join(keys).upper()),
        st.sampled_from([SECRET, "x", "", "1", "{}", "[1]", '{"a":', '{"chat": {"every": 1}}', "[" * 100_000]),
    )
)
def test_any_variables(file: Path, environ: dict[str, str]) -> None:
    """No variables make anything but a ConfigError, and no value of one is in it."""
    assert SECRET not in attempt(file, environ=environ)


@QUICK
@given(overrides=st.dictionaries(KEYS, TREES, max_size=4))
def test_any_flags(file: Path, overrides: dict[str, object]) -> None:
    """No flags make anything but a ConfigError, and no value of one is in it."""
    assert SECRET not in attempt(file, overrides=overrides)
