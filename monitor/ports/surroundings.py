"""What a probe finds before it asks any store: the ways into the stores, and what an application's binding serves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from monitor.ports.stores import Place, Store

Ability: TypeAlias = Literal["edit", "delete_message", "roll_back", "batch", "watch", "page", "newest", "replay"]
"""What not every application lets a probe do with a conversation.

`replay` is to send the same request again, as a client does that got no answer, without its being done twice.
"""
OWN: frozenset[Ability] = frozenset({"edit", "delete_message", "roll_back", "batch", "watch", "page", "newest"})
"""What Holdfast's own schema and prefix can do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Through which store a thing is written and read, and every store that has it, or a copy of it."""

    writes: Store
    reads: Store
    holds: frozenset[Store]


OWN_ROWS = Layers(writes=Store.POSTGRES, reads=Store.POSTGRES, holds=frozenset({Store.POSTGRES}))
"""Rows in Holdfast's own schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """How a binding serves one probe: by which stores instead of the probe's own, and what it can do there.

    `layers` are told where a probe follows one thing through several of them.
    """

    stores: Mapping[Store, frozenset[Store]]
    abilities: frozenset[Ability]
    layers: Layers = OWN_ROWS


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What there is, and which probes go through an application's binding, by their names."""

    places: tuple[Place, ...] = ()
    bound: Mapping[str, Served] = field(default_factory=dict)

    @property
    def stores(self) -> frozenset[Store]:
        """The stores that there are."""
        return frozenset(place.store for place in self.places)

    def can(self, probe: str, ability: Ability) -> bool:
        """Whether a probe can do something here."""
        return ability in (self.bound[probe].abilities if probe in self.bound else OWN)

    def layers(self, probe: str) -> Layers:
        """The layers through which a probe follows something here."""
        return self.bound[probe].layers if probe in self.bound else OWN_ROWS

    def holding(self, probe: str) -> tuple[Place, ...]:
        """Every way into a store that has what a probe follows, or a copy of it."""
        holds = self.layers(probe).holds
        return tuple(place for place in self.places if place.store in holds)

    def moved(self, probe: str, needs: Mapping[Store, int]) -> dict[Store, int]:
        """The connections that a probe needs here, where it needs so many in Holdfast's own schema and prefix."""
        found: dict[Store, int] = {}
        instead: Mapping[Store, Collection[Store]] = self.bound[probe].stores if probe in self.bound else {}
        for store, count in needs.items():
            for target in instead.get(store, (store,)):
                found[target] = max(count, found.get(target, 0))
        return found
