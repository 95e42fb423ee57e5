"""One daemon, all probes fast, and weather: what it says meanwhile, and what is left when the sky is clear again."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import monitor.probes
from monitor.core.residue import PREFIX, Instance
from monitor.embedded.faults.fault import API, Site
from monitor.embedded.pgbouncer import installed
from monitor.embedded.servers import Servers
from monitor.ports import Place, Store, Way
from monitor.probe import discover
from monitor.stores.rows import TABLES
from tests.soak import platform as application
from tests.soak.weather import SPELLS, Sky, Spell
from tests.system import ENVIRONMENT, Daemon, described, until, write

CLEARS_WITHIN = 90.0
"""Seconds after a spell within which every probe is right again: the longest back-off that so short an outage earns,
an interval, and a machine that is busy with its servers."""
EVERY = "3s"
_KEPT = re.compile(rb":(?:keys|ledgers|register|records|record:[0-9a-f]+:[0-9]+)$")  # an index, and what a ledger keeps
OPERATOR = 0.75
"""How often somebody is there who does not wait for the back-off; else the schedule comes back by itself."""
DEADLINES: Mapping[str, Mapping[str, str]] = {
    "sync": {"every": "12s", "timeout": "11s", "deadline": "5s", "patience": "1s"},
    "notify": {"every": "14s", "timeout": "13s", "deadline": "5s", "patience": "500ms"},
}
"""Probes that wait for a deadline of their own need their time; in fair weather they end at once."""
KILLED = "the daemon is killed"

Say = Callable[[str], None]


@dataclass
class Soak:
    """What came of it. `disturbed` are runs that were not right although the sky was clear."""

    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    spells: Counter[str] = field(default_factory=Counter)
    clears: dict[str, float] = field(default_factory=dict)
    violations: list[dict[str, Any]] = field(default_factory=list)
    disturbed: list[dict[str, Any]] = field(default_factory=list)
    faults: list[dict[str, Any]] = field(default_factory=list)
    residue: dict[str, int] = field(default_factory=dict)

    @property
    def runs(self) -> int:
        """How many there were."""
        return self.verdicts.total()


class Log:
    """The log of a daemon, read on from where it was left."""

    def __init__(self, soak: Soak) -> None:
        self._soak = soak
        self._daemon: Daemon | None = None
        self._read = 0
        self.right: dict[str, float] = {}

    def of(self, daemon: Daemon) -> None:
        """Read another one from its beginning."""
        self.news()
        self._daemon, self._read = daemon, 0

    def news(self) -> list[dict[str, Any]]:
        """What was written since the last look; it is counted."""
        if self._daemon is None:
            return []
        with self._daemon.log.open("rb") as file:
            file.seek(self._read)
            lines = file.read().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]
        self._read += sum(map(len, whole))
        found = [json.loads(line) for line in whole]
        for each in found:
            self._count(each)
        return found

    def _count(self, each: dict[str, Any]) -> None:
        match each["event"]:
            case "violation.opened":
                self._soak.violations.append(each)
            case "run.finished":
                self._soak.verdicts[each["verdict"]] += 1
                if each["verdict"] in {"ok", "slow"}:
                    self.right[each["probe"]] = monotonic()
                if each["verdict"] == "unknown":
                    self._soak.reasons[each["reason"]] += 1
                if each.get("reason") == "internal":
                    self._soak.faults.append(each)


def settings(own: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, Any]]:
    """Every probe often, with budgets that no busy machine exceeds; some have their own times."""
    often = {"every": EVERY, "timeout": "2900ms", "budget": "30s"}
    enabled = (name for name, probe in discover(monitor.probes).items() if probe().enabled)
    return {name: {**often, **own.get(name, {})} for name in enabled}


def configured(folder: Path, addresses: Mapping[Place, str], probes: Mapping[str, Any], **more: object) -> Path:
    """The configuration of the daemon, with every way into the stores; `more` is of its environment."""
    values = described(folder, dsn=addresses[Place(Store.POSTGRES)], url=addresses[Place(Store.REDIS)], probes=probes)
    environment = values["environments"][ENVIRONMENT]
    if pooler := addresses.get(Place(Store.POSTGRES, Way.POOLER)):
        environment["postgres"]["pooler"] = pooler
    for place, address in addresses.items():
        if place.way is Way.REPLICA:
            environment[place.store].setdefault("replicas", {})[place.name] = address
    environment |= more
    return write(folder / "holdfast.yaml", values)


async def soak(
    *,
    seconds: float,
    seed: int,
    folder: Path,
    say: Say,
    spells: Sequence[Spell] = SPELLS,
    deaths: int = 3,
    platform: bool = False,
) -> Soak:
    """Run for so long, every sort of weather in turn, in an order that the seed decides; -> what came of it.

    The daemon is killed as many times a turn as `deaths` says. With `platform` it probes through the sample platform.
    """
    dice = random.Random(seed)  # noqa: S311  moments, not secrets
    report = Soak()
    log = Log(report)
    slower = {**DEADLINES, **application.SLOWER} if platform else DEADLINES
    probes = settings(slower)
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(
            Servers(fsync=False, replicas=True, pooler=installed() is not None, platform=platform)
        )
        site = await Site.before(servers, stack)
        assert servers.postgres_replica is not None
        assert servers.valkey_replica is not None
        sky = Sky(
            servers=servers,
            proxies=site.proxies,
            dice=dice,
            primary=servers.postgres,
            standby=servers.postgres_replica,
            cache=servers.valkey,
            cache_replica=servers.valkey_replica,
        )
        addresses = site.addresses()
        bound = servers.platform.described(addresses[API]) if servers.platform else {}
        file = configured(folder, {way: url for way, url in addresses.items() if way != API}, probes, **bound)
        daemon = await _started(file, folder, log, stack)
        await _clear(log, probes)
        end = monotonic() + seconds
        for spell in itertools.chain.from_iterable(_shuffled(dice, spells, deaths) for _ in itertools.count()):
            if monotonic() > end:
                break
            name = spell.__name__.replace("_", " ") if spell else KILLED
            say(f"{report.runs:6} runs, {len(report.violations)} violations; {name}")
            report.spells[name] += 1
            if spell:
                await spell(sky)
            if not spell or dice.random() < 0.2:  # now and then in the middle of the weather, too
                daemon.kill()
                daemon = await _started(file, folder, log, stack)
            clear = asyncio.create_task(_clear(log, probes))
            if dice.random() < OPERATOR:
                await _try_at_once(daemon, slower)
            report.clears[name] = max(report.clears.get(name, 0.0), await clear)
            await _stay_clear(log, report, 2 * dice.random())
        await sky.calm()
        assert await daemon.stop() == 0
        log.news()
        last = await _started(file, folder, log, stack)
        for store in ("postgres", "redis", *(["api"] if platform else [])):
            await last.event("sweep.finished", store=store)
        await _clear(log, probes)
        mark, _, incarnation = last.events("daemon.started")[0]["instance"].rpartition("-")
        assert await last.stop() == 0
        log.news()
        if platform:
            await application.swept_at_once(site, Instance(mark, int(incarnation)))
            report.residue |= await application.left_behind(sky)
        report.residue |= await _residue(sky)
    return report


def _shuffled(dice: random.Random, spells: Sequence[Spell], deaths: int) -> list[Spell | None]:
    """Every spell once, and the death of the daemon now and then, in any order."""
    turn = [*spells, *[None] * deaths]
    dice.shuffle(turn)
    return turn


async def _started(file: Path, folder: Path, log: Log, stack: AsyncExitStack) -> Daemon:
    daemon = await stack.enter_async_context(Daemon(file, folder))
    log.of(daemon)
    return daemon


async def _try_at_once(daemon: Daemon, slow: Iterable[str]) -> None:
    """What an operator does: reload, which ends every back-off, and run what would otherwise be a while yet."""
    loaded = len(daemon.events("config.loaded"))
    daemon.tell(signal.SIGHUP)
    await daemon.event("config.loaded", times=loaded + 1)
    await asyncio.gather(*(daemon.post(f"/api/v1/environments/{ENVIRONMENT}/probes/{name}/run") for name in slow))


async def _clear(log: Log, probes: Mapping[str, Any]) -> float:
    """Wait until every probe was right after this moment; -> how many seconds that took."""
    log.news()
    began = monotonic()

    def all_right() -> bool:
        log.news()
        return all(log.right.get(name, 0.0) > began for name in probes)

    def missing() -> str:
        return f"{[name for name in probes if log.right.get(name, 0.0) <= began]} to be right again"

    await until(all_right, within=CLEARS_WITHIN, what=missing)
    return monotonic() - began


async def _stay_clear(log: Log, report: Soak, seconds: float) -> None:
    """While the sky is clear every run is right."""
    log.news()
    await asyncio.sleep(seconds)
    report.disturbed += [
        each for each in log.news() if each["event"] == "run.finished" and each["verdict"] not in {"ok", "slow"}
    ]


async def _residue(sky: Sky) -> dict[str, int]:
    """What is left of a daemon that has ended in order, after a start that swept: nothing but its ledger."""
    counts = {
        table: int(await sky.primary.sql(f"SELECT count(*) FROM holdfast.{table}"))  # noqa: S608  our own names
        for table in TABLES
    }
    found = await sky.cache.command("KEYS", f"{PREFIX}*")
    assert isinstance(found, list)
    keys = [key for key in found if isinstance(key, bytes) and not _KEPT.search(key)]
    return {**counts, "keys": len(keys)}
