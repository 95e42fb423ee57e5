"""What orchestrators, load balancers and people on call are told."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from monitor.core.verdict import Reason, Verdict
from monitor.ports import Store
from monitor.web.daemon import Resting

from . import FINDINGS, LOST, NOON, SmallDaemon, watched


@pytest.mark.parametrize(("stall", "status"), [(0.0, 200), (4.9, 200), (5.0, 503), (60.0, 503)])
async def test_alive_while_the_loop_turns(
    daemon: SmallDaemon, client: httpx.AsyncClient, stall: float, status: int
) -> None:
    """/healthz is 200 until the loop has not turned for five seconds."""
    daemon.stall = stall
    assert (await client.get("/healthz")).status_code == status


async def test_ready_once_nothing_is_missing(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """/readyz is 503 and names each thing that is missing, then 200."""
    daemon.lacking = ["the first round of runs is not done", "no configuration"]
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.text == "not ready\n- the first round of runs is not done\n- no configuration\n"
    daemon.lacking = []
    assert (await client.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    ("verdict", "status"),
    [(Verdict.OK, 200), (Verdict.SLOW, 200), (Verdict.UNKNOWN, 503), (Verdict.VIOLATED, 503)],
)
async def test_environment_is_well_while_ok_or_slow(
    daemon: SmallDaemon, client: httpx.AsyncClient, verdict: Verdict, status: int
) -> None:
    """/health/ENV has a code for each verdict, decided by the worst probe."""
    await daemon.all_ran(FINDINGS[Verdict.OK])
    await daemon.ran(FINDINGS[verdict])
    answer = await client.get("/health/production")
    assert answer.status_code == status
    assert answer.json()["verdict"] == verdict


async def test_an_ok_from_before_its_store_was_left_alone_is_unknown(
    daemon: SmallDaemon, client: httpx.AsyncClient
) -> None:
    """While a store rests nothing that needs it is shown as ok, and the reason is what the store said."""
    await daemon.all_ran(FINDINGS[Verdict.OK])
    daemon.sick = {Store.POSTGRES: Resting(NOON, Reason.UNREACHABLE, "connection refused by db:5432")}
    answer = await client.get("/health/production")
    chat = answer.json()["probes"]["chat"]
    assert (answer.status_code, chat["verdict"], chat["reason"]) == (503, "unknown", "unreachable")
    assert chat["message"] == "postgres is left alone, because a run failed: connection refused by db:5432"


async def test_environment_is_unknown_until_each_probe_has_run(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A probe that has not run makes its environment unknown, however well the others are."""
    await daemon.ran(FINDINGS[Verdict.OK], probe="chat")
    answer = await client.get("/health/production")
    assert answer.status_code == 503
    assert answer.json()["verdict"] == "unknown"
    assert answer.json()["probes"]["basket"] == {
        "left_out": [],
        "verdict": "unknown",
        "reason": None,
        "message": "has not run yet",
        "last_run": None,
        "age_seconds": None,
        "took_seconds": None,
        "overdue": False,
        "run_id": None,
    }
    await daemon.ran(FINDINGS[Verdict.OK], probe="basket")
    assert (await client.get("/health/production")).status_code == 200


