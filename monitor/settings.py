"""What an operator may set, with its defaults, its bounds and its reasons. Reading a file is configfile's part."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from monitor.addresses import (
    address,
    api_url,
    page_url,
    postgres_url,
    primary_url,
    redis_url,
    server_of,
    share_a_server,
    state_url,
)
from monitor.bindings import Auth, Binding
from monitor.core.detail import Detail
from monitor.core.eviction import Policy
from monitor.core.impact import Stakes
from monitor.core.shard import Shard
from monitor.ports import Isolation, Place, Store, Surroundings, Way
from monitor.probe import Probe, Probes
from monitor.values import (
    Connections,
    EnvironmentName,
    LabelName,
    Length,
    OfFile,
    OrNothing,
    ReplicaName,
    Shown,
    no_truth,
)

ENV_PREFIX = "HOLDFAST_"
ENV_DELIMITER = "__"


class Provision(StrEnum):
    """Whether Holdfast makes its own schema."""

    AUTO = "auto"
    OFF = "off"


class Section(BaseModel):
    """A part of the configuration: it cannot be changed, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Http(Section):
    """The status page, the metrics and the API."""

    listen: Annotated[str, AfterValidator(address)] = Field(
        default="127.0.0.1:9464", description="Where to listen, HOST:PORT. The page shows names of environments."
    )
    token: Annotated[SecretStr, Field(min_length=1)] | None = Field(
        default=None,
        description="Guards what changes anything (pause, run now, acknowledge); without it all that is off.",
    )
    public_url: Annotated[str, AfterValidator(page_url)] | None = Field(
        default=None,
        description="Where people open the page; links in alerts, reports of `check` and dashboards lead there.",
    )

    @property
    def host(self) -> str:
        """The host part of `listen`, an IPv6 address without its brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port part of `listen`."""
        return int(self.listen.rpartition(":")[2])


class Logging(Section):
    """What is logged, and in which form."""

    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="`auto` is `console` on a terminal and `json` everywhere else."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="The least grave event.")


class Exported(Section):
    """What is exported to Prometheus."""

    detail: Detail = Field(
        default=Detail.NORMAL,
        description="How many series each environment has: low leaves out steps, high has more buckets.",
    )


class Retention(Section):
    """How long the state database remembers. What went wrong is kept longer than what went well."""

    runs: Length = Field(default=timedelta(days=7), description="Runs that were ok or slow.")
    failures: Length = Field(default=timedelta(days=90), description="Runs that were violated or unknown.")
    hourly: Length = Field(default=timedelta(days=35), description="What the runs of each hour came to.")
    daily: Length = Field(default=timedelta(days=730), description="What the runs of each day came to.")
    violations: Length = Field(default=timedelta(days=365), description="Closed violations and their evidence.")


class Postgres(Section):
    """The PostgreSQL of an environment."""

    dsn: Annotated[SecretStr, AfterValidator(postgres_url), Shown] = Field(
        description="How to connect, as an ordinary role: postgresql://holdfast@db.example/app?sslmode=verify-full."
    )
    provision: Annotated[
        Provision,
        BeforeValidator(lambda value: "off" if value is False else value),  # YAML 1.1 reads a bare `off` as false
        WithJsonSchema({"enum": ["auto", "off", False]}),
    ] = Field(
        default=Provision.AUTO,
        description="`auto`: Holdfast makes its schema `holdfast` if the role may; `off`: it says what a DBA must run.",
    )
    pooler: Annotated[SecretStr, AfterValidator(postgres_url), Shown] | None = Field(
        default=None, description="The same database through its pooler, such as PgBouncer, as the application asks it."
    )
    replicas: Annotated[
        Mapping[ReplicaName, Annotated[SecretStr, AfterValidator(postgres_url), Shown]], OrNothing()
    ] = Field(default={}, description="Its streaming replicas by name, such as eu-2: each a DSN like the primary's.")
    isolation: Isolation = Field(
        default="read committed",
        description="The isolation level that the application relies on; what it permits is no violation.",
    )
    max_connections: Connections = Field(default=4, description="The most connections open at once, 1 to 100.")


class Redis(Section):
    """The Redis of an environment."""

    url: Annotated[SecretStr, AfterValidator(primary_url), Shown] = Field(
        description="How to connect: redis://holdfast@cache.example:6379/0, rediss:// with TLS, unix:///SOCKET, or by"
        " Sentinels: redis+sentinel://holdfast@one.example:26379,two.example:26379/mymaster/0."
    )
    replicas: Annotated[Mapping[ReplicaName, Annotated[SecretStr, AfterValidator(redis_url), Shown]], OrNothing()] = (
        Field(default={}, description="Its replicas by name, such as eu-2: each a URL like the primary's.")
    )
    policy: Policy | None = Field(
        default=None,
        description="The maxmemory-policy that the application relies on; what that lets go is no violation.",
    )
    max_connections: Connections = Field(default=4, description="The most connections open at once, 1 to 100.")


