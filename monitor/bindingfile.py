"""Bindings in files of their own: where a configuration names a path, what is in the file stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from monitor.bindings import Binding
from monitor.expansion import Document, KeyPath, StandIn
from monitor.origin import MOST_PROBLEMS, ConfigError, Origin, Part, Problem, document_of, printable, reach, text_of

_MAY_BE_SECRET = frozenset({"headers", "query", "body", "claims"})


def attach(
    origin: Origin, *, environ: Mapping[str, str], folder: Path, stand_in: StandIn | None = None
) -> Iterator[Problem]:
    """Put what is in the files of bindings in the place of their paths; yields what is wrong with a path.

    A path in the configuration's file is relative to `folder`, any other to where the command runs.
    """
    given, earlier = dict(origin.given), list[Mapping[str, object]]()
    for source, values in origin.given.items():
        environments = values.get("environments")
        if isinstance(environments, dict):
            attached = dict(environments)
            for name, own in environments.items():
                key = ("environments", name, "binding")
                _, text = reach(own, key[2:])
                if not isinstance(text, str) or any(reach(above, key)[0] for above in earlier):
                    continue
                path = (folder if source == "file" else Path()) / text
                try:
                    origin.parts[key] = part = _part(path, environ, stand_in and partial(_below, stand_in, key))
                    attached[name] = {**own, "binding": _values(part.document)}
                except ConfigError as error:
                    message = f"{error.problems[0].where} {error.problems[0].message}"
                    yield Problem(where=origin.of(key), key=printable(text_of(key)), message=message)
            given[source] = {**values, "environments": attached}
        earlier.append(values)
    origin.given = given


def _below(stand_in: StandIn, key: KeyPath, path: KeyPath) -> str | None:
    return stand_in((*key, *path))


def read_binding(path: Path, *, environ: Mapping[str, str]) -> Binding:
    """The binding in a file. Raises ConfigError with every problem, each with its line and key."""
    part = _part(path, environ)
    origin = Origin(None, document=Document(), variables={})
    origin.parts[()] = part
    problems, found = [*origin.faults()], None
    values = _values(part.document)
    origin.given = {"file": values}
    try:
        found = Binding.model_validate(values)
    except ValidationError as error:
        problems += [*origin.problems(error, base=Binding, told=problems)]
    except RecursionError:
        problems.append(Problem(where=part.name, key="", message="nested too deeply"))
    if found is None or problems:
        raise ConfigError(sorted(dict.fromkeys(problems), key=origin.order)[:MOST_PROBLEMS])
    return found


def _part(path: Path, environ: Mapping[str, str], stand_in: StandIn | None = None) -> Part:
    with suppress(OSError, ValueError):  # what is no path at all is said by whoever opens it
        if path.exists() and not path.is_file() and not path.is_dir():  # reading a pipe could wait for ever
            raise ConfigError([Problem(where=printable(str(path)), key="", message="is no file")])
    document = document_of(path, environ, begins="postgres", stand_in=stand_in)
    return Part(name=printable(str(path)), path=path, document=document)


def _values(document: Document) -> dict[str, object]:
    """What is in a file, with the texts that `${…}` stood for in requests among what is never shown."""
    found = [
        text for key, texts in document.expanded.items() if not _MAY_BE_SECRET.isdisjoint(key) for text in texts if text
    ]
    own = document.data.get("secrets", [])
    return {**document.data, "secrets": [*own, *found]} if found and isinstance(own, list) else document.data
