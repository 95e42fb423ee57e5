"""The whole cluster: etcd, the nodes, and HAProxy before them; gone without a trace at the end."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg

from lab.etcd import Etcd
from lab.haproxy import HaProxy
from lab.patroni import Node, Pace, Passwords
from lab.programs import program
from monitor.embedded.folder import PrivateFolder
from monitor.embedded.process import EmbeddedError
from monitor.embedded.proxy import TcpProxy

PATIENCE = 90.0
"""Seconds within which the cluster comes to what is waited for, also on a machine that is busy with something else."""
POLL_SECONDS = 0.05
# A standby is known by its name; the backup that it is first made of streams as well.
STREAMING = "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming' AND application_name = ANY($1)"


async def until(condition: Callable[[], Awaitable[bool]], *, what: str, within: float = PATIENCE) -> None:
    """Wait for a condition; EmbeddedError where it does not come true in time."""
    try:
        async with asyncio.timeout(within):
            while True:
                if await condition():
                    return
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise EmbeddedError(f"not within {within:g} s: {what}") from None


class Cluster:
    """``async with Cluster(…) as cluster``: a primary leads, its standbys stream, `app` and the role `holdfast` exist.

    Leaving the block ends all of it and removes the folder, which is first copied to `keep`; so does the death of this
    process, which copies nothing.
    """

    def __init__(self, *, nodes: int, synchronous: bool, pace: Pace, keep: Path | None = None) -> None:
        self.folder = PrivateFolder()
        self.synchronous = synchronous
        self.passwords = Passwords(
            superuser=secrets.token_hex(12), replication=secrets.token_hex(12), holdfast=secrets.token_hex(12)
        )
        self.etcd = Etcd(self.folder)
        self._pace = pace
        self._count = nodes
        self._keep = keep
        self.nodes: tuple[Node, ...] = ()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.callback(self.folder.close)
            if self._keep is not None:
                stack.callback(shutil.copytree, self.folder.path, self._keep, dirs_exist_ok=True)
            stack.push_async_callback(self.etcd.stop)
            await self.etcd.start()
            self.nodes = tuple([await self._node(stack, f"node{number + 1}") for number in range(self._count)])
            first, *others = self.nodes
            await first.start()
            await until(first.leads, what=f"{first.name} leads; see {first.log}")
            await self._create_application(first)
            await asyncio.gather(*(node.start() for node in others))
            await until(self.complete, what="all standbys stream")
            self.haproxy = HaProxy(self.folder, self.nodes)
            stack.push_async_callback(self.haproxy.stop)
            await self.haproxy.start()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _node(self, stack: AsyncExitStack, name: str) -> Node:
        keeper = TcpProxy(self.etcd.port)
        node = Node(
            self.folder,
            name,
            keeper=keeper,
            passwords=self.passwords,
            pace=self._pace,
            synchronous=self.synchronous,
        )
        for proxy in (keeper, node.link, node.gossip):
            stack.push_async_callback(proxy.stop)
            await proxy.start()
        stack.push_async_callback(node.stop)
        return node

    async def _create_application(self, node: Node) -> None:
        connection = await asyncpg.connect(node.superuser_dsn("postgres"))
        try:
            await connection.execute(f"CREATE ROLE holdfast LOGIN PASSWORD '{self.passwords.holdfast}'")
            await connection.execute("CREATE DATABASE app")
            await connection.execute("GRANT CONNECT, CREATE, TEMPORARY ON DATABASE app TO holdfast")
        finally:
            await connection.close()

    def dsn(self, port: int) -> str:
        """How the role `holdfast` connects: by HAProxy's port, or by a node's own."""
        return f"postgresql://holdfast:{self.passwords.holdfast}@127.0.0.1:{port}/app"

    async def leader(self) -> Node | None:
        """The node that leads, None while none does."""
        for node in self.nodes:
            if await node.leads():
                return node
        return None

    async def complete(self) -> bool:
        """Whether one leads, all others stream from it, and in synchronous mode one of them synchronously."""
        leader = await self.leader()
        if leader is None:
            return False
        try:
            connection = await asyncpg.connect(leader.superuser_dsn("postgres"), timeout=5)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        try:
            states = await connection.fetch(STREAMING, [node.name for node in self.nodes])
        finally:
            await connection.close()
        modes = [row["sync_state"] for row in states]
        return len(modes) == len(self.nodes) - 1 and ("sync" in modes or not self.synchronous)

    async def switch_over(self, old: Node, new: Node) -> None:
        """A planned switch-over, as an operator asks for it."""
        command = ["-c", str(old.configuration), "switchover", "--force", "--master", old.name, "--candidate", new.name]
        process = await asyncio.create_subprocess_exec(program("patronictl"), *command, stdout=asyncio.subprocess.PIPE)
        answer, _ = await process.communicate()
        if process.returncode:
            raise EmbeddedError(f"patronictl switchover failed: {answer.decode()}")
