"""Faults of the area isolation."""

from __future__ import annotations

from monitor.embedded.faults.fault import Fault

FAULTS: tuple[Fault, ...] = ()
