"""What a rule file is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum


class Severity(StrEnum):
    """What a person does about it: get up now, look tomorrow, or know it while looking at another."""

    PAGE = "page"
    TICKET = "ticket"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A series that Prometheus computes and keeps, for alerts and panels to build on."""

    name: str
    expr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert. `name` is that of its runbook, too; several alerts of one name differ in their `labels`.

    It fires where `expr` has a sample for `wait` without a gap. `summary` is a line for a phone's lock screen,
    `description` has the values and what follows from them; both are templates of Prometheus. `about` are the labels
    by which its dashboard is opened.
    """

    name: str
    severity: Severity
    expr: str
    summary: str
    description: str
    wait: timedelta = timedelta()
    labels: Mapping[str, str] = field(default_factory=dict)
    about: tuple[str, ...] = ("location", "environment", "probe")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rules that are evaluated together, one after the other, each so often."""

    name: str
    every: timedelta
    rules: tuple[Record | Alert, ...]
