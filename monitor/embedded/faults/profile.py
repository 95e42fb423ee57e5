"""Faults of the area profile."""

from __future__ import annotations

from monitor.embedded.faults.fault import Fault

FAULTS: tuple[Fault, ...] = ()
