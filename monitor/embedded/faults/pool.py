"""Faults of the area pool."""

from __future__ import annotations

from monitor.embedded.faults.fault import Fault

FAULTS: tuple[Fault, ...] = ()
