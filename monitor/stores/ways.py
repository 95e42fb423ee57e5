"""Every way into the stores of one environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from monitor.core.residue import Instance
from monitor.ports import Place, Store, Way
from monitor.stores.api import Api
from monitor.stores.postgres import Postgres
from monitor.stores.redis import Redis


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """Every way into the stores of one environment, and what stands in every record that is written there.

    `timeout` is what the servers themselves allow one statement. Connections are made by who asks; here are none.
    """

    environment: str
    instance: Instance
    timeout: timedelta
    postgres: Mapping[Place, Postgres]
    redis: Mapping[Place, Redis]
    api: Api | None = None

    @property
    def places(self) -> tuple[Place, ...]:
        """All of them, the primaries first."""
        api = () if self.api is None else (self.api.place,)
        return tuple(sorted((*self.postgres, *self.redis, *api), key=lambda place: (list(Way).index(place.way), place)))

    @property
    def primary_postgres(self) -> Postgres:
        """The PostgreSQL that takes writes. Raises LookupError if there is none."""
        if (found := self.postgres.get(Place(Store.POSTGRES))) is None:
            raise LookupError(f"environment {self.environment} has no postgres")
        return found

    @property
    def primary_api(self) -> Api:
        """The application's API. Raises LookupError if there is none."""
        if self.api is None:
            raise LookupError(f"environment {self.environment} has no api")
        return self.api

    @property
    def primary_redis(self) -> Redis:
        """The Redis that takes writes. Raises LookupError if there is none."""
        if (found := self.redis.get(Place(Store.REDIS))) is None:
            raise LookupError(f"environment {self.environment} has no redis")
        return found
