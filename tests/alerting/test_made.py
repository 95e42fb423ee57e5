"""Rules are made of the configuration, and name nothing that is not there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import monitor.probes
from monitor.alerting import Settled
from monitor.alerting.policy import ANY
from monitor.alerting.running import READS, WRITES
from monitor.alerting.violations import LOST, WRONG
from monitor.cli import app
from monitor.core.runbooks import LATE, LEAKED
from monitor.core.verdict import Kind
from monitor.probe import discover
from tests.alerting.promtool import Rules, alerts, rules

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "prometheus" / "rules.yml"
PAGE = (ROOT / "tests" / "golden" / "metrics.txt").read_text("utf-8")
MADE = rules()
NEITHER = {
    *("connect", "reconnect", "log_in", "subscribe", "wait"),
    *("delete", "edit", "clear", "retire", "repair", "rebuild", "press", "ping", "tamper", "tamper_through_api"),
    *("look_again", "ask_replicas", "compare_indexes"),
    *("fail", "roll_back", "savepoint", "kill", "vanish", "schedule"),
}
"""Steps that say neither that writing nor that reading works: what comes before, after, beside, or is to fail."""


def made(*arguments: str) -> str:
    """What the command prints; it must end with 0."""
    ended = CliRunner().invoke(app, ["rules", *arguments])
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def exprs(made: Rules) -> list[str]:
    """Every expression."""
    return [rule["expr"] for group in made["groups"] for rule in group["rules"]]


def test_the_file_is_what_the_command_says() -> None:
    """deploy/prometheus/rules.yml is made of the defaults: `holdfast rules -c config/holdfast.yaml -o …` renews it."""
    assert FILE.read_text("utf-8") == made("--config", str(ROOT / "config" / "holdfast.yaml"))


def test_runbooks_are_where_the_configuration_says(tmp_path: Path) -> None:
    """Links lead to --runbooks, else to the page's own; where neither is given, it is said what to give."""
    file = tmp_path / "holdfast.yaml"
    file.write_text("http: {public_url: 'https://page.example/holdfast/'}")
    flag = ("--runbooks", "https://wiki.example/r/")
    for arguments, where in ((), "https://page.example/holdfast/runbooks"), (flag, "https://wiki.example/r"):
        assert f"runbook_url: {where}/HoldfastDown.md\n" in made("--config", str(file), *arguments)
    file.write_text("location: here")
    ended = CliRunner().invoke(app, ["rules", "--config", str(file)])
    assert "set http.public_url, or give --runbooks http://HOST:PORT/runbooks" in ended.stderr


@pytest.mark.debian
def test_prometheus_can_load_it(tmp_path: Path) -> None:
    """Promtool finds nothing to complain of, neither in the defaults nor where environments differ."""
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(MADE))
    for file in (FILE, tmp_path / "rules.yml"):
        subprocess.run(["promtool", "check", "rules", str(file)], check=True, capture_output=True)


def test_every_metric_is_exported() -> None:
    """Whatever a rule reads is on the golden page, is recorded by an earlier rule, or is Prometheus's own `up`."""
    exported = set(re.findall(r"^(holdfast_\w+)[{ ]", PAGE, flags=re.MULTILINE))
    recorded: set[str] = set()
    for group in MADE["groups"]:
        for rule in group["rules"]:
            read = re.findall(r"\bholdfast[:_][\w:]+", re.sub(r'"[^"]*"', "", rule["expr"]))
            assert set(read) <= exported | recorded, rule["expr"]
            recorded |= {rule["record"]} if "record" in rule else set()


def test_every_label_is_exported() -> None:
    """A matcher names a label that the page has beside the metric, and values that it may have."""
    for expr in exprs(MADE):
        for metric, matchers in re.findall(r"(holdfast_\w+)\{([^}]*)\}", expr):
            line = next(line for line in PAGE.splitlines() if line.startswith(metric + "{"))
            there = set(re.findall(r'(\w+)="', line)) | {"job"}
            assert set(re.findall(r"(\w+)[=!]~?\"", matchers)) <= there


def test_every_alert_says_what_is_needed() -> None:
    """Severity, summary, description, runbook and dashboard; the environment and probe come from the series."""
    for alert in alerts(MADE):
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url", "dashboard"}
        assert alert["annotations"]["runbook_url"] == f"https://runbooks.example/{alert['alert']}.md"
        assert len(alert["annotations"]["summary"]) < 120


def test_every_kind_has_its_gravity() -> None:
    """Each kind of violation belongs to one alert."""
    parts = [LEAKED, LOST, WRONG, LATE]
    assert sum(map(len, parts)) == len(Kind) == len(frozenset().union(*parts))
    assert {Kind.LEAKED, Kind.LOST, Kind.CORRUPT} & LATE == set()


def test_every_step_is_thought_of() -> None:
    """A step writes, reads, or says nothing of either; and each probe but those of transactions does both."""
    steps = {step for probe in discover(monitor.probes).values() for step in probe.steps}
    assert steps == {*WRITES, *READS, *NEITHER}
    assert len(steps) == len(WRITES) + len(READS) + len(NEITHER)
    without = {name for name, probe in discover(monitor.probes).items() if not set(probe.steps) & set(READS)}
    assert without == {"transaction"}
    assert all(set(probe.steps) & set(WRITES) for probe in discover(monitor.probes).values())


