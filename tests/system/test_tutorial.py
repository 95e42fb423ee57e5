"""The tutorial is run as it stands, and prints what it says, but for times.

HOLDFAST_RENEW_TUTORIAL=1 writes into it what is printed now.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from monitor import probes
from monitor.probe import discover
from tests.conftest import in_database
from tests.system import variables
from tests.system.conftest import Place

PAGE = Path(__file__).parents[2] / "docs" / "tutorial-bind-your-application.md"
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE = 120.0  # seconds for one block, on a machine that is busy


async def carried_out(commands: str, *, env: dict[str, str], folder: Path) -> str:
    """What bash prints for some commands."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", commands),
        cwd=folder,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE):
        out, _ = await process.communicate()
    return out.decode()


def steady(text: str) -> list[str]:
    """The lines of an output without what differs from time to time, and without what is only left out."""
    timeless = re.sub(r"\b\d[\d.,]* ?(ms|s)\b", "TIME", re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", text))
    return [" ".join(line.split()) for line in timeless.strip().splitlines() if not line.startswith("  · ")]


def blocks(page: str) -> Iterator[tuple[str, str | None]]:
    """Commands, each with what they print according to the page; None where the page says nothing of that."""
    found = [(match[1], match[2]) for match in BLOCK.finditer(page)]
    for at, (kind, text) in enumerate(found):
        if kind == "sh":
            following = found[at + 1] if at + 1 < len(found) else ("sh", "")
            yield text, following[1] if following[0] == "text" else None


async def test_the_tutorial_prints_what_it_says(place: Place) -> None:
    """Every command, in order, in an empty folder and a database of its own."""
    tools = f"{Path(sys.executable).parent}:{place.servers.postgres.bindir}:{os.environ['PATH']}"
    patience = {f"HOLDFAST_PROBES__{probe.upper()}__BUDGET": "9s" for probe in discover(probes)}
    admin = in_database(place.servers.postgres.superuser_dsn(), place.database)
    address = admin.rpartition("@")[2]
    as_role = f"postgresql://holdfast_helpdesk:probe@{address}"
    env = {**variables(COLUMNS="120", **patience), "PATH": tools, "ADMIN_DSN": admin, "APP_DSN": as_role}
    page = PAGE.read_text("utf-8")
    for commands, said in blocks(page):
        if commands.startswith("export ADMIN_DSN="):
            continue
        printed = await carried_out(commands, env=env, folder=place.folder)
        if os.environ.get("HOLDFAST_RENEW_TUTORIAL") and said is not None:
            shown = printed.replace(address.partition("/")[0], "127.0.0.1:5432")
            page = page.replace(f"{commands}```\n\n```text\n{said}", f"{commands}```\n\n```text\n{shown}", 1)
            PAGE.write_text(page, encoding="utf-8")
        else:
            assert (steady(said) if said is not None else []) == steady(printed), commands
