"""Alerts for people on call: Prometheus rules made of what a configuration says. Pure: values in, a document out."""

from monitor.alerting.document import Links, document, kubernetes
from monitor.alerting.groups import groups, without
from monitor.alerting.policy import Policy, Settled

__all__ = ["Links", "Policy", "Settled", "document", "groups", "kubernetes", "without"]
