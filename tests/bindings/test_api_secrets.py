"""What logs a synthetic user in is never shown by any command, whatever a server says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bindings.scripted import Heard, reply, scripted
from tests.system import ENVIRONMENT, Daemon, holdfast, write
from tests.system.conftest import Place, place  # noqa: F401  the latter is a fixture

NEEDLE = "Zq7XplantedXk9"
SHIPPED = Path(__file__).parents[2] / "config/bindings/openai-threads.yaml"
ACCOUNTS = [{"id": name, "username": name, "password": f"p-{NEEDLE}-{name}"} for name in "abcd"]
AUTHS: dict[str, dict[str, Any]] = {
    "token": {"kind": "token", "accounts": [{"id": name, "token": f"t.{NEEDLE}.{name}"} for name in "abcd"]},
    "jwt": {"kind": "jwt", "key": f"the key {NEEDLE}"},
    "password": {
        "kind": "password",
        "accounts": ACCOUNTS,
        "token_url": "/auth",
        "client_id": "app",
        "client_secret": f"c {NEEDLE}",
    },
    "client_credentials": {"kind": "client_credentials", "accounts": ACCOUNTS, "token_url": "/refused"},
}


async def _echoing(heard: Heard) -> AsyncIterator[bytes]:
    """A server that answers by all that it was sent."""
    if heard.target == "/auth":
        yield reply(200, {"access_token": f"had-{NEEDLE}", "refresh_token": f"again-{NEEDLE}"})
    else:
        said = f"{heard.headers.get('authorization')} {heard.headers.get('x-api-key')} {heard.body.decode()}"
        yield reply(400, {"error": "invalid_request", "error_description": said, "detail": said})


def configure(at: Place, url: str, kind: str) -> None:
    """An environment that has an API only, with a secret in every place where one can be."""
    binding = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    binding["api"]["headers"]["X-Api-Key"] = f"h-{NEEDLE}"
    binding["secrets"] = [f"h-{NEEDLE}"]
    write(at.folder / "binding.yaml", binding)
    values = at.values(logging={"level": "debug"}, probes={"thread": {"every": "10s", "timeout": "9s"}})
    api = {"base_url": url, "auth": AUTHS[kind]}
    at.configured(values | {"environments": {ENVIRONMENT: {"api": api, "binding": "binding.yaml"}}})


@pytest.mark.parametrize("kind", AUTHS)
async def test_no_report_tells(place: Place, kind: str) -> None:  # noqa: F811  the fixture
    """Tokens, passwords, keys and headers that a server sends back are not in what a check says."""
    async with scripted(_echoing) as server:
        configure(place, server.url, kind)
        ended = await holdfast("check", "--verbose", "--config", place.file)
    assert "answered 400 Bad Request: invalid_request" in " ".join(ended.out.split())
    assert (NEEDLE in ended.out, NEEDLE in ended.err) == (False, False)


async def test_the_daemon_is_silent(place: Place) -> None:  # noqa: F811  the fixture
    """Its log in debug, its page and its configuration as it shows it have no secret."""
    async with scripted(_echoing) as server:
        configure(place, server.url, "password")
        async with Daemon(place.file, place.folder, arguments=("--verbose",)) as watching:
            await watching.event("run.finished", probe="thread", verdict="unknown")
            shown = {path: (await watching.get(path)).text for path in ("/", "/metrics", "/api/v1/runs")}
            assert await watching.stop() == 0
            shown["log"] = watching.written()
        for command in (("config", "show"), ("sweep", ENVIRONMENT)):
            ended = await holdfast(*command, "--config", place.file)
            shown[" ".join(command)] = ended.out + ended.err
    assert [name for name, text in shown.items() if NEEDLE in text] == []
