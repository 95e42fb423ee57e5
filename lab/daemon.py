"""Holdfast itself, as operators run it: `holdfast run` as a process of its own, and what it says."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

import monitor.probes
from lab.said import Entry, Loss, Outage
from monitor.embedded.process import Child, EmbeddedError, die_with, read, tail
from monitor.embedded.server import free_port
from monitor.probe import discover

ENVIRONMENT = "lab"
RATE = 10  # moves of the register a second: what is shorter than 100 ms is not resolved
# Records come every other second and are removed after a quarter of a minute, so that a failover meets every sort.
DURABILITY: Mapping[str, object] = {
    "every": "2s",
    "timeout": "1900ms",
    "patience": "1s",
    "rate": RATE,
    "ladder": ["3s", "15s"],
}
ENTRIES = """\
SELECT series || '/' || n AS mark, n, identified, state, answered, fate
FROM ledger_entries WHERE store = 'postgres' ORDER BY n
"""
LOSSES = "SELECT cause, records, writes, suffix, least, most FROM ledger_losses ORDER BY id"
OUTAGES = "SELECT operation, began, ended, least, most FROM ledger_outages ORDER BY began"
ASK_SECONDS = 5.0
STOP = ((signal.SIGTERM, 15.0),)


class Daemon:
    """``async with Daemon(…)``: it runs and its page can be read; leaving stops it in order."""

    def __init__(self, folder: Path, *, dsn: str, replicas: Mapping[str, str]) -> None:
        self._state = folder / "state.db"
        self._file = folder / "holdfast.yaml"
        self.log = folder / "holdfast.log"
        self._port = free_port()
        self._dsn = dsn
        self._replicas = replicas
        self._child: Child | None = None

    async def __aenter__(self) -> Self:
        self._file.write_text(yaml.safe_dump(self._settings(), sort_keys=False), encoding="utf-8")
        self._file.chmod(0o600)
        self._child = self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._child is not None:
            await self._child.stop(*STOP)

    def alive(self) -> None:
        """EmbeddedError, with the end of its log, where it has ended by itself."""
        if self._child is None or self._child.ended():
            raise EmbeddedError(f"holdfast run has ended; its log ends with:\n{tail(read(self.log))}")

    async def runs(self, limit: int = 100) -> list[dict[str, Any]]:
        """The latest runs of `durability`, the latest first; none while its page cannot be read."""
        return list(
            (await self._ask(f"/runs?environment={ENVIRONMENT}&probe=durability&limit={limit}")).get("runs", [])
        )

    async def violations(self) -> list[dict[str, Any]]:
        """All violations that it has opened, closed ones too."""
        return list((await self._ask(f"/violations?environment={ENVIRONMENT}")).get("violations", []))

    async def settled(self, since: datetime) -> bool:
        """Whether a run that began after a moment could tell how things stand."""
        self.alive()
        return any(
            datetime.fromisoformat(run["started"]) > since and run["verdict"] != "unknown"
            for run in await self.runs(10)
        )

    def entries(self) -> list[Entry]:
        """Every write of PostgreSQL's that its ledger has."""
        found = self._rows(ENTRIES)
        return [Entry(**row | {"identified": bool(row["identified"])}) for row in found]

    def losses(self) -> list[Loss]:
        """Every loss that its ledger has."""
        found = self._rows(LOSSES)
        return [Loss(**row | {"suffix": bool(row["suffix"])}) for row in found]

    def outages(self) -> list[Outage]:
        """Every outage that its ledger has."""
        return [Outage(**row) for row in self._rows(OUTAGES)]

    def _start(self) -> Child:
        command: list[str | Path] = [Path(sys.executable).with_name("holdfast"), "run", "--config", self._file]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST")}
        with self.log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own command
                command,
                env=kept,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C goes to the whole foreground group
                preexec_fn=die_with(os.getpid(), signal.SIGTERM),  # noqa: PLW1509 - it takes no lock
            )
        return Child(process, lambda _pid: None)

    def _rows(self, query: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(f"file:{self._state}?mode=ro", uri=True, timeout=5)) as state:
            state.row_factory = sqlite3.Row
            return [dict(row) for row in state.execute(query)]

    async def _ask(self, path: str) -> dict[str, Any]:
        try:
            async with httpx.AsyncClient(timeout=ASK_SECONDS, trust_env=False) as client:
                answer = await client.get(f"http://127.0.0.1:{self._port}/api/v1{path}")
                answer.raise_for_status()
                return dict(answer.json())
        except httpx.TransportError:
            return {}

    def _settings(self) -> dict[str, Any]:
        others = {name: {"enabled": False} for name in discover(monitor.probes) if name != "durability"}
        return {
            "location": "lab",
            "state": f"sqlite:///{self._state}",
            "http": {"listen": f"127.0.0.1:{self._port}"},
            "probes": {**others, "durability": dict(DURABILITY)},
            "environments": {ENVIRONMENT: {"postgres": {"dsn": self._dsn, "replicas": dict(self._replicas)}}},
        }
