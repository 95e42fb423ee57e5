"""A database of lists in memory, of whichever isolation one likes, and the histories that its clients record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from monitor.core.history.operations import Append, Element, Key, Kind, MicroOperation, Operation, Read


class Isolation(StrEnum):
    """How transactions are kept apart; each value is the strongest level that is kept."""

    READ_UNCOMMITTED = "strong-read-uncommitted"  # writers lock, readers see everything
    READ_COMMITTED = "strong-read-committed"  # writers lock, each read sees what is committed
    SNAPSHOT = "strong-snapshot-isolation"  # one snapshot a transaction; the first committer wins
    SERIAL = "strict-serializable"  # one after another


@dataclass(eq=False)
class Client:
    """One process with its transaction: what it is asked to do, what it has seen, and what it appended so far."""

    process: int
    asked: tuple[MicroOperation, ...]
    done: list[MicroOperation] = field(default_factory=list)
    snapshot: dict[Key, tuple[Element, ...]] = field(default_factory=dict)
    appended: dict[Key, list[Element]] = field(default_factory=dict)
    begun: bool = False


class Database:
    """Lists that only grow. Under locks an append is made in place, else at the commit."""

    def __init__(self, isolation: Isolation) -> None:
        self.isolation = isolation
        self.lists: dict[Key, tuple[Element, ...]] = {}
        self.locks: dict[Key, Client] = {}

    @property
    def locking(self) -> bool:
        """Whether appends lock their key until the end of the transaction."""
        return self.isolation in {Isolation.READ_UNCOMMITTED, Isolation.READ_COMMITTED}

    def step(self, client: Client) -> bool:
        """The next micro-operation of a transaction, or under SERIAL all. False where it has to wait for a lock."""
        if not client.begun:
            client.begun = True
            client.snapshot = dict(self.lists)
        count = len(client.asked) if self.isolation is Isolation.SERIAL else 1
        for operation in client.asked[len(client.done) : len(client.done) + count]:
            if isinstance(operation, Append):
                if self.locking and self.locks.setdefault(operation.key, client) is not client:
                    return False
                client.appended.setdefault(operation.key, []).append(operation.element)
                client.done.append(operation)
            else:
                client.done.append(Read(operation.key, self._seen(client, operation.key)))
        return True

    def _seen(self, client: Client, key: Key) -> tuple[Element, ...]:
        committed = (client.snapshot if self.isolation is Isolation.SNAPSHOT else self.lists).get(key, ())
        holder = self.locks.get(key, client) if self.isolation is Isolation.READ_UNCOMMITTED else client
        return (*committed, *holder.appended.get(key, ()))

    def commit(self, client: Client) -> bool:
        """Make a transaction's appends lasting. False where another one was quicker."""
        snapshot = self.isolation is Isolation.SNAPSHOT
        if snapshot and any(self.lists.get(key) != client.snapshot.get(key) for key in client.appended):
            return False
        for key, elements in client.appended.items():
            self.lists[key] = (*self.lists.get(key, ()), *elements)
        self.abort(client)
        return True

    def abort(self, client: Client) -> None:
        """Forget a transaction."""
        client.appended = {}
        self.locks = {key: holder for key, holder in self.locks.items() if holder is not client}


def dice(seed: int) -> Random:
    """Chance that can be repeated."""
    return Random(seed)  # noqa: S311  nothing is kept secret by it


def asked(random: Random, *, keys: int, next_element: dict[Key, int], longest: int = 4) -> tuple[MicroOperation, ...]:
    """What a client wants to do: a few reads and appends, each element new to its key."""
    wanted: list[MicroOperation] = []
    for _ in range(random.randint(1, longest)):
        key = random.randrange(keys)
        if random.random() < 0.5:
            next_element[key] = next_element.get(key, 0) + 1
            wanted.append(Append(key, next_element[key]))
        else:
            wanted.append(Read(key, None))
    return tuple(wanted)


def history(  # noqa: C901  one loop of chance
    isolation: Isolation, random: Random, *, transactions: int, clients: int = 4, keys: int = 3, trouble: float = 0.2
) -> list[Operation]:
    """What some clients record. A share of their transactions is aborted, or ends without an answer.

    Of the latter some took place, some did not, and some do only later.
    """
    database = Database(isolation)
    recorded: list[Operation] = []
    running: list[Client] = []
    late: list[Client] = []
    idle, left, processes = [*range(clients)], transactions, clients
    elements: dict[Key, int] = {}

    def record(kind: Kind, client: Client, value: Sequence[MicroOperation]) -> None:
        recorded.append(Operation(kind, client.process, tuple(value), len(recorded)))

    while running or left:
        if late and random.random() < 0.2:
            database.commit(late.pop())
        if left and idle and (not running or random.random() < 0.5):
            client = Client(idle.pop(random.randrange(len(idle))), asked(random, keys=keys, next_element=elements))
            record(Kind.INVOKE, client, client.asked)
            running.append(client)
            left -= 1
            continue
        client = random.choice(running)
        if len(client.done) < len(client.asked):
            if database.step(client) and isolation is not Isolation.SERIAL:
                continue
            if len(client.done) < len(client.asked) and random.random() < 0.8:
                continue  # it waits; now and then it gives up, which also resolves deadlocks
        running.remove(client)
        whole = len(client.done) == len(client.asked)
        end = random.random()
        if end < trouble / 2:  # no answer; then the process is never used again
            if whole and isolation is Isolation.SNAPSHOT and end < trouble / 6:
                late.append(client)
            elif whole and end < trouble / 3:
                database.commit(client)
            database.abort(client) if client not in late else None
            record(Kind.INFO, client, client.done if whole and random.random() < 0.5 else client.asked)
            idle.append(processes)
            processes += 1
            continue
        committed = whole and end > trouble and database.commit(client)
        if not committed:
            database.abort(client)
        record(Kind.OK if committed else Kind.FAIL, client, client.done if committed else client.asked)
        idle.append(client.process)
    return recorded