async def test_environment_without_probes_is_unknown(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """Where nothing is checked, nothing is well."""
    daemon.watch(watched("empty"))
    answer = await client.get("/health/empty")
    assert (answer.status_code, answer.json()["verdict"]) == (503, "unknown")


async def test_run_of_a_probe_that_is_no_longer_watched_decides_nothing(
    daemon: SmallDaemon, client: httpx.AsyncClient
) -> None:
    """What a probe found before it was switched off is not held against its environment."""
    await daemon.all_ran(FINDINGS[Verdict.OK])
    await daemon.ran(FINDINGS[Verdict.UNKNOWN], probe="retired")
    answer = await client.get("/health/production")
    assert (answer.status_code, sorted(answer.json()["probes"])) == (200, ["basket", "chat"])


async def test_people_on_call_see_what_is_wrong(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """The body says what was expected and found, why a probe could not tell, how old that is, and of a pause."""
    violated = await daemon.ran(FINDINGS[Verdict.VIOLATED], probe="chat")
    await daemon.ran(FINDINGS[Verdict.UNKNOWN], probe="basket")
    daemon.clock.moment += timedelta(seconds=12.5)
    daemon.pauses["production"] = NOON + timedelta(hours=1)
    body = (await client.get("/health/production")).json()
    assert (body["environment"], body["verdict"]) == ("production", "violated")
    assert body["paused_until"] == "2026-03-01T13:00:00.000Z"
    (violation,) = body["violations"]
    shown = {name: violation[name] for name in ("kind", "stage", "subject", "expected", "actual", "probe", "opened")}
    assert shown == {
        "kind": "lost",
        "stage": "open",
        "subject": LOST.subject,
        "expected": LOST.expected,
        "actual": LOST.actual,
        "probe": "chat",
        "opened": "2026-03-01T12:00:00.000Z",
    }
    assert body["probes"]["chat"]["run_id"] == violated.run_id
    basket = body["probes"]["basket"]
    assert (basket["reason"], basket["message"]) == ("unreachable", "connection refused")
    assert (basket["last_run"], basket["age_seconds"]) == ("2026-03-01T12:00:00.000Z", 12.5)


async def test_verdict_that_is_too_old_is_overdue(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A verdict that no run has replaced for three intervals and a timeout is called overdue, unless paused."""
    await daemon.all_ran(FINDINGS[Verdict.OK])

    async def overdue() -> bool:
        body = (await client.get("/health/production")).json()
        return bool(body["probes"]["chat"]["overdue"])

    daemon.clock.moment += timedelta(seconds=100)
    assert not await overdue()
    daemon.clock.moment += timedelta(seconds=1)
    assert await overdue()
    assert "overdue" in (await client.get("/")).text
    daemon.pauses["production"] = NOON + timedelta(hours=1)
    assert not await overdue()


async def test_health_needs_no_state_database(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """/health/ENV tells the verdicts although the state database does not answer."""
    daemon.state.trouble = "the disk is full"
    await daemon.all_ran(FINDINGS[Verdict.OK])
    assert (await client.get("/health/production")).status_code == 200


async def test_unknown_environment_is_answered_with_the_nearest(client: httpx.AsyncClient) -> None:
    """A slip in the name of an environment is 404, and says what was perhaps meant."""
    answer = await client.get("/health/prodution")
    assert answer.status_code == 404
    assert answer.json() == {
        "error": {"message": "there is no environment named 'prodution'", "next": "did you mean production?"}
    }


@pytest.mark.parametrize(
    ("accept", "content_type", "beginning"),
    [
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8", "# HELP holdfast_runs_total "),
        (
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "# HELP holdfast_runs ",
        ),
    ],
)
async def test_metrics_come_in_the_format_that_is_asked_for(
    daemon: SmallDaemon, client: httpx.AsyncClient, accept: str, content_type: str, beginning: str
) -> None:
    """/metrics counts the runs, in the format of the Accept header, without creation times."""
    await daemon.ran(FINDINGS[Verdict.OK])
    answer = await client.get("/metrics", headers={"accept": accept})
    assert answer.headers["content-type"] == content_type
    assert answer.text.startswith(beginning)
    line = 'holdfast_runs_total{environment="production",location="eu-west-1",probe="chat",verdict="ok"} 1.0'
    assert line in answer.text.splitlines()
    assert "_created" not in answer.text


async def test_metrics_follow_a_new_registry(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """Where a new configuration brought a new registry, that one is shown."""
    assert 'location="eu-west-1"' in (await client.get("/metrics")).text
    daemon.metrics.shape(location="us-1", labels=(), budgets=())
    answer = await client.get("/metrics")
    assert 'location="us-1"' in answer.text
    assert 'location="eu-west-1"' not in answer.text


@pytest.mark.parametrize(
    ("later", "pause", "verdict", "reason", "status"),
    [
        (timedelta(seconds=100), None, "ok", None, 200),
        (timedelta(seconds=101), None, "unknown", "missed", 503),
        (timedelta(seconds=1), timedelta(hours=1), "unknown", "paused", 503),
    ],
    ids=["fresh", "overdue", "paused"],
)
async def test_an_old_ok_is_not_ok(  # noqa: PLR0917  a row of the table
    daemon: SmallDaemon,
    client: httpx.AsyncClient,
    later: timedelta,
    pause: timedelta | None,
    verdict: str,
    reason: str | None,
    status: int,
) -> None:
    """That all was right counts only as long as somebody keeps looking: overdue or paused, it is unknown."""
    await daemon.all_ran(FINDINGS[Verdict.OK])
    daemon.clock.moment += later
    if pause:
        daemon.pauses["production"] = NOON + pause
    answer = await client.get("/health/production")
    chat = answer.json()["probes"]["chat"]
    assert (answer.status_code, answer.json()["verdict"], chat["reason"]) == (status, verdict, reason)


async def test_a_violation_stays_one_in_a_pause(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """What was found broken is not hidden by a pause."""
    await daemon.all_ran(FINDINGS[Verdict.VIOLATED])
    daemon.pauses["production"] = NOON + timedelta(hours=1)
    assert (await client.get("/health/production")).json()["verdict"] == "violated"
