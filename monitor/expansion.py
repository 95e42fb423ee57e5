"""YAML text to plain values: where each key stands, and what `${VAR}` and `${file:PATH}` stand for.

Nothing is raised: what is wrong is in `Document.faults`, so that one reading tells everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

KeyPath = tuple[str, ...]
StandIn = Callable[[KeyPath], str | None]
"""What stands for the value of a key of which a reference cannot be resolved; None where that is a fault."""

LARGEST = 1024 * 1024
"""Bytes of a configuration file or of a file in `${file:…}`; a real one has a few thousand."""
MOST_VALUES = 20_000
"""Values after aliases are followed; a few hundred bytes of nested aliases can stand for billions."""

_TAG = "tag:yaml.org,2002:"
_REFERENCE = re.compile(r"\$\$\{(?:[^{}\n]*\})?|\$\{[^{}\n]*\}")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?")
_FORMS = "write ${VARIABLE}, ${VARIABLE:-DEFAULT} or ${file:/PATH}, and $${ for a literal ${"
_NO_TAGS = "a YAML tag (!name) is not supported; remove it"
_LONGEST_QUOTE = 6  # a character, escaped and in quotes
_UNFINISHED = f"a ${{ without its end, or one inside another; {_FORMS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with the text at one place. `path` is empty where no key can be named; `line` counts from 1."""

    path: KeyPath = ()
    line: int = 1
    message: str


@dataclass(slots=True, kw_only=True)
class Document:
    """A YAML file as values. `lines` has the line of each key.

    `expanded` are the keys whose value came from elsewhere, each with the texts that did; a default is none of them.
    `unresolved` are the references for whose value something else stands.
    """

    data: dict[str, object] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    expanded: dict[KeyPath, list[str]] = field(default_factory=dict)
    variables: set[str] = field(default_factory=set)
    files: set[Path] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    unresolved: list[Fault] = field(default_factory=list)


class _TooManyError(Exception):
    """Aliases stand for more values than anybody means."""


class _UnresolvedError(ValueError):
    """A reference is well written, and what it stands for is not there."""


