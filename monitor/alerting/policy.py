"""What alerts go by: what a configuration says of its environments, and what else people on call agree upon."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

V = TypeVar("V", bound="float | timedelta")

ANY = ""
"""In the place of a probe: the value is one of the whole environment."""


@dataclass(frozen=True, slots=True)
class Settled(Generic[V]):
    """A setting: its value by probe in every environment, and where an environment has another.

    `usual` also goes for environments that the configuration does not name, as rules outlive configurations.
    """

    usual: Mapping[str, V]
    own: Mapping[str, Mapping[str, V]] = field(default_factory=dict)

    def selectors(self) -> Iterator[tuple[V, list[str]]]:
        """Each value with the matchers of the series for which it is set; no series is matched twice."""
        found: dict[V, list[str]] = defaultdict(list)
        for (value, differing), probes in self._usual().items():
            found[value].append(_matchers(probes, "environment!~", differing))
        for (value, own), environments in self._own().items():
            found[value].append(_matchers(list(own), "environment=~", tuple(environments)))
        yield from sorted(found.items())

    def longest(self) -> V:
        """The greatest value anywhere."""
        return max([*self.usual.values(), *(value for own in self.own.values() for value in own.values())])

    def _differing(self, environment: str) -> dict[str, V]:
        own = self.own[environment]
        return {probe: own[probe] for probe, value in self.usual.items() if own.get(probe, value) != value}

    def _usual(self) -> dict[tuple[V, tuple[str, ...]], list[str]]:
        found: dict[tuple[V, tuple[str, ...]], list[str]] = defaultdict(list)
        for probe, value in self.usual.items():
            found[value, tuple(name for name in self.own if probe in self._differing(name))].append(probe)
        return found

    def _own(self) -> dict[tuple[V, tuple[str, ...]], list[str]]:
        found: dict[tuple[V, tuple[str, ...]], list[str]] = defaultdict(list)
        for environment in self.own:
            differing = self._differing(environment)
            for value in sorted(set(differing.values())):
                probes = tuple(probe for probe in differing if differing[probe] == value)
                found[value, probes].append(environment)
        return found


def _matchers(probes: list[str], comparison: str, environments: tuple[str, ...]) -> str:
    of_probes = [] if probes == [ANY] else [f'probe=~"{"|".join(probes)}"']
    of_environments = [f'{comparison}"{"|".join(environments)}"'] if environments else []
    return ",".join((*of_probes, *of_environments))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What alerts go by.

    From the configuration: `intervals` between two runs, `objectives` (a share of 1), propagation's `deadlines`, the
    names of `environments`. From whoever loads the rules: how often Prometheus scrapes, under which `job`; what probing
    may cost a store, in seconds of its time and bytes a second; how much time of writes a failover may lose; how many
    synthetic items may lie about.
    """

    intervals: Settled[timedelta]
    objectives: Settled[float]
    deadlines: Settled[timedelta]
    environments: tuple[str, ...] = ()
    scrape: timedelta = timedelta(seconds=15)
    job: str = "holdfast"
    cost_seconds: float = 0.5
    cost_bytes: float = 100_000
    recovery_point: timedelta = timedelta()
    residue: int = 1000
