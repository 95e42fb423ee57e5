"""Sockets that listen, and why they cannot. Light enough to ask before anything else is started."""

from __future__ import annotations

import asyncio
import errno
import socket

BACKLOG = 128


class ListenError(Exception):
    """The address cannot be listened on; the message says why and what to do."""


class PortTakenError(ListenError):
    """Somebody else listens there already."""


async def bind(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of a host, all on one port. An address that this machine lacks is passed over.

    Raises PortTakenError where somebody else listens there, ListenError where one cannot listen for another reason.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenError(
            f"cannot listen on {at(host, port)}: {host!r} is no address of this machine ({error.strerror}); "
            "set http.listen to one that it has, e.g. 127.0.0.1:9464"
        ) from None
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        place = (address[0], sockets[0].getsockname()[1] if sockets else port, *address[2:])
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(place)
            listener.listen(BACKLOG)
            listener.setblocking(False)  # noqa: FBT003  the socket's own signature
        except OSError as error:
            listener.close()
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                absent = error
                continue
            for each in sockets:
                each.close()
            raise _refused(host, port, error) from None
        sockets.append(listener)
    if not sockets:
        raise _refused(host, port, absent or OSError(errno.EADDRNOTAVAIL, "no such address")) from None
    return sockets


def _refused(host: str, port: int, error: OSError) -> ListenError:
    place = at(host, port)
    if error.errno == errno.EADDRINUSE:
        return PortTakenError(
            f"cannot listen on {place}: it is in use; end what listens there, or choose another port "
            "by http.listen (for the demo: --port); 0 takes any free one"
        )
    if error.errno == errno.EACCES:
        return ListenError(
            f"cannot listen on {place}: this user may not; take a port from 1024 by http.listen (for the demo: --port)"
        )
    return ListenError(
        f"cannot listen on {place}: {error.strerror}; set http.listen to an address that this machine has, "
        "e.g. 127.0.0.1:9464"
    )


def at(host: str, port: int) -> str:
    """HOST:PORT, as one types it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
