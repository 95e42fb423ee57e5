"""Runs the sample platform: ``python -m examples.platform --dsn DSN --redis URL``."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from socket import socket

import asyncpg
import uvicorn
from redis.exceptions import RedisError

from examples.platform.app import create_app
from examples.platform.options import Options, parse
from examples.platform.service import Service, open_service

_GRACE = 2  # seconds that answers under way may still take at the end


class _Server(uvicorn.Server):
    """Uvicorn that says where it listens, ends endless answers, and ends well on SIGTERM."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        print(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)  # noqa: T201

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self._service.ending.set()
        await super().shutdown(sockets)

    def _end(self) -> None:
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        yield


async def _run(options: Options) -> None:
    async with open_service(options) as service:
        config = uvicorn.Config(
            create_app(service),
            host=options.host,
            port=options.port,
            ws="websockets-sansio",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
        )
        await _Server(config, service).serve()


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT; -> the exit status."""
    try:
        asyncio.run(_run(parse(arguments)))
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError) as error:
        hint = "; --schema NAME makes one" if isinstance(error, asyncpg.InsufficientPrivilegeError) else ""
        print(f"platform: cannot run: {type(error).__name__}: {error}{hint}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
