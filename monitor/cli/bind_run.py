"""What `holdfast bind check` and `bind try` ask of the servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from time import monotonic
from typing import TypeVar

from uuid_utils import uuid7

from monitor.cli.bind import Subject
from monitor.cli.check import Forgetful
from monitor.core.payload import Author, synthetic_user
from monitor.core.residue import Instance
from monitor.desk import Desk
from monitor.fleet import live_environment
from monitor.journal import Journal
from monitor.metrics import Metrics
from monitor.ports import StoreError, SystemClock
from monitor.probe import Run
from monitor.stores.bound.api_threads import ApiThreadConnection
from monitor.stores.bound.check import problems_of
from monitor.stores.bound.check_redis import make_sure_of_keys
from monitor.stores.environment import LiveEnvironment
from monitor.trial import Tried, tidied, try_conversation, try_probe

T = TypeVar("T")
_BY_THEIR_PROBES = ("profile", "session", "isolation", "sync", "notify")


async def checked(subject: Subject) -> AsyncIterator[Tried]:
    """Every statement prepared, Redis asked, a synthetic user logged in."""
    live, _ = _live(subject)
    binding = live.bound.binding
    if binding.postgres is not None:
        async for each in _statements(live):
            yield each
    if binding.redis is not None:
        for probe in (name for name in ("session", "profile") if getattr(binding.redis, name) is not None):
            yield (await _timed("redis", f"keys of {probe}", make_sure_of_keys(live.bound, probe)))[0]
    if binding.api is not None:
        yield (await _timed("api", "log in", _log_in(live)))[0]


async def _statements(live: LiveEnvironment) -> AsyncIterator[Tried]:
    """What is wrong with each statement, and how many are right."""
    began, right = monotonic(), 0
    try:
        async for statement, problem in problems_of(live.bound):
            right += not problem
            if problem:
                yield Tried(
                    part="postgres",
                    operation=statement,
                    outcome="failed",
                    message=problem.removeprefix(f"{statement} of the binding: "),
                )
    except StoreError as error:
        yield Tried(part="postgres", operation="ask the server", outcome="failed", message=str(error))
        return
    took = timedelta(seconds=monotonic() - began)
    yield Tried(part="postgres", operation="prepare", outcome="done", took=took, message=f"{right} statements fit")


async def tried(subject: Subject) -> AsyncIterator[Tried]:
    """Every operation once, then what was left."""
    live, instance = _live(subject)
    desk = _desk()
    around = live.surroundings
    if "thread" in around.bound:
        run = Run(run_id=str(uuid7()), probe="thread", environment=live, clock=desk.clock)
        async for each in try_conversation(run):
            yield each
    probes = subject.settings.probes.by_name() if subject.settings else {}
    for name in _BY_THEIR_PROBES:
        if name not in around.bound:
            continue
        probe = probes[name]
        if not probe.runs_in(around):
            yield Tried(part=name, operation="", outcome="left_out", message=f"it {probe.lacks(around)}")
            continue
        async for each in try_probe(probe, live, desk):
            yield each
    try:
        left = await tidied(live, instance, live.stores)
    except StoreError as error:
        yield Tried(part="clean-up", operation="sweep", outcome="failed", message=str(error))
    else:
        things = f"{left} things are left" if left else "0 things are left"
        yield Tried(part="clean-up", operation="sweep", outcome="failed" if left else "done", message=things)


async def _log_in(live: LiveEnvironment) -> None:
    """A token for one synthetic user, where users have any; and where it can be told, whether it lets requests in."""
    bound, user = live.bound, synthetic_user(0)
    await live.ways.primary_api.logins.login(bound.who(user))
    if bound.binding.api and bound.binding.api.threads and bound.binding.ids.thread.made_by == "holdfast":
        connection = await ApiThreadConnection.open(bound, "bind")
        try:
            thread = Author(environment=live.name, probe="bind", run_id=str(uuid7())).thread(0, user=user)
            await connection.load(thread)  # there is no such thread, which is an answer
        finally:
            await connection.close()


async def _timed(part: str, operation: str, doing: Awaitable[T]) -> tuple[Tried, T | None]:
    began = monotonic()
    try:
        found = await doing
    except StoreError as error:
        took = timedelta(seconds=monotonic() - began)
        return Tried(part=part, operation=operation, outcome="failed", took=took, message=str(error)), None
    return Tried(part=part, operation=operation, outcome="done", took=timedelta(seconds=monotonic() - began)), found


def _live(subject: Subject) -> tuple[LiveEnvironment, Instance]:
    if subject.settings is None:
        raise LookupError("no server was named")
    instance = Instance(uuid7().hex[-8:], 1)
    metrics = Metrics(location="", version="")
    return live_environment(subject.name, subject.settings, instance=instance, metrics=metrics), instance


def _desk() -> Desk:
    clock = SystemClock()
    journal = Journal(Forgetful(), clock=clock, new_id=lambda: str(uuid7()))
    return Desk(journal=journal, metrics=Metrics(location="", version=""), clock=clock)
