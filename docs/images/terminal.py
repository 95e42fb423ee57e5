"""Makes docs/images/terminal.svg: what `holdfast demo --fault rows-dropped-after-commit` shows after some seconds.

    .venv/bin/python docs/images/terminal.py

It runs the demo itself and draws its last table, so the picture cannot show what is not there.
"""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.text import Text

from monitor.cli import demo
from monitor.cli.common import run
from monitor.cli.screen import TableScreen
from monitor.embedded.faults import FAULTS

_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # rich names a font server; a picture must not call one
_LONGEST = timedelta(seconds=14)


class Recorded(TableScreen):
    """The demo's table, which also remembers what it showed last."""

    lines: list[str]

    def say(self, line: str) -> None:
        """Remember a line."""
        self.lines = [*getattr(self, "lines", []), re.sub(r"/tmp/holdfast-\w+", "/tmp/holdfast-…", line)]  # noqa: S108
        super().say(line)


def main() -> None:
    """Run the demo for some seconds and draw its last state."""
    sys.argv[0] = "holdfast"  # what the demo proposes to type is the command, not this script
    screens: list[Recorded] = []

    def make(environment: str) -> Recorded:
        screens.append(Recorded(environment))
        return screens[-1]

    demo.LinesScreen = make  # type: ignore[assignment, misc]
    fault = FAULTS["rows-dropped-after-commit"]
    run(lambda: demo._demo(fault, length=_LONGEST, port=0, quiet=True, verbose=False))  # noqa: SLF001
    console = Console(record=True, width=112, force_terminal=True, file=Path("/dev/null").open("w"))  # noqa: SIM115
    for line in screens[0].lines:
        console.print(Text(line))
    console.print(screens[0].shown)
    svg = console.export_svg(title="holdfast demo --fault rows-dropped-after-commit")
    Path(__file__).with_suffix(".svg").write_text(_FONT.sub("", svg), encoding="utf-8")


if __name__ == "__main__":
    main()
