"""Redis: connections without retries, and every failure sorted into one of Holdfast's reasons."""

from __future__ import annotations

from datetime import timedelta
from secrets import token_hex
from typing import ClassVar, TypeAlias

from redis import exceptions

from monitor.core.record import Node
from monitor.core.secrets import Scrubber, secrets_of
from monitor.core.verdict import Reason
from monitor.ports import MisroutedError, Outcome, Place, Store, StoreError, Tally, Way
from monitor.stores import redis_driver
from monitor.stores.asking import Asked
from monitor.stores.redis_driver import Driver, Wire

Command: TypeAlias = redis_driver.Command
Reply: TypeAlias = redis_driver.Reply

_BY_TEXT: tuple[tuple[str, Reason, str], ...] = (
    ("WRONGPASS", Reason.REFUSED, "check user and password in the URL"),
    ("invalid username-password", Reason.REFUSED, "check user and password in the URL"),
    ("invalid password", Reason.REFUSED, "check the password in the URL"),
    ("Client sent AUTH, but no password is set", Reason.REFUSED, "the server has no password; take it out of the URL"),
    (
        "AUTH <password> called without any password",
        Reason.REFUSED,
        "the server has no password; take it out of the URL",
    ),
    ("NOAUTH", Reason.REFUSED, "the server wants a password; put it into the URL"),
    ("Authentication required", Reason.REFUSED, "the server wants a password; put it into the URL"),
    ("NOPERM", Reason.REFUSED, "extend the ACL; `holdfast setup ENV --print` shows the one that is needed"),
    ("No permissions", Reason.REFUSED, "extend the ACL; `holdfast setup ENV --print` shows the one that is needed"),
    ("permission", Reason.REFUSED, "extend the ACL; `holdfast setup ENV --print` shows the one that is needed"),
    (  # Redis 6, of a command in a script
        "The user executing the script",
        Reason.REFUSED,
        "extend the ACL; `holdfast setup ENV --print` shows the one that is needed",
    ),
    ("LOADING", Reason.READ_ONLY, "the server is loading its data"),
    ("loading the dataset", Reason.READ_ONLY, "the server is loading its data"),
    ("READONLY", Reason.READ_ONLY, "this is a replica; point the URL at the primary"),
    ("read only replica", Reason.READ_ONLY, "this is a replica; point the URL at the primary"),
    ("MASTERDOWN", Reason.READ_ONLY, "the replica has lost its primary"),
    ("NOREPLICAS", Reason.READ_ONLY, "the server accepts no writes without its replicas"),
    (
        "OOM",
        Reason.CAPACITY,
        "maxmemory is reached, and the policy (noeviction, or a volatile one) lets nothing be evicted that would help",
    ),
    ("MISCONF", Reason.CAPACITY, "the server cannot persist (a full disk?) and so refuses writes"),
    ("max number of clients", Reason.CAPACITY, "maxclients is reached"),
    ("invalid DB index", Reason.MISCONFIGURED, "check the number of the database in the URL"),
    ("DB index is out of range", Reason.MISCONFIGURED, "check the number of the database in the URL"),
    ("MOVED", Reason.MISCONFIGURED, "this is a Redis Cluster, which this version does not support"),
    ("CLUSTERDOWN", Reason.UNREACHABLE, "the cluster is down"),
    ("BUSY Redis", Reason.TIMEOUT, "a script occupies the server; SCRIPT KILL ends it"),
    ("EXECABORT", Reason.INCONCLUSIVE, "the server discarded a transaction; the next run tries again"),
    ("TRYAGAIN", Reason.INCONCLUSIVE, "the server moves its keys; the next run tries again"),
    ("Protocol error", Reason.MISCONFIGURED, "what answers there does not speak as Redis does; check host and port"),
    ("unknown command", Reason.MISCONFIGURED, "Redis 6 or newer is needed, with this command enabled"),
)

_BY_TYPE: tuple[tuple[type[Exception], Reason, str, bool], ...] = (
    (exceptions.AuthenticationError, Reason.REFUSED, "check user and password in the URL", True),
    (exceptions.TimeoutError, Reason.TIMEOUT, "nothing answered; check host, port and firewall", False),
    (TimeoutError, Reason.TIMEOUT, "nothing answered; check host, port and firewall", False),
    (exceptions.ConnectionError, Reason.UNREACHABLE, "check that the server runs, and host and port in the URL", False),
    (OSError, Reason.UNREACHABLE, "check that the server runs, and host and port in the URL", False),
    (exceptions.ResponseError, Reason.MISCONFIGURED, "the server refused the command", True),
)


_PRIMARY = Place(Store.REDIS)


