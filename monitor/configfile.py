"""Reading the configuration: flags over environment variables over a YAML file, refused whole where one is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from monitor.complaints import explain, known_keys, settable
from monitor.core import duration
from monitor.core.secrets import MASK, secrets_of
from monitor.expansion import LARGEST, Document, KeyPath, read
from monitor.probe import Probes
from monitor.settings import ENV_DELIMITER, ENV_PREFIX, Settings, settings_type
from monitor.sources import Variables, sourced

_CREDENTIALS = re.compile(r"(://[^\s/?#:@]*):\S*@")
_OF_COMMANDS = frozenset({"CONFIG", "SETUP_DSN", "VERIFY_AGAINST"})  # variables that are no settings, and are ours
MOST_PROBLEMS = 100
"""Problems that are told at once; nobody reads more."""
LONGEST_TEXT = 500
"""Characters of a message or a key that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong, where: `holdfast.yaml:12`, the name of an environment variable, or `command line`."""

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.message) if part)


class ConfigError(Exception):
    """The configuration cannot be used. Every problem is told at once, and no secret is in any of them."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, problems)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration that can be used, what is doubtful about it, and the files that it came from."""

    settings: Settings
    warnings: tuple[Problem, ...]
    files: tuple[Path, ...]


def load(
    path: Path | None, *, probes: Probes, environ: Mapping[str, str], overrides: Mapping[str, object] | None = None
) -> Loaded:
    """The configuration of a file, the environment variables over it, and `overrides` (nested, from flags) over both.

    Raises ConfigError, and nothing else whatever the file holds.
    """
    document = Document() if path is None else _document(path, environ)
    base = settings_type(probes)
    origin = _Origin(path, document=document, environ=environ)
    problems = [
        Problem(where=origin.line(fault.line), key=_text(fault.path), message=_printable(fault.message))
        for fault in document.faults
    ]
    settings = None
    try:
        variables = Variables(base, environ)
        origin.given = {"flags": dict(overrides or {}), "variables": variables(), "file": document.data}
        settings = sourced(base, flags=origin.given["flags"], variables=variables, file=document.data)()
    except ValidationError as error:
        unread = {problem.key for problem in problems}  # what has no value is not told again for having a wrong one
        problems += [problem for problem in _problems(error, base=base, origin=origin) if problem.key not in unread]
    except RecursionError:
        problems.append(Problem(where=origin.name, key="", message="nested too deeply"))
    problems += _misnamed_variables(base, environ, document=document)
    if settings is None or problems:
        raise ConfigError(sorted(dict.fromkeys(problems), key=origin.order)[:MOST_PROBLEMS])
    doubts = tuple(_idle(settings, origin))
    files = (*(() if path is None else (path,)), *sorted(document.files))
    return Loaded(settings=settings, warnings=doubts, files=files)


def effective(settings: Settings) -> dict[str, Any]:
    """Every setting as plain values for YAML or JSON, passwords and tokens masked, lengths of time as text."""
    return settings.model_dump(mode="json")


class _Schema(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:  # noqa: ANN401 as pydantic has it
        """Defaults as one would write them."""
        return duration.text(dft) if isinstance(dft, timedelta) else super().encode_default(dft)

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """Where names have a form, no other name is allowed."""
        made = super().dict_schema(schema)
        return {**made, "additionalProperties": False} if "patternProperties" in made else made


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


def _document(path: Path, environ: Mapping[str, str]) -> Document:
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        message = f"cannot be read ({error.strerror}); correct the path or its permissions"
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start}); save it as UTF-8"
    except ValueError:
        message = "is not a path"
    else:
        if len(content) <= LARGEST:
            return read(text, environ=environ, folder=path.parent)
        message = f"is larger than {LARGEST} bytes; is it the right file?"
    raise ConfigError([Problem(where=_printable(str(path)), key="", message=message)])