class Api(Section):
    """The HTTP API of an application, which its binding teaches the probes to ask."""

    base_url: Annotated[SecretStr, AfterValidator(api_url), Shown] = Field(
        description="Where it is: https://app.example or https://app.example/api."
    )
    auth: Auth | None = Field(default=None, description="How synthetic users log in; none where nobody has to.")
    ca: str | None = Field(default=None, description="A file with the certificates to trust, besides the system's.")
    max_connections: Connections = Field(default=4, description="The most connections open at once, 1 to 100.")


class Impact(Section):
    """What an environment is worth, so that trouble can be told in people and money (docs/decisions/040-impact.md)."""

    users: Annotated[int, Field(ge=1), BeforeValidator(no_truth)] | None = Field(
        default=None, description="How many people use it."
    )
    revenue_per_hour: Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(no_truth)] | None = Field(
        default=None, description="What they bring in an hour, in any one currency."
    )

    @property
    def stakes(self) -> Stakes:
        """As the formula takes it."""
        return Stakes(users=self.users, revenue_per_hour=self.revenue_per_hour)


class ProbeSettings(Section):
    """Every probe with its settings; the fields are those that were discovered."""

    def by_name(self) -> Mapping[str, Probe[object]]:
        """The probes, also those that are not enabled."""
        return {name: getattr(self, name) for name in type(self).model_fields}


