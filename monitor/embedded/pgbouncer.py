"""A real PgBouncer for the demo and for tests, where the system has one: there is no wheel of it."""

import asyncio
import os
import secrets
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from monitor.embedded.folder import Binaries, PrivateFolder
from monitor.embedded.postgres import STATEMENT_SECONDS, EmbeddedPostgres
from monitor.embedded.process import NotInstalledError, read
from monitor.embedded.server import Server

PROGRAM = "pgbouncer"
READY = "process up"

SMALL: Mapping[str, str] = {
    "listen_addr": "127.0.0.1",
    "unix_socket_dir": "",
    "auth_type": "scram-sha-256",
    "pool_mode": "transaction",
    "default_pool_size": "4",
    "max_client_conn": "64",
    "server_login_retry": "1",
    "query_wait_timeout": "5",
    "ignore_startup_parameters": "extra_float_digits",
}


def installed() -> Path | None:
    """The system's PgBouncer, None where there is none."""
    found = shutil.which(PROGRAM, path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin")))
    return Path(found) if found else None


class EmbeddedPgBouncer(Server):
    """One PgBouncer on the loopback interface before a PostgreSQL of ours, in transaction mode unless told otherwise.

    Every database of that server can be reached by its name, as the role `holdfast`. `settings` go to its file.
    """

    title = "PgBouncer"
    stop_requests = ((signal.SIGTERM, 2.0), (signal.SIGINT, 2.0))

    def __init__(
        self,
        folder: PrivateFolder,
        postgres: EmbeddedPostgres,
        *,
        settings: Mapping[str, str] | None = None,
        name: str = "pgbouncer",
    ) -> None:
        super().__init__(folder, name)
        self._postgres = postgres
        self._settings = {**SMALL, **(settings or {})}
        self._binaries: Binaries | None = None
        self._upstream: int | None = None

    @property
    def dsn(self) -> str:
        """The address of the database `app` for the ordinary role `holdfast`, through the pooler."""
        return self._postgres.dsn.replace(f":{self._postgres.port}/", f":{self.port}/")

    async def _prepare(self) -> None:
        if (program := installed()) is None:
            raise NotInstalledError("there is no PgBouncer: install it, on Debian by apt-get install pgbouncer")
        if self._binaries is None:
            self._binaries = await self._folder.reachable(
                Binaries(root=program.parent, programs=Path()), program=PROGRAM
            )
            self._folder.subfolder(self._home.name)

    def lead_to(self, port: int) -> None:
        """Connect to another server of this machine from now on, as after a switch-over; clients notice nothing."""
        self._upstream = port
        self._write()
        os.kill(self.pid, signal.SIGHUP)

    def _write(self) -> None:
        self._folder.write(self._home / "users.txt", f'"holdfast" "{self._postgres.passwords[1]}"\n')
        lines = ["[databases]", f"* = host=127.0.0.1 port={self._upstream or self._postgres.port}", "[pgbouncer]"]
        settings = {**self._settings, "listen_port": str(self.port), "auth_file": str(self._home / "users.txt")}
        lines += [f"{name} = {value}" for name, value in settings.items()]
        self._folder.write(self._home / "pgbouncer.ini", "\n".join([*lines, ""]))

    def _command(self) -> list[str | Path]:
        self._write()
        return [(self._binaries.path(PROGRAM) if self._binaries else PROGRAM), self._home / "pgbouncer.ini"]

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return READY in read(self.log)

    async def sql(self, script: str, *, database: str = "app", within: float = STATEMENT_SECONDS) -> str:
        """Run statements through the pooler as the role `holdfast`, as another of its clients; -> rows as psql prints.

        EmbeddedError, with the words of the pooler or the server, at the first statement that fails.
        """
        command: list[str | Path] = [self._postgres.bindir / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1"]
        command += ["-h", "127.0.0.1", "-p", str(self.port), "-U", "holdfast", "-d", database, "-f", "-"]
        log = self._home / f"psql-{secrets.token_hex(4)}.log"
        environment = {"PGPASSWORD": self._postgres.passwords[1]}
        try:
            return await self._folder.run(command, log=log, within=within, environment=environment, text=script)
        finally:
            log.unlink(missing_ok=True)
