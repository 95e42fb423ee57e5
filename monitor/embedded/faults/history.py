"""Faults of the area history."""

from __future__ import annotations

from monitor.embedded.faults.fault import Fault

FAULTS: tuple[Fault, ...] = ()
