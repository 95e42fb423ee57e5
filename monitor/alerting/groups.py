"""All rules of a policy."""

from __future__ import annotations

from monitor.alerting.daemon import daemon
from monitor.alerting.keeping import keeping
from monitor.alerting.latency import latency
from monitor.alerting.objective import objective
from monitor.alerting.policy import Policy
from monitor.alerting.rule import Group
from monitor.alerting.running import running
from monitor.alerting.violations import violations


def groups(policy: Policy) -> tuple[Group, ...]:
    """Every group, the most urgent first."""
    return tuple(make(policy) for make in (violations, running, daemon, objective, latency, keeping))