def read(
    text: str,
    *,
    environ: Mapping[str, str],
    folder: Path,
    begins: str = "environments",
    stand_in: StandIn | None = None,
) -> Document:
    """The values of a YAML text. A relative `${file:…}` is looked up in `folder`; `begins` is a key of it."""
    document = Document()
    # YAML reads the braces of a bare ${VAR} as its own, so each reference is hidden behind a letter that is not used.
    hidden: list[str] = []
    letter = next(chr(code) for code in range(0xE000, 0xF900) if chr(code) not in text or code == 0xF8FF)  # noqa: PLR2004 the private-use letters of Unicode

    def hide(match: re.Match[str]) -> str:
        hidden.append(match[0])
        return f"{letter}{len(hidden) - 1}{letter}"

    try:
        root = _composed(_REFERENCE.sub(hide, text))
        look = _Lookup(document, environ, folder)
        builder = _Builder(document, hidden=hidden, letter=letter, look=look, stand_in=stand_in)
        data = {} if root is None else builder.value(root, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        document.faults.append(Fault(line=mark.line + 1 if mark else 1, message=_not_yaml(error)))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.faults.append(Fault(line=line, message=f"not valid YAML: the character {error.character!r}"))
    except RecursionError:
        document.faults.append(Fault(message="nested too deeply"))
    except _TooManyError:
        document.faults.append(Fault(message=f"aliases (*name) stand for more than {MOST_VALUES} values"))
    except (yaml.YAMLError, ValueError, LookupError, OverflowError):  # all of these come from PyYAML for some texts
        document.faults.append(Fault(message="not valid YAML"))
    else:
        if data is None:
            data = {}
        if isinstance(data, dict):
            document.data = data
        else:
            document.faults.append(Fault(message=f"expected keys such as `{begins}:`, found {kind(data)}"))
    return document


def _composed(text: str) -> yaml.Node | None:
    """The nodes of a text. libyaml is ten times as fast; what it refuses the other explains better, or takes."""
    if yaml.__with_libyaml__:
        with suppress(yaml.YAMLError):
            return yaml.compose(text, Loader=yaml.CSafeLoader)
    return yaml.compose(text, Loader=yaml.SafeLoader)


def kind(value: object) -> str:
    """What a value is, in words, without the value."""
    kinds = {
        bool: "true or false (YAML reads yes, no, on and off so; put them in quotes)",
        int: "a whole number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "keys and values",
    }
    return "nothing" if value is None else kinds.get(type(value), "something else")


def _not_yaml(error: yaml.MarkedYAMLError) -> str:
    """The parser's complaint without the names that it quotes: one of them may be half a password."""
    problem, mark = error.problem or "", error.context_mark
    if r"'\t'" in problem:
        return "not valid YAML: a tab where only spaces may indent"
    context = f"{error.context}{f' (line {mark.line + 1})' if mark else ''}: " if error.context else ""
    return "not valid YAML: " + re.sub(r"""\s*("[^"]*"|'[^']*')""", _short_quote, context + problem)


def _short_quote(match: re.Match[str]) -> str:
    return match[0] if len(match[1]) <= _LONGEST_QUOTE or "<" in match[1] else ""


class _Lookup:
    """What a reference stands for."""

    def __init__(self, document: Document, environ: Mapping[str, str], folder: Path) -> None:
        self._document = document
        self._environ = environ
        self._folder = folder

    def __call__(self, body: str) -> tuple[str, bool]:
        """The value of what is between the braces, and whether it stands there. Raises ValueError with what to do."""
        if body.startswith("file:"):
            return self._file(body.removeprefix("file:").strip()), False
        match = _VARIABLE.fullmatch(body)
        if not match:
            raise ValueError(f"what is between ${{ and }} is no name of a variable; {_FORMS}")
        name, default = match.groups()
        self._document.variables.add(name)
        value = self._environ.get(name)
        if default is not None:
            return value or str(default), not value  # as in a shell, `:-` is also for what is set to nothing
        if value is None:
            raise _UnresolvedError(f"the environment variable {name} is not set; set it, or write ${{{name}:-DEFAULT}}")
        return value, False

    def _file(self, name: str) -> str:
        path = self._folder / name
        self._document.files.add(path)
        try:
            if not path.is_file():  # reading a device or a pipe could wait for ever
                raise _UnresolvedError(f"there is no file {path}; make it, or correct the path")
            with path.open("rb") as stream:
                content = stream.read(LARGEST + 1)
        except OSError as error:
            message = f"{path} cannot be read ({error.strerror}); correct the path or its permissions"
            raise _UnresolvedError(message) from None
        if len(content) > LARGEST:
            raise ValueError(f"{path} is larger than {LARGEST} bytes; it should hold one value")
        try:
            return content.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not UTF-8 text; store the value as text") from None


class _Builder:
    """Nodes to values. The line of each key and every fault go to the document."""

    def __init__(
        self,
        document: Document,
        *,
        hidden: list[str],
        letter: str,
        look: Callable[[str], tuple[str, bool]],
        stand_in: StandIn | None,
    ) -> None:
        self._document = document
        self._hidden = hidden
        self._token = re.compile(rf"{letter}(\d{{1,9}}){letter}")
        self._look = look
        self._stand_in = stand_in
        self._open: set[int] = set()
        self._left = MOST_VALUES

    def value(self, node: yaml.Node, path: KeyPath) -> object:
        """The value of a node; None where it has none, and then there is a fault."""
        self._left -= 1
        if self._left < 0:
            raise _TooManyError
        if isinstance(node, yaml.ScalarNode):
            return self._text(node, path)
        if node.tag not in {f"{_TAG}map", f"{_TAG}seq"}:
            self._fault(node, path, _NO_TAGS)
            return None
        if id(node) in self._open:
            self._fault(node, path, "an alias (*name) stands inside what it stands for")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return [self.value(item, (*path, str(at))) for at, item in enumerate(node.value)]
        finally:
            self._open.remove(id(node))

    def _text(self, node: yaml.ScalarNode, path: KeyPath) -> object:
        other, among = None, self._document.faults
        try:
            return self._expanded(node, path) if self._token.search(node.value) else _scalar(node)
        except ValueError as error:
            if isinstance(error, _UnresolvedError) and self._stand_in:
                other = self._stand_in(path)
                among = among if other is None else self._document.unresolved
            among.append(Fault(path=path, line=node.start_mark.line + 1, message=str(error)))
        return other

    def _fault(self, node: yaml.Node, path: KeyPath, message: str) -> None:
        self._document.faults.append(Fault(path=path, line=node.start_mark.line + 1, message=message))

    def _original(self, match: re.Match[str]) -> str:
        at = int(match[1])
        return self._hidden[at] if at < len(self._hidden) else match[0]

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, object]:
        found: dict[str, object] = {}
        merged: list[tuple[yaml.Node, yaml.Node]] = []
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                merged.append((key_node, value_node))
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._fault(key_node, path, "a key must be text")
                continue
            key = self._token.sub(self._original, key_node.value)
            line = key_node.start_mark.line + 1
            if key != key_node.value:
                self._fault(key_node, path, "${…} is not expanded in keys, only in values")
            elif key in first:
                self._fault(key_node, (*path, key), f"given twice; the first is on line {first[key]}; remove one")
            else:
                first[key] = line
                self._document.lines[(*path, key)] = line
                found[key] = self.value(value_node, (*path, key))
        for key_node, value_node in merged:
            self._merge(found, key_node, value_node, path)
        return found

    def _merge(self, found: dict[str, object], key: yaml.Node, value: yaml.Node, path: KeyPath) -> None:
        """`<<: *name` or `<<: [*one, *two]`: what is given beside it wins, then the earlier."""
        for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            if not isinstance(source, yaml.MappingNode):
                self._fault(key, path, "`<<` needs an alias (*name) of keys and values")
                continue
            lines = dict(self._document.lines)
            inherited = self.value(source, path)
            if isinstance(inherited, dict):
                for name, item in inherited.items():
                    found.setdefault(name, item)
            self._document.lines.update(lines)

    def _expanded(self, node: yaml.ScalarNode, path: KeyPath) -> str:
        def expand(match: re.Match[str]) -> str:
            reference = self._original(match)
            if reference.startswith("$${"):
                return reference[1:]
            if not reference.startswith("${"):
                return reference
            came = self._document.expanded.setdefault(path, [])
            value, own = self._look(reference[2:-1])
            came += [] if own else [value]
            return value

        if "${" in node.value:
            raise ValueError(_UNFINISHED)
        return self._token.sub(expand, node.value)


def _scalar(node: yaml.ScalarNode) -> object:
    """The value of a scalar without references, by YAML 1.1 but for 1:30, which stays text. Raises ValueError."""
    text: str = node.value
    if "${" in text:
        raise ValueError(_UNFINISHED)
    constructor = yaml.constructor.SafeConstructor()
    value: object = text
    match node.tag.removeprefix(_TAG):
        case "null":
            value = None
        case "bool" if text.lower() in constructor.bool_values:
            value = constructor.bool_values[text.lower()]
        case "int" | "float" as number if ":" not in text:
            construct = constructor.construct_yaml_int if number == "int" else constructor.construct_yaml_float
            try:
                value = construct(node)
            except (ValueError, LookupError, OverflowError):
                raise ValueError("this number cannot be read; write it with digits only, or put it in quotes") from None
        case "str" | "int" | "float" | "timestamp" | "value" | "merge":
            pass
        case _:
            raise ValueError(_NO_TAGS)
    return value
