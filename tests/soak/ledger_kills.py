"""`make ledger-kills`: kill -9 of the daemon during failovers gives no false loss and no unverified acknowledgement."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time
from typing import Any, get_args

from monitor.embedded.faults.fault import Site
from monitor.embedded.servers import Servers
from monitor.ports import Store
from tests.soak.pairs import LOG, Pair, pairs
from tests.soak.reckoning import Account, Kept, Known, twice
from tests.soak.soak import configured
from tests.soak.wire import Moment
from tests.system import ENVIRONMENT, Daemon, until

DURABILITY: Mapping[str, Any] = {
    "every": "1s",
    "timeout": "950ms",
    "budget": "30s",
    "rate": 20,
    "ladder": ["1s", "5s", "15s"],
    "patience": "600ms",
}
ROUNDS = 6
"""Runs that could tell how things stand, until what is gone must have been found."""
PATIENCE = 90.0
"""Seconds for these runs on a machine that is busy with its servers."""
COVERED_WITHIN = 30
"""Such runs until the coverage is complete: until the last rung of what was written last, and the page is renewed."""
CONCLUSIVE = frozenset({"ok", "slow", "violated"})
LAGS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds that a replica is behind."""

Say = Callable[[str], None]


@dataclass(kw_only=True)
class Report:
    """What came of it, and all that was not as it should be.

    `rounds` are the most runs that it took until a loss was told, `covered` those until the coverage was complete
    again, `seconds` how long all of it took.
    """

    seed: int
    kills: int = 0
    moments: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    covered: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    coverage: dict[str, float] = field(default_factory=dict)
    stores: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)

    @property
    def failovers(self) -> int:
        """How often a replica took over."""
        return sum(number for what, number in self.events.items() if "crash" not in what)


