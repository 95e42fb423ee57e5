"""`make failover-lab`: break a real Patroni cluster, and hold what Holdfast says against what happened."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.failover import Lab
from lab.patroni import Pace
from lab.programs import missing
from lab.scenarios import SCENARIOS
from lab.verdict import Result, table
from monitor.embedded.process import EmbeddedError

LEFT_OUT = 69  # EX_UNAVAILABLE: something is not installed


def main() -> int:
    """Run the scenarios; -> 0 if Holdfast said what happened in all of them, 1 if not, 69 if programs are missing."""
    parser = argparse.ArgumentParser(prog="make failover-lab", description=__doc__)
    parser.add_argument(
        "--scenario", action="append", choices=SCENARIOS, help="only this one; may be repeated; all without any"
    )
    parser.add_argument("--nodes", type=int, default=2, choices=(2, 3), help="nodes of the cluster")
    parser.add_argument("--ttl", type=int, default=8, help="Patroni's ttl in seconds, from 7")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="copy data, logs and Holdfast's state there")
    given = parser.parse_args()
    if packages := missing():
        _say(f"this needs programs of the system: apt-get install --no-install-recommends {' '.join(packages)}")
        return LEFT_OUT
    pace = Pace(ttl=given.ttl)
    if pace.ttl < pace.least_ttl:
        parser.error(f"--ttl must be {pace.least_ttl} or more: loop_wait + 2 * retry_timeout must not exceed it")
    lab = Lab(nodes=given.nodes, pace=pace, say=_say, keep=given.keep)
    try:
        return asyncio.run(_all(lab, given.scenario or list(SCENARIOS)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say("failover lab: interrupted; nothing is left behind")
    return 1


async def _all(lab: Lab, names: Sequence[str]) -> int:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    results: list[Result] = []
    for name in names:
        try:
            result = await lab.run(SCENARIOS[name])
        except EmbeddedError as error:  # the others may still show something
            _say(f"{SCENARIOS[name].title}: NOT DONE: {error}")
            continue
        results.append(result)
        for complaint in result.complaints:
            _say(f"{result.title}: NOT RIGHT: {complaint}")
    sys.stdout.write(f"{table(results)}\n")
    return 0 if len(results) == len(names) and not any(result.complaints for result in results) else 1


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