class EnvironmentSettings(Section):
    """One live deployment that is watched. At least one of `postgres` and `redis` is needed."""

    labels: Annotated[Mapping[LabelName, str], OrNothing()] = Field(
        default={}, description="Labels on every metric of this environment, such as tier: critical."
    )
    objective: Annotated[float, BeforeValidator(no_truth)] = Field(
        default=99.9,
        gt=0,
        lt=100,
        allow_inf_nan=False,
        description="Percent of runs that are to be ok or slow over 30 days; `holdfast rules` makes alerts of it.",
    )
    impact: Annotated[Impact, OrNothing()] = Field(
        default_factory=Impact, description="What it is worth: users affected and revenue at risk are made of it."
    )
    postgres: Postgres | None = Field(default=None, description="The PostgreSQL of this environment.")
    redis: Redis | None = Field(default=None, description="The Redis of this environment.")
    api: Api | None = Field(default=None, description="The HTTP API of the application that stands before them.")
    binding: Annotated[Binding, OfFile()] | None = Field(
        default=None,
        description="A file that says how an application stores things, so that probes use its tables, keys and API.",
    )
    probes: Annotated[ProbeSettings, OrNothing()] = Field(
        default_factory=ProbeSettings, description="What differs here from the `probes` of every environment."
    )

    @field_validator("postgres", "redis", "api", mode="before")
    @classmethod
    def _not_empty(cls, value: object) -> object:
        if value is None:
            raise ValueError("there is nothing below it; say how to connect, or remove the key")
        return value

    @model_validator(mode="after")
    def _stores_fit(self) -> EnvironmentSettings:
        if not self.stores:
            raise ValueError("has no store; give it `postgres`, `redis` or both")
        problems = []
        for store in sorted(self.stores):
            around, most = self.surroundings(), self.max_connections(store)
            wants, name = max(
                (
                    (needed[store], name)
                    for name, probe in self.active().items()
                    if store in (needed := probe.wants_in(around))
                ),
                default=(0, ""),
            )
            if wants > most:
                message = (
                    f"is {most}, but the probe `{name}` has {wants} connections open at once; "
                    f"raise it to {wants} or disable the probe"
                )
                problems.append(((store.value, "max_connections"), message))
        if problems:
            text = "; ".join(f"{'.'.join(below)} {message}" for below, message in problems)
            raise PydanticCustomError("below", "{text}", {"text": text, "problems": problems})
        return self

    @model_validator(mode="after")
    def _binding_fits(self) -> EnvironmentSettings:
        """What a binding names is somewhere."""
        sections = {} if self.binding is None else {store: getattr(self.binding, store.value) for store in Store}
        problems = [
            (
                ("binding", store.value),
                f"needs {article} `{store}`, which this environment does not have; give it one, or remove the section",
            )
            for store, section in sections.items()
            if section is not None and store not in self.stores
            for article in ("an" if store is Store.API else "a",)
        ]
        if problems:
            text = "; ".join(f"{'.'.join(below)} {message}" for below, message in problems)
            raise PydanticCustomError("below", "{text}", {"text": text, "problems": problems})
        return self

    @model_validator(mode="after")
    def _places_differ(self) -> EnvironmentSettings:
        """A replica or a pooler that is the primary would make its probes say ok of what is not there."""
        seen: dict[tuple[Store, str], Place] = {}
        problems = []
        for place, url in self.addresses().items():
            other = seen.setdefault((place.store, server_of(url)), place)
            if other is not place:
                words = "the primary" if other.way is Way.PRIMARY else f"the {other.way} {other.name}".strip()
                below = ("pooler",) if place.way is Way.POOLER else ("replicas", place.name)
                problems.append(((place.store.value, *below), f"has the host and port of {words}; name another server"))
        if problems:
            text = "; ".join(f"{'.'.join(below)} {message}" for below, message in problems)
            raise PydanticCustomError("below", "{text}", {"text": text, "problems": problems})
        return self

    @property
    def stores(self) -> frozenset[Store]:
        """The stores that it has."""
        given = {Store.POSTGRES: self.postgres, Store.REDIS: self.redis, Store.API: self.api}
        return frozenset(store for store, settings in given.items() if settings is not None)

    def addresses(self) -> Mapping[Place, str]:
        """How to connect, by every way into its stores. Secrets are in it."""
        found: dict[Place, SecretStr] = {}
        if self.postgres:
            found[Place(Store.POSTGRES)] = self.postgres.dsn
            if self.postgres.pooler:
                found[Place(Store.POSTGRES, Way.POOLER)] = self.postgres.pooler
            for name, dsn in self.postgres.replicas.items():
                found[Place(Store.POSTGRES, Way.REPLICA, name)] = dsn
        if self.redis:
            found[Place(Store.REDIS)] = self.redis.url
            for name, url in self.redis.replicas.items():
                found[Place(Store.REDIS, Way.REPLICA, name)] = url
        return {place: address.get_secret_value() for place, address in found.items()}

    def surroundings(self) -> Surroundings:
        """What a probe finds here before it asks any store."""
        places = [*self.addresses(), *([Place(Store.API)] if self.api else [])]
        return Surroundings(places=tuple(places), bound=self.binding.served() if self.binding else {})

    @property
    def objective_share(self) -> float:
        """The objective as a share of 1, without the noise that a division leaves."""
        return round(self.objective / 100, 10)

    def max_connections(self, store: Store) -> int:
        """The most connections that may be open at once to a store, 0 where the environment does not have it."""
        settings = {Store.POSTGRES: self.postgres, Store.REDIS: self.redis, Store.API: self.api}[store]
        return settings.max_connections if settings else 0

    def active(self) -> Mapping[str, Probe[object]]:
        """The probes that run here: enabled, and the stores that they need are there."""
        around = self.surroundings()
        return {name: probe for name, probe in self.probes.by_name().items() if probe.enabled and probe.runs_in(around)}