@dataclass(kw_only=True)
class Course:
    """The daemon that lives now, and the servers that fail under it."""

    file: Path
    site: Site
    pairs: Sequence[Pair]
    dice: random.Random
    report: Report
    stack: AsyncExitStack
    accounts: dict[Store, Account]
    daemons: list[Daemon] = field(default_factory=list)

    @property
    def daemon(self) -> Daemon:
        """The one that lives."""
        return self.daemons[-1]

    def start(self) -> None:
        """Start a daemon, and wait for nothing."""
        daemon = Daemon(self.file, self.file.parent)
        daemon.start()
        self.stack.callback(daemon.kill)
        self.daemons.append(daemon)

    async def kill(self) -> None:
        """SIGKILL at some moment, also one that only the wire can tell; the next daemon starts at once."""
        moment = self.dice.choice((None, None, *get_args(Moment)))
        if moment is None:
            await asyncio.sleep(self.dice.uniform(0, 0.8))
        else:
            await self._trap(moment, self.dice.choice(self.pairs))
        self.daemon.kill()
        self.report.kills += 1
        self.report.moments[moment or "any"] += 1
        self.start()

    async def _trap(self, moment: Moment, pair: Pair) -> None:
        """Wait for such a moment of a store's writes, or not much longer than one takes where nothing is written."""
        there, after = asyncio.Event(), self.dice.choice((0.0, 0.002, 0.005, 0.01))

        def spring() -> None:
            if not after:
                self.daemon.process.kill()
            there.set()

        pair.wire.trap = (moment, spring)
        try:
            async with asyncio.timeout(2):
                await there.wait()
            await asyncio.sleep(after)
        except TimeoutError:
            self.report.moments["in vain"] += 1
        finally:
            pair.wire.trap = None

    async def _alive(self) -> None:
        """Wait until both stores have answered some writes of the daemon that lives."""
        before = [len(pair.wire.answered) + 5 for pair in self.pairs]

        def answered() -> bool:
            return all(len(pair.wire.answered) >= least for pair, least in zip(self.pairs, before, strict=True))

        await until(answered, within=PATIENCE, what=lambda: self.daemon.written()[-3000:])

    async def break_some(self) -> None:
        """A failover, or a crash, of one store or of both at once."""
        chosen = self.pairs if self.dice.random() < 0.25 else [self.dice.choice(self.pairs)]
        await asyncio.gather(*(self._break(pair) for pair in chosen))

    async def _break(self, pair: Pair) -> None:
        await asyncio.sleep(self.dice.uniform(0, 0.5))
        what = self.dice.choice(("fails over", "fails over", "fails over", "switches over", "crashes"))
        self.report.events[f"{pair.store} {what}"] += 1
        if what == "crashes":
            await pair.crash()
            return
        await (pair.switch_over() if what == "switches over" else pair.fail_over(lag=self.dice.choice(LAGS)))
        await asyncio.sleep(self.dice.uniform(0, 0.3))
        await pair.rebuild()

    async def cycle(self, kills: int) -> None:
        """Something breaks, and the daemon is killed meanwhile."""
        if self.dice.random() < 0.7:  # else they begin before anything is written again
            await self._alive()
        broken = asyncio.create_task(self.break_some())
        await asyncio.sleep(self.dice.uniform(0, 2))
        for _ in range(kills):
            await self.kill()
        await broken

    async def settle(self) -> None:
        """Within so many rounds the ledger says what is true. What it has said that is not true stays."""
        complaints: list[str] = []
        for number in range(1, ROUNDS + 1):
            await self.round()
            self.report.rounds = max(self.report.rounds, number)
            complaints = await self.complaints()
            if not complaints:
                return
        self.report.complaints += [each for each in complaints if each not in self.report.complaints]

    async def round(self) -> None:
        """One more run of the daemon that lives that can tell how things stand."""
        daemon = self.daemon

        def told() -> int:
            runs = daemon.events("run.finished", probe="durability")
            return sum(run["verdict"] in CONCLUSIVE for run in runs)

        before = told()
        await until(lambda: told() > before, within=PATIENCE, what=lambda: daemon.written()[-3000:])

    async def complaints(self) -> list[str]:
        """Hold the ledger against the servers that are there now."""
        found: list[str] = []
        for pair in self.pairs:
            kept = self._kept(pair)
            sent, answered = set(pair.wire.sent), set(pair.wire.answered)
            known = Known(sent=sent, answered=answered, moves=await pair.moves(), records=await pair.records())
            account = self.accounts[pair.store]
            found += [f"{pair.store}: {each}" for each in account.settle(kept, known)]
            found += [f"{pair.store}: {each}" for each in twice(sent, len(self.daemons))]
            self.report.stores[pair.store] = {
                "acked": account.acked,
                "truly lost": len(account.gone),
                "reported lost": len(account.reported),
                "losses": len(kept.losses),
                "perhaps": account.perhaps,
                "of these there": account.there,
                "of these never sent": account.unsent,
                "of these sent and never answered": account.unanswered,
                "of these answered, which the daemon never knew": account.unrecorded,
            }
        return found

    async def acknowledge(self) -> None:
        """Somebody settles what is reported."""
        shown = (await self.daemon.get("/api/v1/violations?stage=open&stage=acknowledged")).json()
        for violation in shown.get("violations", []):
            await self.daemon.post(f"/api/v1/violations/{violation['id']}/ack")

    async def verified(self) -> None:
        """Of what was acknowledged nothing that is due stays unverified, and the daemon's own figure says so."""
        due_by = time()
        for _ in range(2):  # the first may have begun before
            await self.round()
        late = sum(entry.late(due_by) for pair in self.pairs for entry in self._kept(pair).entries)
        if late:
            self.report.complaints.append(f"{late} acknowledged writes were due and are not verified")
        probes = {"durability": {**DURABILITY, "ladder": ["1h"]}}  # what is still due is looked at, and nothing else
        configured(self.file.parent, self.site.addresses(), probes)
        self.daemon.tell(signal.SIGHUP)
        for number in range(1, COVERED_WITHIN + 1):
            await self.round()
            self.report.covered = number
            for pair in self.pairs:
                labels = {"environment": ENVIRONMENT, "store": str(pair.store)}
                ratio = await self.daemon.metric("holdfast_verification_coverage_ratio", **labels)
                self.report.coverage[pair.store] = ratio
            if set(self.report.coverage.values()) == {1}:
                return
        self.report.complaints.append(f"the coverage does not come back: {self.report.coverage}")

    def _kept(self, pair: Pair) -> Kept:
        return Kept.at(self.file.with_name("state.db"), pair.store)

    def conclude(self, state: Path) -> None:
        """What all daemons said, and what is kept of it."""
        with closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True)) as connection:
            self.report.violations.update(kind for (kind,) in connection.execute("SELECT kind FROM violations"))
            self.report.causes.update(cause for (cause,) in connection.execute("SELECT cause FROM ledger_losses"))
        if others := set(self.report.violations) - {"lost"}:
            self.report.complaints.append(f"violations of another kind: {', '.join(sorted(others))}")
        for daemon in self.daemons:
            if "Traceback" in (written := daemon.written()) or '"pulse.failed"' in written:
                self.report.complaints.append(f"a daemon failed: {daemon.log}")


