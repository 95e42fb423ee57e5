"""`make e2e`: break everything in turn, and see how long it takes until somebody is told; --write renews docs."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import yaml

from monitor.embedded.faults.fault import POSTGRES, REDIS, Site
from monitor.embedded.server import free_port
from monitor.embedded.servers import Servers
from tests.e2e.cases import CASES, SLOW, Case, Stage
from tests.e2e.watch import ROOT, SCRAPE, Phone, Program, alertmanager, firing, prometheus
from tests.system import Daemon, described, holdfast, until, write

PAGE = ROOT / "docs" / "alerting.md"
BEGIN, END = "<!-- made by `make e2e ARGS='--write{}'` -->\n", "<!-- end -->"
ENVIRONMENT = "production"
OFTEN = {"every": "10s", "timeout": "9s"}
PROBES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("thread", "session", "isolation", "eviction"), OFTEN),
    "sync": {**OFTEN, "deadline": "2s"},
    "durability": {**OFTEN, "ladder": ["1m", "10m"]},
}
UNCALM = {
    "HoldfastBudgetExceeded",
    "HoldfastErrorBudgetBurn",
    "HoldfastLoopLag",
    "HoldfastProbeNotRunning",
    "HoldfastPropagationLate",
    "HoldfastScheduleLag",
}
"""What goes on for an hour after its cause is gone, or for a while on a busy machine."""
PATIENCE = 180.0
LONG_PATIENCE, A_MINUTE = timedelta(hours=1), timedelta(minutes=1)


def main() -> int:
    """Run it; -> 0 if every alert came, else 1."""
    parser = argparse.ArgumentParser(prog="make e2e", description=__doc__)
    parser.add_argument("alerts", nargs="*", help="only these; all without any")
    parser.add_argument("--slow", action="store_true", help="those that take up to an hour, all at once")
    parser.add_argument("--write", action="store_true", help="renew the table of docs/alerting.md")
    given = parser.parse_args()
    cases = [case for case in (SLOW if given.slow else CASES) if not given.alerts or case.alert in given.alerts]
    run = _at_once if given.slow else _in_turn
    with tempfile.TemporaryDirectory(prefix="holdfast-e2e-") as folder:
        took = asyncio.run(run(cases, Path(folder)))
    table = "".join(_table(cases, took))
    _say(table)
    if given.write:
        begin = BEGIN.format(" --slow" if given.slow else "")
        before, _, rest = PAGE.read_text("utf-8").partition(begin)
        PAGE.write_text(before + begin + table + END + rest.partition(END)[2], encoding="utf-8")
    return 0 if len(took) == len(cases) else 1


@dataclass(frozen=True, kw_only=True)
class Watching:
    """Everything that stands between a fault and whoever is told."""

    stage: Stage
    prometheus: Program
    phone: Phone
    folder: Path
    tells: int

    def alertmanager(self) -> Program:
        """One that knows nothing yet."""
        return alertmanager(self.folder, self.tells, self.phone)


@asynccontextmanager
async def _watching(folder: Path, *limits: str, more: Mapping[str, Any] | None = None) -> AsyncIterator[Watching]:
    """The stores, the daemon and Prometheus. The rules may know `more` environments than the daemon has."""
    async with AsyncExitStack() as stack:
        phone = Phone()
        stack.callback(phone.close)
        servers = await stack.enter_async_context(Servers(fsync=False, replicas=True))
        site = await Site.before(servers, stack)
        config = _configuration(folder, site)
        daemon = await stack.enter_async_context(Daemon(config, folder))
        rules, tells, known = folder / "rules.yml", free_port(), yaml.safe_load(config.read_text())
        write(folder / "known.yaml", {**known, "environments": {**known["environments"], **(more or {})}})
        options: tuple[str | Path, ...] = (
            "--config",
            folder / "known.yaml",
            "--scrape",
            SCRAPE,
            *limits,
            "--out",
            rules,
        )
        made = await holdfast("rules", *options)
        assert made.code == 0, made.err
        target = daemon.url.removeprefix("http://").rstrip("/")
        watching = await stack.enter_async_context(prometheus(folder, target=target, rules=rules, tells=tells))
        undo = await stack.enter_async_context(AsyncExitStack())
        stage = Stage(site=site, daemon=daemon, config=config, state=folder / "state.db", undo=undo)
        yield Watching(stage=stage, prometheus=watching, phone=phone, folder=folder, tells=tells)


async def _in_turn(cases: Sequence[Case], folder: Path) -> dict[str, float]:
    """Every case on one stack; Alertmanager begins anew for each, so that none is told as part of another's message."""
    took: dict[str, float] = {}
    async with _watching(folder) as watching:
        stage, told = watching.stage, watching.phone.told
        for case in cases:
            await _quiet(watching.prometheus)
            async with watching.alertmanager():
                told.clear()
                began = monotonic()
                await case.inject(stage)
                try:
                    await until(lambda alert=case.alert: alert in told, within=PATIENCE)  # type: ignore[misc]
                    took[case.alert] = told[case.alert] - began
                    also = ", ".join(sorted(set(told) - {case.alert}))
                    _say(f"{case.alert}: {took[case.alert]:.1f} s{f' (with {also})' if also else ''}\n")
                except AssertionError:
                    fires = await firing(watching.prometheus)
                    _say(f"{case.alert}: nobody was told in {PATIENCE:g} s; firing: {fires}\n")
                await case.heal(stage)
            if stage.daemon.process.poll() is None:
                stage.daemon.tell(signal.SIGHUP)  # whoever has mended it does not wait for the back-off
    return took


