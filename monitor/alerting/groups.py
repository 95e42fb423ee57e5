"""All rules of a policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

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


def without(families: str, given: Iterable[Group]) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """The groups without what goes by families that begin so, also by what is recorded of them; and the names of that.

    An alert on series that nobody exports never fires, and looks as if all were well.
    """
    missing, kept = [families], []
    for group in given:
        rules = []
        for rule in group.rules:  # a rule goes by what was recorded before it
            if any(name in rule.expr for name in missing):
                missing.append(rule.name)
            else:
                rules.append(rule)
        kept.append(replace(group, rules=tuple(rules)))
    return tuple(group for group in kept if group.rules), tuple(missing[1:])
