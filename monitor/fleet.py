"""From settings to live environments: what is made anew, what stays, and what goes when a configuration changes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from monitor.configfile import ConfigError, Problem, secrets_in
from monitor.core.residue import Instance
from monitor.core.secrets import Scrubber
from monitor.metrics import Metrics
from monitor.ports import Ledger, Store
from monitor.probes.durability import DurabilityProbe
from monitor.settings import EnvironmentSettings, Provision, Settings
from monitor.stores.api import ApiAddress
from monitor.stores.environment import LiveEnvironment

_LEAST_AGE = timedelta(minutes=1)  # of a leftover of a running daemon; at least this, however short its timeouts are


def shape_metrics(metrics: Metrics, settings: Settings) -> bool:
    """Fit the metric families to a configuration; -> whether that made them anew."""
    environments = settings.environments.values()
    return metrics.shape(
        location=settings.location,
        labels={name for environment in environments for name in environment.labels},
        budgets={
            budget
            for environment in environments
            for probe in environment.active().values()
            for budget in (probe.budget, *probe.budgets.values())
        },
        detail=settings.metrics.detail,
    )


def live_environment(
    name: str,
    settings: EnvironmentSettings,
    *,
    instance: Instance,
    metrics: Metrics,
    ledger: Ledger | None = None,
    turns: Mapping[Store, asyncio.Lock] | None = None,
) -> LiveEnvironment:
    """An environment as it will be probed. Opens no connection. Raises ConfigError where a driver refuses its URL."""
    probes = settings.active().values()
    timeouts = [probe.timeout for probe in probes]
    try:
        return LiveEnvironment(
            name,
            instance=instance,
            tally=metrics.tally(name),
            addresses=settings.addresses(),
            connections={store: settings.max_connections(store) for store in settings.stores},
            policy=settings.redis.policy if settings.redis else None,
            binding=settings.binding,
            api=_api(settings),
            isolation=settings.postgres.isolation if settings.postgres else "read committed",
            provision=settings.postgres is not None and settings.postgres.provision is Provision.AUTO,
            longest_run=max(_LEAST_AGE, 2 * max(timeouts, default=timedelta())),
            ledger=ledger,
            turns=turns,
            ladder=max(
                (length for probe in probes if isinstance(probe, DurabilityProbe) for length in probe.ladder),
                default=timedelta(),
            ),
        )
    except ValueError as error:
        scrub = Scrubber(secrets_in(settings))
        raise ConfigError([Problem(where="", key=f"environments.{name}", message=scrub(str(error)))]) from None


def _api(settings: EnvironmentSettings) -> ApiAddress | None:
    if settings.api is None:
        return None
    return ApiAddress(base_url=settings.api.base_url.get_secret_value(), auth=settings.api.auth, ca=settings.api.ca)


def left_out(settings: EnvironmentSettings) -> dict[str, str]:
    """Why each probe that does not run in an environment does not."""
    reasons: dict[str, str] = {}
    around = settings.surroundings()
    for name, probe in settings.probes.by_name().items():
        if not probe.runs_in(around):
            reasons[name] = probe.lacks(around)
        elif not probe.enabled:
            reasons[name] = "is not enabled"
    return reasons


def parts_left_out(settings: EnvironmentSettings) -> dict[str, tuple[str, ...]]:
    """What the probes that do run in an environment do not check there, a sentence each."""
    around = settings.surroundings()
    found = {name: probe.left_out(around) for name, probe in settings.active().items()}
    return {name: sentences for name, sentences in found.items() if sentences}
