"""Large answers in pieces: each is made and sent in turns with everybody else, so that no probe waits for a page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from monitor.exposition import Turns
from monitor.web.answers import Json

_PIECE = 128 * 1024  # bytes that are handed to the kernel at once: some hundredths of a millisecond


class Pieces(Response):
    """An answer whose body is a list of pieces, which is known in full before its first byte is sent."""

    def __init__(
        self, pieces: Sequence[bytes], *, media_type: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self._pieces = pieces
        length = {"content-length": str(sum(map(len, pieces)))}
        super().__init__(media_type=media_type, headers={**length, **(headers or {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  an ASGI application
        """Send it; whoever reads slowly lets the others go first."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        turns = Turns()
        for piece in _gathered(self._pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await turns.give()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def listing(name: str, items: Iterable[object], rest: Mapping[str, object]) -> Pieces:
    """A JSON object with a long list in `name`, whose items are made one by one, and whatever else is in it."""
    pieces = [f'{{\n  "{name}": ['.encode()]
    async for item in _in_turns(items):
        pieces.extend((b"\n    " if len(pieces) == 1 else b",\n    ", _indented(item, b"\n    ")))
    pieces.append(b"\n  ]" if len(pieces) > 1 else b"]")
    for key, value in rest.items():
        pieces.extend((f',\n  "{key}": '.encode(), _indented(value, b"\n  ")))
    return Pieces([*pieces, b"\n}\n"], media_type="application/json")


async def _in_turns(items: Iterable[object]) -> AsyncIterator[object]:
    turns = Turns()
    for item in items:
        yield item
        await turns.give()


def _indented(value: object, line: bytes) -> bytes:
    """JSON has no line break but between its parts."""
    return Json.dump(value).replace(b"\n", line)


def _gathered(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """The same bytes in pieces that are worth sending."""
    together, size = list[bytes](), 0
    for piece in pieces:
        together.append(piece)
        size += len(piece)
        if size >= _PIECE:
            yield b"".join(together)
            together, size = [], 0
    yield b"".join(together)
