"""Which programs a text would start, and with which words: of shell, of YAML that carries shell or argument lists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

import yaml

SHELL = {"sh", "bash", "shell", "console", "cfg", "ini", "cron"}
"""Languages of blocks in which each line can be a command: also a line of a service definition or a crontab."""
_BEFORE = {"sudo", "exec", "env", "nohup", "time", "nice", "!", "if", "then", "while", "do", "--", "command_line"}
_HERE = re.compile(r"<<-?\s*['\"]?(\w+)['\"]?[^\n]*\n(.*?)\n\s*\1$", re.DOTALL | re.MULTILINE)
_ASSIGNED = re.compile(r"\w+=.*", re.DOTALL)
_CRON = 5
_FIELD = re.compile(r"[\d*/,-]+")
_NAMES = ("holdfast", "make", "dev.py")


def commands(kind: str, text: str) -> Iterator[list[str]]:
    """The simple commands in a block of some language, each as its words."""
    if kind in SHELL:
        yield from of_shell(text)
    elif kind in {"yaml", "yml"}:
        try:
            documents = list(yaml.load_all(text, Loader=_Plain))
        except yaml.YAMLError:
            return  # whether it is YAML is another check
        for document in documents:
            yield from _of_values(document)


def of_shell(text: str) -> Iterator[list[str]]:
    """Every simple command of a script; what feeds a program as a document is none."""
    script = _HERE.sub("<<DOCUMENT", text.replace("\\\n", " "))
    for line in script.splitlines():
        try:
            words = _split(re.sub(r"^\s*(?:\$ |# (?=holdfast ))", "", line))
        except ValueError:  # a quotation that ends on a later line
            words = line.split()
        command: list[str] = []
        for word in [*words, ";"]:
            if word and set(word) <= set("();<>|&"):
                if command and not set(word) & set("<>"):
                    yield from _bare(command)
                    command = []
                elif set(word) & set("<>"):
                    command.append(">")
            else:
                command.append(word)


def _split(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    return list(lexer)


def _bare(words: Sequence[str]) -> Iterator[list[str]]:
    """The command without what stands before its program, and without where its output goes."""
    words = [re.sub(r"^Exec\w+=[-+!@:]*", "", word) for word in words]  # a unit of systemd
    kept, skip = [], False
    for word in words:
        if word == ">":
            skip = True
        elif skip:
            skip = False
            if kept and kept[-1].isdigit():
                kept.pop()
        else:
            kept.append(word)
    while kept and (kept[0] in _BEFORE or _ASSIGNED.fullmatch(kept[0]) or kept[0] == "-u"):
        del kept[: 2 if kept[0] == "-u" else 1]  # sudo -u USER
    if kept:
        yield kept
        if "--" in kept:  # `kubectl exec … -- holdfast check`
            yield from _bare(kept[kept.index("--") + 1 :])
        if len(kept) > _CRON and all(_FIELD.fullmatch(each) for each in kept[:_CRON]):
            inner = kept[_CRON:]
            yield from _bare(inner[1:] if len(inner) > 1 and (inner[1] == "." or "/" in inner[1]) else inner)


def _of_values(value: object) -> Iterator[list[str]]:
    """Commands in YAML: lists that begin with our program, `args` of our image, and texts that are scripts."""
    if isinstance(value, str):
        if any(name in value for name in _NAMES):
            yield from of_shell(value)
    elif isinstance(value, list):
        if _words(value)[:1] and PurePosixPath(_words(value)[0]).name in _NAMES:
            yield _words(value)
        else:
            yield from (words for each in value for words in _of_values(each))
    elif isinstance(value, dict):
        yield from _of_container(value)
        yield from (words for each in value.values() for words in _of_values(each))


def _of_container(value: dict[object, object]) -> Iterator[list[str]]:
    """What a container of our image runs by its entry point, which is the program."""
    image = str(value.get("image", "")).rpartition("/")[2].partition(":")[0]
    if image == "holdfast" and not value.get("command") and (words := _words(value.get("args"))):
        yield ["holdfast", *words]


def _words(value: object) -> list[str]:
    """A list of plain values as texts; nothing where it is none."""
    plain = isinstance(value, list) and all(isinstance(each, str | int | float) for each in value)
    return [str(each) for each in value] if plain and isinstance(value, list) else []


def ours(lines: Iterable[Sequence[str]], program: str) -> Iterator[list[str]]:
    """The arguments of each command that starts one of our programs, by whichever path."""
    for line in lines:
        words = line[1:] if PurePosixPath(line[0]).name.startswith("python") else line
        if words and PurePosixPath(words[0]).name == program:
            yield list(words[1:])


class _Plain(yaml.SafeLoader):
    """YAML whose own tags, as of GitLab or CloudFormation, are read as nothing."""


_Plain.add_multi_constructor("!", lambda _loader, _suffix, _node: None)
