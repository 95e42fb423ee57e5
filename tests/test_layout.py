"""The rules that no linter sees: a probe is one file, and each thing has one place."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest
from prometheus_client import generate_latest

import monitor.probes
from monitor.core.verdict import Verdict
from monitor.probe import Probe, discover
from tests.conftest import MakeSite

PACKAGE = Path(monitor.probes.__file__).parent.parent
PROBES = discover(monitor.probes)
MODULES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}


def _package(folder: Path, **modules: str) -> ModuleType:
    """A package of probes in a folder."""
    name = f"probes_{folder.name.replace('-', '_')}"
    target = folder / name
    target.mkdir()
    (target / "__init__.py").write_text("")
    for module, text in modules.items():
        (target / f"{module}.py").write_text(dedent(text))
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


_TIME = '''
    """Ask the server for the time."""

    from datetime import timedelta
    from typing import ClassVar

    from monitor.core.verdict import Finding, Kind, Violation
    from monitor.ports import Store
    from monitor.probe import Duration, Probe, Run, Use


    class ClockProbe(Probe[float]):
        """The server's clock goes forward."""

        name: ClassVar = "clock"
        kinds: ClassVar = frozenset({Kind.STALE})
        needs: ClassVar = {Store.REDIS: 1}
        steps: ClassVar = ("look",)
        every: Duration = timedelta(seconds=5)
        timeout: Duration = timedelta(seconds=1)
        key: str = "nothing"

        def plan(self) -> tuple[Use, ...]:
            return (Use(store=Store.REDIS, operation="look", times=2),)

        async def observe(self, run: Run) -> float:
            async with run.connection(run.environment.sessions.connect) as connection:
                moments = []
                for _ in range(2):
                    async with run.step("look"):
                        moments.append((await connection.look(self.key)).sights[0].after)
            return moments[1] - moments[0]

        def judge(self, seen: float) -> Finding:
            if seen >= 0:
                return Finding.of((), checks=1)
            back = Violation(kind=Kind.STALE, subject="the clock", expected="forward", actual=f"{seen} s")
            return Finding.of((back,), checks=1)
'''


async def test_a_new_probe_is_one_new_file(tmp_path: Path, make_site: MakeSite) -> None:
    """A file in a package of probes is discovered, run and scraped, with no other edit."""
    found = discover(_package(tmp_path, clock=_TIME))
    probe = found["clock"]()
    site = await make_site("layout")
    record = await site.run(probe)
    page = generate_latest(site.desk.metrics.registry).decode()
    place = 'environment="layout",location="test",probe="clock"'
    assert (list(found), record.verdict) == (["clock"], Verdict.OK)
    assert f'holdfast_runs_total{{{place},verdict="ok"}} 1.0' in page
    assert 'holdfast_violations_total{environment="layout",kind="stale",location="test",probe="clock"} 0.0' in page
    assert (
        'holdfast_step_duration_seconds_count{environment="layout",location="test",probe="clock",step="look"} 2.0'
        in page
    )


@pytest.mark.parametrize(
    ("modules", "complaint"),
    [
        ({"other": _TIME}, "expected exactly one probe, named 'other'; found clock"),
        ({"empty": '"""Nothing."""'}, "expected exactly one probe, named 'empty'; found none"),
    ],
    ids=["another name", "no probe"],
)
def test_a_file_that_is_no_probe_is_refused(tmp_path: Path, modules: dict[str, str], complaint: str) -> None:
    """A module without a probe, or with one of another name, is refused by name."""
    with pytest.raises(TypeError, match=complaint):
        discover(_package(tmp_path, **modules))


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
class TestEachProbe:
    """What every probe keeps to."""

    def test_promises_something(self, probe: type[Probe[object]]) -> None:
        """The docstring begins with a sentence."""
        assert len(probe.promise()) > 20
        assert probe.promise().endswith(".")

    def test_declares_what_it_may_report(self, probe: type[Probe[object]]) -> None:
        """Kinds, needs and steps are declared."""
        assert probe.kinds
        assert probe.needs
        assert len(probe.steps) == len(set(probe.steps)) > 0

    def test_ends_before_it_begins_again(self, probe: type[Probe[object]]) -> None:
        """The timeout is below the interval, and each budget below the timeout."""
        made = probe()
        assert made.timeout < made.every
        assert all(made.budget_of(step) < made.timeout for step in made.steps)

    def test_says_what_each_setting_means(self, probe: type[Probe[object]]) -> None:
        """Every field has a description."""
        assert [name for name, field in probe.model_fields.items() if not field.description] == []

    def test_reports_only_what_it_declares(self, probe: type[Probe[object]]) -> None:
        """Every Kind that its file names is among its kinds."""
        tree = MODULES[f"probes/{probe.name}.py"]
        named = {
            node.attr.lower() for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is(node.value, "Kind")
        }
        assert named <= set(probe.kinds)

    def test_judges_without_waiting(self, probe: type[Probe[object]]) -> None:
        """Judge is an ordinary function."""
        tree = MODULES[f"probes/{probe.name}.py"]
        assert [
            node.name for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef) and node.name == "judge"
        ] == []


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _calls(attribute: str, on: str) -> Iterator[str]:
    for path, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == attribute and _is(node.value, on):
                yield path


def test_logging_is_set_up_in_one_place() -> None:
    """Structlog is configured in logs.py alone."""
    assert set(_calls("configure", "structlog")) == {"logs.py"}


def test_one_blind_except() -> None:
    """Only the runner, the pulse beside it, and the commands, which must end with a number, catch every exception."""
    blind = {
        path
        for path, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and (node.type is None or _is(node.type, "Exception"))
    }
    assert blind == {"runner.py", "pulse.py", "cli/__init__.py", "cli/run.py"}


def test_one_run_is_started_in_one_place() -> None:
    """Observe is called by the runner alone."""
    assert set(_calls("observe", "probe")) == {"runner.py"}


def test_the_runner_can_be_read_at_a_glance() -> None:
    """runner.py stays under 100 lines, and there is no drawer for everything."""
    assert len((PACKAGE / "runner.py").read_text().splitlines()) < 100
    assert [path for path in MODULES if path.endswith(("utils.py", "helpers.py", "misc.py"))] == []


_NOT_FOR_A_DAEMON = {
    "sqlalchemy.orm": "6 MB: nothing here maps objects",
    "alembic": "9 MB: only tables of an older version are migrated",
    "rich": "5 MB with pygments: it prints nothing",
    "pygments": "the same",
    "sqlglot": "only statements of a binding are parsed",
    "hdrh": "only `holdfast load` needs it",
    "grafana_foundation_sdk": "only `holdfast dashboard` needs it",
    "monitor.embedded": "its servers are others",
    **dict.fromkeys(
        ("httpx", "httpx_sse", "authlib", "joserfc", "jmespath", "websockets"), "only a binding's API is HTTP"
    ),
}


def test_a_daemon_loads_only_what_it_needs(tmp_path: Path) -> None:
    """What `holdfast run` imports until its state database is open; the rest would be start-up time and memory."""
    code = f"""
        import asyncio, sys
        from pathlib import Path
        import monitor.cli
        import monitor.cli.run
        from monitor.stores.state import KeptState

        async def main():
            state = KeptState(Path({str(tmp_path / "state.db")!r}))
            await state.open()
            await state.close()

        asyncio.run(main())
        print(sorted({set(_NOT_FOR_A_DAEMON)!r} & sys.modules.keys()))
    """
    said = subprocess.run([sys.executable, "-c", dedent(code)], check=True, capture_output=True, text=True)
    assert said.stdout == "[]\n"
