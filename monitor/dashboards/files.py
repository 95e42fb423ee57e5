"""Dashboards as files: what Grafana is provisioned with, and ConfigMaps for its sidecar in Kubernetes."""

from __future__ import annotations

import json
from collections.abc import Mapping

import yaml
from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitor.dashboards.detail import detail
from monitor.dashboards.given import DETAIL, OVERVIEW, Given
from monitor.dashboards.overview import overview

_MADE = "# Made by `holdfast dashboard`; docs/how-to-dashboards.md says how to load it.\n"
_FOLDER = "/etc/grafana/dashboards"


def files(given: Given) -> Mapping[str, str]:
    """Every file by its path below deploy/grafana/; a data source only where none is named, for a named one exists."""
    made = {
        **{f"dashboards/{uid}.json": text(made) for uid, made in _made(given).items()},
        "provisioning/dashboards/holdfast.yml": _MADE + yaml.safe_dump(_PROVIDER, sort_keys=False),
    }
    if not given.datasource:
        made["provisioning/datasources/holdfast.yml"] = _MADE + yaml.safe_dump(_source(given), sort_keys=False)
    return made


def text(made: Dashboard) -> str:
    """A dashboard as Grafana reads it. Every panel has its id, so that links to one and screenshots of it stay."""
    built = made.build()
    for number, panel in enumerate(built.panels or (), start=1):
        panel.id_val = number
    plain = json.loads(json.dumps(built, cls=JSONEncoder))
    for each in (*plain["links"], *plain["annotations"]["list"]):
        del each["placement"]  # the SDK's only word for it puts them out of sight, into a menu
    return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"


def config_maps(given: Given) -> list[dict[str, object]]:
    """One of each dashboard, as the sidecar of Grafana's Helm chart looks for them."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": uid, "labels": {"app.kubernetes.io/name": "holdfast", "grafana_dashboard": "1"}},
            "data": {f"{uid}.json": text(made)},
        }
        for uid, made in _made(given).items()
    ]


def _made(given: Given) -> dict[str, Dashboard]:
    return {OVERVIEW: overview(given), DETAIL: detail(given)}


_PROVIDER = {
    "apiVersion": 1,
    "providers": [
        {
            "name": "holdfast",
            "folder": "Holdfast",
            "type": "file",
            "allowUiUpdates": False,
            "updateIntervalSeconds": 30,
            "options": {"path": _FOLDER},
        }
    ],
}


def _source(given: Given) -> dict[str, object]:
    """Where exemplars lead is a setting of the data source; $ of Grafana's own is doubled there.

    Grafana replaces what has the same name, so the name is one that nobody has; and it is nobody's default.
    """
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Prometheus for Holdfast",
                "type": "prometheus",
                "uid": "prometheus-for-holdfast",
                "access": "proxy",
                "url": "http://prometheus:9090",
                "isDefault": False,
                "jsonData": {
                    "httpMethod": "POST",
                    "timeInterval": "15s",
                    "prometheusType": "Prometheus",
                    "exemplarTraceIdDestinations": [
                        {
                            "name": "run_id",
                            "url": f"{given.page.rstrip('/')}/runs/${{__value.raw}}".replace("$", "$$"),
                            "urlDisplayLabel": "The run on the status page",
                        }
                    ],
                },
            }
        ],
    }
