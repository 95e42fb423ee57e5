"""Redis as what keeps the ledger's writes: one register of each daemon, and records that are looked for again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from time import time
from typing import Self

from monitor.core.ledger.entries import Entry, Mark, content_of, digest_of
from monitor.core.ledger.evidence import RedisEvidence
from monitor.core.ledger.found import Sighting, Written
from monitor.core.record import Node
from monitor.core.residue import ledgers_key, record_key, records_key, register_key
from monitor.core.verdict import Reason
from monitor.ports import Place, Store
from monitor.stores.redis import Command, RedisConnection, Reply
from monitor.stores.redis_evidence import SECTIONS, SECTIONS_SHOWN, evidence_of
from monitor.stores.ways import Ways

KEEP = timedelta(days=8)
"""How long a register and a record stay where nobody moves or deletes them: a day longer than the default ladder."""
SNAPSHOT = 5000
"""So many records are read by one command at the most, for the server does nothing else meanwhile."""
_BATCH = 500  # keys that are deleted by one command

# A script that ends in an error keeps what it has written, so what can fail comes before what counts. Its first write
# must be one that a full server and a replica refuse: after any other a full server would let the rest pass.
_MOVE = """
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
local held = redis.call('GET', KEYS[1]) or ''
if not string.match(held, '^[^/]*/%d+$') then held = '' end
local expected = false
for i = 6, #ARGV do expected = expected or ARGV[i] == held end
if not expected then return {0, held} end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
if KEYS[3] then
  redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[4] - 2 * ARGV[3] / 1000)
  redis.call('PEXPIRE', KEYS[3], ARGV[3])
  redis.call('SET', KEYS[4], ARGV[5], 'PX', ARGV[3])
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return {1, held}
"""

_MOVE_SHOWN = "EVAL SCRIPT 2 {register} {ledgers} MARK DAEMON KEEP … EXPECTED …"
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "open_durable": ("ECHO NONCE", *SECTIONS_SHOWN),
    "read_register": ("ECHO NONCE", "GET {register}"),
    "move_register": ("ECHO NONCE", _MOVE_SHOWN),
    "write_record": (
        "ECHO NONCE",
        "EVAL SCRIPT 4 {register} {ledgers} {records} {record} MARK DAEMON KEEP … CONTENT EXPECTED …",
    ),
    "look_at_records": ("ECHO NONCE", "MGET {register} {record} …", "HGETALL {ledgers}", *SECTIONS_SHOWN),
    "list_records": ("ECHO NONCE", "ZRANGE {records} 0 -1"),
    "look_at_others": ("ECHO NONCE", "ZCARD {records of another} …", "PTTL {register of another} …"),
    "delete_records": ("ECHO NONCE", "DEL {record} …", "ZREM {records} MARK …"),
    "leave": ("ECHO NONCE", "DEL {register} {records}", "HDEL {ledgers} DAEMON"),
}
"""What a probe may ask, and all that is then sent."""


class KeyDurables:
    """Redis as what keeps the ledger's writes. `keep` must outlast the ladder of looks by far more than one run."""

    def __init__(self, ways: Ways, *, keep: timedelta = KEEP) -> None:
        self._ways = ways
        self._keep = keep

    @property
    def lifetime(self) -> timedelta:
        """After what time a register and a record go by themselves where nobody touches them."""
        return self._keep

    async def writer(self, label: str) -> KeyWriter:
        """A new connection to the primary. Raises StoreError."""
        return await KeyWriter.open(self._ways, label, keep=self._keep)

    async def reader(self, label: str, *, place: Place | None = None) -> KeyReader:
        """A new connection to the primary, or to another place. Raises StoreError."""
        return await KeyReader.open(self._ways, label, place=place or Place(Store.REDIS))


class _Opened:
    """One connection to one place, and the names of this daemon's keys there."""

    def __init__(self, ways: Ways, connection: RedisConnection) -> None:
        self._connection = connection
        self._environment = ways.environment
        self._daemon = ways.instance.id
        self._register = register_key(ways.environment, ways.instance.id)
        self._records = records_key(ways.environment, ways.instance.id)
        self._ledgers = ledgers_key(ways.environment)

    async def node(self) -> Node:
        """The server at the other end."""
        return await self._connection.node()

    async def close(self) -> None:
        """Really close it."""
        await self._connection.close()

    def _record(self, mark: Mark) -> str:
        return record_key(self._environment, self._daemon, mark.series, mark.n)

    async def _indexed(self) -> list[Mark]:
        (members,) = await self._connection.ask_with_nonce(("ZRANGE", self._records, 0, -1))
        return [mark for member in _listed(members) if (mark := Mark.parse(_text(member)))]


