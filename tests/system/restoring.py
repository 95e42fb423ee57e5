"""A daemon's writes on servers of their own, and the ways in which operators copy and restore those."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from monitor.core.ledger.entries import Entry
from monitor.core.residue import Instance
from monitor.embedded.postgres import EmbeddedPostgres, system_bindir
from monitor.embedded.servers import Servers
from monitor.embedded.valkey import EmbeddedValkey
from monitor.metrics import Metrics
from monitor.opening import open_instance
from monitor.ports import Ledger, Place, Store, SystemClock
from monitor.stores.environment import LiveEnvironment
from monitor.stores.ledger import Ledgers
from monitor.stores.state import KeptState
from tests.conftest import in_database
from tests.system import ENVIRONMENT, Ended, described, holdfast, until, write
from tests.system import variables as variables_of

WITHIN = 60.0
SCRIPTS = Path(__file__).parents[2] / "deploy" / "restore-test"
SLACK = "100ms"
PGBACKREST = shutil.which("pgbackrest") or ""
"""Debian's pgBackRest, empty where it is not installed."""


@dataclass(kw_only=True)
class Deployment:
    """Two stores, and a ledger on disk whose writes are in them. Names are those of `ENVIRONMENT`."""

    servers: Servers
    folder: Path
    instance: Instance
    ledger: Ledger
    environment: LiveEnvironment
    archive: Path
    _named: int = field(default=0)

    async def write(self, times: int = 12, *stores: Store) -> list[Entry]:
        """Some writes to each store, the first and every third of them with a record; -> those of PostgreSQL."""
        done = [
            await self.environment.scribe(store).write(identified=n % 3 == 0)
            for n in range(times)
            for store in stores or sorted(self.environment.stores)
        ]
        return [entry for entry in done if entry.store == Store.POSTGRES]

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Writes go on as long as the block lasts."""
        ended = asyncio.Event()

        async def on() -> None:
            while not ended.is_set():
                await self.write(3)

        task = asyncio.create_task(on())
        try:
            yield
        finally:
            ended.set()
            await task

    async def program(self, name: str, *arguments: str | Path) -> str:
        """Run one of PostgreSQL's own programs as the superuser."""
        return await self._run(self.servers.postgres.bindir / name, *arguments)

    async def _run(self, *command: str | Path) -> str:
        self._named += 1
        log = self.servers.folder / f"program-{self._named}.log"
        environment = {"PGPASSWORD": self.servers.postgres.passwords[0]}
        return await self.servers.private.run(command, log=log, within=WITHIN, environment=environment)

    async def dump(self) -> Path:
        """What pg_dump writes."""
        file = self.archive / f"{secrets.token_hex(4)}.dump"
        await self.program("pg_dump", "-Fc", "-f", file, "-d", self.servers.postgres.superuser_dsn())
        return file

    async def restored(self, dump: Path | None) -> str:
        """A scratch database, with what pg_restore makes of a dump in it; -> its DSN."""
        name = f"scratch_{secrets.token_hex(4)}"
        await self.servers.postgres.sql(f"CREATE DATABASE {name}", database="postgres")
        dsn = self.servers.postgres.superuser_dsn(name)
        if dump is not None:
            await self.program("pg_restore", "--no-owner", "--exit-on-error", "-d", dsn, dump)
        return dsn

    async def sql(self, dsn: str, script: str) -> str:
        """Run SQL in a scratch database."""
        return await self.servers.postgres.sql(script, database=dsn.rpartition("/")[2])

    async def archived(self) -> None:
        """Returns when all that was written so far is in the archive of the WAL."""
        file = (await self.servers.postgres.sql("SELECT pg_walfile_name(pg_switch_wal())")).strip()
        await until((self.archive / file).exists, within=WITHIN)

    async def base_backup(self) -> EmbeddedPostgres:
        """What pg_basebackup copies, as a server that was not started yet."""
        copy = EmbeddedPostgres(
            self.servers.private, fsync=False, name=f"base-{secrets.token_hex(4)}", replica_of=self.servers.postgres
        )
        await copy._prepare()
        (copy.data / "standby.signal").unlink()
        return copy

    async def recovered(self, copy: EmbeddedPostgres, at: datetime, *, action: str) -> str:
        """Start a base backup and let it replay the archive up to a moment; -> its DSN."""
        settings = {
            "restore_command": f"cp {self.archive}/%f %p",
            "recovery_target_time": at.isoformat(),
            "recovery_target_action": action,
            "archive_mode": "off",
        }
        file = copy.data / "postgresql.auto.conf"
        lines = [*file.read_text().splitlines(), *(f"{name} = '{value}'" for name, value in settings.items())]
        self.servers.private.write(file, "\n".join(lines) + "\n")
        self.servers.private.write(copy.data / "recovery.signal", "")
        await copy.start()
        paused = action == "pause"
        await self._recovered(copy, "pg_is_wal_replay_paused()" if paused else "NOT pg_is_in_recovery()")
        return copy.superuser_dsn()

    async def _recovered(self, copy: EmbeddedPostgres, done: str) -> None:
        async def recovered() -> bool:
            return (await copy.sql(f"SELECT {done}")).strip() == "t"

        await until(recovered, within=WITHIN)

    async def pgbackrest(self, *arguments: str | Path) -> str:
        """Run pgBackRest on a repository beside the data."""
        lines = {
            "[global]": {
                "repo1-path": self.archive / "repository",
                "repo1-bundle": "y",
                "repo1-retention-full": 1,
                "compress-type": "none",
                "log-level-file": "off",
                "lock-path": self.archive,
                "spool-path": self.archive,
            },
            "[lime]": {
                "pg1-path": self.servers.postgres.data,
                "pg1-port": self.servers.postgres.port,
                "pg1-socket-path": self.archive,
                "pg1-user": "postgres",
            },
        }
        text = "".join(
            f"{section}\n{''.join(f'{name}={value}' + chr(10) for name, value in values.items())}"
            for section, values in lines.items()
        )
        self.servers.private.write(self.archive / "pgbackrest.conf", text)
        command = [PGBACKREST, f"--config={self.archive}/pgbackrest.conf", "--stanza=lime", *arguments]
        return await self._run(*command)

    def copied(self, *files: str) -> Path:
        """A folder with copies of these files of Valkey."""
        self._named += 1
        home = self.servers.private.subfolder(f"files-{self._named}")
        self._copy(home, files)
        return home

    def _copy(self, home: Path, files: Sequence[str]) -> None:
        source = self.servers.folder / "valkey"
        for name in files:
            target = home / name
            shutil.copytree(source / name, target) if (source / name).is_dir() else shutil.copy(source / name, target)
            for path in (target, *target.rglob("*")):
                self.servers.private._give(path)

    async def loaded(self, *files: str, appendonly: bool) -> EmbeddedValkey:
        """Another Valkey that starts from these files of the first one."""
        copy = EmbeddedValkey(
            self.servers.private, fsync=False, appendonly=appendonly, name=f"valkey-{secrets.token_hex(4)}"
        )
        await copy._prepare()
        self._copy(Path(copy._settings["dir"]), files)
        await copy.start()
        return copy

    async def script(self, name: str, **variables: str | Path) -> tuple[int, str]:
        """Run a script of deploy/restore-test as the servers' user; -> how `verify` within it ended, and what it said.

        That user may not be able to run Holdfast, so it is run from here when the script asks for it.
        """
        self._named += 1
        place = self.servers.private.subfolder(f"script-{self._named}")
        asked, told = place / "asked", place / "told"
        shim = f'echo "$HOLDFAST_VERIFY_AGAINST" >{place}/new; echo "$*" >>{place}/new; mv {place}/new {asked}'
        self.servers.private.write(
            place / "holdfast", f"{shim}\nuntil [ -e {told} ]; do sleep 0.02; done; exit $(cat {told})"
        )
        programs = (self.servers.postgres.bindir, self.servers.valkey._command()[0].parent, *os.defpath.split(":"))
        environment = {
            "ENVIRONMENT": ENVIRONMENT,
            "HOLDFAST": f"sh {place}/holdfast",
            "PATH": ":".join(map(str, programs)),
            "PGPASSWORD": self.servers.postgres.passwords[0],
            **{key: str(value) for key, value in variables.items()},
        }
        child = self.servers.private.spawn(
            ["sh", SCRIPTS / name], log=place / "log", environment={**environment, "TMPDIR": str(place)}
        )
        try:
            await until(lambda: asked.exists() or child.ended(), within=WITHIN, what="the script to ask")
            assert asked.exists(), (place / "log").read_text()
            dsn, command = asked.read_text().splitlines()
            ended = await holdfast(
                *command.split(), "--config", self.file, env=variables_of(HOLDFAST_VERIFY_AGAINST=dsn)
            )
            self.servers.private.write(place / "new", str(ended.code))
            (place / "new").rename(told)
            await until(child.ended, within=WITHIN, what="the end of the script")
        finally:
            await child.kill()
        assert child.returncode == ended.code, (place / "log").read_text()
        assert list(place.glob("tmp.*")) == []
        return ended.code, ended.out

    @property
    def file(self) -> Path:
        """The configuration."""
        return self.folder / "holdfast.yaml"

    async def verify(self, against: str | None, *arguments: str | Path) -> Ended:
        """`holdfast ledger verify` of this environment."""
        named = () if against is None else ("--against", "${AGAINST}")
        env = variables_of(AGAINST=against or "")
        return await holdfast("ledger", "verify", ENVIRONMENT, *named, *arguments, "--config", self.file, env=env)

    async def verified(self, against: str | None, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
        """Its exit and what it says of the first store."""
        ended = await self.verify(against, *arguments, "--format", "json")
        assert ended.err == "", ended.err
        return ended.code, json.loads(ended.out)["stores"][0]


@asynccontextmanager
async def deployment(folder: Path, *, pgbackrest: bool = False) -> AsyncIterator[Deployment]:
    """A deployment whose WAL is archived: by cp, or by Debian's pgBackRest from Debian's PostgreSQL."""
    settings = {"wal_level": "replica", "archive_mode": "on"}
    servers = Servers(fsync=False, postgres_settings=settings, postgres_bindir=system_bindir() if pgbackrest else None)
    archive = servers.private.subfolder("archive")
    command = f"{PGBACKREST} --config={archive}/pgbackrest.conf --stanza=lime archive-push %p"
    servers.postgres._settings |= {
        "archive_command": command if pgbackrest else f"cp %p {archive}/%f",
        "unix_socket_directories": str(archive) if pgbackrest else "",
    }
    async with servers:
        path = folder / "state.db"
        state = KeptState(path)
        await state.open()
        instance = await open_instance(state)
        await state.close()
        ledgers = Ledgers(path, clock=SystemClock())
        dsn, url = in_database(servers.postgres.dsn, "app"), servers.valkey.url
        environment = LiveEnvironment(
            ENVIRONMENT,
            instance=instance,
            tally=Metrics(location="", version="").tally(ENVIRONMENT),
            addresses={Place(Store.POSTGRES): dsn, Place(Store.REDIS): url},
            connections={Store.POSTGRES: 4, Store.REDIS: 4},
            provision=True,
            timeout=timedelta(seconds=5),
            ledger=ledgers.of(ENVIRONMENT),
        )
        await environment.prepare({Store.POSTGRES: 1, Store.REDIS: 1})
        for store in environment.stores:
            environment.scribe(store).kept = True
        made = Deployment(
            servers=servers,
            folder=folder,
            instance=instance,
            ledger=ledgers.of(ENVIRONMENT),
            environment=environment,
            archive=archive,
        )
        write(made.file, described(folder, dsn=dsn, url=url))
        try:
            yield made
        finally:
            for store in environment.stores:
                await environment.scribe(store).close()
            await ledgers.close()
