"""What is in a dashboard, as its JSON says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "grafana"
UIDS = ("holdfast-overview", "holdfast-detail")
BUILT_IN = {"__rate_interval": "10s", "__range": "1m", "window": "1m"}
"""What Grafana puts in the place of lengths of time, for a Prometheus that has just begun to scrape."""

Dashboard = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One query of a panel or of the alerts that are drawn over all of them."""

    dashboard: str
    panel: str
    expr: str
    legend: str
    instant: bool
    exemplars: bool

    def filled(self, chosen: Mapping[str, str] | None = None) -> str:
        """As Prometheus is asked where the variables have these values, or all."""
        values = {**BUILT_IN, **(chosen or {})}
        return re.sub(r"\$(\w+)", lambda found: values.get(found[1], ".*"), self.expr)


def read(uid: str) -> Dashboard:
    """A dashboard that is committed."""
    made: Dashboard = json.loads((DEPLOY / "dashboards" / f"{uid}.json").read_text("utf-8"))
    return made


def panels(made: Dashboard) -> list[dict[str, Any]]:
    """Its panels, without the rows between them."""
    return [panel for panel in made["panels"] if panel["type"] != "row"]


def queries(made: Dashboard) -> Iterator[Asked]:
    """All that it asks of Prometheus."""
    for panel in panels(made):
        for target in panel["targets"]:
            yield Asked(
                dashboard=made["uid"],
                panel=panel["title"],
                expr=target["expr"],
                legend=target.get("legendFormat", ""),
                instant=target["instant"],
                exemplars=target.get("exemplar", False),
            )
    for drawn in made["annotations"]["list"]:
        yield Asked(
            dashboard=made["uid"],
            panel=drawn["name"],
            expr=drawn["expr"],
            legend=drawn["textFormat"],
            instant=False,
            exemplars=False,
        )
