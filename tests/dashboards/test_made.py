"""Dashboards are made of the configuration, name nothing that is not there, and fit Grafana's model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units
from typer.testing import CliRunner

from monitor.cli import app
from monitor.columns import RUN
from tests.dashboards.panels import DEPLOY, ROOT, UIDS, Dashboard, panels, queries, read

DEFAULTS = ROOT / "config" / "holdfast.yaml"
PAGE = (ROOT / "tests" / "golden" / "metrics.txt").read_text("utf-8")
RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text("utf-8"))
PROVIDED = {"__rate_interval", "__range"}
"""Variables that Grafana has of its own in queries."""


def made(*arguments: str | Path) -> str:
    """What the command prints; it must end with 0."""
    ended = CliRunner().invoke(app, ["dashboard", *map(str, arguments)])
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def configured(folder: Path, **environment: object) -> Path:
    """A configuration of one environment."""
    file = folder / "holdfast.yaml"
    stores = {"redis": {"url": "redis://localhost"}}
    file.write_text(yaml.safe_dump({"environments": {"production": {**stores, **environment}}}))
    return file


def rows(text: str) -> list[str]:
    """The headings of a dashboard's rows."""
    return [panel["title"] for panel in json.loads(text)["panels"] if panel["type"] == "row"]


def test_the_files_are_what_the_command_says(tmp_path: Path) -> None:
    """deploy/grafana is made of the defaults: `holdfast dashboard -c config/holdfast.yaml -o deploy/grafana`."""
    made("--config", DEFAULTS, "--out", tmp_path)
    found, expected = (
        {str(file.relative_to(folder)): file.read_text("utf-8") for file in folder.rglob("*") if file.is_file()}
        for folder in (DEPLOY, tmp_path)
    )
    assert found == expected
    for uid in UIDS:
        assert made(uid.removeprefix("holdfast-"), "--config", DEFAULTS) == expected[f"dashboards/{uid}.json"]


@pytest.mark.parametrize("uid", UIDS)
def test_every_metric_is_exported(uid: str) -> None:
    """Whatever a panel reads is on the golden page, or recorded by the rules."""
    exported = set(re.findall(r"^(holdfast_\w+)[{ ]", PAGE, flags=re.MULTILINE))
    recorded = {rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule}
    for query in queries(read(uid)):
        named = set(re.findall(r"\bholdfast[:_][\w:]+", re.sub(r'"[^"]*"', "", query.expr)))
        assert named <= exported | recorded, query.panel
        assert named or "ALERTS" in query.expr or query.expr.startswith("vector("), query.panel


@pytest.mark.parametrize("uid", UIDS)
def test_every_label_is_exported(uid: str) -> None:
    """A matcher names a label that the page has beside the metric."""
    for query in queries(read(uid)):
        for metric, matchers in re.findall(r"\b(holdfast_\w+)\{([^}]*)\}", query.expr):
            line = next(line for line in PAGE.splitlines() if line.startswith(metric + "{"))
            assert set(re.findall(r"(\w+)[=!]~?\"", matchers)) <= set(re.findall(r'(\w+)="', line)), query.panel


@pytest.mark.parametrize("uid", UIDS)
def test_a_legend_names_labels_that_its_series_have(uid: str) -> None:
    """No entry of a legend stays empty: each label in it is one by which its query groups."""
    for query in queries(read(uid)):
        grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", query.expr))))
        if "ALERTS{" not in query.expr:
            assert set(re.findall(r"{{(\w+)}}", query.legend)) <= grouped, query.panel


@pytest.mark.parametrize("uid", UIDS)
def test_every_variable_is_declared(uid: str) -> None:
    """Queries use the variables at the top of their dashboard, and what Grafana has of its own."""
    declared = {variable["name"] for variable in read(uid)["templating"]["list"]}
    for query in queries(read(uid)):
        assert set(re.findall(r"\$(\w+)", query.expr)) <= declared | PROVIDED, query.panel
    assert declared - {"window", "datasource"} == {"location", "environment", *(["probe"] if "detail" in uid else [])}


@pytest.mark.parametrize("uid", UIDS)
def test_every_panel_can_be_read(uid: str) -> None:
    """It has a title of its own, a sentence, a unit that Grafana knows, words for no data, and the chosen source."""
    known = {value for value in vars(units).values() if isinstance(value, str)}
    found = panels(read(uid))
    assert len({panel["title"] for panel in found}) == len(found)
    for panel in found:
        usual = panel["fieldConfig"]["defaults"]
        assert re.fullmatch(r"[A-Z`0-9].{20,}\.", panel["description"]), panel["title"]
        assert usual["unit"] in known, panel["title"]
        assert usual["noValue"], panel["title"]
        assert {panel["datasource"]["uid"], *(each["datasource"]["uid"] for each in panel["targets"])} == {
            "${datasource}"
        }


@pytest.mark.parametrize("uid", UIDS)
def test_panels_lie_side_by_side(uid: str) -> None:
    """None overlaps another, and none reaches beyond the edge; each has an id of its own."""
    taken: dict[tuple[int, int], str] = {}
    everything = read(uid)["panels"]
    for panel in everything:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    assert len({panel["id"] for panel in everything}) == len(everything)


