"""Who may change something."""

from __future__ import annotations

import httpx
import pytest

from monitor.core.verdict import Verdict
from monitor.web import create_app

from . import FINDINGS, TOKEN, SmallDaemon

CHANGES = [
    "/api/v1/environments/production/pause",
    "/api/v1/environments/production/resume",
    "/api/v1/environments/production/probes/chat/run",
    "/api/v1/violations/0190aaaa-0001/ack",
]


def client_of(daemon: SmallDaemon, *, token: str | None) -> httpx.AsyncClient:
    """A client of an application with this token."""
    transport = httpx.ASGITransport(create_app(daemon, token=token))
    return httpx.AsyncClient(transport=transport, base_url="http://holdfast")


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer gr\xfcn",
        f"Bearer {TOKEN} {TOKEN}",
    ],
)
async def test_wrong_token_changes_nothing(daemon: SmallDaemon, path: str, given: str | None) -> None:
    """A missing or wrong token is 401, says which scheme is needed, and changes nothing."""
    await daemon.ran(FINDINGS[Verdict.VIOLATED])
    headers = {} if given is None else {b"authorization": given.encode("latin-1")}
    async with client_of(daemon, token=TOKEN) as client:
        answer = await client.post(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="holdfast"'
    assert TOKEN not in answer.text
    assert (daemon.calls, daemon.journal.standing()[0].stage) == ([], "open")


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize("token", [None, "", "  "])
@pytest.mark.parametrize("given", [None, "Bearer ", "Bearer None", f"Bearer {TOKEN}"])
async def test_without_a_configured_token_nobody_changes_anything(
    daemon: SmallDaemon, path: str, token: str | None, given: str | None
) -> None:
    """Where no token is configured, or an empty one, every change is 403 and says what to configure."""
    await daemon.ran(FINDINGS[Verdict.VIOLATED])
    async with client_of(daemon, token=token) as client:
        answer = await client.post(path, headers={} if given is None else {"authorization": given})
    assert answer.status_code == 403
    assert "http.token" in answer.json()["error"]["next"]
    assert (daemon.calls, daemon.journal.standing()[0].stage) == ([], "open")


@pytest.mark.parametrize("path", CHANGES)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_right_token_changes(daemon: SmallDaemon, path: str, scheme: str) -> None:
    """The token opens every change, however the scheme is written."""
    await daemon.ran(FINDINGS[Verdict.VIOLATED])
    async with client_of(daemon, token=TOKEN) as client:
        answer = await client.post(path, headers={"authorization": f"{scheme} {TOKEN}"})
    assert answer.status_code == 200


async def test_token_may_have_any_letters(daemon: SmallDaemon) -> None:
    """A token with letters beyond ASCII, or with a line end from its file, is compared as its bytes."""
    async with client_of(daemon, token="gr\xfcn-漢\n") as client:
        headers = {b"authorization": "Bearer gr\xfcn-漢".encode()}
        assert (await client.post(CHANGES[1], headers=headers)).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/environments/nope/pause", "/api/v1/violations/nope/ack"])
async def test_stranger_does_not_learn_what_exists(daemon: SmallDaemon, path: str) -> None:
    """The token is asked for before anything is looked up or any body is read."""
    async with client_of(daemon, token=TOKEN) as client:
        assert (await client.post(path, content=b"x" * 100_000)).status_code == 401


async def test_reading_needs_no_token(daemon: SmallDaemon) -> None:
    """Everything that only shows is open with and without a configured token."""
    for token in (None, TOKEN):
        async with client_of(daemon, token=token) as client:
            for path in ("/", "/metrics", "/api/v1/environments", "/api/v1/runs", "/api/v1/violations"):
                assert (await client.get(path)).status_code == 200
