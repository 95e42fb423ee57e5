"""Faults of what is pushed."""

from __future__ import annotations

from collections.abc import Callable

from monitor.core.verdict import Kind
from monitor.embedded.faults.fault import POSTGRES, Change, Fault, by_editing, by_rewriting, stop_rewriting
from monitor.embedded.messages import of_server
from monitor.embedded.proxy import Edit

_NOTIFICATION = b"A"
_EACH = 4  # one notification in so many is touched


def _by_notifications(make: Callable[[], Callable[[bytes], list[bytes]]]) -> Change:
    """A change of the notifications that a PostgreSQL pushes; `make` is called for each connection."""

    def edits() -> tuple[Edit, Edit]:
        change = make()
        return bytes, of_server(lambda message: change(message) if message[:1] == _NOTIFICATION else [message])

    return by_editing(edits, at=POSTGRES)


def _dropping() -> Callable[[bytes], list[bytes]]:
    count = 0

    def change(message: bytes) -> list[bytes]:
        nonlocal count
        count += 1
        return [] if count % _EACH == 0 else [message]

    return change


def _doubling() -> Callable[[bytes], list[bytes]]:
    count = 0

    def change(message: bytes) -> list[bytes]:
        nonlocal count
        count += 1
        return [message, message] if count % _EACH == 0 else [message]

    return change


def _swapping() -> Callable[[bytes], list[bytes]]:
    count, held = 0, b""

    def change(message: bytes) -> list[bytes]:
        nonlocal count, held
        count += 1
        if count % _EACH == _EACH - 1:
            held = message
            return []
        together = [message, held] if held else [message]
        held = b""
        return together

    return change


def _never_discarding(command: list[bytes]) -> list[bytes]:
    """A transaction that was given up is carried out."""
    return [b"EXEC"] if command[0].upper() == b"DISCARD" else command


def _publishing_twice(command: list[bytes]) -> list[bytes]:
    """A publisher that tries again although it succeeded."""
    if command[0].upper() != b"XADD" or b":stream:" not in command[1]:
        return command
    script = b"redis.call('XADD', KEYS[1], unpack(ARGV)) return redis.call('XADD', KEYS[1], unpack(ARGV))"
    return [b"EVAL", script, b"1", *command[1:]]


FAULTS: tuple[Fault, ...] = (
    Fault(
        name="notification-dropped",
        breaks="every fourth notification of PostgreSQL is lost on its way (a proxy that drops messages)",
        probe="notify",
        report=Kind.LOST,
        inject=_by_notifications(_dropping),
        heal=stop_rewriting,
    ),
    Fault(
        name="notification-doubled",
        breaks="every fourth notification of PostgreSQL comes twice (a proxy that repeats messages)",
        probe="notify",
        report=Kind.DUPLICATED,
        inject=_by_notifications(_doubling),
        heal=stop_rewriting,
    ),
    Fault(
        name="notification-out-of-order",
        breaks="every fourth notification of PostgreSQL is overtaken by the next one (a proxy that swaps messages)",
        probe="notify",
        report=Kind.REORDERED,
        inject=_by_notifications(_swapping),
        heal=stop_rewriting,
    ),
    Fault(
        name="discarded-message-published",
        breaks="a transaction of Redis that its client discards is carried out (a proxy that turns DISCARD into EXEC)",
        probe="notify",
        report=Kind.PHANTOM,
        inject=by_rewriting(_never_discarding),
        heal=stop_rewriting,
    ),
    Fault(
        name="stream-entry-added-twice",
        breaks="each entry is added to a stream twice, as by a client that tries again although it had succeeded",
        probe="notify",
        report=Kind.DUPLICATED,
        inject=by_rewriting(_publishing_twice),
        heal=stop_rewriting,
    ),
)
