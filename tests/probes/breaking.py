"""What the tests of broken stores share: a proxy that edits bytes, and the life of one violation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from monitor.core.record import RunRecord
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.core.violations import KeptViolation, Stage
from monitor.ports import Store
from monitor.probe import Probe
from tests.conftest import Site

RIGHT = frozenset({Verdict.OK, Verdict.SLOW})  # a noisy machine may be slow; what came back was right

Edit = Callable[[bytes], bytes]


def unchanged(data: bytes) -> bytes:
    """The same bytes."""
    return data


class Wire:
    """A proxy that hands every chunk of bytes to an edit, one pair of edits for each connection.

    `edits` is called with the number of the connection, counted from 0 since it was set; it returns the edit of what
    the client sends and the edit of what the server sends.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self._open: set[asyncio.StreamWriter] = set()
        self._edits: Callable[[int], tuple[Edit, Edit]] = lambda _: (unchanged, unchanged)
        self._count = 0
        self.port = 0
        self.hole = False
        """Whether everything vanishes, the end of a connection too."""
        self.before: Callable[[int], Awaitable[None]] | None = None
        """Awaited with the number of a connection before it is made."""

    def edit(self, edits: Callable[[int], tuple[Edit, Edit]]) -> None:
        """Edit what flows on connections that are opened from now on."""
        self._edits, self._count = edits, 0

    def heal(self) -> None:
        """Edit nothing any more."""
        self.before, self.hole = None, False
        self.edit(lambda _: (unchanged, unchanged))

    def cut(self) -> None:
        """Drop every connection now."""
        for writer in self._open:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either end is gone."""
        number, self._count = self._count, self._count + 1
        there, back = self._edits(number)
        try:
            if self.before is not None:
                await self.before(number)
            answers, server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, server}
        self._open |= ends
        try:
            await asyncio.gather(self._carry(reader, server, there), self._carry(answers, writer, back))
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, edit: Edit) -> None:
        try:
            while data := await reader.read(1 << 20):
                edited = edit(data)
                if not self.hole:
                    writer.write(edited)
                    await writer.drain()
            if not self.hole:
                writer.close()
        except OSError:
            writer.transport.abort()


@asynccontextmanager
async def wired(port: int) -> AsyncIterator[Wire]:
    """A proxy in front of a port of this machine."""
    wire = Wire(port)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(wire.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        wire.cut()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def kinds(record: RunRecord) -> set[Kind]:
    """The kinds of violation that a run found."""
    return {violation.kind for violation in record.finding.violations}


async def run_ok(site: Site, probe: Probe[Any]) -> RunRecord:
    """Run a probe where nothing is wrong (any more): it is right, and no violation stands."""
    record = await site.run(probe)
    assert record.verdict in RIGHT, record.finding.message
    assert site.desk.journal.standing(site.environment.name) == []
    return record


async def run_violated(site: Site, probe: Probe[Any], expected: Iterable[Kind]) -> RunRecord:
    """Run a probe where something is wrong: it finds exactly these kinds, each with all that one needs to act."""
    record = await site.run(probe)
    assert (record.verdict, kinds(record)) == (Verdict.VIOLATED, set(expected)), record.finding.message
    standing = site.desk.journal.standing(site.environment.name)
    assert {kept.kind for kept in standing} == set(expected)
    for kept in standing:
        _shows_evidence(kept, record, site)
    return record


def _shows_evidence(kept: KeptViolation, record: RunRecord, site: Site) -> None:
    assert kept.expected
    assert kept.actual
    assert kept.expected != kept.actual
    assert kept.run_id == record.run_id == kept.evidence["run_id"]
    steps: Any = kept.evidence["steps"]
    assert [step["step"] for step in steps] == [step.name for step in record.steps]
    assert all(step["took_ms"] >= 0 and step["after_ms"] >= 0 for step in steps)
    if kept.kind is Kind.MISROUTED:  # seen by two scenarios: no server can be asked who it is on such a connection
        assert "Redis at 127.0.0.1:" in kept.actual
        return
    server: Any = kept.evidence["server"]
    host, _, port = server["address"].rpartition(":")
    assert host == "127.0.0.1"
    if server["store"] == Store.POSTGRES:  # the server's own word, whatever stands between
        assert int(port) == site.servers.postgres.port
        assert "/" in server["position"]  # a WAL position, as 0/16B3748
    elif server["store"] == Store.REDIS:
        assert server["position"].isdigit()
    assert server["role"] == "primary"
    if server["store"] == Store.API:  # which says of itself what it likes, or nothing
        return
    assert server["version"].split()[0] in {"PostgreSQL", "Valkey"}
    assert server["identity"]


async def heals(site: Site, probe: Probe[Any]) -> None:
    """The next run is right, and closes every violation that the journal keeps."""
    await run_ok(site, probe)
    kept = await site.desk.journal.violations()
    assert {each.stage for each in kept} == {Stage.CLOSED}
    assert all(each.closed is not None for each in kept)


async def run_unknown(site: Site, probe: Probe[Any], reason: Reason) -> RunRecord:
    """Run a probe that cannot tell: for this reason, and without opening a violation."""
    record = await site.run(probe)
    assert (record.verdict, record.finding.reason) == (Verdict.UNKNOWN, reason), record.finding.message
    assert record.finding.violations == ()
    assert site.desk.journal.standing(site.environment.name) == []
    return record


HEAL = "SET client_min_messages = warning; DROP SCHEMA IF EXISTS broken CASCADE;"
WITHOUT_UNIQUE = "ALTER TABLE holdfast.messages DROP CONSTRAINT messages_thread_seq;"
UNIQUE_AGAIN = "ALTER TABLE holdfast.messages ADD CONSTRAINT messages_thread_seq UNIQUE (thread_id, seq);"


def trigger(when: str, body: str, *, table: str = "messages", condition: str = "true") -> str:
    """SQL of a trigger that a DBA, a migration or a tool may have left behind; it acts as a superuser."""
    deferred = when == "AT COMMIT"
    kind = "CONSTRAINT TRIGGER" if deferred else "TRIGGER"
    moment = (
        f"AFTER INSERT ON holdfast.{table} DEFERRABLE INITIALLY DEFERRED" if deferred else f"{when} ON holdfast.{table}"
    )
    return f"""
        CREATE SCHEMA broken;
        CREATE FUNCTION broken.act() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN {body} END $$;
        CREATE {kind} zz_broken {moment} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION broken.act();
    """


def cutting(wire: Wire, at: int, counted: list[int]) -> Any:
    """Cut everything at chunk number `at`, counted over both directions and all connections."""

    def edit(data: bytes) -> bytes:
        counted[0] += 1
        if counted[0] == at:
            wire.cut()
            return b""
        return data

    return lambda _: (edit, edit)


async def nobody_works_for_it(site: Site) -> bool:
    """Wait until the server has noticed that its clients are gone."""
    async with asyncio.timeout(10):
        while await site.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'holdfast/%'") != "0\n":
            pass
    return True
