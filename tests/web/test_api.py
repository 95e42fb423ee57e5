"""The API: what is known, what may be changed, and how a wrong request is refused."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from monitor.core.ledger.found import Standing
from monitor.core.record import RunRecord, StepTiming
from monitor.core.rollup import HOUR, rolled
from monitor.core.verdict import Finding, Kind, Reason, Verdict, Violation
from monitor.ports import StateError, Store
from monitor.web.daemon import Notice, Resting

from . import AUTH, FINDINGS, LOST, NOON, Call, SmallDaemon, kinds

PRODUCTION = "/api/v1/environments/production"


def error(answer: httpx.Response) -> tuple[int, str, str]:
    """The status, the message and the next step of a refusal."""
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"message", "next"}
    return answer.status_code, answer.json()["error"]["message"], answer.json()["error"]["next"]


async def opened(daemon: SmallDaemon) -> str:
    """The id of a violation that has just been opened."""
    await daemon.ran(FINDINGS[Verdict.VIOLATED])
    return daemon.journal.standing()[0].id


async def test_environment_tells_all_that_is_known(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """An environment shows its labels, stores, probes with promise and rhythm, and what is left out and why."""
    await daemon.ran(FINDINGS[Verdict.SLOW])
    answer = await client.get(PRODUCTION)
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert (body["environment"], body["verdict"], body["stores"]) == ("production", "unknown", ["postgres"])
    assert body["labels"] == {"tier": "critical"}
    assert body["left_out"] == {"session": "needs redis, which this environment does not have"}
    chat = body["probes"]["chat"]
    assert (chat["promise"], chat["every_seconds"], chat["timeout_seconds"]) == ("A chat comes back.", 30.0, 10.0)
    assert chat["budget_seconds"] == {"connect": 2.0, "reload": 2.0}
    assert (chat["verdict"], chat["took_seconds"], chat["age_seconds"]) == ("slow", 0.25, 0.0)
    counts = {"ok": 0, "slow": 0, "unknown": 1, "violated": 0}
    about = {"notices": [], "total": 1, "matching": 1, "page": 1, "pages": 1, "counts": counts}
    assert (await client.get("/api/v1/environments")).json() == {"environments": [body], **about}


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/"])
async def test_index_names_every_endpoint_and_what_is_wrong_with_the_daemon(
    daemon: SmallDaemon, client: httpx.AsyncClient, path: str
) -> None:
    """Whoever begins at the top finds every path, which of them need the token, and what somebody should mend."""
    daemon.own_notices = [Notice("configuration", "http has changed; that takes effect at the next start")]
    body = (await client.get(path)).json()
    assert (body["version"], body["location"], body["started"]) == ("1.2.3", "eu-west-1", "2026-02-28T12:00:00.000Z")
    assert body["notices"] == [
        {"about": "configuration", "message": "http has changed; that takes effect at the next start"}
    ]
    assert body["notices"] == (await client.get("/api/v1/environments")).json()["notices"]
    assert {"method": "GET", "path": "/api/v1/runs", "token": False} in body["endpoints"]
    acknowledge = {"method": "POST", "path": "/api/v1/violations/{id}/ack", "token": True}
    assert acknowledge in body["endpoints"]
    for each in body["endpoints"]:
        known = each["path"].format(environment="production", probe="chat", id="0190aaaa-0001")
        if known.endswith("/events"):  # it has no end
            continue
        answer = await client.request(each["method"], known)
        assert answer.status_code in ((401,) if each["token"] else (200, 404)), each


async def test_environment_tells_when_a_sick_store_is_tried_next(
    daemon: SmallDaemon, client: httpx.AsyncClient
) -> None:
    """A store that is left alone is named with the moment of its next trial, for people and on call alike."""
    assert (await client.get(PRODUCTION)).json()["stores_tried_next"] == {}
    daemon.sick = {Store.POSTGRES: Resting(NOON + timedelta(seconds=40), Reason.TIMEOUT, "nothing answered")}
    for path in (PRODUCTION, "/health/production"):
        assert (await client.get(path)).json()["stores_tried_next"] == {"postgres": "2026-03-01T12:00:40.000Z"}


async def test_environment_tells_how_its_ledgers_stand(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """What is remembered of acknowledged writes is counted, by store; without such a ledger there is nothing."""
    assert (await client.get(PRODUCTION)).json()["ledger"] == {}
    daemon.kept = {Store.REDIS: Standing(live=7, lost=2, due=10, verified=9, recovery_time=timedelta(seconds=1.5))}
    assert (await client.get(PRODUCTION)).json()["ledger"] == {
        "redis": {
            "records": {"live": 7, "lost": 2, "indeterminate": 0, "expired": 0},
            "due": 10,
            "verified": 9,
            "oldest_verified_age_seconds": None,
            "recovery_point_seconds": None,
            "recovery_time_seconds": 1.5,
        }
    }


async def test_runs_are_the_latest_first_and_can_be_chosen(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """Runs can be narrowed by environment, probe, verdict and number."""
    for probe, verdict in (("chat", Verdict.OK), ("basket", Verdict.UNKNOWN), ("chat", Verdict.VIOLATED)):
        await daemon.ran(FINDINGS[verdict], probe=probe)
        daemon.clock.moment += timedelta(seconds=1)

    async def found(**query: str) -> list[str]:
        answer = await client.get("/api/v1/runs", params=query)
        return [each["run_id"] for each in answer.json()["runs"]]

    assert await found() == ["run-0003", "run-0002", "run-0001"]
    assert await found(limit="1") == ["run-0003"]
    assert await found(probe="chat", environment="production") == ["run-0003", "run-0001"]
    assert await found(verdict="unknown") == ["run-0002"]
    assert await found(verdict="slow") == []
    run = (await client.get("/api/v1/runs?verdict=violated")).json()["runs"][0]
    assert run == {
        "left_out": [],
        "run_id": "run-0003",
        "environment": "production",
        "probe": "chat",
        "verdict": "violated",
        "reason": None,
        "message": "lost: message 3 of 7 after reload: expected sha256 ab12, found absent",
        "kinds": ["lost"],
        "checks": 3,
        "started": "2026-03-01T12:00:01.750Z",
        "took_seconds": 0.25,
        "steps": [{"step": "reload", "after_seconds": 0.0, "took_seconds": 0.02, "failed": False}],
        "server": {"address": "10.0.0.1"},
    }


async def test_history_of_what_is_no_longer_watched_can_be_read(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A name that left the configuration is known as long as it has a history."""
    await daemon.ran(FINDINGS[Verdict.VIOLATED], environment="retired")
    for path in ("runs", "violations"):
        answer = await client.get(f"/api/v1/{path}?environment=retired")
        assert [len(found) for found in answer.json().values()] == [1]