async def _at_once(cases: Sequence[Case], folder: Path) -> dict[str, float]:
    """All of them together, by rules that grant almost nothing; each alert is waited for."""
    limits = ("--residue", "0", "--cost-seconds", "0.000001")
    async with _watching(folder, *limits, more={"gone": {"redis": {"url": "redis://127.0.0.1:1"}}}) as watching:
        wanted, told = {case.alert for case in cases}, watching.phone.told
        async with watching.alertmanager():
            began = monotonic()
            for case in cases:
                await case.inject(watching.stage)
            for _ in range(int(LONG_PATIENCE / A_MINUTE)):
                with suppress(AssertionError):
                    await until(lambda: wanted <= set(told), within=A_MINUTE.total_seconds())
                _say(f"{(monotonic() - began) / 60:3.0f} min: {', '.join(sorted(wanted & set(told))) or 'none yet'}\n")
                if wanted <= set(told):
                    break
    return {alert: told[alert] - began for alert in wanted & set(told)}


def _configuration(folder: Path, site: Site) -> Path:
    addresses = site.addresses()
    values = described(folder, dsn=addresses[POSTGRES], url=addresses[REDIS], probes=PROBES)
    ((_, stores),) = values["environments"].items()
    for place, address in addresses.items():
        if place.name:
            stores[place.store].setdefault("replicas", {})[place.name] = address
    stores["redis"]["policy"] = "noeviction"
    # No budget burns: else each case would come as news of the incident that the case before has left behind.
    # It burns of what was promised elsewhere, where only sessions are looked at.
    sessions = {name: {"enabled": False} for name in PROBES if name != "session"}
    values["environments"] = {
        ENVIRONMENT: {**stores, "objective": 50},
        "promised": {"redis": stores["redis"], "objective": 99.9, "probes": sessions},
    }
    return write(folder / "holdfast.yaml", values)


async def _quiet(watching: Program) -> None:
    """Wait until nothing is pending, nor fires that ends with its cause."""

    async def calm() -> bool:
        return not await firing(watching) - UNCALM

    await asyncio.sleep(float(SCRAPE.removesuffix("s")) * 3)  # what was just healed is scraped, and evaluated
    await until(calm, within=PATIENCE, what="silence")


def _table(cases: Iterable[Case], took: dict[str, float]) -> Iterable[str]:
    load, cores = os.getloadavg()[0], os.cpu_count()
    yield f"\nMeasured on {datetime.now(UTC):%Y-%m-%d}, {cores} cores at a load of {load:.1f}, "
    yield f"scrapes every {SCRAPE}, probes every {OFTEN['every']}.\n\n"
    yield "| alert | what was broken | seconds until the message | why not sooner |\n|---|---|---:|---|\n"
    for case in cases:
        seconds = f"{took[case.alert]:.1f}" if case.alert in took else "none came"
        yield f"| `{case.alert}` | {case.breaks} | {seconds} | {case.waits} |\n"


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
