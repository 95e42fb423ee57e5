"""Many environments in one daemon (`python3 dev.py sim`): what they cost, and whether it keeps time.

A real daemon (`holdfast run`) watches them on one embedded PostgreSQL, a database for each environment as the schema
wants it, and one Valkey. With fewer `--databases` than environments the others have Redis alone, so that fewer probes
run there; it is said. What the daemon came to is read from outside: its /metrics, its log, and /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any
from urllib.request import urlopen

import yaml
from prometheus_client.parser import text_string_to_metric_families as parse
from prometheus_client.samples import Sample

from monitor.embedded.servers import Servers
from monitor.listening import PortTakenError, bind
from monitor.stores.provision import schema_sql

TICKS = os.sysconf("SC_CLK_TCK")
_START = 300.0  # seconds until the first round of runs is done, at the most, and one more for each environment
_END = 60.0  # seconds for a daemon to end by itself
_AFTER = 20.0  # seconds in which every session is due once more: a turn is known to be missed when the next one is due
_LEAST = 64  # connections that a server has for others


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is watched, by how many daemons, and for how many seconds after the first round it is measured.

    `probes` are settings of probes as in a configuration; empty is as they come. Environments, and with them their
    databases, are counted from `first`.
    """

    environments: int
    databases: int
    seconds: float
    first: int = 0
    shards: int = 1
    detail: str = "low"
    probes: Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What one daemon came to. Seconds, bytes; shares of one core; lags are the bound of the bucket that holds them."""

    environments: int
    runs: float
    moves: float
    cpu: float
    resident: int
    series: int
    page: int
    scrape: float
    lag_p50: float
    lag_p99: float
    loop_p99: float
    missed: int
    wrong: Mapping[str, int]
    loaded: float
    reload: float
    missed_by_reload: int


class Daemon:
    """One `holdfast run` with its log, as seen from outside."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path, url: str) -> None:
        self._process, self._log, self._url = process, log, url

    async def page(self) -> tuple[str, float]:
        """/metrics, and how long that took."""
        began = monotonic()
        text = await asyncio.to_thread(_get, f"{self._url}/metrics")
        return text, monotonic() - began

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    async def ready(self, environments: int) -> None:
        """Wait for the end of the first round. Raises RuntimeError where the daemon died, TimeoutError."""
        async with asyncio.timeout(_START + environments):
            while True:
                if self._process.returncode is not None:
                    raise RuntimeError(f"the daemon ended: {self._log.read_text('utf-8')[-2000:]}")
                with suppress(OSError):
                    await asyncio.to_thread(_get, f"{self._url}/readyz")
                    return
                await asyncio.sleep(0.2)

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text("utf-8").rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident(self) -> int:
        """Bytes of memory."""
        status = Path(f"/proc/{self._process.pid}/status").read_text("utf-8")
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log about one sort of event."""
        with self._log.open(encoding="utf-8") as log:
            return [json.loads(line) for line in log if f'"{event}"' in line]

    async def reload(self) -> float:
        """Have it read its configuration anew; -> seconds until that was in force."""
        before, began = len(self.lines("config.loaded")), monotonic()
        self._process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(_START):
            while True:
                if len(self.lines("config.loaded")) > before:
                    return monotonic() - began
                await asyncio.sleep(0.02)

    async def end(self) -> None:
        """Stop it; by force where it does not end."""
        with suppress(ProcessLookupError):
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _END)
            except TimeoutError:
                self._process.kill()
        await self._process.wait()


async def simulate(plan: Plan, *, tell: Callable[[str], None] = lambda _: None) -> list[Came]:
    """Watch as planned; -> what each daemon came to. `tell` hears how far it is."""
    tell(f"starting servers with {plan.databases} databases")
    async with Servers(fsync=False, postgres_settings=room(plan.databases), valkey_appendonly=False) as servers:
        await databases(servers, plan.databases)
        async with watched(servers, plan) as (file, daemons):
            return await _came(plan, file, daemons, tell=tell)


def room(databases: int) -> Mapping[str, str]:
    """Settings of a PostgreSQL that has so many databases watched."""
    return {"max_connections": str(databases * 2 + _LEAST), "autovacuum_naptime": "5min"}


@asynccontextmanager
async def watched(servers: Servers, plan: Plan) -> AsyncIterator[tuple[Path, list[Daemon]]]:
    """Daemons that have just been started, and their configuration."""
    with TemporaryDirectory(prefix="holdfast-many-") as folder:
        file = Path(folder) / "holdfast.yaml"
        ports = await _free(plan.shards)
        file.write_text(_configuration(servers, plan, Path(folder), ports))
        async with _daemons(file, ports) as daemons:
            yield file, daemons


async def _came(plan: Plan, file: Path, daemons: Sequence[Daemon], *, tell: Callable[[str], None]) -> list[Came]:
    began = monotonic()
    tell(f"{plan.environments} environments: the first round")
    await asyncio.gather(*(daemon.ready(plan.environments) for daemon in daemons))
    ready = monotonic() - began
    await asyncio.sleep(2)  # what the first round left to be kept and swept
    tell(f"{plan.environments} environments: measured for {plan.seconds:.0f} s")
    before = [(daemon.cpu(), Samples((await daemon.page())[0])) for daemon in daemons]
    began = monotonic()
    await asyncio.sleep(plan.seconds)
    taken = [(daemon.cpu(), daemon.resident()) for daemon in daemons]
    length = monotonic() - began
    came = []
    for daemon, (cpu, old), (cpu_now, resident) in zip(daemons, before, taken, strict=True):
        text, scrape = await daemon.page()
        new = Samples(text)
        runs = new.total("holdfast_runs_total") - old.total("holdfast_runs_total")
        verdicts = Counter(
            {name: int(new.total("holdfast_runs_total", verdict=name)) for name in ("slow", "unknown", "violated")}
        )
        came.append(
            Came(
                environments=int(new.count("holdfast_environment_up")),
                runs=runs / length,
                moves=(new.total("holdfast_operations_total") - old.total("holdfast_operations_total")) / length,
                cpu=(cpu_now - cpu) / length,
                resident=resident,
                series=new.lines,
                page=len(text.encode()),
                scrape=scrape,
                lag_p50=quantile(old, new, "holdfast_schedule_lag_seconds", 0.5),
                lag_p99=quantile(old, new, "holdfast_schedule_lag_seconds", 0.99),
                loop_p99=quantile(old, new, "holdfast_loop_lag_seconds", 0.99),
                missed=int(new.total("holdfast_unknown_total", reason="missed")),
                wrong=dict(+verdicts),
                loaded=ready,
                reload=0.0,
                missed_by_reload=0,
            )
        )
    await asyncio.to_thread(_relabel, file)
    reloads = [await daemon.reload() for daemon in daemons]
    tell(f"{plan.environments} environments: turns missed by the reload")
    await asyncio.sleep(_AFTER)
    missed = [Samples((await daemon.page())[0]).total("holdfast_unknown_total", reason="missed") for daemon in daemons]
    return [
        replace(each, reload=reload, missed_by_reload=int(now) - each.missed)
        for each, reload, now in zip(came, reloads, missed, strict=True)
    ]


def _relabel(file: Path) -> None:
    """Give one environment in a hundred another label; all others stay as they are."""
    values = yaml.load(file.read_text("utf-8"), Loader=yaml.CSafeLoader)
    for name in list(values["environments"])[::100]:
        values["environments"][name]["labels"] = {"tier": "other"}
    file.write_text(yaml.dump(values, Dumper=yaml.CSafeDumper))


class Samples:
    """A page of metrics."""

    def __init__(self, text: str) -> None:
        self._samples: dict[str, list[Sample]] = {}
        for family in parse(text):
            for sample in family.samples:
                self._samples.setdefault(sample.name, []).append(sample)
        self.lines = sum(map(len, self._samples.values()))

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples with these labels."""
        return sum(each.value for each in self._samples.get(name, ()) if labels.items() <= each.labels.items())

    def count(self, name: str) -> int:
        """How many samples there are."""
        return len(self._samples.get(name, ()))

    def labels(self, name: str, label: str) -> set[str]:
        """All values of a label."""
        return {each.labels[label] for each in self._samples.get(name, ())}

    def bounds(self, name: str) -> list[str]:
        """The bounds of a histogram, from below."""
        return [each.labels["le"] for each in self._samples[f"{name}_bucket"]]


