"""`holdfast check`: the exit status that deploy gates read, and the three forms of its report."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from monitor.embedded.faults import FAULTS, Fault, Site
from monitor.embedded.faults.fault import REDIS
from monitor.embedded.proxy import TcpProxy
from monitor.embedded.servers import Servers
from tests.system import ENVIRONMENT, Ended, described, holdfast, write
from tests.system.conftest import Place

ROOT = Path(__file__).parents[2]
PATIENT = {"thread": {"budget": "9s"}, "session": {"budget": "9s"}}


async def check(place: Place, *arguments: str, **changes: Any) -> Ended:
    """One round against a test's place."""
    return await holdfast("check", "--config", place.configured(probes=PATIENT, **changes), *arguments)


def cases(document: str) -> dict[str, ET.Element]:
    """The test cases of a JUnit report, by probe; what the common schema asks for is checked on the way."""
    assert document.startswith("<?xml ")
    suites = ET.fromstring(document)  # noqa: S314  our own output
    assert suites.tag == "testsuites"
    (suite,) = list(suites)
    assert suite.tag == "testsuite"
    assert set(suite.attrib) == {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"}
    found = list(suite)
    assert {each.tag for each in found} == {"testcase"}
    assert suite.get("tests") == str(len(found))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert suite.get(attribute) == str(sum(case.find(tag) is not None for case in found))
    for case in found:
        assert {"name", "classname"} <= set(case.attrib) <= {"name", "classname", "time"}
        assert len([child for child in case if child.tag in {"failure", "error", "skipped"}]) <= 1
        assert {child.tag for child in case} <= {"failure", "error", "skipped", "system-out"}
        assert float(case.get("time", "0")) >= 0
    assert abs(float(suite.get("time", "")) - sum(float(case.get("time", "0")) for case in found)) < 0.01
    return {str(case.get("name")): case for case in found}


async def test_healthy_servers_are_ok(place: Place) -> None:
    """On healthy servers the exit is 0, every probe is named with its verdict, and nothing is left behind."""
    ended = await check(place)
    assert (ended.code, ended.err) == (0, "")
    for probe in ("session", "thread"):
        assert any(probe in line and "✔" in line and "checks passed" in line for line in ended.out.splitlines())
    assert ended.out.splitlines()[0] == "✔ ok: 2 probes did what they promise in lime"
    assert ended.out.splitlines()[-1] == "✔ ok"
    assert (await place.rows(), await place.keys()) == (0, [])
    assert not place.state.exists()


async def test_quiet_says_nothing_when_all_is_well(place: Place) -> None:
    """With --quiet a healthy round prints nothing at all."""
    ended = await check(place, "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


async def test_json_reports_every_run(place: Place) -> None:
    """The JSON report has a run for each probe, with its steps, and its verdict is the exit status in words."""
    ended = await check(place, "--format", "json")
    report = json.loads(ended.out)
    assert (ended.code, report["verdict"], {each["why"] for each in report["left_out"]}) == (
        0,
        "ok",
        {"is not enabled"},
    )
    assert [(run["environment"], run["probe"], run["verdict"], run["violations"]) for run in report["runs"]] == [
        (ENVIRONMENT, "session", "ok", []),
        (ENVIRONMENT, "thread", "ok", []),
    ]
    for run in report["runs"]:
        assert run["checks"] > 0
        assert run["steps"]
        assert all(step["took_seconds"] >= 0 and step["failed"] is False for step in run["steps"])
        assert run["started"].endswith("Z")


async def test_junit_counts_what_passed_and_what_was_left_out(place: Place) -> None:
    """A probe that the environment has no store for is a skipped case; what ran is a passed one."""
    ended = await check(place, "--format", "junit", url=None)
    found = cases(ended.out)
    assert ended.code == 0
    assert list(found["thread"]) == []
    skipped = found["session"].find("skipped")
    assert skipped is not None
    assert "needs redis" in str(skipped.get("message"))


async def test_junit_can_stand_beside_the_text(place: Place, tmp_path: Path) -> None:
    """With --junit the console has the text, and the file every case; a file that cannot be written ends it at once."""
    ended = await check(place, "--junit", str(tmp_path / "round.xml"))
    assert (ended.code, ended.out.splitlines()[-1]) == (0, "✔ ok")
    assert {"thread", "session"} <= set(cases((tmp_path / "round.xml").read_text("utf-8")))
    nowhere = await check(place, "--junit", str(tmp_path / "none" / "round.xml"))
    assert (nowhere.code, nowhere.out, "No such file" in nowhere.err) == (64, "", True)


async def test_one_probe_alone(place: Place) -> None:
    """With --probe only that promise is checked."""
    ended = await check(place, ENVIRONMENT, "--probe", "thread", "--format", "json")
    assert ended.code == 0
    assert [run["probe"] for run in json.loads(ended.out)["runs"]] == ["thread"]


async def test_an_environment_that_is_named_twice_is_checked_once(place: Place) -> None:
    """Whoever repeats himself gets one run of each probe."""
    ended = await check(place, ENVIRONMENT, ENVIRONMENT, "--probe", "thread", "--format", "json")
    assert len(json.loads(ended.out)["runs"]) == 1


async def test_a_form_that_is_none_is_told_in_words(place: Place) -> None:
    """An unknown form ends with 64, and the message is ours."""
    ended = await check(place, "--format", "xml")
    assert (ended.code, "'xml' is not one of 'text', 'json', 'junit'" in ended.err) == (64, True)
    assert "Value error" not in ended.err


async def test_slow_is_told_from_ok(place: Place) -> None:
    """A run that is right but over its budget ends with 1."""
    ended = await holdfast(
        "check", "--config", place.configured(probes={"thread": {"budget": "1ms"}}), "-p", "thread", "--format", "json"
    )
    assert (ended.code, json.loads(ended.out)["verdict"]) == (1, "slow")


@asynccontextmanager
async def broken(place: Place, fault: Fault) -> AsyncIterator[dict[str, Any]]:
    """Break the servers' own database, which is the one that faults act on; -> a configuration of it."""
    proxy = TcpProxy(place.servers.valkey.port)
    await proxy.start()
    url = place.url.replace(f":{place.servers.valkey.port}/", f":{proxy.port}/")
    site = Site(servers=place.servers, proxies={REDIS: proxy})
    values = described(place.folder, dsn=place.servers.postgres.dsn, url=url, probes=PATIENT)
    values["environments"] = {"faults": values["environments"][ENVIRONMENT]}  # the name that this database belongs to
    try:
        healthy = await holdfast("check", "--config", write(place.file, values), "--probe", fault.probe)
        assert healthy.code == 0, healthy.out
        await fault.inject(site)
        yield values
    finally:
        await fault.heal(site)
        await proxy.stop()


async def test_what_was_not_checked_is_said_in_every_form(place: Place) -> None:
    """Where there is no replica, what concerns one is left out, and each report says so beside the ok."""
    file = place.configured(probes={"sync": {}})
    as_text, as_json, as_junit = [
        await holdfast("check", "--config", file, *form) for form in ((), ("--format", "json"), ("--format", "junit"))
    ]
    (run,) = json.loads(as_json.out)["runs"]
    about_replicas = [sentence for sentence in run["left_out"] if "replica" in sentence]
    assert run["verdict"] == "ok"
    assert about_replicas
    for sentence in about_replicas:
        assert sentence in " ".join(as_text.out.split())
        assert sentence in as_junit.out


@pytest.mark.parametrize("name", ["rows-dropped-after-commit", "ttl-never-set"])
async def test_a_fault_is_a_violation_with_its_evidence(place: Place, name: str) -> None:
    """Under a fault the exit is 2, and every form of the report carries the kind and its evidence."""
    fault = FAULTS[name]
    async with broken(place, fault) as values:
        file = write(place.file, values)
        as_json, as_junit, as_text = [
            await holdfast("check", "--config", file, *form)
            for form in (("--format", "json"), ("--format", "junit"), ("--quiet",))
        ]
    assert [as_json.code, as_junit.code, as_text.code] == [2, 2, 2]

    report = json.loads(as_json.out)
    runs = {run["probe"]: run for run in report["runs"]}
    assert report["verdict"] == runs[fault.probe]["verdict"] == "violated"
    assert {name for name, run in runs.items() if run["verdict"] != "ok"} == {fault.probe}
    for violation in runs[fault.probe]["violations"]:
        assert violation["kind"] == fault.report
        assert all(violation[part] for part in ("subject", "expected", "actual", "evidence"))

    found = cases(as_junit.out)
    failure = found[fault.probe].find("failure")
    assert failure is not None
    assert failure.get("type") == fault.report
    for violation in runs[fault.probe]["violations"]:
        assert all(f"  {part}: " in (failure.text or "") for part in ("subject", "found", *violation["evidence"]))
    assert str(failure.text).endswith(f"runbook: {runs[fault.probe]['runbook']}")
    assert f"next: {runs[fault.probe]['next']}" in str(failure.text)
    assert [name for name, case in found.items() if case.find("skipped") is None and len(case)] == [fault.probe]

    lines = as_text.out.splitlines()
    assert lines[0] == f"✘ violated: 1 of {len(runs)} probes found a promise broken in faults"
    assert f"✘ faults/{fault.probe}: {fault.report}" in lines
    assert max(map(len, lines)) <= 100
    for part in ("expected", "found", "next", "runbook"):
        assert any(line.startswith(f"  {part} ") for line in lines)
    assert runs[fault.probe]["runbook"] in as_text.out
    assert (ROOT / runs[fault.probe]["runbook"]).is_file()
    assert [line for line in as_text.out.splitlines() if "checks passed" in line] == []


async def test_a_stopped_server_is_unknown(place: Place) -> None:
    """Where a server is not there the exit is 3, with the reason and the next step, and the other store is checked."""
    async with Servers(fsync=False) as own:
        dsn = own.postgres.dsn
        await own.postgres.stop()
        ended = await check(place, "--format", "json", dsn=dsn)
        report = await check(place, "--format", "junit", dsn=dsn)
    runs = {run["probe"]: run for run in json.loads(ended.out)["runs"]}
    assert (ended.code, json.loads(ended.out)["verdict"]) == (3, "unknown")
    assert (runs["thread"]["reason"], runs["session"]["verdict"]) == ("unreachable", "ok")
    assert "check that the server runs" in runs["thread"]["message"]
    assert report.code == 3
    error = cases(report.out)["thread"].find("error")
    assert error is not None
    assert error.get("type") == "unreachable"


async def test_a_frozen_server_is_unknown(place: Place) -> None:
    """A server that accepts and does not answer is unknown after the probe's timeout, and check ends."""
    file = place.configured(probes={"session": {"every": "1m", "timeout": "1s"}})
    place.servers.valkey.pause()
    ended = await holdfast("check", "--config", file, "--probe", "session", "--format", "json")
    place.servers.valkey.resume()
    (run,) = json.loads(ended.out)["runs"]
    assert (ended.code, run["verdict"], run["reason"]) == (3, "unknown", "timeout")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("limes",), "there is no environment 'limes'; did you mean 'lime'?"),
        (("--probe", "thred"), "there is no probe 'thred'; did you mean 'thread'?"),
        (("--format", "xml"), "--format"),
        (("--nope",), "No such option"),
    ],
    ids=["environment", "probe", "form", "option"],
)
async def test_a_wrong_word_is_no_violation(place: Place, arguments: tuple[str, ...], complaint: str) -> None:
    """A typing error ends with 64, on standard error, with a hint; never with a number that means a verdict."""
    ended = await check(place, *arguments)
    assert (ended.code, ended.out) == (64, "")
    assert complaint in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("environments: {lime: {postgres: {dns: x}}}", "holdfast.yaml:1: environments.lime.postgres.dns: unknown key"),
        ("environments: [", "holdfast.yaml:1"),
        ("location: here", "there is nothing to check"),
        (None, "holdfast.yaml: cannot be read (No such file or directory)"),
    ],
    ids=["a wrong key", "no YAML", "no environment", "no file"],
)
async def test_a_wrong_configuration_ends_with_78(place: Place, text: str | None, complaint: str) -> None:
    """A configuration that cannot be used ends with 78 and says where and what is wrong."""
    if text is not None:
        place.file.write_text(text)
    ended = await holdfast("check", "--config", place.file)
    assert (ended.code, ended.out) == (78, "")
    assert complaint in ended.err
    assert "Traceback" not in ended.err