async def kill_often(*, kills: int, seed: int, folder: Path, say: Say, least: int = 0) -> Report:
    """Kill the daemon so often, and at least until so many failovers; -> what came of it."""
    dice = random.Random(seed)  # noqa: S311  moments, not secrets
    report, began = Report(seed=seed), monotonic()
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(Servers(fsync=False, replicas=True))
        site = await Site.before(servers, stack)
        both = pairs(site, dice)
        course = Course(
            file=configured(folder, site.addresses(), {"durability": DURABILITY}),
            site=site,
            pairs=both,
            dice=dice,
            report=report,
            stack=stack,
            accounts={pair.store: Account() for pair in both},
        )
        course.start()
        await course.daemon.event("run.finished", probe="durability", verdict="ok")
        await servers.postgres.sql(LOG)
        for pair in both:
            await pair.rebuild()
        await course.settle()
        while report.kills < kills or report.failovers < least:
            await course.cycle(min(dice.choice((1, 2, 2, 3)), kills - report.kills))
            if dice.random() < 0.7:  # else the next one follows at once
                await course.settle()
                if dice.random() < 0.5:
                    await _page(course.daemon)
                    await course.acknowledge()
            say(f"{report.kills:4} kills, {report.failovers} failovers; {json.dumps(report.stores)}")
        await course.settle()
        await _page(course.daemon)
        await course.acknowledge()  # what is lost stays due as long as nobody settles it
        await course.verified()
        await course.settle()
        assert await course.daemon.stop() == 0
        course.conclude(folder / "state.db")
    report.seconds = monotonic() - began
    return report


async def _page(daemon: Daemon) -> None:
    """Wait until a daemon's page can be read."""
    daemon.url = str((await daemon.event("daemon.started"))["url"])


def main() -> int:
    """Run it; -> 0 if nothing was lost unseen, nothing called lost that was not, and all was verified, else 1."""
    parser = argparse.ArgumentParser(prog="make ledger-kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how often the daemon is killed")
    parser.add_argument("--seed", type=int, help="decides what happens when; drawn and printed if it is not given")
    parser.add_argument("--keep", type=Path, help="a folder for the state database and the logs")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    _say(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="holdfast-kills-") as brief:
        folder = given.keep or Path(brief)
        folder.mkdir(parents=True, exist_ok=True)
        report = asyncio.run(kill_often(kills=given.kills, seed=seed, folder=folder, say=_say))
    _say(json.dumps(vars(report), indent=2, default=str))
    _say(f"{report.kills} kills over {report.failovers} failovers: {'NOT ' if report.complaints else ''}right")
    return 1 if report.complaints else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
