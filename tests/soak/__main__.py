"""`make soak`: bad weather for as long as one likes, and what came of it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

from monitor.core import duration
from tests.soak import platform
from tests.soak.soak import soak
from tests.soak.weather import SPELLS


def main() -> int:
    """Run it; -> 0 if nothing was taken for a broken promise and nothing is left behind, else 1."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--for", dest="length", type=duration.parse, default="30m", help="such as 3m or 8h")
    parser.add_argument("--seed", type=int, default=1, help="decides the order and the moments of the weather")
    parser.add_argument("--platform", action="store_true", help="through the sample platform, and its weather")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="holdfast-soak-") as folder:
        report = asyncio.run(
            soak(
                seconds=given.length.total_seconds(),
                seed=given.seed,
                folder=Path(folder),
                say=_say,
                spells=platform.SPELLS if given.platform else SPELLS,
                platform=given.platform,
            )
        )
    _say(json.dumps(vars(report), indent=2, default=str))
    calm = not (report.violations or report.faults or report.disturbed) and not any(report.residue.values())
    _say(f"{report.runs} runs, {len(report.violations)} violations: {'calm' if calm else 'NOT calm'}")
    return 0 if calm else 1


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
