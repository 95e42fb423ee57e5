"""A node of the lab ends whole, also what it started without a parent."""

from __future__ import annotations

import inspect

from lab import init
from monitor.embedded import reaper
from monitor.embedded.folder import PrivateFolder
from monitor.embedded.process import until

# What Patroni does with PostgreSQL: a session of its own, and the one that started it is gone.
ORPHAN = "setsid sleep 1000 & sleep 1000"


async def test_what_a_node_started_stays_its_own() -> None:
    """An orphan in another session is still found among the node's descendants, and killed with it."""
    folder = PrivateFolder()
    try:
        program = folder.path / "init.py"
        program.write_text(inspect.getsource(init), encoding="utf-8")
        program.chmod(0o644)
        home = folder.subfolder("node")
        # The servers' user may not be able to go where this interpreter is.
        node = folder.spawn(["python3", "-I", "-S", program, "sh", "-c", ORPHAN], log=home / "log")
        assert await until(lambda: len(reaper.family(node.pid)) == 4, within=10)
        members = reaper.family(node.pid)
        await node.kill()
        assert reaper.gone(members)
    finally:
        folder.close()
