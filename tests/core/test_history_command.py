"""`holdfast history check`: what it prints, with which number it ends, and what it says of what is no history."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import monitor.cli
from monitor.cli.history import _known_anomalies, _known_levels
from monitor.core.history.operations import Kind, transactions
from monitor.core.history.recorded import MalformedError, Recorded

SKEW = [
    {"type": "ok", "process": 0, "value": [["append", "x", 1], ["append", "y", 1]]},
    {"type": "ok", "process": 1, "value": [["r", "x", [1]], ["r", "y", None]]},
]
HEALTHY = [*SKEW[:1], {"type": "ok", "process": 1, "value": [["r", "x", [1]], ["r", "y", [1]]]}]
NOTHING = [{"type": "fail", "process": 0, "value": [["append", "x", 1]]}]
APPEND = '{"type": "ok", "process": 0, "value": [["append", "x", 1]]}'


def check(text: str | bytes, *arguments: str) -> Result:
    """The command, with a history on standard input."""
    return CliRunner().invoke(monitor.cli.app, ["history", "check", "-", *arguments], input=text)


def lines(history: Sequence[object]) -> str:
    """One operation a line."""
    return "".join(f"{json.dumps(operation)}\n" for operation in history)


FORMS: dict[str, Callable[[Sequence[object]], str]] = {
    "lines": lines,
    "array": json.dumps,
    "spread array": lambda history: f"\n {json.dumps(history, indent=2)}\n\n",
}


@pytest.mark.parametrize(
    ("history", "arguments", "wanted"),
    [
        (HEALTHY, "", (0, True, [], [])),
        (SKEW, "", (2, False, ["G-single-item"], ["consistent-view", "repeatable-read"])),
        (SKEW, "--level read-committed", (0, True, [], [])),
        (SKEW, "--level Read_Committed", (0, True, [], [])),
        (SKEW, "-l PL-2", (0, True, [], [])),
        (SKEW, "-l PL-2 -l PL-SI", (2, False, ["G-single-item"], ["consistent-view", "repeatable-read"])),
        (SKEW, "--anomaly lost-update", (0, True, [], [])),
        (SKEW, "--anomaly G2", (2, False, ["G-single-item"], ["consistent-view", "repeatable-read"])),
        (NOTHING, "", (3, "unknown", ["empty-transaction-graph"], [])),
        ([], "", (3, "unknown", ["empty-transaction-graph"], [])),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_the_number_at_the_end_is_the_judgement(
    history: list[Any], arguments: str, wanted: tuple[object, ...], form: str
) -> None:
    """0 valid, 2 not, 3 unknown; the same of lines as of an array."""
    ended = check(FORMS[form](history), *arguments.split())
    report = json.loads(ended.stdout)
    assert (ended.exit_code, report["valid"], report["anomaly_types"], report["not"]) == wanted
    assert ended.stderr == ""


def test_what_was_found_is_explained() -> None:
    """The report tells each anomaly, what was permitted, and how much was judged; --quiet the judgement alone."""
    whole, permitted = (json.loads(check(lines(SKEW), "--level", level).stdout) for level in ("PL-3", "PL-1"))
    (skew,) = whole["anomalies"]
    assert (skew["name"], skew["transactions"], skew["keys"]) == ("G-single-item", [1, 0], ["y", "x"])
    assert "transaction 1 (process 1) read [1] from 'x'" in skew["explanation"][1]
    assert (whole["transactions"], whole["levels"], whole["counts"]) == (2, ["PL-3"], {"G-single-item": 1})
    assert "serializable" in whole["also_not"]
    assert permitted["permitted"] == {
        "anomaly_types": ["G-single-item"],
        "not": ["consistent-view", "repeatable-read"],
    }
    assert sorted(json.loads(check(lines(SKEW), "--quiet").stdout)) == ["anomaly_types", "not", "valid"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: expected JSON, found '{'"),
        (f"{APPEND}\n\n{{]\n", "line 3: expected JSON, found '{]'"),
        (f"{APPEND}\n[]\n", "line 2: expected an object with type, process and value, found []"),
        (APPEND.replace("ok", "okay"), "expected `type` to be invoke, ok, fail or info, found 'okay'"),
        (APPEND.replace('"type": "ok", ', ""), "expected `type` to be invoke, ok, fail or info, found none"),
        (APPEND.replace('"ok"', "[]"), "expected `type` to be invoke, ok, fail or info, found []"),
        (APPEND.replace('"process": 0, ', ""), "expected `process` to be a whole number or a string, found none"),
        (APPEND.replace("0", "true"), "expected `process` to be a whole number or a string, found True"),
        (APPEND.replace('[["append", "x", 1]]', "null"), "expected `value` to be a list of micro-operations"),
        (APPEND.replace("append", "w"), """or null], with strings and whole numbers, found ['w', 'x', 1]"""),
        (APPEND.replace('"x", 1', '"x"'), "found ['append', 'x']"),
        (APPEND.replace('"x", 1', '"x", null'), "found ['append', 'x', None]"),
        (APPEND.replace('"x", 1', '"x", 1.5'), "found ['append', 'x', 1.5]"),
        (APPEND.replace('"append", "x", 1', '"r", "x", [1, true]'), "found ['r', 'x', [1, True]]"),
        (APPEND.replace('"append", "x", 1', '"r", "x", 1'), "found ['r', 'x', 1]"),
        (APPEND.replace("}", ', "index": 5}\n') * 2, "line 2: expected `index` to be greater than 5"),
        (APPEND.replace("}", ', "index": "a"}'), "expected `index` to be a whole number, found 'a'"),
        (f"[{APPEND}, {{]", "element 2 (line 1): expected JSON"),
        (f"[{APPEND},\n17]", "element 2: expected an object with type, process and value, found 17"),
        (f"[{APPEND}", "after element 1: expected , or ], found the end"),
        (f"[{APPEND};", "after element 1: expected , or ], found ;"),
        (f"[{APPEND}] x", "after the array: expected the end, found 'x'"),
        (f"[{APPEND},]", "element 2 (line 1): expected JSON"),
        ("[", "element 1 (line 1): expected JSON"),
        ("[" * 100_000, "element 1 (line 1): expected JSON"),
        (b"\xff\xfe", "line 1: expected JSON"),
        (b"[\xff", "expected UTF-8, found byte 0xff at 1"),
    ],
)
def test_what_is_no_history_is_refused(text: str | bytes, message: str) -> None:
    """65, and a sentence with the place, what was expected and what was found; nothing on standard output."""
    ended = check(text)
    assert (ended.exit_code, ended.stdout) == (65, "")
    assert message in ended.stderr
    assert ended.stderr.startswith("holdfast: -: ")


def test_a_byte_order_mark_and_blank_lines_do_no_harm() -> None:
    """Windows and editors put them there."""
    assert check("\ufeff" + lines(HEALTHY).replace("\n", "\r\n\r\n")).exit_code == 0


def test_what_breaks_things_is_no_client() -> None:
    """Jepsen's nemesis stands in its histories, with values of its own."""
    nemesis = {"type": "info", "process": "nemesis", "value": {"n1": "partitioned"}}
    assert check(lines([nemesis, *HEALTHY, nemesis])).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--level", "serialisable"), "there is no level 'serialisable'; did you mean 'serializable'?"),
        (("--anomaly", "lost-updates"), "there is no anomaly 'lost-updates'; did you mean 'lost-update'?"),
    ],
)
def test_a_name_that_is_not_known_names_the_nearest(arguments: tuple[str, ...], message: str) -> None:
    """64, as for every wrong usage."""
    ended = check(lines(SKEW), *arguments)
    assert (ended.exit_code, ended.stdout) == (64, "")
    assert message in ended.stderr


