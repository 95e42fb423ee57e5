"""`make bench`: every goal of speed beside its anchor, in one table."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from bench.comparison import compared
from bench.frame import Bench, Effort, Row, table
from bench.progress import FAILED, Progress, failed
from monitor.cli.common import run

MODULES: Mapping[str, tuple[float, float]] = {
    "latency": (34, 90),
    "honesty": (15, 35),
    "cpu": (26, 100),
    "thousand": (80, 900),
    "scrape": (5, 15),
    "checks": (22, 60),
    "start": (8, 30),
    "target": (15, 50),
    "judge": (4, 10),
}
"""How many seconds each takes on two cores with nothing else to do, and how many in a long bench."""
ENDLESS = 4
"""A module that takes so many times as long, and ten minutes more, is ended."""
ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- made by `make bench ARGS=--write` -->\n", "<!-- end -->"
EXAMPLES = """
Examples:
  make bench                                              the table, in under four minutes on two cores
  make bench ARGS="latency cpu"                           two modules only
  make bench ARGS="--json old.json"                       keep the results …
  make bench ARGS="--json new.json --compare old.json"    … and hold the next ones against them
  make bench ARGS=--write                                 renew the table in docs/performance.md
  make bench-full                                         more rounds and more environments: half an hour

How far it is goes to the standard error, the table to the standard output. Exits with 0 if every goal was met, with 1
if one was missed or a module failed. Anchors are programs of Debian; a row says which one is missing:
  apt-get install postgresql redis-tools prometheus-blackbox-exporter prometheus-postgres-exporter \\
    prometheus-redis-exporter
"""


def main() -> int:
    """Measure, print, keep; -> 0 if every goal was met, else 1."""
    given = _arguments()
    names, long = given.modules or list(MODULES), bool(given.full)
    old = json.loads(given.compare.read_text(encoding="utf-8")) if given.compare else None
    progress = Progress({name: MODULES[name][long] for name in names})
    effort = replace(Effort(rounds=15, full=True) if long else Effort(), tell=progress.tell)
    began, rows, load = monotonic(), list[Row](), os.getloadavg()[0]
    for name in names:
        progress.begin(name)
        rows += _measured(name, effort)
    progress.end()
    about = _about(load=load, took=monotonic() - began, full=long)
    if given.json:
        kept = {**about, "rows": [row.as_json() for row in rows]}
        given.json.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text = f"{_words(about)}\n\n{table(rows)}"
    print(text)
    if old is not None:
        titles = tuple(f"{each['commit']}, {each['at']}" for each in (old, about))
        print(compared([Row.from_json(row) for row in old["rows"]], rows, titles=titles))
    if given.write:
        before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 0 if all(row.met is not False and row.number != FAILED for row in rows) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"{', '.join(MODULES)}; all without any")
    parser.add_argument("--full", action="store_true", help="more rounds, and the rows that take long")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the results")
    parser.add_argument("--compare", type=Path, metavar="OLD", help="show them beside those that were kept before")
    parser.add_argument("--write", action="store_true", help=f"renew the table of {PAGE.relative_to(ROOT)}")
    given = parser.parse_args()
    if unknown := set(given.modules) - set(MODULES):
        parser.error(f"there is no module {', '.join(sorted(unknown))}; there are {', '.join(MODULES)}")
    if given.write and given.modules:
        parser.error("--write is for the whole table: leave the modules out")
    if given.compare and not given.compare.is_file():
        parser.error(f"{given.compare} is not there; make one by --json")
    if given.json and not given.json.absolute().parent.is_dir():
        parser.error(f"{given.json}: there is no folder {given.json.parent}")
    return given


def _measured(name: str, effort: Effort) -> Sequence[Row]:
    """The rows of a module; where it fails, the others are measured all the same."""

    async def within() -> Sequence[Row]:
        bench: Any = importlib.import_module(f"bench.{name}")
        module: Bench = bench
        async with asyncio.timeout(MODULES[name][effort.full] * ENDLESS + 600):
            return await module.measure(effort)

    try:
        return run(within)
    except Exception as error:  # noqa: BLE001  whatever it is, it is told
        traceback.print_exc()
        return [failed(name, error)]


def _about(*, load: float, took: float, full: bool) -> dict[str, Any]:
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603  our own
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        "commit": commit or "unknown",
        "python": sys.version.split()[0],
        "cores": os.cpu_count(),
        "load": round(load, 1),
        "seconds": round(took),
        "full": full,
    }


def _words(about: dict[str, Any]) -> str:
    command = "bench-full" if about["full"] else "bench"
    return (
        f"Measured at {about['at']} UTC by `make {command}`, commit {about['commit']}, Python {about['python']}, "
        f"{about['cores']} cores at a load of {about['load']} when it began, in {about['seconds']} s."
    )


if __name__ == "__main__":
    sys.exit(main())