class _Origin:
    """Where a value came from."""

    def __init__(self, path: Path | None, *, document: Document, environ: Mapping[str, str]) -> None:
        self.name = "configuration" if path is None else _printable(str(path))
        self.given: Mapping[str, dict[str, Any]] = {}
        self._document = document
        self._variables = {
            tuple(name.lower().removeprefix(ENV_PREFIX.lower()).split(ENV_DELIMITER)): name
            for name, value in environ.items()
            if name.upper().startswith(ENV_PREFIX) and value
        }

    def line(self, number: int) -> str:
        """A line of the file."""
        return f"{self.name}:{number}"

    def order(self, problem: Problem) -> int:
        """Sorts problems by line, after those that are in no line."""
        return int(problem.where.rpartition(":")[2]) if problem.where.startswith(f"{self.name}:") else 0

    def has(self, path: KeyPath) -> bool:
        """Whether anything was given at a path."""
        return any(_reach(values, path)[0] for values in self.given.values())

    def hidden(self, path: KeyPath) -> bool:
        """Whether the value at a path, or any below it, came from elsewhere by `${…}`."""
        return any(
            expanded[: len(given)] == given for given in (path, _common(path)) for expanded in self._document.expanded
        )

    def of(self, path: KeyPath) -> str:
        """The place that decided about a path, or about the nearest key above it."""
        for length in range(len(path), -1, -1):
            above = path[:length]
            found = {source: _reach(values, above) for source, values in self.given.items()}
            last = next(
                (source for source, (there, value) in found.items() if there and not isinstance(value, dict)), None
            )
            both = last or ("file" if self.name != "configuration" and found["file"][0] else None)
            source = both or next((source for source, (there, _) in found.items() if there and length), None)
            if source == "flags":
                return "command line"
            if source == "variables":
                return self._variable(above)
            if source == "file":
                return self.line(self._document.lines.get(above, 1))
        return self.name

    def _variable(self, path: KeyPath) -> str:
        at_or_above = [key for key in self._variables if key == path[: len(key)]]
        below = [key for key in self._variables if key[: len(path)] == path]
        return self._variables[max(at_or_above, key=len) if at_or_above else min(below)]


def _reach(values: object, path: KeyPath) -> tuple[bool, object]:
    for key in path:
        if isinstance(values, dict) and key in values:
            values = values[key]
        elif isinstance(values, list) and key.isdecimal() and int(key) < len(values):
            values = values[int(key)]
        else:
            return False, None
    return True, values


def _problems(error: ValidationError, *, base: type[Settings], origin: _Origin) -> list[Problem]:
    told: dict[tuple[KeyPath, str], Problem] = {}
    for detail in error.errors(include_url=False)[: 10 * MOST_PROBLEMS]:
        for found, message in explain(detail, base=base, hidden=origin.hidden):
            common = _common(found)
            inherited = not origin.has(found) and origin.has(common)
            # an environment repeats what is wrong in the probes of all environments: it is told once, there
            path = common if inherited or (common, message) in told else found
            where, key = origin.of(path), _printable(_text(path))
            told.setdefault((path, message), Problem(where=where, key=key, message=_printable(message)))
    misspelled = {(path[:-1], message) for path, message in told}
    return [
        problem
        for (path, message), problem in told.items()
        if not (message.startswith("missing") and (path[:-1], f"unknown key; did you mean `{path[-1]}`?") in misspelled)
    ]


def _common(path: KeyPath) -> KeyPath:
    """The path in the probes of all environments that an environment inherits from, if there is one."""
    return path[2:] if path[:1] == ("environments",) and path[2:3] == ("probes",) else path


def _misnamed_variables(base: type[Settings], environ: Mapping[str, str], *, document: Document) -> Iterator[Problem]:
    """Variables that are meant as settings and are none: by two underscores, or by a name that is nearly one.

    Others are let be: Kubernetes adds HOLDFAST_PORT by itself.
    """
    environments = document.data.get("environments")
    names = [str(name) for name in environments] if isinstance(environments, dict) else []
    known = {
        ENV_DELIMITER.join(path).upper().replace(ENV_DELIMITER, "_"): ENV_DELIMITER.join(path).upper()
        for path in settable(base, environments=names)
    }
    sections = known_keys(base, ())
    for name in sorted(name for name, value in environ.items() if value and name.upper().startswith(ENV_PREFIX)):
        rest = name.upper().removeprefix(ENV_PREFIX)
        if name in document.variables or rest in _OF_COMMANDS or rest.split(ENV_DELIMITER)[0].lower() in sections:
            continue
        near = get_close_matches(rest.replace(ENV_DELIMITER, "_")[:LONGEST_TEXT], known, n=1, cutoff=0.8)
        if near:
            message = f"is no setting; did you mean {ENV_PREFIX}{known[near[0]]}?"
        elif ENV_DELIMITER in rest:
            message = f"is no setting; what follows {ENV_PREFIX} is one of {', '.join(sections).upper()}; or unset it"
        else:
            continue
        yield Problem(where=_printable(name), key="", message=message)


def _idle(settings: Settings, origin: _Origin) -> Iterator[Problem]:
    if not settings.environments:
        yield Problem(where=origin.of(("environments",)), key="environments", message="nothing is watched; add one")
    for name, environment in settings.environments.items():
        if not environment.active():
            message = "no probe runs here; enable one, or add the store that it needs"
            yield Problem(where=origin.of(("environments", name)), key=f"environments.{name}", message=message)


def _text(path: KeyPath) -> str:
    return ".".join(path)


def _printable(text: str) -> str:
    """Fit for any terminal and log: no password in a URL, no control characters, no halves of letters, not endless."""
    masked = _CREDENTIALS.sub(rf"\1:{MASK}@", text)
    short = masked if len(masked) <= LONGEST_TEXT else masked[:LONGEST_TEXT] + "…"
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in short)
