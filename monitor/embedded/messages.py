"""Finds the messages in what a PostgreSQL server sends, however the stream is cut into chunks."""

from collections.abc import Callable

from monitor.embedded.proxy import Edit

_HEADER = 5  # bytes: the type, and the length of all but the type
_NO_TLS = b"N"  # the answer to a client that asks for TLS, before the first message; a message N never comes first


def of_server(change: Callable[[bytes], list[bytes]]) -> Edit:
    """An edit of one connection's stream: each message, with its type and length, -> the messages to send instead."""
    rest, begun = bytearray(), False

    def edit(data: bytes) -> bytes:
        nonlocal begun
        rest.extend(data)
        done = bytearray()
        if rest and not begun:
            begun = True
            if rest.startswith(_NO_TLS):
                done += rest[:1]
                del rest[:1]
        while len(rest) >= _HEADER:
            size = 1 + int.from_bytes(rest[1:_HEADER])
            if len(rest) < size:
                break
            done += b"".join(change(bytes(rest[:size])))
            del rest[:size]
        return bytes(done)

    return edit
