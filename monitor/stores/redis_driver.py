"""redis-py without what costs and brings nothing here: one packet logs in, one timer bounds each request."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

from redis import exceptions
from redis.asyncio.connection import AbstractConnection, ConnectionPool, SSLConnection

from monitor.stores.tls import KeptContext

Command: TypeAlias = tuple[str | bytes | int | float, ...]
Reply: TypeAlias = "bytes | int | str | list[Reply] | None"

_OURS = {"username", "password", "db", "client_name"}  # what the login sends, instead of redis-py
_RETRIES = {"retry", "retry_on_timeout", "retry_on_error"}  # a retried command may run twice and report success
_TLS_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")


class Driver:
    """What a URL says, and connections as it says. All raise as redis-py does."""

    def __init__(self, url: str, *, timeout: timedelta) -> None:
        seconds = timeout.total_seconds()
        # The pool is used as the parser of URLs only; a probe decides itself when a connection is new.
        template = ConnectionPool.from_url(
            url,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            protocol=2,  # RESP3 costs a HELLO and brings nothing here
            driver_info=None,  # and so does telling the name of the library
        )
        given = template.connection_kwargs
        self.user: str | None = given.get("username")
        self.address = str(given.get("path") or f"{given.get('host', 'localhost')}:{given.get('port', 6379)}")
        self.by_tls = issubclass(template.connection_class, SSLConnection)
        self._make = template.connection_class
        self._login = _login(given)
        self._timeout: float = given["socket_timeout"]
        own = {name: value for name, value in given.items() if name not in _OURS | _RETRIES}
        self._arguments = {**own, "socket_timeout": None}  # redis-py makes a task of each send that has a timeout
        self._context = KeptContext(*_tls(given))

    async def connect(self, name: str) -> Wire:
        """A new connection that names itself so."""
        connection: AbstractConnection = self._make(**self._arguments)
        wire = Wire(connection, address=self.address, timeout=self._timeout)
        try:
            with self._with_context(connection):
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py left this one out
            await wire.carry_out(*self._login, ("CLIENT", "SETNAME", name))
        except BaseException:
            await wire.close()
            raise
        return wire

    @contextmanager
    def _with_context(self, connection: AbstractConnection) -> Iterator[None]:
        """Let redis-py make a TLS context only where none is kept."""
        if not isinstance(connection, SSLConnection):
            yield
            return
        made_of, maker = self._context.made_of(), connection.ssl_context
        maker.context = self._context.recall()
        try:
            yield
        except exceptions.ConnectionError as error:
            if isinstance(error.__context__, ssl.SSLError):
                self._context.doubt()
            raise
        self._context.keep(maker.get(), made_of)


class Wire:
    """One connection. What is sent, and what answers it, have to come within the timeout together."""

    def __init__(self, connection: AbstractConnection, *, address: str, timeout: float) -> None:
        self._connection = connection
        self._address = address
        self._timeout = timeout

    def pack(self, commands: Sequence[Command]) -> list[bytes]:
        """Some commands as they are sent, in as few pieces as can be."""
        return self._connection.pack_commands(commands)

    async def exchange(
        self, packed: list[bytes], count: int
    ) -> tuple[list[Reply], Mapping[int, exceptions.ResponseError]]:
        """Send, and read so many replies; -> those that were right, and by their number those that were errors."""
        replies: list[Reply] = []
        failures: dict[int, exceptions.ResponseError] = {}
        async with self._in_time():
            await self._connection.send_packed_command(packed)
            for number in range(count):
                try:
                    replies.append(await self._connection.read_response())
                except exceptions.ResponseError as error:  # the others are still on their way
                    failures[number] = error
        return replies, failures

    async def carry_out(self, *commands: Command) -> None:
        """Send some commands in one packet, whose replies say no more than that they were carried out."""
        _, failures = await self.exchange(self.pack(commands), len(commands))
        for failure in failures.values():
            raise failure

    async def send(self, packed: list[bytes]) -> None:
        """Send, and read nothing."""
        async with self._in_time():
            await self._connection.send_packed_command(packed)

    async def hear(self, *, within: float) -> Reply:
        """The next thing that the server says; None where it is silent for so many seconds."""
        heard: Reply = await self._connection.read_response(timeout=within)
        return heard

    async def close(self) -> None:
        """Really close it."""
        await self._connection.disconnect(nowait=True)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout):
                yield
        except TimeoutError:
            raise exceptions.TimeoutError(f"no answer from {self._address} in {self._timeout:g} s") from None


def _login(given: Mapping[str, Any]) -> tuple[Command, ...]:
    """What opens a connection, from the arguments of redis-py."""
    user, password, database = given.get("username"), given.get("password"), given.get("db")
    credentials: tuple[Command, ...] = ()
    if user or password:
        credentials = (("AUTH", user, password or "") if user else ("AUTH", password or ""),)
    return (*credentials, ("SELECT", database)) if database else credentials


def _tls(given: Mapping[str, Any]) -> tuple[Mapping[str, object], Sequence[Path]]:
    """Of what redis-py makes a TLS context: settings, and files, those of the system among them."""
    usual = ssl.get_default_verify_paths()
    named = [*(given.get(name) for name in _TLS_FILES), usual.cafile, usual.capath]
    settings = {name: value for name, value in given.items() if name.startswith("ssl_")}
    return settings, [Path(name) for name in named if name]
