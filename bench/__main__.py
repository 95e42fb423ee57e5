"""`make bench`: every goal of speed beside its anchor, in one table; --write renews docs/performance.md."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from bench.frame import Bench, Effort, Row, compared, table
from monitor.cli.common import run

MODULES = ("latency", "honesty", "cpu", "thousand", "scrape", "checks", "start", "target", "judge")
ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- made by `make bench ARGS=--write` -->\n", "<!-- end -->"


def main() -> int:
    """Measure, print, keep; -> 0 if every goal was met, else 1."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("modules", nargs="*", choices=[*MODULES, []], help="only these; all without any")
    parser.add_argument("--full", action="store_true", help="more rounds, and the rows that take long")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the results")
    parser.add_argument("--compare", type=Path, metavar="OLD", help="show them beside those that were kept before")
    parser.add_argument("--write", action="store_true", help=f"renew the table of {PAGE.relative_to(ROOT)}")
    given = parser.parse_args()
    effort = Effort(rounds=15, full=True) if given.full else Effort()
    began, rows, load = monotonic(), list[Row](), os.getloadavg()[0]
    for name in given.modules or MODULES:
        since = monotonic()
        rows += _measured(name, effort)
        print(f"{name}: {monotonic() - since:.0f} s", file=sys.stderr, flush=True)
    about = _about(load=load, took=monotonic() - began, full=given.full)
    if given.json:
        kept = {**about, "rows": [row.as_json() for row in rows]}
        given.json.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text = f"{_words(about)}\n\n{table(rows)}"
    print(text)
    if given.compare:
        print(compared(_kept(given.compare), rows))
    if given.write:
        before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 0 if all(row.met is not False and row.number != "?" for row in rows) else 1


def _measured(name: str, effort: Effort) -> Sequence[Row]:
    """The rows of a module; where it fails, the others are measured all the same."""
    module: Any = importlib.import_module(f"bench.{name}")
    bench: Bench = module
    try:
        return run(lambda: bench.measure(effort))
    except Exception as error:  # noqa: BLE001  whatever it is, it is told
        traceback.print_exc()
        return [Row(number="?", what=name, note=f"not measured: {type(error).__name__}: {error}")]


def _kept(file: Path) -> Sequence[Row]:
    return [Row.from_json(row) for row in json.loads(file.read_text(encoding="utf-8"))["rows"]]


def _about(*, load: float, took: float, full: bool) -> dict[str, Any]:
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
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
