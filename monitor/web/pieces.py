"""Large answers in pieces: each is made and sent in turns with everybody else, so that no probe waits for a page.

Nor is any of them whole in memory: /metrics of a thousand environments would be 250 MB there.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping

from starlette.responses import Response, StreamingResponse

from monitor.exposition import Turns
from monitor.web.answers import Json

PIECE = 128 * 1024
"""Bytes that are handed on at once: to compress them takes some tenths of a millisecond, to send them less."""


async def answer(
    parts: AsyncIterable[bytes], *, media_type: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer that is made while it is read, but for its beginning: what fails there raises here.

    What fails later cuts the connection, which no client takes for the end of an answer.
    """
    pieces = _gathered(parts)
    first, second = await anext(pieces), await anext(pieces, None)
    if second is None:
        return Response(first, media_type=media_type, headers=headers)
    return StreamingResponse(_resumed(first, second, pieces), media_type=media_type, headers=headers)


async def listing(name: str, items: Iterable[object], rest: Mapping[str, object]) -> Response:
    """A JSON object with a long list in `name`, whose items are made one by one, and whatever else is in it."""
    return await answer(_listed(name, items, rest), media_type="application/json")


async def _listed(name: str, items: Iterable[object], rest: Mapping[str, object]) -> AsyncIterator[bytes]:
    yield f'{{\n  "{name}": ['.encode()
    turns, between, end = Turns(), b"\n    ", b"]"
    for item in items:
        yield between + _indented(item, b"\n    ")
        between, end = b",\n    ", b"\n  ]"
        await turns.give()
    yield end
    for key, value in rest.items():
        yield f',\n  "{key}": '.encode() + _indented(value, b"\n  ")
    yield b"\n}\n"


def _indented(value: object, line: bytes) -> bytes:
    """JSON has no line break but between its parts."""
    return Json.dump(value).replace(b"\n", line)


async def _gathered(parts: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces that are worth sending, one at least."""
    together, size = list[bytes](), 0
    async for part in parts:
        together.append(part)
        size += len(part)
        if size >= PIECE:
            yield b"".join(together)
            together, size = [], 0
    yield b"".join(together)


async def _resumed(first: bytes, second: bytes, rest: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    yield first
    yield second
    async for piece in rest:
        yield piece
