"""The URL of Sentinels: what it leads to."""

from __future__ import annotations

import pytest

from monitor.core.sentinel import Sentinels, sentinels_of


@pytest.mark.parametrize(
    ("url", "urls", "server"),
    [
        ("redis+sentinel://one/cache", ("redis://one:26379",), "redis://h:1/0"),
        (
            "rediss+sentinel://me:p%40ss@one:1,[::1]/cache/3?sentinel_password=k%2Fey&ssl_ca_certs=%2Fca.pem",
            ("rediss://:k%2Fey@one:1?ssl_ca_certs=%2Fca.pem", "rediss://:k%2Fey@[::1]:26379?ssl_ca_certs=%2Fca.pem"),
            "rediss://me:p%40ss@h:1/3?ssl_ca_certs=%2Fca.pem",
        ),
        (
            "redis+sentinel://:secret@one/cache/?sentinel_username=you&sentinel_password=key",
            ("redis://you:key@one:26379",),
            "redis://:secret@h:1/0",
        ),
    ],
)
def test_each_log_in_is_for_its_own(url: str, urls: tuple[str, ...], server: str) -> None:
    """The Sentinels get their own user and the servers theirs; options of TLS are for both."""
    found = sentinels_of(url)
    assert (found.urls, found.master, found.server("h", 1)) == (urls, "cache", server)


def test_an_ipv6_address_is_bracketed() -> None:
    """What Sentinels say of a server may be an IPv6 address."""
    made = Sentinels(urls=(), master="m", scheme="redis", login="", database="0", query="")
    assert made.server("fd00::1", 6379) == "redis://[fd00::1]:6379/0"
