"""The example for Alertmanager: it is right, each alert reaches whom it should, and what inhibits exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.alerting.promtool import alerts, rules

FILE = Path(__file__).parents[2] / "deploy" / "alertmanager" / "alertmanager.yml"
REACHES = {"page": "pager", "ticket": "tickets", "info": "nobody"}
ALERTS = list(alerts(rules()))
NAMES = {alert["alert"] for alert in ALERTS}


def amtool(*arguments: str) -> str:
    """What amtool prints; it must end with 0."""
    return subprocess.run(["amtool", *arguments], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.debian
def test_it_can_be_loaded() -> None:
    """Alertmanager's own check finds nothing wrong."""
    assert "SUCCESS" in amtool("check-config", str(FILE))


@pytest.mark.debian
@pytest.mark.parametrize("severity", REACHES)
def test_severity_decides_whom_it_reaches(severity: str) -> None:
    """A page reaches the pager, a ticket the tickets, and what is only to be known wakes nobody."""
    labels = ("alertname=HoldfastDown", f"severity={severity}", "environment=production")
    assert amtool("config", "routes", "test", f"--config.file={FILE}", *labels) == REACHES[severity]


@pytest.mark.debian
def test_what_is_not_holdfasts_is_left_alone() -> None:
    """Another system's page goes the ordinary way."""
    labels = ("alertname=DiskFull", "severity=page")
    assert amtool("config", "routes", "test", f"--config.file={FILE}", *labels) == "tickets"


def test_every_severity_has_its_way() -> None:
    """No alert has a severity that nobody thought of."""
    assert {alert["labels"]["severity"] for alert in ALERTS} == set(REACHES)


def inhibitions() -> list[tuple[set[str], set[str], set[str]]]:
    """By each rule: the alerts that inhibit, those that are inhibited, and the labels that must be equal."""
    return [
        (_named(rule["source_matchers"]), _named(rule["target_matchers"]), set(rule["equal"]))
        for rule in yaml.safe_load(FILE.read_text())["inhibit_rules"]
    ]


def _named(matchers: list[str]) -> set[str]:
    (pattern,) = [found[1] for each in matchers if (found := re.fullmatch(r'alertname=~?"(.*)"', each))]
    return {name for name in NAMES if re.fullmatch(pattern, name)} or {pattern}


def test_what_inhibits_exists() -> None:
    """Every name in an inhibition is that of an alert; a pattern that lists names has as many as it lists."""
    for rule in yaml.safe_load(FILE.read_text())["inhibit_rules"]:
        for matchers in (rule["source_matchers"], rule["target_matchers"]):
            listed = sum(each.count("|") for each in matchers) + 1
            assert (len(_named(matchers)), _named(matchers) <= NAMES) == (listed, True)


def test_unreachable_silences_what_follows_from_it() -> None:
    """Where nothing answers, slow and stale of the same environment are no news."""
    ((sources, targets, equal), *_) = inhibitions()
    assert sources == {"HoldfastEnvironmentUnreachable"}
    assert equal == {"location", "environment"}
    assert targets >= {"HoldfastBudgetExceeded", "HoldfastProbeNotRunning", "HoldfastDataLate"}


def test_nothing_silences_a_proof() -> None:
    """Lost, leaked and wrong data, and a loss beyond what was agreed, come through, whatever else fires."""
    silenced: set[str] = set().union(*(targets for _, targets, _ in inhibitions()))
    assert not silenced & {
        "HoldfastDataLeaked",
        "HoldfastDataLost",
        "HoldfastDataWrong",
        "HoldfastRecoveryPointExceeded",
        "HoldfastDown",
    }
