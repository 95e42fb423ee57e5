"""What the ledger's writes look like to a bystander: sent, and answered, whatever the daemon came to know of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from monitor.core.ledger.entries import Mark
from monitor.embedded.proxy import Edit, TcpProxy

Moment: TypeAlias = Literal["sent", "answered"]

_MARK = rb"([0-9a-f]{8}/\d+)"
_KEPT_BYTES = 65_536  # of what was said on one connection: far more than one write and its answer
REDIS_LOG = "truth:moves"
_SCRIPT_END = b"return {1, held}\n"
_NOTED = f"redis.call('RPUSH', '{REDIS_LOG}', ARGV[1])\n".encode() + _SCRIPT_END


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """How a write of the ledger's is told from all else that a client sends, and its success from all other answers.

    `sent` matches a write, with its mark as the first group. `moved` and then `done` match in what follows where it
    succeeded, unless `undone` does first.
    """

    sent: re.Pattern[bytes]
    moved: re.Pattern[bytes]
    done: re.Pattern[bytes]
    undone: re.Pattern[bytes]


POSTGRES = Language(
    # Bind: a length and the mark, a length and what is expected instead, and a boolean.
    sent=re.compile(rb"\x00\x00\x00." + _MARK + rb"\x00\x00..[0-9a-f/ ]*\x00\x00\x00\x01[\x00\x01]", re.DOTALL),
    # A row of two columns or of four, the first of which is true; then the server is in no transaction any more.
    moved=re.compile(rb"D\x00\x00..\x00[\x02\x04]\x00\x00\x00\x01\x01", re.DOTALL),
    done=re.compile(rb"Z\x00\x00\x00\x05I"),
    undone=re.compile(rb"ROLLBACK\x00|E\x00\x00..S"),
)
REDIS = Language(
    sent=re.compile(rb"EVAL\r\n.*?PEXPIRE.*?\r\n\$\d+\r\n" + _MARK + rb"\r\n", re.DOTALL),
    moved=re.compile(rb"\*2\r\n:1\r\n"),
    done=re.compile(rb"\$\d+\r\n[0-9a-f/]*\r\n"),
    undone=re.compile(rb"\*2\r\n:0\r\n|-[A-Z]+ "),
)


@dataclass(kw_only=True)
class Wire:
    """All of the ledger's writes that went to one store, and those of them that it answered with a success.

    `trap` is called once, at the next such moment, and before the bytes are handed on.
    """

    language: Language
    sent: Counter[Mark] = field(default_factory=Counter)
    answered: set[Mark] = field(default_factory=set)
    trap: tuple[Moment, Callable[[], None]] | None = None

    def listen(self, proxy: TcpProxy) -> None:
        """Listen to all connections that are made through a proxy from now on."""
        proxy.edits = self._of_one
        if self.language is REDIS:
            proxy.rewrite = _noting

    def _of_one(self) -> tuple[Edit, Edit]:
        asked, told = bytearray(), bytearray()
        waiting: list[Mark] = []

        def there(data: bytes) -> bytes:
            asked.extend(data)
            for found in self.language.sent.finditer(asked):
                mark = Mark.parse(found[1].decode())
                assert mark is not None
                self.sent[mark] += 1
                waiting[:] = [mark]
                told.clear()
                self._spring("sent")
                end = found.end()
                break
            else:
                end = max(0, len(asked) - _KEPT_BYTES)
            del asked[:end]
            return data

        def back(data: bytes) -> bytes:
            if waiting:
                told.extend(data)
                moved = self.language.moved.search(told)
                undone = self.language.undone.search(told)
                if undone:
                    waiting.clear()
                elif moved and self.language.done.search(told, moved.end()):
                    self.answered.add(waiting.pop())
                    self._spring("answered")
            return data

        return there, back

    def _spring(self, moment: Moment) -> None:
        if self.trap is not None and self.trap[0] == moment:
            spring, self.trap = self.trap[1], None
            spring()


def _noting(command: list[bytes]) -> list[bytes]:
    """The ledger's script, made to note each move in the same step: PostgreSQL has a trigger for that."""
    if command[0] == b"EVAL" and command[1].endswith(_SCRIPT_END):
        return [command[0], command[1].removesuffix(_SCRIPT_END) + _NOTED, *command[2:]]
    return command