class Settings(BaseSettings):
    """The whole configuration of a daemon. `settings_type` makes the class that knows the probes."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
        env_ignore_empty=True,  # `HOLDFAST_HTTP__TOKEN=` is how compose files say "not set"
    )

    location: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(
        default="local", description="Where this daemon stands; a label on every metric."
    )
    shard: Annotated[str, AfterValidator(lambda text: str(Shard.of(text)))] = Field(
        default="1/1",
        description="Which part of the environments this daemon watches: 2/4 is the second of four daemons.",
    )
    state: Annotated[SecretStr, AfterValidator(state_url), Shown] = Field(
        default=SecretStr("sqlite:////var/lib/holdfast/state.db"),
        description="The daemon's own durable record; never one of the stores that it watches.",
    )
    http: Annotated[Http, OrNothing()] = Field(
        default_factory=Http, description="The status page, the metrics and the API."
    )
    logging: Annotated[Logging, OrNothing()] = Field(
        default_factory=Logging, description="What is logged, and in which form."
    )
    metrics: Annotated[Exported, OrNothing()] = Field(
        default_factory=Exported, description="What is exported to Prometheus."
    )
    shutdown_timeout: Length = Field(
        default=timedelta(seconds=10), description="How long runs that are under way may take to end after SIGTERM."
    )
    retention: Annotated[Retention, OrNothing()] = Field(
        default_factory=Retention, description="How long the state database remembers."
    )
    probes: Annotated[ProbeSettings, OrNothing()] = Field(
        default_factory=ProbeSettings, description="Settings of the probes, for every environment."
    )
    environments: Annotated[Mapping[EnvironmentName, EnvironmentSettings], OrNothing()] = Field(
        default={}, description="What is watched, by name: lower-case letters, digits, _ and -."
    )

    @model_validator(mode="after")
    def _state_stands_apart(self) -> Settings:
        """A state database in a store that is watched could not accuse it: it would lose the evidence with the data."""
        own = self.state.get_secret_value()
        if not own.startswith("sqlite:"):
            for name, environment in self.environments.items():
                for place, dsn in environment.addresses().items():
                    if place.store is Store.POSTGRES and share_a_server(own, dsn):
                        text = (
                            f"is on a server that is watched, the {place} of environment {name}: it could not accuse"
                            " itself; name another server, or a file"
                        )
                        raise PydanticCustomError("below", "{text}", {"text": text, "problems": [(("state",), text)]})
        return self

    @property
    def part(self) -> Shard:
        """Which part of the environments this daemon watches."""
        return Shard.of(self.shard)

    def of_its_shard(self) -> Self:
        """The same with the environments that this daemon watches, and no others."""
        own = {name: environment for name, environment in self.environments.items() if self.part.holds(name)}
        return self.model_copy(update={"environments": own})

    def with_shared_probes(self) -> Self:
        """The same, where each environment holds the common settings of a probe themselves unless its own differ.

        Equal ones of a thousand environments would take ten megabytes, and their comparison as long as all else.
        """
        common = self.probes
        environments = {}
        for name, environment in self.environments.items():
            own = environment.probes
            same = {probe: each for probe, each in common.by_name().items() if getattr(own, probe) == each}
            probes = common if len(same) == len(common.by_name()) else own.model_copy(update=same)
            environments[name] = environment.model_copy(update={"probes": probes})
        return self.model_copy(update={"environments": environments})

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 as above; a .env file would be one more place to look
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 as above; `${file:…}` says it where it is used
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment variables. `configfile.load` puts a YAML file below them."""
        return (init_settings, env_settings)

    @model_validator(mode="before")
    @classmethod
    def _inherit_probes(cls, data: Any) -> Any:  # noqa: ANN401 whatever a file may hold
        """Lay an environment's own probe settings over the common ones, so that a probe is checked as it will run."""
        if not isinstance(data, dict) or not isinstance(data.get("environments"), dict):
            return data
        common = data.get("probes")
        usable = common if isinstance(common, dict) else {}  # what is no mapping is reported where it stands
        environments = {
            name: {**own, "probes": _laid_over(usable, own.get("probes"))} if isinstance(own, dict) else own
            for name, own in data["environments"].items()
        }
        return {**data, "environments": environments}


def _laid_over(below: object, above: object) -> object:
    if isinstance(below, dict) and (above is None or isinstance(above, dict)):
        over = above or {}
        return {key: _laid_over(below.get(key), over[key]) if key in over else below[key] for key in {**below, **over}}
    return above


def settings_type(probes: Probes) -> type[Settings]:
    """The settings with one field per probe, here and in every environment; for the same probes the same type.

    Settings of two types are never equal: a reload would take every environment for changed.
    """
    return _settings_type(tuple(sorted(probes.items())))


@lru_cache(maxsize=8)
def _settings_type(probes: tuple[tuple[str, type[Probe[object]]], ...]) -> type[Settings]:
    fields: dict[str, Any] = {
        name: (
            Annotated[probe, OrNothing()],
            Field(default_factory=probe, description=probe.promise()),
        )
        for name, probe in probes
    }
    probe_settings = create_model("ProbeSettings", __base__=ProbeSettings, __doc__=ProbeSettings.__doc__, **fields)

    def with_probes(base: type[BaseModel]) -> Any:  # noqa: ANN401 a field definition of create_model
        description = base.model_fields["probes"].description
        annotation = Annotated[probe_settings, OrNothing()]
        return (annotation, Field(default_factory=probe_settings, description=description))

    environment = create_model(
        "EnvironmentSettings",
        __base__=EnvironmentSettings,
        __doc__=EnvironmentSettings.__doc__,
        probes=with_probes(EnvironmentSettings),
    )
    # dict, not Mapping: the environment source of pydantic-settings looks into the values of a dict only
    environments = Annotated[dict[EnvironmentName, environment], OrNothing()]
    made = create_model(
        "Settings",
        __base__=Settings,
        __doc__=Settings.__doc__,
        probes=with_probes(Settings),
        environments=(environments, Field(default={}, description=Settings.model_fields["environments"].description)),
    )
    return cast("type[Settings]", made)