def test_names_are_completed() -> None:
    """Tab knows the levels and the anomalies."""
    assert _known_levels("strong-session-s") == ["strong-session-serializable", "strong-session-snapshot-isolation"]
    assert _known_anomalies("lost") == ["lost-update"]


def test_the_real_command(tmp_path: Path) -> None:
    """A file is read from its path; one that is not there, or a folder, is a wrong usage."""
    history = tmp_path / "history.jsonl"
    history.write_text(lines(SKEW))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "monitor", "history", "check", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    found, missing = run(str(history)), run(str(tmp_path / "nothing.jsonl"))
    assert (found.returncode, found.stderr, json.loads(found.stdout)["valid"]) == (2, "", False)
    assert (missing.returncode, missing.stdout) == (64, "")
    assert "nothing.jsonl: expected a file that can be read, found: No such file or directory" in missing.stderr
    assert run(str(tmp_path)).returncode == 64


class TestRecorded:
    """Objects become operations."""

    def test_reads_that_continue_each_other_share_their_elements(self) -> None:
        """A hundred thousand reads of one key do not hold a hundred thousand copies of it."""
        recorded = Recorded()
        reads = [
            recorded.operation(
                {"type": "ok", "process": 0, "value": [["r", "x", [f"{'e' * 9}{n}" for n in range(size)]]]}
            )
            for size in (3, 5, 5)
        ]
        first, longer, again = (read.value[0][1] for read in reads if read is not None)
        assert longer is again
        assert isinstance(first, tuple)
        assert isinstance(longer, tuple)
        assert all(one is other for one, other in zip(first, longer, strict=False))

    def test_a_list_that_contradicts_is_kept_as_it_is(self) -> None:
        """Sharing never changes what was read."""
        recorded = Recorded()
        lists = [[1, 2, 3], [1, 3], [2], [], [9, 9, 9, 9], [1, 2, 3]]
        found = [recorded.operation({"type": "ok", "process": 0, "value": [["r", 1, each]]}) for each in lists]
        assert [list(each.value[0][1] or ()) for each in found if each is not None] == lists  # type: ignore[arg-type]

    def test_a_failure_may_have_no_value(self) -> None:
        """Then it did what was asked; an invocation says what that was."""
        recorded = Recorded()
        begin = recorded.operation({"type": "invoke", "process": 0, "value": [["append", "x", 1], ["r", "x"]]})
        end = recorded.operation({"type": "info", "process": 0, "value": None})
        assert begin is not None
        assert end is not None
        assert transactions([begin, end])[0][:3] == (Kind.INFO, 0, begin.value)

    def test_an_error_is_cut(self) -> None:
        """A megabyte of nonsense gives a line of complaint."""
        with pytest.raises(MalformedError) as raised:
            Recorded().operation("x" * 1_000_000)
        assert len(str(raised.value)) < 200
