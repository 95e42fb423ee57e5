"""Server-sent events: what happens is told to whoever listens, and costs nothing where nobody does.

A client that comes back with the `Last-Event-ID` that it heard last is told what it missed, out of a ring of the
latest events; where that is not enough it is told `reset`, and asks for everything anew.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from monitor.core.record import RunRecord
from monitor.core.verdict import Verdict
from monitor.core.violations import Changes, KeptViolation
from monitor.exposition import Turns
from monitor.web import shapes, wire
from monitor.web.answers import Fault, compact, moment
from monitor.web.daemon import Daemon, Watched
from monitor.web.picture import Verdicts

CLIENTS = 64
"""Streams at once; each holds a connection and what it has not read yet."""
RING = 4096
"""Events that a client may have missed: minutes of a daemon with a hundred environments."""
WAITING = 1024
"""Events that may wait for one client. Who has more to read is dropped, told by `reset`, and may come back."""
LINGER = 60.0
"""Seconds for which events are kept after the last client left, for it may only have lost its connection."""
LOOK = 1.0
"""Seconds between two looks for what changes without a run: verdicts grow old, pauses end, environments leave."""


class Topic(StrEnum):
    """What a client may choose to hear of. `hello` and `reset` are told to everybody."""

    RUN = "run"
    VIOLATION = "violation"
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened: its number, whom it concerns, and its bytes on the wire."""

    number: int
    topic: Topic
    environment: str
    frame: bytes


@dataclass(slots=True, kw_only=True, eq=False)
class Subscription:
    """One client: what it wants to hear, and what waits for it. `lost` once it had more to read than it may."""

    topics: Collection[Topic]
    environment: str | None
    waiting: deque[bytes] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    lost: bool = False

    def wants(self, event: Event) -> bool:
        """Whether it asked for this."""
        return event.topic in self.topics and self.environment in (None, event.environment)

    def take(self) -> bytes:
        """All that waits, which waits no longer."""
        taken = b"".join(self.waiting)
        self.waiting.clear()
        self.wake.clear()
        return taken