def quantile(old: Samples, new: Samples, name: str, share: float) -> float:
    """The bound of the bucket that holds it, of what came between two pages."""
    whole = new.total(f"{name}_count") - old.total(f"{name}_count")
    for bound in new.bounds(name):
        if new.total(f"{name}_bucket", le=bound) - old.total(f"{name}_bucket", le=bound) >= share * whole:
            return float(bound)
    return float("inf")


async def databases(servers: Servers, count: int) -> None:
    """A database for each environment, copied from one that has the schema. Raises TimeoutError."""
    await servers.postgres.sql("GRANT CREATE ON DATABASE app TO holdfast; ALTER DATABASE app OWNER TO holdfast;")
    await servers.postgres.sql(f"SET ROLE holdfast; {schema_sql()}")
    for start in range(0, count, 20):
        numbers = range(start, min(count, start + 20))
        # Without fsync, files are copied in a third of the time that their log takes.
        made = "CREATE DATABASE env_{:04d} TEMPLATE app OWNER holdfast STRATEGY file_copy;\n"
        script = "".join(made.format(number) for number in numbers)
        async with asyncio.timeout(_START):
            await servers.postgres.sql(script, database="postgres")


def _configuration(servers: Servers, plan: Plan, folder: Path, ports: Sequence[int]) -> str:
    environments = {}
    for number in range(plan.first, plan.first + plan.environments):
        stores: dict[str, object] = {"redis": {"url": servers.valkey.url}}
        if number < plan.first + plan.databases:
            base, _, _ = servers.postgres.dsn.rpartition("/")
            stores["postgres"] = {"dsn": f"{base}/env_{number:04d}"}
        environments[f"env-{number:04d}"] = {"labels": {"tier": "critical"}, **stores}
    values = {
        "location": "sim",
        "state": f"sqlite:///{folder / 'state.db'}",
        "http": {"listen": f"127.0.0.1:{ports[0]}"},
        "logging": {"format": "json"},
        "metrics": {"detail": plan.detail},
        "probes": {name: dict(settings) for name, settings in plan.probes.items()},
        "environments": environments,
    }
    return str(yaml.dump(values, Dumper=yaml.CSafeDumper))


