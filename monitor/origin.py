"""Where what an operator gave came from: a line of a file, a variable, or the command line; and how that is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from monitor.complaints import explain
from monitor.core.secrets import MASK
from monitor.expansion import LARGEST, Document, Fault, KeyPath, StandIn, read

_CREDENTIALS = re.compile(r"(://[^\s/?#:@]*):\S*@")
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


def document_of(
    path: Path, environ: Mapping[str, str], *, begins: str = "environments", stand_in: StandIn | None = None
) -> Document:
    """What is in a file. Raises ConfigError where it cannot be read; what is wrong in it is in the document."""
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
            return read(text, environ=environ, folder=path.parent, begins=begins, stand_in=stand_in)
        message = f"is larger than {LARGEST} bytes; is it the right file?"
    raise ConfigError([Problem(where=printable(str(path)), key="", message=message)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A file of its own that stands for what is below a key."""

    name: str
    path: Path
    document: Document


class Origin:
    """Where a value came from. `variables` are the names of environment variables by the keys that they set."""

    def __init__(self, path: Path | None, *, document: Document, variables: Mapping[KeyPath, str]) -> None:
        self.name = "configuration" if path is None else printable(str(path))
        self.given: Mapping[str, dict[str, Any]] = {}
        self.parts: dict[KeyPath, Part] = {}
        self._document = document
        self._variables = variables

    def faults(self) -> Iterator[Problem]:
        """What is wrong with the texts of the files."""
        return self._told(lambda document: document.faults)

    def unresolved(self) -> Iterator[Problem]:
        """Which references stand for nothing here, where that does not matter."""
        return self._told(lambda document: document.unresolved)

    def _told(self, which: Callable[[Document], list[Fault]]) -> Iterator[Problem]:
        own = (self.name, self._document)
        for name, document in (own, *((part.name, part.document) for part in self.parts.values())):
            for fault in which(document):
                where = f"{name}:{fault.line}"
                yield Problem(where=where, key=text_of(fault.path), message=printable(fault.message))

    def problems(
        self, error: ValidationError, *, base: type[BaseModel], told: Iterable[Problem] = ()
    ) -> Iterator[Problem]:
        """What pydantic has found, each with its place and its key, and once.

        What has no value, which was `told` already, is not told again for having a wrong one.
        """
        unread = {(problem.where.rpartition(":")[0], problem.key) for problem in told}
        for problem in self._explained(error, base=base):
            if (problem.where.rpartition(":")[0], problem.key) not in unread:
                yield problem

    def _explained(self, error: ValidationError, *, base: type[BaseModel]) -> list[Problem]:
        told: dict[tuple[KeyPath, str], Problem] = {}
        for detail in error.errors(include_url=False)[: 10 * MOST_PROBLEMS]:
            for found, message in explain(detail, base=base, hidden=self.hidden, filled=self.filled):
                common = _common(found)
                inherited = not self.has(found) and self.has(common)
                # an environment repeats what is wrong in the probes of all environments: it is told once, there
                path = common if inherited or (common, message) in told else found
                where, key = self.of(path), printable(text_of(self.key(path)))
                told.setdefault((path, message), Problem(where=where, key=key, message=printable(message)))
        misspelled = {(path[:-1], message) for path, message in told}
        return [
            problem
            for (path, message), problem in told.items()
            if not (
                message.startswith("missing") and (path[:-1], f"unknown key; did you mean `{path[-1]}`?") in misspelled
            )
        ]

    def order(self, problem: Problem) -> tuple[int, int]:
        """Sorts problems by file and line, after those that are in no line."""
        names = [self.name, *(part.name for part in self.parts.values())]
        name, _, line = problem.where.rpartition(":")
        return (1 + names.index(name), int(line)) if name in names and line.isdecimal() else (0, 0)

    def has(self, path: KeyPath) -> bool:
        """Whether anything was given at a path."""
        return any(reach(values, path)[0] for values in self.given.values())

    def hidden(self, path: KeyPath) -> bool:
        """Whether the value at a path, or any below it, came from elsewhere by `${…}`."""
        inside = self._inside(path)
        document, paths = (
            (inside[1].document, (path[inside[0] :],)) if inside else (self._document, (path, _common(path)))
        )
        return any(expanded[: len(given)] == given for given in paths for expanded in document.expanded)

    def filled(self, path: KeyPath) -> list[str] | None:
        """The texts that `${…}` stood for in the file of its own that a path is in; None where it is in no such."""
        inside = self._inside(path)
        return inside and [text for texts in inside[1].document.expanded.values() for text in texts]

    def key(self, path: KeyPath) -> KeyPath:
        """A path as one finds it in the file that it is in."""
        inside = self._inside(path)
        return path[inside[0] :] if inside else path

    def _inside(self, path: KeyPath) -> tuple[int, Part] | None:
        return next(((len(key), part) for key, part in self.parts.items() if path[: len(key)] == key), None)

    def of(self, path: KeyPath) -> str:
        """The place that decided about a path, or about the nearest key above it."""
        if inside := self._inside(path):
            length, part = inside
            nearest = (path[length:end] for end in range(len(path), length, -1))
            return f"{part.name}:{next((part.document.lines[key] for key in nearest if key in part.document.lines), 1)}"
        for length in range(len(path), -1, -1):
            above = path[:length]
            found = {source: reach(values, above) for source, values in self.given.items()}
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
                return f"{self.name}:{self._document.lines.get(above, 1)}"
        return self.name

    def _variable(self, path: KeyPath) -> str:
        at_or_above = [key for key in self._variables if key == path[: len(key)]]
        below = [key for key in self._variables if key[: len(path)] == path]
        return self._variables[max(at_or_above, key=len) if at_or_above else min(below)]


def reach(values: object, path: KeyPath) -> tuple[bool, object]:
    """Whether there is anything at a path, and what."""
    for key in path:
        if isinstance(values, dict) and key in values:
            values = values[key]
        elif isinstance(values, list) and key.isdecimal() and int(key) < len(values):
            values = values[int(key)]
        else:
            return False, None
    return True, values


def _common(path: KeyPath) -> KeyPath:
    """The path in the probes of all environments that an environment inherits from, if there is one."""
    return path[2:] if path[:1] == ("environments",) and path[2:3] == ("probes",) else path


def text_of(path: KeyPath) -> str:
    """A path as one writes it."""
    return ".".join(path)


def printable(text: str) -> str:
    """Fit for any terminal and log: no password in a URL, no control characters, no halves of letters, not endless."""
    masked = _CREDENTIALS.sub(rf"\1:{MASK}@", text)
    short = masked if len(masked) <= LONGEST_TEXT else masked[:LONGEST_TEXT] + "…"
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in short)