@pytest.mark.parametrize("uid", UIDS)
def test_it_is_of_grafanas_model(uid: str) -> None:
    """Read and written by Grafana's own types nothing is lost, so that nothing is there that they do not know."""
    register_default_plugins()
    as_read = json.loads(json.dumps(model.Dashboard.from_json(dict(read(uid))), cls=JSONEncoder))
    for each in (*as_read["links"], *as_read["annotations"]["list"]):
        del each["placement"]
    assert as_read == read(uid)


def _addresses(made: Dashboard) -> set[str]:
    """Every dashboard that a link of this one leads to."""
    return set(re.findall(r'"/d/([\w-]+)', json.dumps(made)))


def test_dashboards_lead_to_each_other() -> None:
    """Their uids are fixed, as bookmarks and alerts hold them; each leads to the other, and to the status page."""
    assert {uid: read(uid)["uid"] for uid in UIDS} == {uid: uid for uid in UIDS}
    assert {uid: _addresses(read(uid)) for uid in UIDS} == {
        "holdfast-overview": {"holdfast-detail"},
        "holdfast-detail": {"holdfast-overview"},
    }
    for uid in UIDS:
        assert [each["url"] for each in read(uid)["links"] if each["title"] == "Status page"] == [
            "http://localhost:9464"
        ]


def test_links_name_variables_that_the_detail_has() -> None:
    """What a cell hands on arrives: the detail has a variable for each parameter."""
    there = {variable["name"] for variable in read("holdfast-detail")["templating"]["list"]}
    links = set(re.findall(r'"/d/holdfast-detail\?([^"]+)"', json.dumps(read("holdfast-overview"))))
    assert links
    for link in links:
        assert {*re.findall(r"var-(\w+)=", link), *re.findall(r"\${(\w+):queryparam}", link)} <= there


def test_points_lead_to_their_run(tmp_path: Path) -> None:
    """The provisioned data source makes of an exemplar's run the address of its page; a $ of Grafana's is doubled."""
    made("--config", DEFAULTS, "--out", tmp_path, "--page", "https://holdfast.example/")
    source = yaml.safe_load((tmp_path / "provisioning" / "datasources" / "holdfast.yml").read_text())
    ((found,),) = (each["jsonData"]["exemplarTraceIdDestinations"] for each in source["datasources"])
    assert (found["name"], found["url"]) == (RUN, "https://holdfast.example/runs/$${__value.raw}")


def test_labels_of_the_operator_are_variables(tmp_path: Path) -> None:
    """One can choose by them, every query of environments obeys, and a link keeps the choice."""
    text = made("--config", configured(tmp_path, labels={"tier": "critical"}))
    names = [variable["name"] for variable in json.loads(text)["templating"]["list"]]
    assert names == ["datasource", "location", "tier", "environment"]
    for query in queries(json.loads(text)):
        for selector in re.findall(r"{([^}]*environment=~[^}]*)}", query.expr):
            assert 'tier=~"$tier' in selector, query.panel
    assert "${tier:queryparam}" in text


def test_what_no_environment_has_is_left_out(tmp_path: Path) -> None:
    """Without ledger, propagation or impact there is no row of it."""
    off = {"durability": {"enabled": False}, "sync": {"enabled": False}}
    whole = rows(made("detail", "--config", DEFAULTS))
    spare = rows(made("detail", "--config", configured(tmp_path, probes=off)))
    assert [row for row in whole if row not in spare] == [
        "From one place to another",
        "Acknowledged writes and failovers",
        "What it means to people",
    ]
    worth = configured(tmp_path, probes=off, impact={"users": 5})
    assert "What it means to people" in rows(made("detail", "--config", worth))


def test_a_source_can_be_named(tmp_path: Path) -> None:
    """It is the one that is chosen at first, and nothing is written that would replace it."""
    text = made("--config", DEFAULTS, "--datasource", "Mimir")
    (source,) = (each for each in json.loads(text)["templating"]["list"] if each["name"] == "datasource")
    assert source["current"]["value"] == "Mimir"
    made("--config", DEFAULTS, "--datasource", "Mimir", "--out", tmp_path)
    assert sorted(each.name for each in (tmp_path / "provisioning").iterdir()) == ["dashboards"]


def test_config_maps_for_the_sidecar(tmp_path: Path) -> None:
    """Each is valid, small enough for `kubectl apply`, labelled for the sidecar, and holds what the file holds."""
    text = made("--config", DEFAULTS, "--format", "kubernetes")
    found = list(yaml.safe_load_all(text))
    for each in found:
        kubernetes_validate.validate(each, "1.33", strict=True)
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert len(json.dumps(each)) < 262_144
    held = {name: text for each in found for name, text in each["data"].items()}
    assert held == {f"{uid}.json": (DEPLOY / "dashboards" / f"{uid}.json").read_text("utf-8") for uid in UIDS}
    made("--config", DEFAULTS, "--format", "kubernetes", "--out", tmp_path / "maps.yml")
    assert (tmp_path / "maps.yml").read_text("utf-8") == text


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """The message names the file and the reason."""
    (tmp_path / "file").touch()
    ended = CliRunner().invoke(app, ["dashboard", "--config", str(DEFAULTS), "--out", str(tmp_path / "file")])
    assert ended.exit_code == 1
    assert f"cannot write {tmp_path / 'file'}/dashboards/holdfast-overview.json: Not a directory" in ended.output
