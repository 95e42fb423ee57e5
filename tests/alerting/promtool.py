"""Stories of series and alerts, told to `promtool test rules`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from monitor.alerting import Links, Policy, Settled, document, groups
from monitor.alerting.policy import ANY

LINKS = Links(runbooks="https://runbooks.example", dashboard="https://grafana.example/d/holdfast")
POLICY = Policy(
    intervals=Settled(
        {"thread": timedelta(seconds=30), "session": timedelta(seconds=15), "durability": timedelta(minutes=1)},
        {"staging": {"thread": timedelta(minutes=2)}, "production": {}},
    ),
    objectives=Settled({ANY: 0.999}, {"staging": {ANY: 0.9}}),
    deadlines=Settled({ANY: timedelta(seconds=5)}, {"staging": {ANY: timedelta(minutes=1)}}),
    environments=("production", "staging"),
    recovery_point=timedelta(seconds=1),
)

Rules = dict[str, Any]


def rules(policy: Policy = POLICY) -> Rules:
    """All rules, as they are loaded."""
    return document(groups(policy), LINKS)


def alerts(made: Rules) -> Iterator[dict[str, Any]]:
    """The alerts of a rule file."""
    for group in made["groups"]:
        yield from (rule for rule in group["rules"] if "alert" in rule)


@dataclass(frozen=True, kw_only=True)
class Story:
    """What Prometheus scrapes every `scrape`, and at which moments how many alerts of a name fire.

    Series are in promtool's notation. `environment`, `location`, `job` and `instance` are given where they are not
    said. `where` narrows the alerts that are counted.
    """

    alert: str
    tells: str
    series: Mapping[str, str]
    firing: Mapping[str, int]
    where: str = ""
    scrape: str = "15s"
    every: str = "15s"
    usual: Mapping[str, str] = field(
        default_factory=lambda: {
            "environment": "production",
            "instance": "holdfast:9464",
            "job": "holdfast",
            "location": "eu",
        }
    )

    def as_test(self) -> dict[str, Any]:
        """One test of promtool."""
        where = f",{self.where}" if self.where else ""
        counted = f'count(ALERTS{{alertname="{self.alert}",alertstate="firing"{where}}}) or vector(0)'
        return {
            "name": self.tells,
            "interval": self.scrape,
            "input_series": [{"series": self._named(name), "values": text} for name, text in self.series.items()],
            "promql_expr_test": [
                {"expr": counted, "eval_time": moment, "exp_samples": [{"labels": "{}", "value": count}]}
                for moment, count in self.firing.items()
            ],
        }

    def _named(self, series: str) -> str:
        metric, _, given = series.partition("{")
        said = dict(re.findall(r'(\w+)="([^"]*)"', given))
        own = {"job": "holdfast", "location": "eu", "instance": "holdfast:9464"}
        about = own if metric.startswith(_OF_DAEMON) else self.usual
        labels = {name: value for name, value in {**about, **said}.items() if value}
        return metric + "{" + ",".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"


_OF_DAEMON = ("up", "holdfast_build_info", "holdfast_config_", "holdfast_state_up", "holdfast_loop_lag")


def only(made: Rules, alert: str, where: str = "") -> Rules:
    """The rules of one alert, and what they build on, which is quicker than all."""
    found = [
        rule for rule in alerts(made) if rule["alert"] == alert and (not where or _labelled(where, rule["labels"]))
    ]
    wanted, read = {id(rule) for rule in found}, " ".join(rule["expr"] for rule in found)
    recorded = [rule for group in made["groups"] for rule in group["rules"] if "record" in rule]
    for record in reversed(recorded):  # each builds on earlier ones alone
        if re.search(rf"{re.escape(record['record'])}(?![\w:])", read):
            wanted.add(id(record))
            read += f" {record['expr']}"
    kept = [{**group, "rules": [rule for rule in group["rules"] if id(rule) in wanted]} for group in made["groups"]]
    return deepcopy({"groups": [group for group in kept if group["rules"]]})


def _labelled(where: str, labels: Mapping[str, str]) -> bool:
    """Whether a rule can give an alert of these labels; those that it does not set come from its series."""
    return all(labels.get(name, value) == value for name, value in re.findall(r'(\w+)="([^"]*)"', where))


def failing(folder: Path, cases: Mapping[str, tuple[Rules, Iterable[Story]]]) -> dict[str, str]:
    """Tell promtool each case, all in one go; -> what it said of those that are not as they are told."""
    files = []
    for number, (name, (made, stories)) in enumerate(cases.items()):
        told = list(stories)
        (folder / f"{number}.rules.yml").write_text(yaml.safe_dump(made))
        test = {
            "rule_files": [f"{number}.rules.yml"],
            "evaluation_interval": told[0].every,
            "group_eval_order": [group["name"] for group in made["groups"]],
            "tests": [story.as_test() for story in told],
        }
        (folder / f"{number}.test.yml").write_text(f"# {name}\n" + yaml.safe_dump(test))
        files.append(f"{number}.test.yml")
    together = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}  # complaints stand below the file's name
    done = subprocess.run(["promtool", "test", "rules", *files], cwd=folder, text=True, check=False, **together)
    said = re.split(r"^Unit Testing: +(.*)$", done.stdout, flags=re.MULTILINE)
    outcome = dict(zip(said[1::2], said[2::2], strict=True))
    assert set(outcome) == set(files), done.stdout
    return {
        name: outcome[file].strip() for name, file in zip(cases, files, strict=True) if "SUCCESS" not in outcome[file]
    }
