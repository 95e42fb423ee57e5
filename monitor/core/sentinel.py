"""The URL of a Redis primary that Sentinels name: redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/MASTER/DATABASE."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

SCHEMES: Mapping[str, str] = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
"""Of such a URL, and of the servers and Sentinels that it leads to."""
OWN = ("sentinel_username", "sentinel_password")
"""Options by which one logs in at the Sentinels, which have users of their own; without them nobody does."""
PORT = 26379


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentinels:
    """What such a URL says.

    `urls` leads to each Sentinel, in order; `master` is the name by which they watch the primary.
    """

    urls: tuple[str, ...]
    master: str
    scheme: str
    login: str
    database: str
    query: str

    def server(self, host: str, port: int) -> str:
        """The URL of a server that the Sentinels name."""
        name = f"[{host}]" if ":" in host else host
        return f"{self.scheme}://{self.login}{name}:{port}/{self.database}{self.query}"


def is_sentinels(url: str) -> bool:
    """Whether a URL is meant as one of Sentinels."""
    return url.partition("://")[0] in SCHEMES


def sentinels_of(url: str) -> Sentinels:
    """The parts of a URL of Sentinels. Raises ValueError with what is wrong; nothing of the URL is in it."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    path = re.fullmatch(r"/([^/]+)(?:/(\d*))?/?", parts.path)
    if path is None:
        raise ValueError("does not say by which name the Sentinels watch the primary")
    given = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True)]
    own = dict(pair for pair in given if pair[0] in OWN)
    user, password = (quote(own.get(name, ""), safe="") for name in OWN)
    scheme = SCHEMES[parts.scheme]
    query = urlencode([pair for pair in given if pair[0] not in OWN])
    query = f"?{query}" if query else ""
    each = [host if re.search(r":\d+$", host) else f"{host}:{PORT}" for host in hosts.split(",")]
    if any(host.startswith(":") for host in each):
        raise ValueError("names no host")
    key = f"{user}:{password}@" if user or password else ""
    return Sentinels(
        urls=tuple(f"{scheme}://{key}{host}{query}" for host in each),
        master=unquote(path[1]),
        scheme=scheme,
        login=login + at,
        database=path[2] or "0",
        query=query,
    )
