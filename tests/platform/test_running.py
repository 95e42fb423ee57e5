"""The platform as a process: how it starts, ends, and stands bad weather."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from examples.platform.running import CLONE, Platform, PlatformError
from monitor.embedded.process import until
from monitor.embedded.reaper import birth_of
from monitor.embedded.servers import Servers
from tests.conftest import MakeProxy, in_database
from tests.platform.conftest import MakeUser, contents, new_thread, say


def _platform(servers: Servers, database: str, *, secret: str | None = None) -> Platform:
    dsn = in_database(servers.postgres.dsn, database)
    return Platform(dsn=dsn, redis_url=servers.valkey.url, options=("--schema", "platform"), secret=secret)


async def test_processes_agree_and_come_back(servers: Servers, database: str, make_user: MakeUser) -> None:
    """Two processes on the same stores, started at once: one hears what the other did, and a crash loses nothing."""
    first = _platform(servers, database)
    second = _platform(servers, database, secret=first.secret)
    await asyncio.gather(first.start(), second.start())
    try:
        here, there = make_user("both", at=first), make_user("both", at=second)
        thread = await new_thread(here)
        async with there.stream("GET", "/events") as stream:
            await say(here, thread, "hello")
            assert await anext(line async for line in stream.aiter_lines() if line.startswith("event")) == (
                "event: message.created"
            )
        await first.kill()
        await first.start()
        assert await contents(here, thread) == ["hello"]
    finally:
        await asyncio.gather(first.terminate(), second.terminate())


async def test_sigterm_ends_it_well_with_a_stream_open(servers: Servers, database: str, make_user: MakeUser) -> None:
    """The stream ends, and the status is 0."""
    async with _platform(servers, database) as platform:
        user = make_user(at=platform)
        async with user.stream("GET", "/events") as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            ending = asyncio.create_task(platform.terminate())
            assert [line async for line in lines if line.startswith("event")] == []
        assert await ending == 0


async def test_it_dies_with_its_owner(servers: Servers, database: str) -> None:
    """However the owner died, here by SIGKILL."""
    owner = (
        "import asyncio, sys; sys.path.insert(0, sys.argv[1]); from examples.platform.running import Platform\n"
        "async def main():\n"
        "    platform = Platform(dsn=sys.argv[2], redis_url=sys.argv[3], options=('--schema', 'platform'))\n"
        "    await platform.start(); print(platform.pid, flush=True); await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    dsn = in_database(servers.postgres.dsn, database)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", owner, str(CLONE), dsn, servers.valkey.url), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    assert birth_of(pid)
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    assert await until(lambda: not birth_of(pid), within=10)


async def test_a_start_that_fails_says_why(servers: Servers, database: str) -> None:
    """Such as a role that may not make tables in `public`; what can be done is said too."""
    dsn = in_database(servers.postgres.dsn, database)
    platform = Platform(dsn=dsn, redis_url=servers.valkey.url)
    with pytest.raises(PlatformError, match="permission denied for schema public; --schema NAME"):
        await platform.start()
    assert platform.pid is None


async def test_a_store_that_is_away_is_a_503(
    servers: Servers, database: str, make_proxy: MakeProxy, make_user: MakeUser
) -> None:
    """Whichever it is; what is stored is acknowledged all the same; and when the store is back all is well."""
    postgres, valkey = await make_proxy(servers.postgres.port), await make_proxy(servers.valkey.port)
    dsn = in_database(servers.postgres.dsn, database).replace(f":{servers.postgres.port}/", f":{postgres.port}/")
    url = servers.valkey.url.replace(f":{servers.valkey.port}", f":{valkey.port}")
    async with Platform(dsn=dsn, redis_url=url, options=("--schema", "platform")) as platform:
        user = make_user(at=platform)
        thread = await new_thread(user)
        for proxy, paths in ((postgres, ("/threads", "/healthz")), (valkey, ("/me/profile", "/events", "/healthz"))):
            proxy.refuse = True
            proxy.cut()
            assert [(await user.get(path)).status_code for path in paths] == [503] * len(paths)
            if proxy is valkey:
                await say(user, thread, "not told, but stored")
            proxy.refuse = False
            assert (await user.get("/healthz")).status_code == 200
        assert await contents(user, thread) == ["not told, but stored"]
