"""Faults of an application's API: bugs of the sample platform, which each stand in its code behind a switch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from monitor.core.verdict import Kind, Reason
from monitor.embedded.faults.fault import API, Change, Fault, Report, Site
from monitor.embedded.platform import EmbeddedPlatform
from monitor.embedded.process import EmbeddedError
from monitor.ports import Store

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_COPIES = "user_data:*"
_BRIEFLY: Mapping[str, Mapping[str, object]] = {"sync": {"deadline": "1500ms", "patience": "500ms"}}
_CANNOT_TELL = frozenset({Reason.INCONCLUSIVE})


def _platform(site: Site) -> EmbeddedPlatform:
    if site.servers.platform is None:
        raise EmbeddedError("there is no sample platform, whose API could be broken: start the servers with it")
    return site.servers.platform


def _turned(switch: str) -> Change:
    async def change(site: Site) -> None:
        await _platform(site).switch(switch, on=True)

    return change


def _turned_back(switch: str) -> Change:
    """The bug is mended, and what it left in the cache is removed, as whoever mends it has to."""

    async def change(site: Site) -> None:
        await _platform(site).switch(switch, on=False)
        keys = await site.servers.valkey.command("KEYS", _COPIES)
        if isinstance(keys, list) and keys:
            await site.servers.valkey.command("DEL", *(key.decode() for key in keys if isinstance(key, bytes)))

    return change


async def _crash(site: Site) -> None:
    await _platform(site).kill()


async def _bring_back(site: Site) -> None:
    platform = _platform(site)
    if not platform.alive:
        await platform.start()


async def _swallow(site: Site) -> None:
    site.proxies[API].blackhole = True


async def _let_through(site: Site) -> None:
    proxy = site.proxies[API]
    proxy.blackhole = False
    await proxy.stop()  # what is left of broken connections
    await proxy.start()


def _bug(
    name: str,
    breaks: str,
    *,
    switch: str,
    probe: str,
    report: Report,
    also: Mapping[str, frozenset[Report]] = _NOTHING,
    settings: Mapping[str, Mapping[str, object]] = _NOTHING,
) -> Fault:
    return Fault(
        name=name,
        breaks=breaks,
        probe=probe,
        report=report,
        also=also,
        settings=settings,
        platform=True,
        inject=_turned(switch),
        heal=_turned_back(switch),
    )


def _down(name: str, breaks: str, *, report: Report, inject: Change, heal: Change) -> Fault:
    """Nobody can use the API; who does not need it notices nothing."""
    return Fault(
        name=name,
        breaks=breaks,
        probe="thread",
        report=report,
        everywhere=Store.API,
        platform=True,
        patience=1.0 if report is Reason.TIMEOUT else 5.0,
        inject=inject,
        heal=heal,
    )


FAULTS = (
    _bug(
        "api-forgets-where",
        "the API's queries have lost their WHERE user_id = …: lists and reads of threads and messages show everybody's",
        switch="forgets-where",
        probe="isolation",
        report=Kind.LEAKED,
    ),
    _bug(
        "api-trusts-the-path",
        "the API does not check whose the id in the path is: who knows it may read and write what is another's",
        switch="trusts-the-path",
        probe="isolation",
        report=Kind.LEAKED,
    ),
    _bug(
        "api-caches-without-the-user",
        "the API keeps everybody's profile under one key in its cache",
        switch="cache-without-user",
        probe="isolation",
        report=Kind.LEAKED,
        # Where theirs stands under that key it is right, and the copy under their own key is left as it was.
        also={
            "profile": frozenset({Kind.STALE, Kind.CORRUPT, *_CANNOT_TELL}),
            "sync": frozenset({Kind.DIVERGED, Kind.LATE, Kind.STALE, *_CANNOT_TELL}),
        },
        settings=_BRIEFLY,
    ),
    _bug(
        "api-never-invalidates",
        "the API changes a profile and leaves the old copy in its cache, for half an hour",
        switch="never-invalidates",
        probe="sync",
        report=Kind.DIVERGED,
        # An old copy has not what the owner has written now, so that nobody can tell whose it is.
        also={"profile": frozenset({Kind.STALE}), "isolation": _CANNOT_TELL},
        settings=_BRIEFLY,
    ),
    _bug(
        "api-loses-the-newest-page",
        "the API's lists of messages end one page too early",
        switch="loses-newest-page",
        probe="history",
        report=Kind.LOST,
        also={"thread": frozenset({Kind.LOST}), "isolation": _CANNOT_TELL},
    ),
    _bug(
        "api-doubles-on-retry",
        "the API ignores the Idempotency-Key: a request that is sent again is done again",
        switch="doubles-on-retry",
        probe="thread",
        report=Kind.DUPLICATED,
    ),
    _bug(
        "api-gives-anothers-reply",
        "the API gives a reply to one user once to the next other user who asks the same path",
        switch="anothers-reply",
        probe="isolation",
        report=Kind.LEAKED,
        also={"profile": _CANNOT_TELL, "sync": _CANNOT_TELL},  # a second look finds their own
    ),
    _down(
        "api-down-while-the-database-is-up",
        "the API's process is killed; PostgreSQL and Redis run as ever",
        report=Reason.UNREACHABLE,
        inject=_crash,
        heal=_bring_back,
    ),
    _down(
        "api-black-hole",
        "every packet to the API vanishes, and nobody is told",
        report=Reason.TIMEOUT,
        inject=_swallow,
        heal=_let_through,
    ),
    _down(
        "api-answers-503",
        "every answer of the API is a 503, as of a load balancer that has nothing behind it",
        report=Reason.CAPACITY,
        inject=_turned("down"),
        heal=_turned_back("down"),
    ),
)