async def test_violations_can_be_chosen_by_stage_and_environment(
    daemon: SmallDaemon, client: httpx.AsyncClient
) -> None:
    """Violations are the latest opened first; a stage may be given several times."""
    await daemon.ran(FINDINGS[Verdict.VIOLATED], probe="chat")
    daemon.clock.moment += timedelta(seconds=1)
    leaked = Violation(kind=Kind.LEAKED, subject="a basket", expected="nobody's", actual="somebody's")
    await daemon.ran(Finding.of([leaked], checks=1), probe="basket")
    await daemon.ran(FINDINGS[Verdict.OK], probe="chat")

    async def found(query: str) -> list[str]:
        return kinds((await client.get(f"/api/v1/violations{query}")).json()["violations"])

    assert await found("") == ["leaked", "lost"]
    assert await found("?stage=open") == ["leaked"]
    assert await found("?stage=closed") == ["lost"]
    assert await found("?stage=open&stage=closed&environment=production&limit=1") == ["leaked"]
    assert await found("?stage=acknowledged") == []


async def test_violation_is_found_by_the_beginning_of_its_id(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A violation has its evidence, and an unmistakable beginning of its id is enough."""
    id_ = await opened(daemon)
    whole = (await client.get(f"/api/v1/violations/{id_}")).json()
    assert whole["evidence"]["missing"] == ["m3"]
    assert whole == (await client.get(f"/api/v1/violations/{id_[:6]}")).json()
    await daemon.ran(FINDINGS[Verdict.VIOLATED], probe="basket")
    assert error(await client.get(f"/api/v1/violations/{id_[:6]}")) == (
        404,
        "2 violations begin with '0190aa'",
        "give more characters of the id",
    )


async def test_odd_evidence_is_shown(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """Half a surrogate pair or a number beyond 64 bits in the evidence does not hide the violation."""
    odd = Violation(kind=Kind.LOST, subject="\ud800", expected="x", actual="y", evidence={"n": 2**70})
    await daemon.ran(Finding.of([odd], checks=1))
    answer = await client.get("/api/v1/violations")
    assert (answer.status_code, answer.json()["violations"][0]["subject"]) == (200, "\ud800")
    id_ = answer.json()["violations"][0]["id"]
    assert (await client.get(f"/api/v1/violations/{id_}")).json()["evidence"]["n"] == 2**70
    for page in ("/", f"/violations/{id_}", "/health/production"):
        assert (await client.get(page)).status_code in (200, 503)


@pytest.mark.parametrize(
    ("path", "message", "do"),
    [
        ("environments/prod", "there is no environment named 'prod'", "did you mean production?"),
        ("environments/x", "there is no environment named 'x'", "known: production"),
        ("runs?environment=prodction", "there is no environment named 'prodction'", "did you mean production?"),
        ("runs?probe=chats", "there is no probe named 'chats'", "did you mean chat?"),
        ("violations?environment=zzz", "there is no environment named 'zzz'", "known: production"),
        (
            "violations/0190",
            "there is no violation '0190'",
            "GET /api/v1/violations lists all; closed ones are forgotten after a while",
        ),
        ("nothing", "there is nothing at '/api/v1/nothing'", "the status page is at /, the API below /api/v1/"),
        ("runs/", "there is nothing at '/api/v1/runs/'", "the status page is at /, the API below /api/v1/"),
    ],
)
async def test_what_is_not_there_is_404(client: httpx.AsyncClient, path: str, message: str, do: str) -> None:
    """An unknown name is 404, with the nearest known name or all that there are."""
    assert error(await client.get(f"/api/v1/{path}")) == (404, message, do)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("runs?verdict=bad", "verdict: expected one of ok, slow, unknown, violated, found 'bad'"),
        ("runs?limit=0", "limit: expected a whole number from 1 to 1000, found '0'"),
        ("runs?limit=1001", "limit: expected a whole number from 1 to 1000, found '1001'"),
        ("runs?limit=-1", "limit: expected a whole number from 1 to 1000, found '-1'"),
        ("runs?limit=", "limit: expected a name, found ''"),
        ("runs?limit=%D9%A3", "limit: expected a whole number from 1 to 1000, found '٣'"),
        (f"runs?limit={'9' * 5000}", f"limit: expected a whole number from 1 to 1000, found '{'9' * 64}…'"),
        ("runs?probe=chat&probe=basket", 'probe: expected one value, found ["chat", "basket"]'),
        ("runs?environment=", "environment: expected a name, found ''"),
        ("runs?enviroment=production", "'enviroment' is not understood here"),
        ("violations?stage=opened", "stage: expected one of open, acknowledged, closed, found 'opened'"),
        ("environments?x=1", "'x' is not understood here"),
        ("environments/production?x=1", "'x' is not understood here"),
        ("violations/0190?x=1", "'x' is not understood here"),
    ],
)
async def test_bad_parameter_is_400(client: httpx.AsyncClient, path: str, message: str) -> None:
    """A bad parameter is 400 and names the parameter, what was expected and what was found."""
    status, found, _ = error(await client.get(f"/api/v1/{path}"))
    assert (status, found) == (400, message)


@pytest.mark.parametrize("path", ["runs", "violations", "violations/0190"])
async def test_state_database_that_does_not_answer_is_503(
    daemon: SmallDaemon, client: httpx.AsyncClient, path: str
) -> None:
    """Where only the state database knows, its own message is the answer."""
    daemon.state.trouble = "the state file /x cannot be used: disk full; free some space"
    status, message, _ = error(await client.get(f"/api/v1/{path}"))
    assert (status, message) == (503, daemon.state.trouble)


async def test_violation_that_stands_is_found_and_acknowledged_without_the_state_database(
    daemon: SmallDaemon, client: httpx.AsyncClient
) -> None:
    """People on call can read and quieten a violation while the state database is sick."""
    id_ = await opened(daemon)
    daemon.state.trouble = "disk full"
    assert (await client.get(f"/api/v1/violations/{id_}")).status_code == 200
    assert (await client.get(f"/violations/{id_}")).status_code == 200
    answer = await client.post(f"/api/v1/violations/{id_}/ack", headers=AUTH)
    assert (answer.status_code, answer.json()["stage"]) == (200, "acknowledged")


@pytest.mark.parametrize(
    ("content", "length"),
    [
        (None, timedelta(hours=1)),
        (b"{}", timedelta(hours=1)),
        (b'{"for": "30m"}', timedelta(minutes=30)),
        (b'{"for": "30d"}', timedelta(days=30)),
        (b'{"for": "1s"}', timedelta(seconds=1)),
    ],
)
async def test_pause_lasts_as_long_as_asked(
    daemon: SmallDaemon, client: httpx.AsyncClient, content: bytes | None, length: timedelta
) -> None:
    """A pause lasts an hour unless another length is given."""
    answer = await client.post(f"{PRODUCTION}/pause", content=content, headers=AUTH)
    until = NOON + length
    assert daemon.pauses == {"production": until}
    text = f"{until:%Y-%m-%dT%H:%M:%S}.000Z"
    assert (answer.status_code, answer.json()) == (200, {"environment": "production", "paused_until": text})
    assert (await client.get(PRODUCTION)).json()["paused_until"] == text


async def test_resume_ends_a_pause(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """Resuming ends a pause; resuming twice does no harm."""
    await client.post(f"{PRODUCTION}/pause", headers=AUTH)
    for _ in range(2):
        answer = await client.post(f"{PRODUCTION}/resume", headers=AUTH)
        assert answer.json() == {"environment": "production", "paused_until": None}
    assert daemon.calls == [Call("pause", "production"), Call("resume", "production"), Call("resume", "production")]


LENGTH = "a length of time from 1s to 30d, such as 30m"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"for": "31d"}', f"for: expected {LENGTH}, found '31d'"),
        (b'{"for": "0s"}', f"for: expected {LENGTH}, found '0s'"),
        (b'{"for": "5 minutes"}', f"for: expected {LENGTH}, found '5 minutes'"),
        (b'{"for": "99999999999999999999d"}', f"for: expected {LENGTH}, found '99999999999999999999d'"),
        (b'{"for": 30}', f"for: expected {LENGTH}, found 30"),
        (b'{"for": {"a": []}}', f'for: expected {LENGTH}, found {{"a": []}}'),
        (b'{"fro": "30m"}', "body: 'fro' is not understood here"),
        (b"30m", "body: expected a JSON object, found '30m'"),
        (b"[]", "body: expected a JSON object, found []"),
        (b'"x"', "body: expected a JSON object, found 'x'"),
        (b"\xff", "body: expected a JSON object, found '�'"),
        (b"[" * 60_000, f"body: expected a JSON object, found '{'[' * 64}…'"),
    ],
)
async def test_bad_body_is_400(daemon: SmallDaemon, client: httpx.AsyncClient, content: bytes, message: str) -> None:
    """A body that is not understood changes nothing and is 400."""
    status, found, _ = error(await client.post(f"{PRODUCTION}/pause", content=content, headers=AUTH))
    assert (status, found, daemon.calls) == (400, message, [])


@pytest.mark.parametrize("path", ["environments/production/pause", "violations/0190/ack"])
@pytest.mark.parametrize("declared", [True, False])
async def test_long_body_is_413(daemon: SmallDaemon, client: httpx.AsyncClient, path: str, *, declared: bool) -> None:
    """A body over 64 KiB is refused, whether it declares its length or not."""
    whole = b" " * (64 * 1024 + 1)

    async def chunks() -> Any:
        for start in range(0, len(whole), 1000):
            yield whole[start : start + 1000]

    content = whole if declared else chunks()
    status, message, _ = error(await client.post(f"/api/v1/{path}", content=content, headers=AUTH))
    assert (status, message, daemon.calls) == (413, "the body is longer than 64 KiB", [])


async def test_body_of_the_greatest_length_is_read(client: httpx.AsyncClient) -> None:
    """A body of exactly 64 KiB is read."""
    answer = await client.post(f"{PRODUCTION}/pause", content=b"{}".ljust(64 * 1024), headers=AUTH)
    assert answer.status_code == 200


async def test_run_now_returns_the_run(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A probe runs now, and the answer has the run with all that it found."""
    daemon.outcome = FINDINGS[Verdict.VIOLATED]
    body = (await client.post(f"{PRODUCTION}/probes/chat/run", headers=AUTH)).json()
    assert (body["verdict"], body["probe"], kinds(body["violations"])) == ("violated", "chat", ["lost"])
    assert body["violations"][0]["evidence"] == dict(LOST.evidence)


@pytest.mark.parametrize(
    ("path", "message", "do"),
    [
        (
            "production/probes/session/run",
            "session does not run against production: needs redis, which this environment does not have",
            "probes that run there: basket, chat",
        ),
        ("production/probes/cat/run", "there is no probe of production named 'cat'", "did you mean chat?"),
        ("prod/probes/chat/run", "there is no environment named 'prod'", "did you mean production?"),
        ("prod/pause", "there is no environment named 'prod'", "did you mean production?"),
        ("prod/resume", "there is no environment named 'prod'", "did you mean production?"),
    ],
)
async def test_change_of_what_is_not_there_is_404(client: httpx.AsyncClient, path: str, message: str, do: str) -> None:
    """What does not run here cannot be run, and the answer says why."""
    assert error(await client.post(f"/api/v1/environments/{path}", headers=AUTH)) == (404, message, do)


async def test_environment_that_leaves_meanwhile_is_404(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A reload that removes the environment while it is asked for is no crash."""
    daemon.outcome = KeyError("production")
    status, message, _ = error(await client.post(f"{PRODUCTION}/probes/chat/run", headers=AUTH))
    assert (status, message) == (404, "there is no environment named 'production'")


async def test_run_that_is_cut_off_is_503(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A run that the end of the daemon cuts off is answered, not dropped."""
    daemon.outcome = asyncio.CancelledError()
    status, message, _ = error(await client.post(f"{PRODUCTION}/probes/chat/run", headers=AUTH))
    assert (status, message) == (503, "the run was cut off, for the daemon is stopping")


async def test_acknowledgement_quietens(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """An acknowledged violation keeps its note, stands on, and leaves the gauge of open ones."""
    id_ = await opened(daemon)
    gauge = 'holdfast_open_violations{environment="production",kind="lost",location="eu-west-1",probe="chat"}'
    assert f"{gauge} 1.0" in (await client.get("/metrics")).text
    body = (await client.post(f"/api/v1/violations/{id_}/ack", json={"note": "known, see 42"}, headers=AUTH)).json()
    assert (body["stage"], body["note"], body["acknowledged"]) == (
        "acknowledged",
        "known, see 42",
        "2026-03-01T12:00:00.000Z",
    )
    assert f"{gauge} 0.0" in (await client.get("/metrics")).text
    assert (await client.get("/health/production")).json()["violations"][0]["stage"] == "acknowledged"


async def test_what_is_closed_cannot_be_acknowledged(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """Acknowledging a closed violation is 409 and says when it was closed."""
    id_ = await opened(daemon)
    await daemon.ran(FINDINGS[Verdict.OK])
    assert error(await client.post(f"/api/v1/violations/{id_}/ack", headers=AUTH)) == (
        409,
        f"the violation {id_} was closed at 2026-03-01T12:00:00.000Z",
        "there is nothing left to acknowledge",
    )


@pytest.mark.parametrize(
    ("note", "message"),
    [
        (7, "note: expected text, found 7"),
        ("x" * 2001, "note: expected at most 2000 characters, found '2001 characters'"),
    ],
)
async def test_bad_note_is_400(daemon: SmallDaemon, client: httpx.AsyncClient, note: object, message: str) -> None:
    """A note that is no text, or too long, acknowledges nothing."""
    id_ = await opened(daemon)
    status, found, _ = error(await client.post(f"/api/v1/violations/{id_}/ack", json={"note": note}, headers=AUTH))
    assert (status, found) == (400, message)
    assert daemon.journal.standing()[0].stage == "open"


async def test_method_that_is_not_possible_is_405(client: httpx.AsyncClient) -> None:
    """A wrong method is refused, and the answer says which there are."""
    answer = await client.post("/api/v1/runs")
    assert error(answer) == (405, "POST is not possible on '/api/v1/runs'", "allowed: GET, HEAD")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    "path",
    ["/", "/metrics", "/healthz", "/readyz", "/health/production", "/api/v1/environments", "/static/holdfast.css"],
)
async def test_head_is_get_without_the_body(daemon: SmallDaemon, client: httpx.AsyncClient, path: str) -> None:
    """HEAD has the status and the headers of GET, and no body."""
    await daemon.all_ran(FINDINGS[Verdict.OK])
    got, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers == got.headers


async def test_crash_is_500_without_a_trace(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A fault of our own is 500, tells nothing of the inside, and has the same headers as every answer."""
    daemon.outcome = RuntimeError("hunter2")
    answer = await client.post(f"{PRODUCTION}/probes/chat/run", headers=AUTH)
    assert error(answer) == (500, "Holdfast failed to answer this", "its log has the reason")
    assert "hunter2" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    daemon.outcome = StateError("the disk is full")
    assert (await client.post(f"{PRODUCTION}/probes/chat/run", headers=AUTH)).status_code == 503


@pytest.mark.parametrize("path", ["/", "/metrics", "/nothing", "/api/v1/runs", "/api/v1/nothing", "/health/x"])
async def test_every_answer_has_the_headers_for_browsers(client: httpx.AsyncClient, path: str) -> None:
    """Pages and errors alike forbid scripts, sniffing, referrers and caches."""
    headers = (await client.get(path)).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


async def test_one_run_is_found_by_its_id(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """A run is shown as the list shows it, kept or not; an id that nobody knows is told where to look."""
    record = await daemon.ran(FINDINGS[Verdict.SLOW])
    (listed,) = (await client.get("/api/v1/runs")).json()["runs"]
    assert (await client.get(f"/api/v1/runs/{record.run_id}")).json() == listed
    await daemon.journal.flush()
    assert (await client.get(f"/api/v1/runs/{record.run_id}")).json() == listed
    answer = await client.get("/api/v1/runs/run-9999")
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "there is no run 'run-9999'")


async def test_rollups_tell_how_long_steps_took(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """By hour or day, of as long as is asked for, all probes or one: percentiles, and how many were over budget."""
    took = [timedelta(milliseconds=10 * number) for number in range(1, 101)]
    runs = [
        RunRecord(
            run_id=f"old-{number}",
            environment="production",
            probe="chat",
            started=NOON - timedelta(hours=2) + timedelta(seconds=number),
            took=length,
            finding=FINDINGS[Verdict.OK],
            steps=(StepTiming(name="reload", after=timedelta(), took=length),),
        )
        for number, length in enumerate(took)
    ]
    daemon.rolled = rolled(runs, length=HOUR, budgets=lambda *_: timedelta(seconds=0.9))
    body = (await client.get(f"{PRODUCTION}/rollups?since=1d&probe=chat")).json()
    assert (body["environment"], body["length_seconds"]) == ("production", 3600.0)
    (hour,) = body["rollups"]
    assert (hour["probe"], hour["start"], hour["verdicts"]) == ("chat", "2026-03-01T10:00:00.000Z", {"ok": 100})
    step = hour["steps"]["reload"]
    assert (step["count"], step["over"], step["budget_seconds"]) == (100, 10, 0.9)
    assert [step["p50_seconds"], step["p99_seconds"]] == pytest.approx([0.5, 0.99], rel=0.03)
    for query in ("?since=1h", "?length=1d", "?probe=basket"):
        assert (await client.get(f"{PRODUCTION}/rollups{query}")).json()["rollups"] == []
    for query, status in (("?since=61d", 400), ("?length=2h", 400), ("?since=x", 400), ("?probe=cht", 404)):
        assert (await client.get(f"{PRODUCTION}/rollups{query}")).status_code == status, query
