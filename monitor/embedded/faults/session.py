"""Faults that break sessions."""

from __future__ import annotations

from monitor.core.verdict import Kind
from monitor.embedded.faults.fault import Fault, by_rewriting, stop_rewriting


def _without_expiry(command: list[bytes]) -> list[bytes]:
    """SET key value PX n, as a client with a forgotten argument would send it."""
    if command and command[0].upper() == b"SET" and b"PX" in command[3:]:
        place = command.index(b"PX", 3)
        return command[:place] + command[place + 2 :]
    return command


FAULTS = (
    Fault(
        name="ttl-never-set",
        breaks="the expiry of every SET is forgotten on its way (a proxy that rewrites commands)",
        probe="session",
        report=Kind.TTL_MISSING,
        inject=by_rewriting(_without_expiry),
        heal=stop_rewriting,
    ),
)
