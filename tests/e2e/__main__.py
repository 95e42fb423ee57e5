"""`make e2e`: break everything in turn, and see how long it takes until somebody is told; --write renews docs."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from monitor.embedded.faults.fault import POSTGRES, REDIS, Site
from monitor.embedded.server import free_port
from monitor.embedded.servers import Servers
from tests.e2e.cases import CASES, Case, Stage
from tests.e2e.watch import ROOT, SCRAPE, Phone, Program, alertmanager, firing, prometheus
from tests.system import Daemon, described, holdfast, until, write

PAGE = ROOT / "docs" / "alerting.md"
BEGIN, END = "<!-- made by `make e2e ARGS=--write` -->\n", "<!-- end -->"
ENVIRONMENT = "production"
OFTEN = {"every": "10s", "timeout": "9s"}
PROBES = dict.fromkeys(("thread", "session", "isolation", "eviction"), OFTEN)
PATIENCE = 120.0


def main() -> int:
    """Run it; -> 0 if every alert came, else 1."""
    parser = argparse.ArgumentParser(prog="make e2e", description=__doc__)
    parser.add_argument("alerts", nargs="*", help="only these; all without any")
    parser.add_argument("--write", action="store_true", help="renew the table of docs/alerting.md")
    given = parser.parse_args()
    cases = [case for case in CASES if not given.alerts or case.alert in given.alerts]
    with tempfile.TemporaryDirectory(prefix="holdfast-e2e-") as folder:
        took = asyncio.run(_all(cases, Path(folder)))
    table = "".join(_table(cases, took))
    _say(table)
    if given.write:
        before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
        PAGE.write_text(before + BEGIN + table + END + rest.partition(END)[2], encoding="utf-8")
    return 0 if len(took) == len(cases) else 1


async def _all(cases: Sequence[Case], folder: Path) -> dict[str, float]:
    """Every case on one stack; Alertmanager begins anew for each, so that none is told as part of another's message."""
    took: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        phone = Phone()
        stack.callback(phone.close)
        servers = await stack.enter_async_context(Servers(fsync=False, replicas=True))
        site = await Site.before(servers, stack)
        config = _configuration(folder, site)
        daemon = await stack.enter_async_context(Daemon(config, folder))
        rules, tells = folder / "rules.yml", free_port()
        made = await holdfast("rules", "--config", config, "--scrape", SCRAPE, "--out", rules)
        assert made.code == 0, made.err
        target = daemon.url.removeprefix("http://").rstrip("/")
        watching = await stack.enter_async_context(prometheus(folder, target=target, rules=rules, tells=tells))
        stage = Stage(site=site, daemon=daemon, config=config)
        for case in cases:
            await _quiet(watching)
            async with alertmanager(folder, tells, phone):
                phone.told.clear()
                began = monotonic()
                await case.inject(stage)
                try:
                    await until(lambda alert=case.alert: alert in phone.told, within=PATIENCE)  # type: ignore[misc]
                    took[case.alert] = phone.told[case.alert] - began
                    also = ", ".join(sorted(set(phone.told) - {case.alert}))
                    _say(f"{case.alert}: {took[case.alert]:.1f} s{f' (with {also})' if also else ''}\n")
                except AssertionError:
                    _say(f"{case.alert}: nobody was told in {PATIENCE:g} s; firing: {await firing(watching)}\n")
                await case.heal(stage)
            if daemon.process.poll() is None:
                daemon.tell(signal.SIGHUP)  # whoever has mended it does not wait for the back-off
    return took


def _configuration(folder: Path, site: Site) -> Path:
    addresses = site.addresses()
    values = described(folder, dsn=addresses[POSTGRES], url=addresses[REDIS], probes=PROBES)
    ((_, stores),) = values["environments"].items()
    for place, address in addresses.items():
        if place.name:
            stores[place.store].setdefault("replicas", {})[place.name] = address
    stores["redis"]["policy"] = "noeviction"
    # No budget burns: else each case would come as news of the incident that the case before has left behind.
    values["environments"] = {ENVIRONMENT: {**stores, "objective": 50}}
    return write(folder / "holdfast.yaml", values)


async def _quiet(watching: Program) -> None:
    """Wait until nothing is pending, nor fires; what an hour's p99 or a loop's lag says may go on."""
    slow = {"HoldfastBudgetExceeded", "HoldfastLoopLag"}

    async def calm() -> bool:
        return not await firing(watching) - slow

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
