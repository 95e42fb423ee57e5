"""Rules as the documents that Prometheus and its operator for Kubernetes read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.alerting.promql import span
from monitor.alerting.rule import Alert, Group, Record

Document = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Where the runbooks and the dashboard are, from where somebody reads an alert; no dashboard where it is empty."""

    runbooks: str
    dashboard: str = ""


def document(groups: Iterable[Group], links: Links) -> Document:
    """A rule file."""
    return {
        "groups": [
            {"name": group.name, "interval": span(group.every), "rules": [_rule(rule, links) for rule in group.rules]}
            for group in groups
        ]
    }


def kubernetes(rules: Document, *, name: str) -> Document:
    """The same as a PrometheusRule of the Prometheus operator."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": name}},
        "spec": rules,
    }


def _rule(rule: Record | Alert, links: Links) -> Document:
    if isinstance(rule, Record):
        return {"record": rule.name, "expr": rule.expr}
    wait: Document = {"for": span(rule.wait)} if rule.wait else {}
    annotations = {
        "summary": rule.summary,
        "description": rule.description,
        "runbook_url": f"{links.runbooks.rstrip('/')}/{rule.name}.md",
    }
    if links.dashboard:
        variables = "&".join(f"var-{label}={{{{ $labels.{label} }}}}" for label in rule.about)
        annotations["dashboard"] = f"{links.dashboard}{'&' if '?' in links.dashboard else '?'}{variables}"
    return {
        "alert": rule.name,
        "expr": rule.expr,
        **wait,
        "labels": {"severity": rule.severity.value, **rule.labels},
        "annotations": annotations,
    }
