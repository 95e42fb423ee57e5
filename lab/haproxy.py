"""The one address that clients use: HAProxy, which asks each node's Patroni whether it is the primary."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

from lab.patroni import Node
from lab.programs import program
from monitor.embedded.folder import PrivateFolder
from monitor.embedded.server import Server

# As Patroni's own haproxy.cfg, with checks that are as fast as the lab's Patroni.
GENERAL = """\
global
    maxconn 200
defaults
    mode tcp
    retries 2
    timeout connect 2s
    timeout check 1s
    timeout client 30m
    timeout server 30m
listen primary
    bind 127.0.0.1:{port}
    option httpchk OPTIONS /primary
    http-check expect status 200
    default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
"""


class HaProxy(Server):
    """HAProxy on the loopback interface; new connections lead to whichever node says that it is the primary."""

    title = "HAProxy"
    stop_requests = ((signal.SIGTERM, 2.0),)

    def __init__(self, folder: PrivateFolder, nodes: Sequence[Node]) -> None:
        super().__init__(folder, "haproxy")
        self._nodes = nodes

    async def _prepare(self) -> None:
        if not self._home.exists():
            self._folder.subfolder(self._home.name)

    def _command(self) -> list[str | Path]:
        servers = [
            f"    server {node.name} 127.0.0.1:{node.postgres_port} check port {node.port}" for node in self._nodes
        ]
        file = self._home / "haproxy.cfg"
        self._folder.write(file, GENERAL.format(port=self.port) + "\n".join([*servers, ""]))
        return [program("haproxy"), "-db", "-f", file]

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True
