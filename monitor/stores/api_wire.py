"""One connection to an HTTP server: requests that are bounded in time and size, counted, and never sent twice."""

from __future__ import annotations

import asyncio
from http.cookiejar import CookieJar, DefaultCookiePolicy
from time import monotonic
from urllib.parse import urlsplit

import httpx

from monitor import __version__
from monitor.core.verdict import Reason
from monitor.ports import Outcome, Store, StoreError
from monitor.stores.api import Api
from monitor.stores.api_errors import of_exception
from monitor.stores.api_requests import Asked, Reply

MOST_BYTES = 8 * 1024 * 1024
"""The most that an answer may have."""
_REDIRECTS = frozenset({301, 302, 307, 308})  # not 303: that says that the request is done
_MOST_REDIRECTS = 3
_IDLE = 1.0  # seconds; servers close a connection that says nothing after two or more
_GRACE = 0.5  # seconds for a whole answer beyond what each part of it may take
_ERRORS = 400
_SERVER_ERRORS = 500


class Wire:
    """At most one socket. Cookies are not kept: what one user is given must not speak for the next."""

    def __init__(self, api: Api, label: str) -> None:
        self._api = api
        self._seconds = api.timeout.total_seconds()
        self._client = httpx.AsyncClient(
            headers={"User-Agent": f"holdfast/{__version__} ({label})", "Accept-Encoding": "identity"},
            verify=api.tls,
            trust_env=False,
            follow_redirects=False,
            timeout=self._seconds,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_IDLE),
        )
        self.server = ""

    async def close(self) -> None:
        """Really close it."""
        await self._client.aclose()

    async def exchange(self, asked: Asked) -> Reply:
        """Send a request and read the whole answer; a redirect is followed on the same server only.

        Raises StoreError where no whole answer came, or one that leads elsewhere. Statuses are left to who asked.
        """
        url = asked.url
        for _ in range(1 + _MOST_REDIRECTS):
            reply = await self._counted(asked, url)
            if reply.status not in _REDIRECTS or "location" not in reply.headers:
                return reply
            url = self._redirected(asked, url, reply.headers["location"])
        raise self.error(asked, Reason.MISCONFIGURED, f"redirects more than {_MOST_REDIRECTS} times; check base_url")

    def error(self, asked: Asked, reason: Reason, what: str, *, outcome: Outcome = Outcome.FAILED) -> StoreError:
        """A failure of this request, to be raised."""
        host = urlsplit(asked.url).netloc
        return self._api.error(reason, f"{asked.shown}: {what}", outcome=outcome, host=host)

    async def _counted(self, asked: Asked, url: str) -> Reply:
        before = monotonic()
        outcome = lost = Outcome.INDETERMINATE if asked.writes else Outcome.FAILED
        try:
            async with asyncio.timeout(self._seconds + _GRACE):
                reply = await self._talk(asked, url)
            if reply.status in asked.fine or reply.status < _ERRORS:
                outcome = Outcome.OK
            elif reply.status < _SERVER_ERRORS:
                outcome = Outcome.FAILED
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            reason, what, received = of_exception(error)
            outcome = lost if received else Outcome.FAILED
            if reason is Reason.MISCONFIGURED and (name := asked.unsendable) is not None:
                what = f"the header {name} cannot be sent: it may have printable ASCII only, and no spaces around"
            raise self.error(asked, reason, what, outcome=outcome) from None  # the original's text may hold a header
        else:
            return reply
        finally:
            self._api.tally.add(Store.API, outcome, seconds=monotonic() - before, sent_bytes=len(asked.body or b""))

    async def _talk(self, asked: Asked, url: str) -> Reply:
        request = self._client.build_request(asked.method, url, headers=dict(asked.headers), content=asked.body)
        response = await self._client.send(request, stream=True)
        try:
            body = await self._read(asked, response)
        finally:
            await response.aclose()
        self.server = response.headers.get("server", "")
        following = response.links.get("next", {}).get("url")
        return Reply(
            status=response.status_code,
            headers=dict(response.headers),
            body=body,
            following=following,
        )

    async def _read(self, asked: Asked, response: httpx.Response) -> bytes:
        """The body, so far as it is not too long. It is not unpacked: a few bytes could become a great many."""
        lost = Outcome.INDETERMINATE if asked.writes else Outcome.FAILED
        if response.headers.get("content-encoding", "identity") != "identity":
            what = "sent a packed answer although none was asked for; switch compression off for these clients"
            raise self.error(asked, Reason.MISCONFIGURED, what, outcome=lost)
        body = bytearray()
        async for part in response.aiter_raw():
            body += part
            if len(body) > MOST_BYTES:
                what = (
                    f"the answer has more than {MOST_BYTES // 1024**2} MiB, and was not read to its end;"
                    " lower `limit` in the binding"
                )
                raise self.error(asked, Reason.MISCONFIGURED, what, outcome=lost)
        return bytes(body)

    def _redirected(self, asked: Asked, url: str, location: str) -> str:
        target = self.beside(url, location)
        if target is None:
            what = (
                "redirects to another server, where no log-in of ours is sent; write base_url as the API calls itself"
            )
            raise self.error(asked, Reason.MISCONFIGURED, what)
        return target

    @staticmethod
    def beside(url: str, link: str) -> str | None:
        """The URL to which a link leads; None where that is another server."""
        try:
            here = httpx.URL(url)
            target = here.join(link)
        except (httpx.InvalidURL, ValueError):
            return None
        same = (here.scheme, here.host, here.port) == (target.scheme, target.host, target.port)
        return str(target) if same and not target.userinfo else None