class Redis:
    """One Redis server as one user: makes connections and knows how to name what goes wrong."""

    title: ClassVar = "Redis"
    store: ClassVar = Store.REDIS
    failures: ClassVar = (exceptions.RedisError, OSError)

    def __init__(self, url: str, *, tally: Tally, timeout: timedelta, place: Place = _PRIMARY) -> None:
        self.place = place
        self.tally = tally
        self._scrub = Scrubber(secrets_of(url))
        self._driver = Driver(url, timeout=timeout)
        self.user = self._driver.user
        self.address = self._driver.address

    async def connect(self, label: str) -> RedisConnection:
        """A new connection that names itself `holdfast/LABEL`. Raises StoreError."""
        async with self.asked():
            return RedisConnection(self, await self._driver.connect(f"holdfast/{label}"))

    def asked(self, *, sent_bytes: int = 0, writing: bool = False, waiting: bool = False) -> Asked:
        """Count one request, and turn whatever fails in it into a StoreError.

        `waiting` says that the store is not busy meanwhile: it has nothing to say as long as others say nothing.
        """
        return Asked(self, sent_bytes=sent_bytes, writing=writing, waiting=waiting)

    def as_store_error(self, error: Exception, outcome: Outcome) -> StoreError:
        """A failure with its reason; the outcome is that of a request whose answer was lost."""
        reason, advice, answered = _reason(error)
        if reason is Reason.TIMEOUT and not answered and self._driver.by_tls:
            advice += ", and rediss:// against redis://"  # a plain server waits for the end of a line, for ever
        text = self._scrub(" ".join(str(error).split())) or type(error).__name__
        return self.error(reason, f"{text} ({advice})", outcome=Outcome.FAILED if answered else outcome)

    def failure(self, error: exceptions.ResponseError) -> StoreError:
        """What the server itself answered, sorted."""
        return self.as_store_error(error, Outcome.FAILED)

    def error(self, reason: Reason, what: str, *, outcome: Outcome = Outcome.FAILED) -> StoreError:
        """A failure of this way into the store, to be raised."""
        where = "" if self.place.way is Way.PRIMARY else f" ({self.place})"
        return StoreError(
            reason,
            f"{self.title} at {self.address}{where}: {what}",
            store=Store.REDIS,
            outcome=outcome,
            place=self.place,
        )


def _reason(error: Exception) -> tuple[Reason, str, bool]:
    """The reason, the next step, and whether the server itself answered."""
    text = f"{getattr(error, 'error_type', '')} {error}"
    named = {
        exceptions.BusyLoadingError: "LOADING",
        exceptions.ReadOnlyError: "READONLY",
        exceptions.OutOfMemoryError: "OOM",
        exceptions.NoPermissionError: "NOPERM",
        exceptions.MaxConnectionsError: "max number of clients",
        exceptions.MasterDownError: "MASTERDOWN",
        exceptions.ClusterDownError: "CLUSTERDOWN",
        exceptions.TryAgainError: "TRYAGAIN",
        exceptions.ExecAbortError: "EXECABORT",
    }
    text += " " + next((word for kind, word in named.items() if isinstance(error, kind)), "")
    for part, reason, advice in _BY_TEXT:
        if part in text:
            return reason, advice, True
    if "SSL" in text or "certificate" in text.lower():
        return Reason.REFUSED, "check rediss:// against redis://, and the certificates", False
    for kind, reason, advice, answered in _BY_TYPE:
        if isinstance(error, kind):
            return reason, advice, answered
    return Reason.INTERNAL, "this looks like a fault of Holdfast's own; please report it", False


class RedisConnection:
    """One connection on which commands are pipelined; replies come back in the order asked."""

    def __init__(self, redis: Redis, wire: Wire) -> None:
        self.redis = redis
        self._wire = wire

    async def ask(self, *commands: Command, writing: bool = False) -> list[Reply]:
        """Send some commands in one packet and read one reply for each.

        Raises StoreError for the first reply that is an error, after all replies were read.
        """
        return await self._ask(commands, writing=writing)

    async def ask_with_nonce(self, *commands: Command, writing: bool = False) -> list[Reply]:
        """The same, with an ECHO in front. Raises MisroutedError where that is answered by another nonce.

        Where the ECHO itself fails or is misrouted, nobody knows what became of a write behind it.
        """
        nonce = token_hex(8)
        echoed, *replies = await self._ask((("ECHO", nonce), *commands), writing=writing, guarded=True)
        if echoed != nonce.encode():
            misrouted = MisroutedError(sent=nonce, received=repr(echoed)[:60], address=self.address)
            misrouted.outcome = Outcome.INDETERMINATE if writing else Outcome.FAILED
            raise misrouted
        return replies

    async def _ask(self, commands: tuple[Command, ...], *, writing: bool, guarded: bool = False) -> list[Reply]:
        packed = self._wire.pack(commands)
        async with self.redis.asked(sent_bytes=sum(map(len, packed)), writing=writing):
            replies, failures = await self._wire.exchange(packed, len(commands))
            if failures:
                failure = self.redis.failure(next(iter(failures.values())))
                if writing and guarded and 0 in failures:
                    failure.outcome = Outcome.INDETERMINATE
                raise failure
        return replies

    async def say(self, *commands: Command) -> None:
        """Send some commands whose answers come among what the server pushes; `hear` brings them."""
        packed = self._wire.pack(commands)
        async with self.redis.asked(sent_bytes=sum(map(len, packed))):
            await self._wire.send(packed)

    async def hear(self, *, within: float) -> Reply:
        """The next thing that the server says unasked; None where it is silent for so many seconds."""
        async with self.redis.asked(waiting=True):
            return await self._wire.hear(within=within)

    @property
    def address(self) -> str:
        """Where the server is, as the URL says it."""
        return self.redis.address

    async def close(self) -> None:
        """Really close it."""
        await self._wire.close()

    async def info(self, *sections: str) -> dict[str, str]:
        """The fields of some INFO sections, asked one by one, as Redis 6 needs it."""
        return fields(await self.ask(*(("INFO", section) for section in sections)))

    async def node(self) -> Node:
        """The server at the other end, and whether it is the primary."""
        info = await self.info("server", "replication")
        valkey = info.get("valkey_version")
        return Node(
            store=Store.REDIS,
            address=self.redis.address,
            primary=info.get("role") == "master",
            version=f"Valkey {valkey}" if valkey else f"Redis {info.get('redis_version', 'unknown')}",
            position=info.get("master_repl_offset", ""),
            identity=f"run_id {info.get('run_id', '')}",
        )


def fields(replies: list[Reply]) -> dict[str, str]:
    """The fields in some replies to INFO."""
    lines = b"\n".join(reply for reply in replies if isinstance(reply, bytes)).decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