class Events:
    """Makes events of what the journal tells, while there is somebody to hear them. `stop` ends every stream."""

    def __init__(self, daemon: Daemon, stop: asyncio.Event) -> None:
        self.stop = stop
        self._daemon = daemon
        self._life = f"{int(daemon.started.timestamp() * 1000):x}"  # numbers of another life mean nothing here
        self._number = 0
        self._floor = 0  # all events after this number are in the ring
        self._ring: deque[Event] = deque()
        self._clients: list[Subscription] = []
        self._until: float | None = None  # when to sleep, for no client is left
        self._awake = False
        self._next_look = 0.0
        self._stand: dict[str, tuple[Verdict, datetime | None]] = {}

    async def subscribe(self, *, topics: Collection[Topic], environment: str | None, after: str | None) -> Subscription:
        """Listen from now on, or from behind the event `after`. Raises Fault where too many do already."""
        if len(self._clients) >= CLIENTS:
            raise Fault(
                503,
                f"{CLIENTS} clients listen already, and no more may",
                do="close a status page that nobody looks at, or ask again later",
                headers={"Retry-After": "10"},
            )
        client = Subscription(topics=topics, environment=environment)
        self._clients.append(client)
        self._until = None
        asleep = not self._awake
        if asleep:
            self._awake, self._next_look = True, float("inf")
            self._daemon.journal.listen(self)
        self._greet(client, after)
        if asleep:
            turns, verdicts = Turns(), Verdicts(self._daemon)
            for name, watched in list(self._daemon.environments().items()):
                self._stand.setdefault(name, self._standing(watched, verdicts))
                await turns.give()
            self._next_look = self._daemon.clock.monotonic() + LOOK
        return client

    def _greet(self, client: Subscription, after: str | None) -> None:
        resumed = self._resume(client, after)
        hello: shapes.Hello = {
            "version": self._daemon.version,
            "location": self._daemon.location,
            "started": moment(self._daemon.started),
            "resumed": resumed,
        }
        if after is not None and not resumed:
            client.waiting.append(self.reset("more has happened than is kept"))
        id_ = f"id: {after}\n" if resumed else f"id: {self._life}-{self._number}\n"
        client.waiting.appendleft(f"retry: 2000\n{id_}".encode() + _frame("hello", hello))
        client.wake.set()

    def leave(self, client: Subscription) -> None:
        """Listen no more."""
        self._clients.remove(client)
        if not self._clients:
            self._until = self._daemon.clock.monotonic() + LINGER

    async def look(self) -> None:
        """Tell what has changed without a run, if nobody has looked for it just now. Some client calls it often."""
        now = self._daemon.clock.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK
        turns, environments, verdicts = Turns(), self._daemon.environments(), Verdicts(self._daemon)
        for name in [name for name in self._stand if name not in environments]:
            del self._stand[name]
            gone: shapes.EnvironmentChanged = {"environment": name, "verdict": None, "paused_until": None}
            self._publish(Topic.ENVIRONMENT, name, gone)
        for watched in list(environments.values()):
            self._compare(watched, verdicts, new=True)
            await turns.give()

    def changed(self, environment: str) -> None:
        """Somebody paused or resumed an environment."""
        watched = self._daemon.environments().get(environment)
        if self._awake and watched is not None:
            self._compare(watched, Verdicts(self._daemon))

    def ran(self, record: RunRecord, changes: Changes) -> None:
        """A run ended."""
        if self._until is not None and self._daemon.clock.monotonic() > self._until:
            self._sleep()
            return
        self._publish(Topic.RUN, record.environment, wire.run(record))
        for change, kept in (
            *(("opened", kept) for kept in changes.opened),
            *(("closed", kept) for kept in changes.closed),
        ):
            self._tell(change, kept)
        self.changed(record.environment)

    def acknowledged(self, kept: KeptViolation) -> None:
        """Somebody acknowledged a violation."""
        self._tell("acknowledged", kept)

    def beat(self) -> bytes:
        """A comment that keeps a connection alive, and the id from which its client may go on."""
        return f":\nid: {self._life}-{self._number}\n\n".encode()

    def reset(self, why: str) -> bytes:
        """That something was missed."""
        missed: shapes.Reset = {"why": why}
        return f"id: {self._life}-{self._number}\n".encode() + _frame("reset", missed)

    def _sleep(self) -> None:
        self._daemon.journal.unlisten(self)
        self._awake, self._until = False, None
        self._ring.clear()
        self._stand.clear()
        self._number += 1  # whoever heard the last event has missed what happens from now on
        self._floor = self._number

    def _resume(self, client: Subscription, after: str | None) -> bool:
        """Give a client what it missed, if all of it is known."""
        life, _, number = (after or "").partition("-")
        if life != self._life or not (number.isascii() and number.isdecimal() and len(number) < 16):  # noqa: PLR2004  a number
            return False
        if not self._floor <= int(number) <= self._number:
            return False
        missed = [event.frame for event in self._ring if event.number > int(number) and client.wants(event)]
        if len(missed) > WAITING // 2:
            return False
        client.waiting.extend(missed)
        return True

    def _standing(self, watched: Watched, verdicts: Verdicts) -> tuple[Verdict, datetime | None]:
        return verdicts.of(watched), self._daemon.paused_until(watched.name)

    def _compare(self, watched: Watched, verdicts: Verdicts, *, new: bool = False) -> None:
        now = self._standing(watched, verdicts)
        before, self._stand[watched.name] = self._stand.get(watched.name), now
        if before != now and (before or new):
            self._publish(Topic.ENVIRONMENT, watched.name, wire.changed(watched, *now))

    def _tell(self, change: str, kept: KeptViolation) -> None:
        told: shapes.ViolationChanged = {"change": change, "violation": wire.violation(kept)}
        self._publish(Topic.VIOLATION, kept.environment, told)

    def _publish(self, topic: Topic, environment: str, data: Mapping[str, object]) -> None:
        self._number += 1
        frame = f"id: {self._life}-{self._number}\n".encode() + _frame(topic, data)
        event = Event(number=self._number, topic=topic, environment=environment, frame=frame)
        self._ring.append(event)
        if len(self._ring) > RING:
            self._floor = self._ring.popleft().number
        for client in self._clients:
            if client.wants(event) and not client.lost:
                self._give(client, event)

    def _give(self, client: Subscription, event: Event) -> None:
        if len(client.waiting) >= WAITING:
            client.lost = True
            client.waiting.clear()
            client.waiting.append(self.reset("you read more slowly than it happens"))
        else:
            client.waiting.append(event.frame)
        client.wake.set()


def _frame(name: str, data: Mapping[str, object]) -> bytes:
    return f"event: {name}\ndata: ".encode() + compact(data) + b"\n\n"
