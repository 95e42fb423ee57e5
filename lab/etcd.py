"""One etcd, where Patroni keeps who leads."""

import asyncio
import signal
from pathlib import Path

from lab.programs import program
from monitor.embedded.folder import PrivateFolder
from monitor.embedded.process import read
from monitor.embedded.server import Server, free_port


class Etcd(Server):
    """One etcd on the loopback interface, a cluster of itself."""

    title = "etcd"
    stop_requests = ((signal.SIGTERM, 2.0),)

    def __init__(self, folder: PrivateFolder) -> None:
        super().__init__(folder, "etcd")
        self._peers = free_port()

    async def _prepare(self) -> None:
        if not self._home.exists():
            self._folder.subfolder(self._home.name)

    def _command(self) -> list[str | Path]:
        clients, peers = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self._peers}"
        command: list[str | Path] = [program("etcd"), "--name", "lab", "--data-dir", self._home / "data"]
        command += ["--listen-client-urls", clients, "--advertise-client-urls", clients]
        command += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
        return [*command, "--initial-cluster", f"lab={peers}"]

    async def _answers(self) -> bool:
        if "ready to serve client requests" not in read(self.log):
            return False
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True
