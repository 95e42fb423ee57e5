"""Following a change to a place where it has to arrive: looking until it is there, and coming back to look again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from monitor.core.document import Document
from monitor.core.freshness import Failure, Link, Look, Trace
from monitor.core.record import Propagation
from monitor.ports import Place, Store, StoreError
from monitor.ports.copies import Target
from monitor.probe import Run

SHORTEST, LONGEST = 0.001, 0.02  # seconds between two looks; each pause is half as long again as the one before


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A version was acknowledged at a moment of the run's clock, at a position of its source."""

    document: Document
    key: str
    acknowledged: float
    position: str = ""

    async def look(self, target: Target) -> Look:
        """Which version is there."""
        return await target.look(self.document, key=self.key, position=self.position)


@dataclass(slots=True, kw_only=True)
class Course:
    """Where a change has to go, whether somebody waits for it there (`ready`), and what was written then.

    `truth` is the store whose primary knows what there has to be.
    """

    link: Link
    place: Place
    truth: Store
    step: str = "propagate"
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    written: asyncio.Future[Written] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def at_source(self) -> bool:
        """Whether that is where one would ask what there has to be."""
        return self.place == Place(self.truth)


async def follow(
    run: Run,
    course: Course,
    connect: Callable[[str], Awaitable[Target]],
    *,
    patience: timedelta,
    come_back: bool,
) -> Trace | Failure:
    """Look at a place until the change is there; then, as a session that comes back, on a new connection once more.

    A place that cannot be asked is a Failure: it says nothing of the others. Raises StoreError where nobody else could
    be asked for the truth.
    """
    seconds = patience.total_seconds()
    try:
        async with run.connection(connect, step="connect") as target:
            course.ready.set()
            written = await course.written
            async with run.step(course.step):
                trace = await _until_there(run, course, written, target, patience=seconds)
        if trace.took is not None and not trace.last.by_source:
            arrived(run, course.link, took=trace.took, resolution=trace.resolution)
        if trace.took is None or come_back:
            async with run.connection(connect) as target:
                trace = await _come_back(run, course, written, target, trace=trace, patience=seconds)
    except StoreError as error:
        if error.place == Place(course.truth):
            raise
        return Failure(reason=error.reason, message=str(error), place=str(error.place))
    finally:
        course.ready.set()  # nobody shall wait for a place that failed
    return trace


async def _until_there(run: Run, course: Course, written: Written, target: Target, *, patience: float) -> Trace:
    """Look until the version is there, or is known to be lost, or patience (in seconds) is at its end."""
    missed, pause = 0.0, SHORTEST
    while True:
        asked = run.clock.monotonic() - written.acknowledged
        look = await written.look(target)
        trace = Trace(
            link=course.link,
            store=course.truth,
            place=str(course.place),
            at_source=course.at_source,
            written=written.document.version,
            took=None,
            resolution=0.0,
            waited=asked,
            last=look,
        )
        if trace.fresh(look):
            took = run.clock.monotonic() - written.acknowledged
            return replace(trace, took=took, resolution=took - missed, waited=missed)
        if look.applied or asked > patience:
            return trace
        missed = asked
        await asyncio.sleep(pause)
        pause = min(1.5 * pause, LONGEST)


async def _come_back(
    run: Run, course: Course, written: Written, target: Target, *, trace: Trace, patience: float
) -> Trace:
    """Look on a new connection; where that is not right, as long as before, and ask whose data it is.

    A reader that is led to another server in the middle of a switch-over may find it a moment behind.
    """
    look = await written.look(target)
    if trace.fresh(look):
        return replace(trace, back=(look,))
    again = await _until_there(run, course, written, target, patience=patience)
    return replace(trace, back=(look, again.last), origin=await target.origin())


def arrived(run: Run, link: Link, *, took: float, resolution: float) -> None:
    """Note for the metrics how long a change was under way, in seconds."""
    run.propagations.append(
        Propagation(
            source=link.source,
            target=link.target,
            took=timedelta(seconds=took),
            resolution=timedelta(seconds=resolution),
        )
    )
