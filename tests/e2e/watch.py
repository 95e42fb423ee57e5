"""Prometheus and Alertmanager as processes of their own, and whoever is told by them."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

from monitor.embedded.server import free_port
from tests.system import until

ROOT = Path(__file__).parents[2]
SCRAPE = "5s"


class Phone:
    """Takes what Alertmanager sends, and notes when each alert first came."""

    def __init__(self) -> None:
        self.told: dict[str, float] = {}
        phone = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in body["alerts"]:
                    if alert["status"] == "firing":
                        phone.told.setdefault(alert["labels"]["alertname"], monotonic())
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Take nothing more."""
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Program:
    """A process that answers at `url` once it is ready, until the block is left."""

    command: list[str | Path]
    url: str
    log: Path
    _process: subprocess.Popen[bytes] = field(init=False)

    async def __aenter__(self) -> Self:
        self._start()
        try:
            await until(self._ready, what=lambda: self.log.read_text()[-2000:])
        except BaseException:
            self._process.kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    async def _ready(self) -> bool:
        try:
            return (await self.get("/-/ready")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    async def get(self, path: str) -> httpx.Response:
        """Ask it."""
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as client:
            return await client.get(path)


def alertmanager(folder: Path, port: int, phone: Phone) -> Program:
    """One that knows nothing yet, with the routes of deploy/, whose receivers are the phone."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text())
    for receiver in config["receivers"]:
        receiver["webhook_configs"] = [{"url": phone.url}]  # also of those that wake nobody: what comes is counted
    file, data = folder / "alertmanager.yml", folder / "alertmanager"
    file.write_text(yaml.safe_dump(config))
    shutil.rmtree(data, ignore_errors=True)
    command: list[str | Path] = [
        "prometheus-alertmanager",
        f"--config.file={file}",
        f"--storage.path={data}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    return Program(command, url=f"http://127.0.0.1:{port}", log=folder / "alertmanager.log")


def prometheus(
    folder: Path, *, target: str, rules: Path, tells: int, scrape: str = SCRAPE, flags: Sequence[str] = ()
) -> Program:
    """One that scrapes the daemon, and nothing else."""
    port = free_port()
    config: Mapping[str, Any] = {
        "global": {"scrape_interval": scrape, "evaluation_interval": scrape},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "holdfast", "static_configs": [{"targets": [target]}]}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{tells}"]}]}]},
    }
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    command: list[str | Path] = [
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
        *flags,
    ]
    return Program(command, url=f"http://127.0.0.1:{port}", log=folder / "prometheus.log")


async def firing(prometheus: Program) -> set[str]:
    """The names of the alerts that are pending or fire now."""
    answer = (await prometheus.get("/api/v1/alerts")).json()
    return {alert["labels"]["alertname"] for alert in answer["data"]["alerts"]}
