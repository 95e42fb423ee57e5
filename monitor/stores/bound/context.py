"""What every part of a bound environment shares."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.bindings import Binding
from monitor.stores.api import Who
from monitor.stores.bound.identities import Identities
from monitor.stores.ways import Ways


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """One environment's binding, the ways into its stores, and the ids of what is ours."""

    ways: Ways
    binding: Binding
    identities: Identities

    def who(self, user: str) -> Who:
        """A synthetic user as the application's API knows it."""
        return Who(id=self.identities.user(user), account=self.identities.account(user))
