"""One node of a Patroni cluster: Patroni, and the PostgreSQL that it runs."""

from __future__ import annotations

import inspect
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from lab import init
from lab.programs import postgres_programs, program
from monitor.embedded.folder import Binaries, PrivateFolder
from monitor.embedded.postgres import SMALL, SUPERUSER, free_shared_memory
from monitor.embedded.process import EmbeddedError
from monitor.embedded.proxy import TcpProxy
from monitor.embedded.server import Server, free_port

SCOPE = "lab"
PYTHON = Path("/usr/bin/python3")  # Debian's Patroni needs it too; ours may lie where the servers' user cannot go
REST_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast Patroni notices. Its own rule: loop_wait + 2 * retry_timeout <= ttl; all are seconds.

    Patroni 3.0 takes any ttl; the documentation of 3.2 has 20 as the least.
    """

    ttl: int = 8
    loop_wait: int = 1
    retry_timeout: int = 3

    @property
    def least_ttl(self) -> int:
        """By Patroni's rule."""
        return self.loop_wait + 2 * self.retry_timeout


@dataclass(frozen=True, slots=True, kw_only=True)
class Passwords:
    """Of the superuser, of replication, and of the role `holdfast`."""

    superuser: str
    replication: str
    holdfast: str


class Node(Server):
    """One node. Its `port` is that of Patroni's REST API, `postgres_port` that of PostgreSQL.

    The other nodes reach its PostgreSQL by `link` and its Patroni by `gossip` only, and it reaches etcd by `keeper`
    only: proxies of the lab, which can be slow or cut while clients still come in by the front door.
    """

    title = "Patroni"
    stop_requests = ((signal.SIGTERM, 2.0),)
    farewell = signal.SIGTERM  # lab/init.py then ends all that it started

    def __init__(
        self,
        folder: PrivateFolder,
        name: str,
        *,
        keeper: TcpProxy,
        passwords: Passwords,
        pace: Pace,
        synchronous: bool,
    ) -> None:
        super().__init__(folder, name)
        self.name = name
        self.keeper = keeper
        self.postgres_port = free_port()
        self.link = TcpProxy(self.postgres_port)
        self.gossip = TcpProxy(0)  # its port is known at the start
        self._passwords = passwords
        self._pace = pace
        self._synchronous = synchronous

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder."""
        return self._home / "data"

    @property
    def configuration(self) -> Path:
        """Patroni's file, for patronictl too."""
        return self._home / "patroni.yaml"

    def superuser_dsn(self, database: str = "app") -> str:
        """The address of this node's PostgreSQL for its superuser."""
        return f"postgresql://{SUPERUSER}:{self._passwords.superuser}@127.0.0.1:{self.postgres_port}/{database}"

    def unplug(self) -> None:
        """Cut the lines between it and the other nodes; what was on them is lost."""
        for line in (self.link, self.gossip):
            line.refuse = True
            line.cut()

    def isolate(self) -> None:
        """Cut the line to etcd as well."""
        self.keeper.refuse = True
        self.keeper.cut()
        self.unplug()

    def plug_in(self) -> None:
        """Mend all lines."""
        for line in (self.link, self.gossip, self.keeper):
            line.refuse = False
            line.delay = 0.0

    async def ask(self, path: str) -> tuple[int, Any]:
        """GET from Patroni's REST API; -> status and JSON, (0, {}) where nobody answers."""
        try:
            async with httpx.AsyncClient(timeout=REST_SECONDS, trust_env=False) as client:
                answer = await client.get(f"http://127.0.0.1:{self.port}{path}")
                return answer.status_code, answer.json()
        except (httpx.HTTPError, EmbeddedError, ValueError):
            return 0, {}

    async def leads(self) -> bool:
        """Whether it is the primary and holds the leader's key."""
        return (await self.ask("/primary"))[0] == httpx.codes.OK

    async def follows(self) -> bool:
        """Whether it is a replica that runs."""
        return (await self.ask("/replica"))[0] == httpx.codes.OK

    async def kill(self) -> None:
        """The node is gone at once, Patroni and PostgreSQL."""
        await super().kill()
        free_shared_memory(self.data)

    async def stop(self) -> None:
        """End it at once, in order."""
        await super().stop()
        free_shared_memory(self.data)

    async def _prepare(self) -> None:
        if not self._home.exists():
            self._folder.subfolder(self._home.name)
            programs = postgres_programs()
            await self._folder.reachable(Binaries(root=programs, programs=Path()), program="postgres")

    def _command(self) -> list[str | Path]:
        self.gossip.lead_to(self.port)
        self._folder.write(self.configuration, yaml.safe_dump(self._settings(), sort_keys=False))
        first = self._home / "init.py"
        self._folder.write(first, inspect.getsource(init))
        return [PYTHON, "-I", "-S", first, program("patroni"), self.configuration]

    async def _answers(self) -> bool:
        return (await self.ask("/patroni"))[0] != 0

    def _settings(self) -> dict[str, Any]:
        superuser = {"username": SUPERUSER, "password": self._passwords.superuser}
        replication = {"username": "replicator", "password": self._passwords.replication}
        parameters = {name: value for name, value in SMALL.items() if name != "listen_addresses"}
        return {
            "scope": SCOPE,
            "name": self.name,
            "restapi": {"listen": f"127.0.0.1:{self.port}", "connect_address": f"127.0.0.1:{self.gossip.port}"},
            # As a proxy, or Patroni would ask etcd for its own address, and go there.
            "etcd3": {"proxy": f"http://127.0.0.1:{self.keeper.port}"},
            "bootstrap": {
                "dcs": {
                    **asdict(self._pace),
                    "maximum_lag_on_failover": 1_048_576,
                    "synchronous_mode": self._synchronous,
                    "postgresql": {"use_pg_rewind": True, "use_slots": True, "parameters": parameters},
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "data-checksums", "no-sync"],
                "pg_hba": [
                    "host replication all 127.0.0.1/32 scram-sha-256",
                    "host all all 127.0.0.1/32 scram-sha-256",
                ],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.postgres_port}",
                "connect_address": f"127.0.0.1:{self.link.port}",
                "data_dir": str(self.data),
                "bin_dir": str(postgres_programs()),
                "pgpass": str(self._home / "pgpass"),
                "authentication": {"superuser": superuser, "replication": replication, "rewind": superuser},
                "parameters": {"unix_socket_directories": "", "password_encryption": "scram-sha-256"},
                "basebackup": [{"checkpoint": "fast"}, "no-sync"],
            },
        }
