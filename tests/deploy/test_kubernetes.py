"""The manifests are valid, hang together, say what the image and the configuration say, and give the pod no right."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

import monitor.probes
from monitor.cli import app
from monitor.configfile import load
from monitor.probe import discover
from tests.deploy.dockerfile import stages
from tests.deploy.kustomized import Thing, kustomized

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
KUBERNETES = ROOT / "deploy" / "kubernetes"
EXAMPLE = KUBERNETES / "overlays" / "example"
MADE = kustomized(EXAMPLE)
DEPLOYMENT = MADE["Deployment", "holdfast"]["spec"]
POD = DEPLOYMENT["template"]["spec"]
(CONTAINER,) = POD["containers"]
LABELS = DEPLOYMENT["template"]["metadata"]["labels"]
CONFIGURATION = MADE["ConfigMap", "holdfast"]["data"]["holdfast.yaml"]
FINAL = {step.name: step.text for step in stages(ROOT / "Dockerfile")["final"]}
VERSIONS = ("1.28", "1.37")
"""Of Kubernetes, from the oldest that is still about to the newest that is known here."""


@pytest.mark.parametrize("thing", MADE.values(), ids=["/".join(key) for key in MADE])
def test_each_is_valid(thing: Thing) -> None:
    """Kubernetes' own schema, strictly, or the operator's: nothing is missing, misspelled or of a wrong type."""
    schema = HERE / "schemas" / f"{thing['kind']}.json"
    if schema.exists():
        jsonschema.Draft202012Validator(json.loads(schema.read_text("utf-8"))).validate(thing)
    else:
        for version in VERSIONS:
            kubernetes_validate.validate(thing, version, strict=True)


@pytest.mark.parametrize("folder", [KUBERNETES / "base", EXAMPLE], ids=lambda path: path.name)
def test_every_file_is_used(folder: Path) -> None:
    """A manifest that kustomization.yaml does not name would be forgotten."""
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    generated = [name for made in plan.get("configMapGenerator", []) for name in made["files"]]
    used = {*plan["resources"], *generated, *(patch["path"] for patch in plan.get("patches", [])), "kustomization.yaml"}
    assert {path.name for path in folder.iterdir()} == {name for name in used if not (folder / name).is_dir()}


def test_what_the_pod_names_is_there() -> None:
    """ConfigMap, Secret with its keys, claim and account exist, and every volume is mounted."""
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    secret = MADE["Secret", volumes["secrets"]["secret"]["secretName"]]["stringData"]
    asked = [variable["valueFrom"]["secretKeyRef"] for variable in CONTAINER["env"]]
    assert {reference["name"] for reference in asked} == {volumes["secrets"]["secret"]["secretName"]}
    files = re.findall(r"\$\{file:/run/secrets/holdfast/([^}]+)}", CONFIGURATION)
    assert {reference["key"] for reference in asked} | set(files) == set(secret)
    assert ("ConfigMap", volumes["configuration"]["configMap"]["name"]) in MADE
    assert ("PersistentVolumeClaim", volumes["state"]["persistentVolumeClaim"]["claimName"]) in MADE
    assert ("ServiceAccount", POD["serviceAccountName"]) in MADE
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == set(volumes)


def test_what_selects_the_pod_finds_it() -> None:
    """Deployment, Service, NetworkPolicy, PodDisruptionBudget and ServiceMonitor select labels and ports that are."""
    service = MADE["Service", "holdfast"]
    monitor_ = MADE["ServiceMonitor", "holdfast"]["spec"]
    policy = MADE["NetworkPolicy", "holdfast"]["spec"]
    for selector in (
        DEPLOYMENT["selector"]["matchLabels"],
        service["spec"]["selector"],
        policy["podSelector"]["matchLabels"],
        MADE["PodDisruptionBudget", "holdfast"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= LABELS.items()
    assert monitor_["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor_["jobLabel"]] == "holdfast"  # the job that the rules look for
    (port,), (listening,) = service["spec"]["ports"], CONTAINER["ports"]
    probes = [CONTAINER[kind]["httpGet"]["port"] for kind in ("startupProbe", "livenessProbe", "readinessProbe")]
    names = {*probes, port["targetPort"], policy["ingress"][0]["ports"][0]["port"]}
    assert names == {listening["name"]}
    assert [endpoint["port"] for endpoint in monitor_["endpoints"]] == [port["name"]]


def test_the_pod_fits_the_image() -> None:
    """User, port, folder of the state and the signal's patience are those of the Dockerfile and of the defaults."""
    security = POD["securityContext"]
    assert FINAL["USER"] == f"{security['runAsUser']}:{security['runAsGroup']}"
    assert FINAL["EXPOSE"] == str(CONTAINER["ports"][0]["containerPort"])
    mounts = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    settings = load(None, probes=discover(monitor.probes), environ={}).settings
    assert mounts["state"] == FINAL["VOLUME"]
    assert settings.state.get_secret_value() == f"sqlite:///{mounts['state']}/state.db"
    assert POD["terminationGracePeriodSeconds"] > settings.shutdown_timeout.total_seconds() + 5


def test_the_pod_has_no_right() -> None:
    """What the Pod Security Standard `restricted` asks, and a root file system that cannot be written."""
    assert (
        POD["securityContext"] | {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        == (POD["securityContext"])
    )
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (POD["automountServiceAccountToken"], POD["enableServiceLinks"]) == (False, False)
    assert (DEPLOYMENT["replicas"], DEPLOYMENT["strategy"]["type"]) == (1, "Recreate")


def test_a_rollout_has_the_time_of_the_first_round() -> None:
    """It is not given up before the probe that runs most seldom, `load`, has had its first run."""
    every = max((probe().every + probe().timeout).total_seconds() for probe in discover(monitor.probes).values())
    startup = CONTAINER["startupProbe"]
    assert DEPLOYMENT["progressDeadlineSeconds"] > every + startup["periodSeconds"] * startup["failureThreshold"]


@pytest.fixture
def configuration(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The example's configuration with secrets in a folder of this test, and the variables that the pod has."""
    (tmp_path / "redis-password").write_text("a%40b\n")
    file = tmp_path / "holdfast.yaml"
    file.write_text(CONFIGURATION.replace("/run/secrets/holdfast", str(tmp_path)))
    return file, {variable["name"]: "secret-1" for variable in CONTAINER["env"]}


def test_the_configuration_can_be_used(configuration: tuple[Path, dict[str, str]]) -> None:
    """It loads with the pod's variables and files, also beside the variables that Kubernetes adds for the Service."""
    file, environ = configuration
    links = {"HOLDFAST_SERVICE_HOST": "10.0.0.1", "HOLDFAST_PORT": "tcp://10.0.0.1:9464"}
    image: dict[str, Any] = {"HOLDFAST_HTTP__LISTEN": "0.0.0.0:9464"}
    loaded = load(file, probes=discover(monitor.probes), environ=environ | image | links)
    assert (loaded.warnings, loaded.settings.http.listen) == ((), "0.0.0.0:9464")


def test_the_rules_are_what_the_command_says(configuration: tuple[Path, dict[str, str]]) -> None:
    """`holdfast rules --format kubernetes`, run where the secrets are, makes prometheusrule.yaml."""
    file, environ = configuration
    ended = CliRunner().invoke(app, ["rules", "--config", str(file), "--format", "kubernetes"], env=environ)
    assert (ended.exit_code, ended.stdout) == (0, (EXAMPLE / "prometheusrule.yaml").read_text("utf-8"))