class KeyWriter(_Opened):
    """One connection by which writes are made."""

    evidence: RedisEvidence
    xid = ""
    _keep: timedelta

    @classmethod
    async def open(cls, ways: Ways, label: str, *, keep: timedelta) -> Self:
        """A new connection to the primary, which says who it is."""
        connection = await ways.primary_redis.connect(label)
        try:
            opened = cls(ways, connection)
            opened._keep = keep
            opened.evidence = evidence_of(connection.redis, await connection.ask_with_nonce(*SECTIONS))
        except BaseException:
            await connection.close()
            raise
        return opened

    async def read(self) -> Mark | None:
        """What the register holds."""
        (held,) = await self._connection.ask_with_nonce(("GET", self._register))
        return Mark.parse(_text(held))

    async def write(self, entry: Entry, *, expected: Collection[Mark | None]) -> Written:
        """Move the register, and leave a record if the entry is identified: by one script, in one round trip."""
        keys = [self._register, self._ledgers]
        content = ""
        if entry.identified:
            keys += [self._records, self._record(entry.mark)]
            content = content_of(entry.environment, entry.store, entry.mark)
        keep = round(self._keep.total_seconds() * 1000)
        held_before = ["" if mark is None else str(mark) for mark in expected]
        arguments: Command = (str(entry.mark), self._daemon, keep, round(time()), content, *held_before)
        (reply,) = await self._connection.ask_with_nonce(
            ("EVAL", _MOVE, len(keys), *keys, *arguments),
            writing=True,
        )
        match reply:
            case [0 | 1 as moved, bytes() as held]:
                return Written(moved=moved == 1, before=Mark.parse(_text(held)))
        raise self._connection.redis.error(Reason.INCONCLUSIVE, f"answered the ledger's script by {reply!r}")

    async def delete(self, marks: Collection[Mark]) -> None:
        """Delete these records, and forget them in the index."""
        for some in _batches(list(marks), _BATCH):
            await self._connection.ask_with_nonce(
                ("DEL", *map(self._record, some)), ("ZREM", self._records, *map(str, some)), writing=True
            )

    async def leave(self) -> None:
        """Delete the records, then the register and all that names them."""
        await self.delete(await self._indexed())
        await self._connection.ask_with_nonce(
            ("DEL", self._register, self._records), ("HDEL", self._ledgers, self._daemon), writing=True
        )


class KeyReader(_Opened):
    """One connection by which it is looked."""

    @classmethod
    async def open(cls, ways: Ways, label: str, *, place: Place) -> Self:
        """A new connection to a place."""
        return cls(ways, await ways.redis[place].connect(label))

    async def look(self, wanted: Collection[Mark] | None, *, known: Collection[Mark] = ()) -> Sighting:
        """The register and the records of these marks, or of all that are known or that this daemon's index names.

        One command reads the register and up to SNAPSHOT records: that is one snapshot, and unlike a transaction a full
        server does not refuse it. Of more the first are read before it, as many at a time. The evidence follows, so
        that nothing happened to what was read that it does not know.
        """
        marks = list(dict.fromkeys([*known, *await self._indexed()]) if wanted is None else wanted)
        *earlier, last = list(_batches(marks, SNAPSHOT)) or [[]]
        values: list[Reply] = []
        for some in earlier:
            (read,) = await self._connection.ask_with_nonce(("MGET", *map(self._record, some)))
            values += _listed(read)
        read, ledgers, *sections = await self._connection.ask_with_nonce(
            ("MGET", self._register, *map(self._record, last)), ("HGETALL", self._ledgers), *SECTIONS
        )
        held, *latest = _listed(read)
        found = zip(marks, [*values, *latest], strict=True)
        return Sighting(
            evidence=evidence_of(self._connection.redis, sections),
            register=Mark.parse(_text(held)),
            digests={mark: digest_of(_text(value)) for mark, value in found if value is not None},
            others=await self._others(ledgers),
        )

    async def happened(self, xid: str) -> bool | None:  # noqa: ARG002  PostgreSQL can tell
        """Redis forgets what became of a command."""
        return None

    async def _others(self, ledgers: Reply) -> tuple[tuple[str, int, float], ...]:
        """The ledgers of other daemons: how many records each has, and for how long its register has not moved."""
        found = _listed(ledgers)
        keeps = {_text(daemon): int(_text(keep)) for daemon, keep in zip(found[::2], found[1::2], strict=True)}
        keeps.pop(self._daemon, None)
        if not keeps:
            return ()
        names = [(records_key(self._environment, name), register_key(self._environment, name)) for name in keeps]
        replies = await self._connection.ask_with_nonce(
            *(("ZCARD", records) for records, _ in names), *(("PTTL", register) for _, register in names)
        )
        counts, left = replies[: len(names)], replies[len(names) :]
        return tuple(
            (daemon, count, max(0, keeps[daemon] - remaining) / 1000)
            for daemon, count, remaining in zip(keeps, counts, left, strict=True)
            if isinstance(count, int) and isinstance(remaining, int) and remaining > 0
        )


def _batches(things: Sequence[Mark], size: int) -> Iterator[Sequence[Mark]]:
    for start in range(0, len(things), size):
        yield things[start : start + size]


def _text(reply: Reply) -> str:
    """A bulk reply as text; rubbish in it stays another text than any that was written."""
    return reply.decode("utf-8", "backslashreplace") if isinstance(reply, bytes) else ""


def _listed(reply: Reply) -> list[Reply]:
    return reply if isinstance(reply, list) else []
