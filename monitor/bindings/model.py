"""A whole binding, and what the probes can do through it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from pydantic import Field, SecretStr, model_validator

from monitor.bindings.api import ApiBinding
from monitor.bindings.ids import Ids
from monitor.bindings.part import Part
from monitor.bindings.postgres import PostgresBinding
from monitor.bindings.redis import RedisBinding
from monitor.bindings.telling import make_sure_told
from monitor.core.payload import CONTENT, Metadata, Speech
from monitor.ports import Ability, Layers, Served, Store

Layer: TypeAlias = Literal["postgres", "api"]


class Messages(Part):
    """What a message can hold."""

    roles: tuple[str, ...] = Field(
        default=("user", "assistant"), min_length=1, description="The roles that take turns."
    )
    types: tuple[str, ...] = Field(default=(), description="The types that take turns; none where it has no types.")
    metadata: Metadata = Field(default="any", description="any JSON, strings (at most 16 pairs), or no metadata.")
    content: tuple[str, ...] = Field(
        default=tuple(name for name in CONTENT if name not in {"null", "empty"}),
        min_length=1,
        description="The kinds of content that are kept as they are.",
    )
    names: bool = Field(default=True, description="Whether a thread has a name.")


class Way(Part):
    """Through which layer something is written, and through which it is read."""

    write: Layer = Field(description="postgres or api.")
    read: Layer = Field(description="postgres or api.")


class Binding(Part):
    """How an application stores threads, messages, sessions and profiles."""

    name: str = Field(default="", description="What people call the application.")
    ids: Ids = Field(default_factory=Ids, description="How things are identified.")
    messages: Messages = Field(default_factory=Messages, description="What its messages can hold.")
    threads: Way | None = Field(
        default=None, description="Which way conversations take; none: by the API where it has them, else by SQL."
    )
    profile: Way | None = Field(default=None, description="The same for profiles.")
    postgres: PostgresBinding | None = Field(default=None, description="Its tables.")
    redis: RedisBinding | None = Field(default=None, description="Its keys.")
    api: ApiBinding | None = Field(default=None, description="Its HTTP API.")
    secrets: tuple[SecretStr, ...] = Field(
        default=(),
        description="Texts that are never shown; what ${…} stands for in requests is so without being named.",
    )

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Binding:
        for what, way in (("threads", self.threads), ("profile", self.profile)):
            for direction, layer in (("write", way.write), ("read", way.read)) if way else ():
                if getattr(getattr(self, layer), what, None) is None:
                    raise ValueError(f"{what}.{direction} is {layer}, but {layer} has no {what}")
        if not self.served():
            raise ValueError("binds nothing; give it threads, profile, session or events in postgres, redis or api")
        return self

    @model_validator(mode="after")
    def _tells_enough(self) -> Binding:
        if (way := self.threads_way) and self.api and self.api.threads:
            make_sure_told(
                self.api.threads,
                ids=self.ids,
                speech=self.speech,
                writes=way.write == "api",
                reads=way.read == "api",
            )
        return self

    @property
    def threads_way(self) -> Way | None:
        """The way that conversations take; None where they are not bound."""
        return self.threads or self._way(self.postgres and self.postgres.threads, self.api and self.api.threads)

    @property
    def profile_way(self) -> Way | None:
        """The way that profiles take; None where they are not bound."""
        return self.profile or self._way(self.postgres and self.postgres.profile, self.api and self.api.profile)

    @staticmethod
    def _way(postgres: object, api: object) -> Way | None:
        if api is not None:
            return Way(write="api", read="api")
        return Way(write="postgres", read="postgres") if postgres is not None else None

    @property
    def speech(self) -> Speech:
        """What conversations can hold."""
        if self.threads_way is None:
            return Speech()
        own = self.messages
        return Speech(roles=own.roles, types=own.types, contents=own.content, metadata=own.metadata, names=own.names)

    def served(self) -> Mapping[str, Served]:
        """Which probes go through it, by which stores, and what they can do there."""
        found: dict[str, Served] = {}
        if way := self.threads_way:
            stores = {Store.POSTGRES: frozenset({Store(way.write), Store(way.read)})}
            found["thread"] = found["history"] = found["load"] = Served(stores=stores, abilities=self._abilities(way))
            layers = frozenset(
                store
                for store, part in ((Store.POSTGRES, self.postgres), (Store.API, self.api))
                if part is not None and part.threads is not None
            )
            found["isolation"] = Served(stores={Store.POSTGRES: layers}, abilities=frozenset())
        if way := self.profile_way:
            followed = Layers(writes=Store(way.write), reads=Store(way.read), holds=self._with_profiles())
            stores = {Store.POSTGRES: frozenset({followed.writes, followed.reads}), Store.REDIS: frozenset[Store]()}
            for probe in ("profile", "sync"):
                found[probe] = Served(stores=stores, abilities=frozenset(), layers=followed)
        if self.redis and self.redis.session:
            found["session"] = Served(stores={}, abilities=frozenset())
        if self.api and self.api.events:
            found["notify"] = Served(
                stores={Store.POSTGRES: frozenset({Store.POSTGRES, Store.API})}, abilities=frozenset()
            )
        return found

    def _with_profiles(self) -> frozenset[Store]:
        """The stores that have profiles, or copies of them."""
        parts = ((Store.POSTGRES, self.postgres), (Store.REDIS, self.redis), (Store.API, self.api))
        return frozenset(store for store, part in parts if part is not None and part.profile is not None)

    def _abilities(self, way: Way) -> frozenset[Ability]:
        """What a probe can do with conversations that are written and read this way."""
        found: set[Ability] = set()
        if way.write == "postgres" and self.postgres and (sql := self.postgres.threads):
            found |= {"roll_back", "batch"}
            found |= {"edit"} if sql.edit else set()
            found |= {"delete_message"} if sql.delete_message else set()
            found |= {"watch"} if way.read == "postgres" else set()
        if way.write == "api" and self.api and (api := self.api.threads):
            found |= {"batch"} if api.append_many else set()
            found |= {"edit"} if api.edit else set()
            found |= {"delete_message"} if api.delete_message else set()
            found |= {"replay"} if self.api.idempotency else set()
        if way.read == "postgres" and self.postgres and (sql := self.postgres.threads):
            found |= {"page"} if sql.page else set()
            found |= {"newest"} if sql.newest else set()
        if way.read == "api" and self.api and (api := self.api.threads):
            found |= set() if api.messages.newest_first else {"page"}
            found |= {"newest"} if api.newest else set()
        return frozenset(found)