def _series(matchers: str, probe: str, environment: str) -> bool:
    for name, comparison, value in re.findall(r'(\w+)([=!]~)"([^"]*)"', matchers):
        found = re.fullmatch(value, {"probe": probe, "environment": environment}[name]) is not None
        if found != (comparison == "=~"):
            return False
    return True


NAMES, PLACES = ("history", "sync", "thread"), ("eu-1", "eu-2", "us", "else")
VALUES = st.integers(min_value=1, max_value=3)


@given(
    usual=st.fixed_dictionaries(dict.fromkeys(NAMES, VALUES)),
    own=st.dictionaries(st.sampled_from(PLACES[:3]), st.dictionaries(st.sampled_from(NAMES), VALUES)),
)
def test_every_series_has_one_value(usual: dict[str, int], own: dict[str, dict[str, int]]) -> None:
    """Whatever environments differ in, each probe of each has exactly the value that was set for it."""
    selectors = list(Settled(usual, own).selectors())
    for probe in NAMES:
        for environment in PLACES:
            found = [value for value, each in selectors for one in each if _series(one, probe, environment)]
            assert found == [own.get(environment, {}).get(probe, usual[probe])]


@given(usual=VALUES, own=st.dictionaries(st.sampled_from(PLACES[:3]), VALUES))
def test_every_environment_has_one_value(usual: int, own: dict[str, int]) -> None:
    """The same where a value is one of the whole environment."""
    selectors = list(Settled({ANY: usual}, {name: {ANY: value} for name, value in own.items()}).selectors())
    for environment in PLACES:
        found = [value for value, each in selectors for one in each if _series(one, "thread", environment)]
        assert found == [own.get(environment, usual)]


def test_a_configuration_decides(tmp_path: Path) -> None:
    """Intervals, deadlines and objectives are those of the file, and its environments are expected to be watched."""
    file = tmp_path / "holdfast.yaml"
    environment = {"redis": {"url": "redis://cache.example/0"}, "objective": 99.5}
    environment["probes"] = {"session": {"every": "20s"}, "sync": {"deadline": "3s"}}
    file.write_text(yaml.safe_dump({"environments": {"staging": environment}}))
    text = made("--config", str(file), "--scrape", "5s", "--job", "watch", "--recovery-point", "250ms")
    found = "\n".join(exprs(yaml.safe_load(text)))
    assert 'holdfast_last_run_timestamp_seconds{probe=~"session",environment=~"staging"} * 0 + 20' in found
    assert 'holdfast_environment_up{environment=~"staging"}[10m])) * 0 + 0.995' in found
    assert 'holdfast_environment_up{environment=~"staging"}[10m])) * 0 + 3' in found
    assert 'absent_over_time(holdfast_environment_up{environment="staging"}[10m])' in found
    assert 'up{job="watch"} == 0' in found
    assert "> 0.25" in found
    assert {group["interval"] for group in yaml.safe_load(text)["groups"]} == {"5s", "30s"}


def test_windows_hold_enough_scrapes() -> None:
    """A counter is seen to move within every window, also where scrapes are rarer than runs."""
    text = made("--scrape", "1m")
    windows = re.findall(r"(?:increase|rate)\([^\[]*\[(\w+)\]", text)
    assert {"4m", "15m"} <= set(windows)
    assert not {"1m", "1m30s", "3m"} & set(windows)


def test_nothing_goes_by_series_that_are_not_exported(tmp_path: Path) -> None:
    """Where steps have no series there is no alert on them, nor on what is recorded of them; that is said."""
    (tmp_path / "h.yaml").write_text("metrics: {detail: low}\nenvironments: {a: {redis: {url: redis://c}}}\n")
    ended = CliRunner().invoke(app, ["rules", "--config", str(tmp_path / "h.yaml")])
    low = yaml.safe_load(ended.stdout)
    names = {rule.get("alert") for group in low["groups"] for rule in group["rules"]}
    gone = {"HoldfastBudgetExceeded", "HoldfastWritesNotRunning", "HoldfastReadsNotRunning"}
    assert {alert["alert"] for alert in alerts(MADE)} - names == gone
    assert all(name in ended.stderr for name in gone)
    recorded = {rule["record"] for group in low["groups"] for rule in group["rules"] if "record" in rule}
    used = {name for expr in exprs(low) for name in re.findall(r"holdfast:[\w:]+", expr)}
    assert used <= recorded
    assert not any("holdfast_step_" in expr for expr in exprs(low))


def test_kubernetes_reads_the_same() -> None:
    """A PrometheusRule holds the same groups."""
    resource = yaml.safe_load(made("--format", "kubernetes"))
    assert (resource["kind"], resource["spec"]) == ("PrometheusRule", yaml.safe_load(made()))


def test_a_wrong_configuration_ends_it(tmp_path: Path) -> None:
    """Nothing is made of what cannot be used: 78, as everywhere."""
    (tmp_path / "holdfast.yaml").write_text("probs: {}\n")
    ended = CliRunner().invoke(app, ["rules", "--config", str(tmp_path / "holdfast.yaml")])
    assert (ended.exit_code, ended.stdout) == (78, "")


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """The path and the cause are told."""
    ended = CliRunner().invoke(app, ["rules", "--out", str(tmp_path / "no" / "rules.yml")])
    assert (ended.exit_code, "No such file or directory" in ended.output) == (1, True)
