"""What dashboards go by."""

from __future__ import annotations

from dataclasses import dataclass

OVERVIEW, DETAIL = "holdfast-overview", "holdfast-detail"
"""The uids of the dashboards. Links, alerts and bookmarks hold them, so they never change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What dashboards go by.

    From the configuration: the names of the operator's own `labels`, which become variables, and whether anything is
    there to show of ledgers, of changes that go from place to place, and of impact. From whoever loads them: the
    address of the status `page`, and the `datasource` to begin with, by its name in Grafana; "" is Grafana's choice.
    """

    page: str
    datasource: str = ""
    labels: tuple[str, ...] = ()
    ledgers: bool = True
    propagation: bool = True
    impact: bool = True
