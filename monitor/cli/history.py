"""`holdfast history check`: judge a recorded list-append history."""

from __future__ import annotations

import gc
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import orjson
import typer

from monitor.cli import common
from monitor.core.history.judge import Judgement, judge
from monitor.core.history.models import ANOMALIES, LEVELS, STRICTEST
from monitor.core.history.operations import Operation, transactions
from monitor.core.history.recorded import MalformedError, Recorded, shown

MALFORMED = 65
EXIT = {True: 0, False: 2, None: 3}
VALID: dict[bool | None, bool | str] = {True: True, False: False, None: "unknown"}

_PATIENCE = 10.0  # seconds for each component: the gravest cycle of a hundred thousand transactions is found in less
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\r\n]*")
_TOLD = 20_000  # operations between two words of progress: a few in a second

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Judge recorded histories of transactions.",
    epilog="Example: holdfast history check history.jsonl --level serializable",
)


@app.callback()
def _group() -> None:
    """Only here because Typer would make a lone command of a group with one."""


def _known_levels(incomplete: str) -> list[str]:
    return [level for level in LEVELS if level.startswith(incomplete)]


def _known_anomalies(incomplete: str) -> list[str]:
    return [anomaly for anomaly in ANOMALIES if anomaly.startswith(incomplete)]


@app.command()
def check(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The history; - for standard input."),
    ],
    level: Annotated[
        list[str] | None,
        typer.Option(
            "--level",
            "-l",
            metavar="LEVEL",
            help=f"What was promised; may be repeated. {STRICTEST} if nothing is said.",
            autocompletion=_known_levels,
            show_default=False,
        ),
    ] = None,
    anomaly: Annotated[
        list[str] | None,
        typer.Option(
            "--anomaly",
            "-a",
            metavar="NAME",
            help="An anomaly that must not occur, at whatever level; may be repeated.",
            autocompletion=_known_anomalies,
            show_default=False,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="The judgement alone, without explanations.")] = False,
) -> None:
    """Find the anomalies of isolation in a history of transactions that append to lists and read them.

    FILE holds JSON, one operation a line or all in one array, in the order in which they were recorded. Each has a
    type (invoke, ok, fail, or info where the outcome is not known), a process, and a value: a list of
    ["append", key, element] and ["r", key, list or null]. An element is appended to a key once. The lists are empty
    at first, and nobody else writes to them.

    Levels are those of jepsen.io/consistency: read-committed, repeatable-read, snapshot-isolation, serializable,
    strict-serializable and more; press Tab. What a level permits is no fault. PostgreSQL's REPEATABLE READ is
    snapshot-isolation.

    Prints JSON: valid is true, false or "unknown"; anomaly_types; not, the weakest models that cannot hold; and an
    explanation of each anomaly. Ends with 0 valid · 2 not valid · 3 unknown · 65 malformed.

    Examples:
      holdfast history check history.jsonl --level serializable

      holdfast history check - --level "read committed" < history.json

      holdfast history check history.jsonl --anomaly lost-update

    """
    levels = [_level(name) for name in level or ([] if anomaly else [STRICTEST])]
    anomalies = [common.known(name, ANOMALIES, what="anomaly") for name in anomaly or ()]
    try:
        with _no_collection(), _progress() as tell:
            recorded = transactions(_read(file, tell))
            tell(f"judging {len(recorded):,} transactions …")
            found = judge(recorded, levels=levels, anomalies=anomalies, patience=_patience)
    except MalformedError as error:
        common.fail(f"{file}: {error}", MALFORMED)
    except OSError as error:
        common.fail(f"{file}: expected a file that can be read, found: {error.strerror}", common.USAGE)
    typer.echo(_report(found, levels, anomalies, quiet=quiet))
    raise typer.Exit(EXIT[found.valid])


