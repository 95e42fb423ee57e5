"""What docs/how-to-deploy-gate.md says of exit status holds in a shell. What `check` ends with is tests/system's."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from monitor.cli.common import EXIT
from monitor.core.verdict import Verdict
from tests.docs.pages import Page
from tests.docs.shell import commands, ours
from tests.docs.test_documents import ROOT

PAGE = Page.read(ROOT / "docs" / "how-to-deploy-gate.md")
TOLERANT = re.compile(r"holdfast check production[^\n\"]*\|\| \[ \$\? -eq 1 \]")


BASE = ROOT / "deploy" / "kubernetes" / "base"
OVERLAY = ROOT / "deploy" / "kubernetes" / "overlays" / "example"


def block(word: str) -> str:
    """The one block of the page that has this word."""
    (text,) = (text for _, text in PAGE.blocks if word in text)
    return text


def one(file: Path) -> dict[str, Any]:
    """A manifest."""
    made: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return made


def ending(folder: Path, code: int) -> dict[str, str]:
    """The variables of a shell that finds a program in place of holdfast, which says so and ends with this."""
    program = folder / "holdfast"
    program.write_text(f"#!/bin/sh\necho ended with {code}\nexit {code}\n", encoding="utf-8")
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(folder / "summary")}


@pytest.mark.parametrize(("code", "passes"), [(0, True), (1, True), (2, False), (3, False), (64, False), (78, False)])
def test_only_slow_is_let_through(tmp_path: Path, code: int, passes: bool) -> None:  # noqa: FBT001  a table's column
    """The shell's line lets 0 and 1 pass, and nothing else; a program that ends so stands for holdfast."""
    lines = TOLERANT.findall(PAGE.text)
    assert len(lines) == 2
    for line in lines:
        ended = subprocess.run(["sh", "-c", line], env=ending(tmp_path, code), stdout=subprocess.DEVNULL, check=False)
        assert (ended.returncode == 0) is passes


@pytest.mark.parametrize(("code", "state"), [(0, 0), (1, 1), (2, 2), (3, 3), (64, 3), (78, 3), (143, 3)])
def test_nagios_sees_no_other_number_than_its_own(tmp_path: Path, code: int, state: int) -> None:
    """The command as Nagios hands it to a shell: what is no state of a plugin is UNKNOWN, and not CRITICAL."""
    (line,) = re.findall(r"command_line +(.+)", block("define command"))
    assert not set(line) & {";"}, "a comment, to Nagios"
    command = line.replace("/opt/holdfast/bin/", "").replace("$ARG1$", "production").replace("$$", "$")
    ended = subprocess.run(["sh", "-c", command], env=ending(tmp_path, code), stdout=subprocess.DEVNULL, check=False)
    assert ended.returncode == state


@pytest.mark.parametrize("code", [0, 2])
def test_github_fails_and_shows_what_was_found(tmp_path: Path, code: int) -> None:
    """The step ends as the check does, and its text is in the log and in the summary."""
    (step,) = (each for each in yaml.safe_load(block("GITHUB_STEP_SUMMARY"))["jobs"]["gate"]["steps"] if "run" in each)
    assert step["shell"] == "bash"
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    ended = subprocess.run(command, env=ending(tmp_path, code), capture_output=True, text=True, check=False)
    said = f"ended with {code}\n"
    assert (ended.returncode, ended.stdout) == (code, said)
    assert (tmp_path / "summary").read_text("utf-8") == f"~~~\n{said}~~~\n"


def pods() -> list[dict[str, Any]]:
    """The pods of both Jobs."""
    job, analysis = (yaml.safe_load(block(word)) for word in ("kind: Job", "name: holdfast-check"))
    kubernetes_validate.validate(job, "1.33", strict=True)
    assert job["metadata"]["namespace"] == one(OVERLAY / "kustomization.yaml")["namespace"]
    (metric,) = analysis["spec"]["metrics"]
    return [each["template"]["spec"] for each in (job["spec"], metric["provider"]["job"]["spec"])]


def test_its_pods_are_as_the_daemons() -> None:
    """Restricted as it is, with its variables, its configuration and its secrets; a check has no state."""
    daemon, more = (one(each / "deployment.yaml")["spec"]["template"]["spec"] for each in (BASE, OVERLAY))
    (watching,), (added,) = daemon["containers"], more["containers"]
    for pod in pods():
        (container,) = pod["containers"]
        for name in ("automountServiceAccountToken", "enableServiceLinks", "securityContext"):
            assert pod[name] == daemon[name]
        assert container["securityContext"] == watching["securityContext"]
        assert container["env"] == watching["env"] + added["env"]
        for found, expected in (
            (container["volumeMounts"], watching["volumeMounts"]),
            (pod["volumes"], daemon["volumes"]),
        ):
            assert found == [each for each in expected if each["name"] != "state"]


def test_the_daemon_is_asked_where_it_is() -> None:
    """By the name of its Service in the overlay's namespace; the policy admits who asks, and still Prometheus."""
    service, namespace = one(BASE / "service.yaml"), one(OVERLAY / "kustomization.yaml")["namespace"]
    (port,) = service["spec"]["ports"]
    assert f"url: http://{service['metadata']['name']}.{namespace}.svc:{port['port']}/health/" in block("jsonPath")
    (shipped,) = one(BASE / "networkpolicy.yaml")["spec"]["ingress"]
    (rule,) = yaml.safe_load(block("ingress:"))["ingress"]
    assert rule["ports"] == shipped["ports"]
    assert rule["from"][:-1] == shipped["from"]
    assert rule["from"][-1]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "argo-rollouts"}


def test_the_table_has_the_exit_status_of_each_verdict() -> None:
    """Nagios knows the same four, by the same numbers."""
    assert EXIT == {Verdict.OK: 0, Verdict.SLOW: 1, Verdict.VIOLATED: 2, Verdict.UNKNOWN: 3}
    for code in EXIT.values():
        assert re.search(rf"^\| {code} \|", PAGE.text, re.MULTILINE)


def test_every_way_has_a_command_that_is_checked() -> None:
    """Each block of the page that starts Holdfast is seen by the checker of documents."""
    seen = [words for kind, text in PAGE.blocks for words in ours(commands(kind, text), "holdfast")]
    assert [words[0] for words in seen if words] == ["check"] * 8  # none are names of things


def test_its_jobs_are_run_once() -> None:
    """No gate tries again: a loss that happens every other time would pass."""
    jobs = [document for kind, text in PAGE.blocks if kind == "yaml" for document in yaml.safe_load_all(text)]
    limits = re.findall(r"'backoffLimit': (\d+)", str(jobs))
    assert limits == ["0", "0"]
