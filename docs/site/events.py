"""What the code logs, read from the code: every event's name, how grave it is, what it carries and where it is told."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

LEVELS = ("debug", "info", "warning", "error", "exception", "critical")


@dataclass(slots=True)
class Logged:
    """One event: its levels, the names of its fields, and the modules that log it."""

    levels: set[str] = field(default_factory=set)
    fields: dict[str, None] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)


def logged(package: Path) -> Mapping[str, Logged]:
    """The events of a package by name: calls of `log.LEVEL`, or of a name for one, whose first argument is a text."""
    found: dict[str, Logged] = defaultdict(Logged)
    for file in sorted(package.rglob("*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        handed_on = _dictionaries(tree)
        for levels, call in _calls(tree):
            first = call.args[0]
            if isinstance(first, ast.Constant):
                event = found[str(first.value)]
                event.levels |= {"error" if level == "exception" else level for level in levels}
                for word in call.keywords:
                    name = word.value.id if isinstance(word.value, ast.Name) else ""
                    event.fields.update(dict.fromkeys([word.arg] if word.arg else handed_on.get(name, [])))
                event.modules.add(file.relative_to(package).as_posix())
    return dict(sorted(found.items()))


def _calls(tree: ast.Module) -> Iterator[tuple[set[str], ast.Call]]:
    names = {
        target.id: levels
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and (levels := _levels(node.value)) and not isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            if isinstance(node.func, ast.Name) and node.func.id in names:
                yield names[node.func.id], node
            elif isinstance(node.func, ast.Attribute) and (levels := _levels(node.func)):
                yield levels, node


def _dictionaries(tree: ast.Module) -> Mapping[str, list[str]]:
    """The keys of dictionaries that have a name, for `**what`."""
    return {
        target.id: [str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)]
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _levels(value: ast.expr) -> set[str]:
    """The levels of `log.info`, or of one of several such."""
    if isinstance(value, ast.IfExp):
        return _levels(value.body) | _levels(value.orelse)
    if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id == "log":
        return {value.attr} & {*LEVELS}
    return set()