def _level(name: str) -> str:
    """A level by its name; `read committed`, as PostgreSQL has it, will do."""
    spoken = {level.lower(): level for level in LEVELS}
    return common.known(
        spoken.get("-".join(name.lower().replace("_", " ").replace("-", " ").split()), name), LEVELS, what="level"
    )


@contextmanager
def _no_collection() -> Iterator[None]:
    """Nothing that is made here becomes garbage before the end; looking for it would take a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Where to say how far it is: standard error, if somebody watches it."""
    console = common.err()
    with console.status("reading …") if console.is_terminal else nullcontext() as status:
        yield status.update if status else lambda _: None


def _patience() -> Callable[[], bool]:
    end = time.monotonic() + _PATIENCE
    return lambda: time.monotonic() > end


def _read(file: Path, tell: Callable[[str], None]) -> Iterator[Operation]:
    """The operations of a file, one by one. Raises MalformedError with the place."""
    recorded = Recorded()
    with nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as stream:
        for number, (place, found) in enumerate(_objects(stream), start=1):
            try:
                operation = recorded.operation(found)
            except MalformedError as error:
                raise MalformedError(f"{place}: {error}") from None
            if operation is not None:
                yield operation
            if not number % _TOLD:
                tell(f"reading: {number:,} operations …")


def _objects(stream: BinaryIO) -> Iterator[tuple[str, Any]]:
    """What stands on each line, or in the array that begins on the first of them; with its place."""
    begun = False
    for number, line in enumerate(stream, start=1):
        text = (line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line).strip()
        if not begun and text.startswith(b"["):
            yield from _elements(b"\n" * (number - 1) + (text + b"\n" + stream.read()).rstrip())
            return
        if text:
            begun = True
            yield f"line {number}", _parsed(text, number)


def _parsed(text: bytes, number: int) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        found = shown(text.decode(errors="replace"))
        raise MalformedError(f"line {number}: expected JSON, found {found}: {error.msg}, at {error.colno}") from None


def _elements(data: bytes) -> Iterator[tuple[str, Any]]:
    """The elements of an array, one after another, for all of them at once would need ten times the memory."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(f"expected UTF-8, found byte {error.object[error.start]:#04x} at {error.start}") from None
    scan = json.JSONDecoder().raw_decode
    place, number = _after(text, text.index("[") + 1), 0
    while text[place : place + 1] != "]" or number:
        number += 1
        try:
            found, place = scan(text, place)
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, place) + 1
            expected = f"element {number} (line {line}): expected JSON"
            raise MalformedError(f"{expected}, found {shown(text[place : place + 80])}: {error}") from None
        yield f"element {number}", found
        place = _after(text, place)
        if (mark := text[place : place + 1]) == "]":
            break
        if mark != ",":
            raise MalformedError(f"after element {number}: expected , or ], found {mark or 'the end'}")
        place = _after(text, place + 1)
    if rest := text[_after(text, place + 1) :]:
        raise MalformedError(f"after the array: expected the end, found {shown(rest[:80])}")


def _after(text: str, place: int) -> int:
    """The next place that is no white space."""
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _report(found: Judgement, levels: list[str], anomalies: list[str], *, quiet: bool) -> str:
    report: dict[str, object] = {
        "valid": VALID[found.valid],
        "anomaly_types": found.anomaly_types,
        "not": () if found.valid else found.ruled_out,
    }
    if not quiet:
        report |= {
            "also_not": () if found.valid else found.also_ruled_out,
            "levels": levels,
            "anomalies_asked": anomalies,
            "transactions": found.transactions,
            "permitted": {"anomaly_types": found.permitted, "not": found.ruled_out if found.valid else ()},
            "counts": found.counts,
            "anomalies": [
                {
                    "name": each.name,
                    "transactions": each.transactions,
                    "keys": each.keys,
                    "explanation": each.explanation,
                }
                for each in found.anomalies
            ],
        }
    return orjson.dumps(report, option=orjson.OPT_INDENT_2).decode()
