"""deploy/compose.yaml fits together: what is mounted is there, what is asked for is open, and nothing secret is in it.

No engine is at hand to run it. What runs in its containers is asked of the real programs.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from monitor.cli import app
from monitor.stores.provision import redis_acl
from tests.dashboards.panels import DEPLOY, ROOT

FOLDER = ROOT / "deploy"
TEXT = (FOLDER / "compose.yaml").read_text("utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES: Mapping[str, Mapping[str, Any]] = COMPOSE["services"]
PARTS = ("postgres", "redis", "holdfast", "prometheus", "alertmanager", "grafana")


def mounts(service: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """What is mounted: from where, to where, and whether it is read only."""
    return [
        (source, target, mode == ["ro"])
        for source, target, *mode in (each.split(":") for each in service.get("volumes", ()))
    ]


def passwords(folder: Path) -> dict[str, str]:
    """What the first service makes up, in this folder instead of its volume."""
    subprocess.run(["sh", FOLDER / "compose" / "passwords.sh", folder], check=True)
    return {file.name: file.read_text("utf-8") for file in folder.iterdir()}


def test_all_parts_are_there() -> None:
    """Every part starts by one command: what it needs starts before it, and is well or has done its work."""
    assert set(SERVICES) == {"passwords", *PARTS}
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in SERVICES, name
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed], f"{name} waits for {needed}, which never says that it is well"
    checked = {name for name, service in SERVICES.items() if "healthcheck" in service}
    assert checked == set(PARTS) - {"holdfast"}
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text("utf-8")


def test_images_are_of_one_version() -> None:
    """Each image is pinned, but for our own, which is built."""
    for name, service in SERVICES.items():
        assert ("build" in service) or re.search(r":v?\d+\.\d+[.\d]*(-\w+)?$", service["image"]), name
    build = SERVICES["holdfast"]["build"]
    assert (FOLDER / build["context"] / build["dockerfile"]).resolve() == ROOT / "Dockerfile"


def test_mounts_are_there_and_cannot_be_written() -> None:
    """What is mounted of this repository is in it, and read only; what is written goes into a named volume."""
    for name, service in SERVICES.items():
        for source, target, read_only in mounts(service):
            if source.startswith("."):
                assert (FOLDER / source).exists(), f"{name}: {source}"
                assert read_only, f"{name}: {target}"
            else:
                assert source in COMPOSE["volumes"], f"{name}: {source}"
                assert read_only == (source == "passwords" and name != "passwords")


def test_ports_are_on_loopback_and_answer_for_their_service() -> None:
    """Nothing is open to the network, and each health is asked where its service listens."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    ports = {"holdfast": 9464, "prometheus": 9090, "alertmanager": 9093, "grafana": 3000}
    assert published == {name: [f"127.0.0.1:{port}:{port}"] for name, port in ports.items()}
    for name in ("prometheus", "alertmanager", "grafana"):
        assert f"http://127.0.0.1:{ports[name]}/" in str(SERVICES[name]["healthcheck"]["test"])


def test_no_password_stands_in_it(tmp_path: Path) -> None:
    """Passwords are made up at the first start, and stay at the next; no file of the repository has one."""
    first = passwords(tmp_path)
    assert passwords(tmp_path) == first
    secrets = {first[name] for name in ("superuser", "application", "redis")}
    assert len(secrets) == 3
    assert {len(secret) for secret in secrets} == {32}
    assert not re.search(
        r"(?i)password: |:[^$/{}\s]+@", TEXT + (FOLDER / "compose" / "holdfast.yaml").read_text("utf-8")
    )


def test_scripts_are_run_and_not_sourced() -> None:
    """PostgreSQL's image sources a script that is not executable, and would take its options for its own."""
    for file in (FOLDER / "compose").glob("*.sh"):
        assert file.stat().st_mode & 0o111 == 0o111, file
        assert file.read_text("utf-8").startswith("#!/bin/")


def test_the_acl_is_what_the_probes_need(tmp_path: Path) -> None:
    """Redis knows one user, with the rights that `holdfast setup --print` shows, and nobody else."""
    made = passwords(tmp_path)
    needed = redis_acl(user="holdfast").removeprefix("ACL SETUSER ").replace("CHOOSE-A-PASSWORD", made["redis"])
    assert made["redis.acl"].splitlines() == ["user default off", f"user {needed}"]


def test_holdfast_can_use_its_configuration(tmp_path: Path) -> None:
    """It names the services as they are called here, and the passwords where they are mounted."""
    passwords(tmp_path)
    text = (FOLDER / "compose" / "holdfast.yaml").read_text("utf-8")
    file = tmp_path / "holdfast.yaml"
    file.write_text(text.replace("/passwords/", f"{tmp_path}/"))
    ended = CliRunner().invoke(app, ["config", "check", "--config", str(file)])
    assert ended.exit_code == 0, ended.output
    assert set(re.findall(r"@(\w+):\d+", text)) == {"postgres", "redis"}
    assert SERVICES["postgres"]["environment"]["POSTGRES_DB"] == "app"


@pytest.mark.debian
def test_prometheus_can_use_its_configuration() -> None:
    """Promtool finds nothing to complain of; the daemon and Alertmanager are where it looks for them."""
    file = FOLDER / "prometheus" / "prometheus.yml"
    subprocess.run(["promtool", "check", "config", file], check=True, capture_output=True)
    read = yaml.safe_load(file.read_text("utf-8"))
    (scrape,), (told,) = read["scrape_configs"], read["alerting"]["alertmanagers"]
    assert [each["static_configs"][0]["targets"] for each in (scrape, told)] == [
        ["holdfast:9464"],
        ["alertmanager:9093"],
    ]
    assert scrape["job_name"] == "holdfast"


def test_grafana_finds_dashboards_and_prometheus() -> None:
    """The folder that is provisioned is where the dashboards are mounted, and the data source is the service.

    It is the command's, but for being the default: only a Grafana that has no other may be told so.
    """
    targets = {target: source for source, target, _ in mounts(SERVICES["grafana"])}
    (provider,) = yaml.safe_load((DEPLOY / "provisioning" / "dashboards" / "holdfast.yml").read_text())["providers"]
    mounted = FOLDER / targets[provider["options"]["path"]]
    assert sorted(file.name for file in mounted.iterdir()) == ["holdfast-detail.json", "holdfast-overview.json"]
    used = FOLDER / targets["/etc/grafana/provisioning/datasources/holdfast.yml"]
    (source,), (example,) = (
        yaml.safe_load(file.read_text("utf-8"))["datasources"]
        for file in (used, DEPLOY / "provisioning" / "datasources" / "holdfast.yml")
    )
    assert source["url"] == "http://prometheus:9090"
    assert example["isDefault"] is False
    assert source == {**example, "isDefault": True}
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (mounted / home.name).exists()
