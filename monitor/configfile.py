"""Reading the configuration: flags over environment variables over a YAML file, refused whole where one is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from monitor.bindingfile import attach
from monitor.bindings import Binding
from monitor.complaints import known_keys, settable
from monitor.core import duration
from monitor.core.secrets import Scrubber, secrets_of
from monitor.expansion import Document, KeyPath, StandIn
from monitor.origin import LONGEST_TEXT, MOST_PROBLEMS, ConfigError, Origin, Problem, document_of, printable
from monitor.probe import Probes
from monitor.settings import ENV_DELIMITER, ENV_PREFIX, Settings, settings_type
from monitor.sources import Variables, sourced

__all__ = ["ConfigError", "Loaded", "Problem", "binding_schema", "effective", "load", "schema", "secrets_in"]

_OF_COMMANDS = frozenset(  # variables that are no settings, and are ours
    {"CONFIG", "SETUP_DSN", "VERIFY_AGAINST", "BIND_DSN", "BIND_URL", "BIND_BASE_URL", "BIND_TOKENS"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration that can be used, what is doubtful about it, and the files that it came from."""

    settings: Settings
    warnings: tuple[Problem, ...]
    files: tuple[Path, ...]
    unresolved: tuple[Problem, ...] = ()


def load(
    path: Path | None,
    *,
    probes: Probes,
    environ: Mapping[str, str],
    overrides: Mapping[str, object] | None = None,
    stand_in: StandIn | None = None,
) -> Loaded:
    """The configuration of a file, the environment variables over it, and `overrides` (nested, from flags) over both.

    With `stand_in` a reference that cannot be resolved is no fault where something may stand for its value; it is then
    among the `unresolved`, and the configuration is none to connect with.

    Raises ConfigError, and nothing else whatever the file holds.
    """
    document = Document() if path is None else document_of(path, environ, stand_in=stand_in)
    base = settings_type(probes)
    origin = Origin(path, document=document, variables=_set_by(environ))
    settings, problems = None, list[Problem]()
    try:
        variables = Variables(base, environ)()
        origin.given = {"flags": dict(overrides or {}), "variables": variables, "file": document.data}
        folder = Path() if path is None else path.parent
        problems += attach(origin, environ=environ, folder=folder, stand_in=stand_in)
        settings = sourced(base, *origin.given.values())()
    except ValidationError as error:
        problems += [*origin.problems(error, base=base, told=[*origin.faults(), *problems])]
    except RecursionError:
        problems.append(Problem(where=origin.name, key="", message="nested too deeply"))
    problems = [*origin.faults(), *problems, *_misnamed_variables(base, environ, document=document)]
    if settings is None or problems:
        raise ConfigError(sorted(dict.fromkeys(problems), key=origin.order)[:MOST_PROBLEMS])
    doubts = tuple(_idle(settings, origin))
    more = {file for part in origin.parts.values() for file in (part.path, *part.document.files)}
    files = (*(() if path is None else (path,)), *sorted(document.files | more))
    return Loaded(
        settings=settings.with_shared_probes(), warnings=doubts, files=files, unresolved=tuple(origin.unresolved())
    )


def _set_by(environ: Mapping[str, str]) -> Mapping[KeyPath, str]:
    return {
        tuple(name.lower().removeprefix(ENV_PREFIX.lower()).split(ENV_DELIMITER)): name
        for name, value in environ.items()
        if name.upper().startswith(ENV_PREFIX) and value
    }


def effective(settings: Settings) -> dict[str, Any]:
    """Every setting as plain values for YAML or JSON, passwords and tokens masked, lengths of time as text.

    A binding stands there whole, and a store that an environment does not have not at all.
    """
    values = settings.model_dump(mode="json")
    for name, environment in settings.environments.items():
        shown = values["environments"][name]
        for store in ("postgres", "redis", "api"):
            if shown[store] is None:
                del shown[store]
        if environment.binding:
            scrub = Scrubber(secrets_in(environment.binding))
            shown["binding"] = {
                key: value if key == "secrets" else _masked(value, scrub) for key, value in shown["binding"].items()
            }
    return values


def _masked(value: object, scrub: Scrubber) -> object:
    if isinstance(value, dict):
        return {key: _masked(item, scrub) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, scrub) for item in value]
    return scrub(value) if isinstance(value, str) else value


class _Schema(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:  # noqa: ANN401 as pydantic has it
        """Defaults as one would write them."""
        return duration.text(dft) if isinstance(dft, timedelta) else super().encode_default(dft)

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Where names have a form, no other name is allowed."""
        made = super().dict_schema(schema)
        return {**made, "additionalProperties": False} if "patternProperties" in made else made


def binding_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a file with a binding, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Binding.model_json_schema(schema_generator=_Schema),
        "title": "A binding of Holdfast",
    }


def schema(probes: Probes) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the configuration file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **settings_type(probes).model_json_schema(schema_generator=_Schema),
        "title": "Holdfast",
    }


def secrets_in(settings: BaseModel) -> list[str]:
    """Every secret of a configuration, or of a part: tokens, and passwords in DSNs and URLs, as written and decoded."""
    return sorted(set(_secrets(settings)))


def _secrets(value: object) -> Iterator[str]:
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        yield from secrets_of(text) if "://" in text else [text]
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _secrets(item)


def _misnamed_variables(base: type[Settings], environ: Mapping[str, str], *, document: Document) -> Iterator[Problem]:
    """Variables that are meant as settings and are none: by two underscores, or by a name that is nearly one.

    Others are let be: Kubernetes adds HOLDFAST_PORT by itself.
    """
    sections = known_keys(base, ())
    doubted = {
        name: rest
        for name, value in sorted(environ.items())
        for rest in (name.upper().removeprefix(ENV_PREFIX),)
        if value and name.upper().startswith(ENV_PREFIX) and name not in document.variables
        if rest not in _OF_COMMANDS and rest.split(ENV_DELIMITER)[0].lower() not in sections
    }
    if not doubted:  # of a thousand environments the names below are a hundred thousand
        return
    environments = document.data.get("environments")
    names = [str(name) for name in environments] if isinstance(environments, dict) else []
    known = {
        ENV_DELIMITER.join(path).upper().replace(ENV_DELIMITER, "_"): ENV_DELIMITER.join(path).upper()
        for path in settable(base, environments=names)
    }
    for name, rest in doubted.items():
        near = get_close_matches(rest.replace(ENV_DELIMITER, "_")[:LONGEST_TEXT], known, n=1, cutoff=0.8)
        if near:
            message = f"is no setting; did you mean {ENV_PREFIX}{known[near[0]]}?"
        elif ENV_DELIMITER in rest:
            message = f"is no setting; what follows {ENV_PREFIX} is one of {', '.join(sections).upper()}; or unset it"
        else:
            continue
        yield Problem(where=printable(name), key="", message=message)


def _idle(settings: Settings, origin: Origin) -> Iterator[Problem]:
    if not settings.environments:
        yield Problem(where=origin.of(("environments",)), key="environments", message="nothing is watched; add one")
    for name, environment in settings.environments.items():
        if not environment.active():
            message = "no probe runs here; enable one, or add the store that it needs"
            yield Problem(where=origin.of(("environments", name)), key=f"environments.{name}", message=message)