@asynccontextmanager
async def _daemons(file: Path, ports: Sequence[int]) -> AsyncIterator[list[Daemon]]:
    daemons: list[Daemon] = []
    try:
        for number, port in enumerate(ports, 1):
            part = [] if len(ports) == 1 else ["--shard", f"{number}/{len(ports)}"]
            log = file.with_name(f"daemon-{number}.log")
            with log.open("w") as stream:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "monitor", "run", "--config", str(file), *part, stdout=stream, stderr=stream
                )
            daemons.append(Daemon(process, log, f"http://127.0.0.1:{port}"))
        yield daemons
    finally:
        await asyncio.gather(*(daemon.end() for daemon in daemons))


async def _free(count: int) -> list[int]:
    """Ports that follow each other, and nobody listens at now."""
    while True:
        first = await _port(0)
        try:
            return [first, *[await _port(first + more) for more in range(1, count)]]
        except PortTakenError:
            continue


async def _port(wanted: int) -> int:
    listeners = await bind("127.0.0.1", wanted)
    port = int(listeners[0].getsockname()[1])
    for listener in listeners:
        listener.close()
    return port


def _get(url: str) -> str:
    with urlopen(url, timeout=60) as answer:  # noqa: S310  its own daemon
        return str(answer.read().decode())


def told(plan: Plan, came: Iterable[Came]) -> str:
    """For people."""
    lines = [f"{plan.environments} environments, {plan.databases} of them with a database, detail {plan.detail}:"]
    for number, each in enumerate(came, 1):
        few, runs = max(1, each.environments), each.runs or float("nan")
        rates = f"{each.runs:.1f} runs and {each.moves:.0f} requests a second, {each.cpu * 100:.0f} % of a core"
        costs = f"{each.cpu / runs * 1000:.1f} ms a run with all beside it; {few / each.cpu:.0f} environments a core"
        series = f"{each.series} series ({each.series / few:.0f} an environment)"
        page = f"a page of {each.page / 1e6:.1f} MB in {each.scrape * 1000:.0f} ms"
        lags = f"schedule lag p50 ≤ {each.lag_p50 * 1000:g} ms, p99 ≤ {each.lag_p99 * 1000:g} ms"
        loop = f"loop lag p99 ≤ {each.loop_p99 * 1000:g} ms"
        again = f"reload in {each.reload:.2f} s, {each.missed_by_reload} missed by it"
        lines += [
            f"daemon {number} of {plan.shards}: {few} environments, first round {each.loaded:.1f} s after the start",
            f"  {rates} ({costs})",
            f"  {each.resident / 1e6:.0f} MB; {series}, {page}",
            f"  {lags}; {loop}; {each.missed} runs missed; {again}",
            f"  not ok since the start: {dict(each.wrong) or 'none'}",
        ]
    return "\n".join(lines)


def main() -> None:
    """Read the arguments, and do it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--environments", type=int, default=100)
    options.add_argument("--databases", type=int, help="how many have PostgreSQL, too; as it comes, all")
    options.add_argument("--for", dest="seconds", type=float, default=60.0, help="seconds, after the first round")
    options.add_argument("--shards", type=int, default=1, help="how many daemons share them")
    options.add_argument("--detail", choices=("low", "normal", "high"), default="low")
    options.add_argument(
        "--set", action="append", default=[], metavar="PROBE.KEY=VALUE", help="such as durability.rate=0.1"
    )
    options.add_argument("--json", type=Path, help="write the figures there, too")
    given = options.parse_args()
    probes: dict[str, dict[str, object]] = {}
    for text in given.set:
        key, _, value = text.partition("=")
        probe, _, name = key.partition(".")
        probes.setdefault(probe, {})[name] = yaml.safe_load(value)
    plan = Plan(
        environments=given.environments,
        databases=given.environments if given.databases is None else given.databases,
        seconds=given.seconds,
        shards=given.shards,
        detail=given.detail,
        probes=probes,
    )
    came = asyncio.run(simulate(plan, tell=partial(print, file=sys.stderr, flush=True)))
    print(told(plan, came))
    if given.json:
        given.json.write_text(json.dumps([asdict(each) for each in came], indent=1))


if __name__ == "__main__":
    main()
