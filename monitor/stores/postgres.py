"""PostgreSQL: guarded connections, and every failure sorted into one of Holdfast's reasons."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

import asyncpg

from monitor.core.record import Node
from monitor.core.secrets import Scrubber, secrets_of
from monitor.core.verdict import Reason
from monitor.ports import Outcome, Place, Store, StoreError, Tally, Way
from monitor.stores.asking import Asked
from monitor.stores.doors import Door

_GRACE = 0.5  # seconds beyond statement_timeout after which a server that should have spoken is taken for dead
_CLOSE_WITHIN = 0.5  # seconds; a healthy server answers in microseconds, a sick one must not hold up a run's end

# SQLSTATE, or its first two characters, to the reason and the next step. The first match wins.
_BY_STATE: tuple[tuple[str, Reason, str], ...] = (
    ("28P01", Reason.REFUSED, "check user and password in the DSN"),
    ("28", Reason.REFUSED, "check pg_hba.conf, the role, and sslmode in the DSN"),
    ("42501", Reason.REFUSED, "grant the right; `holdfast setup ENV --print` shows all that are needed"),
    ("3D000", Reason.MISCONFIGURED, "check the name of the database in the DSN"),
    ("25006", Reason.READ_ONLY, "the server is a standby or default_transaction_read_only is on"),
    (
        "25P03",
        Reason.TIMEOUT,
        "the server ended a transaction in which it heard nothing more; is the network cut in one direction?",
    ),
    ("40", Reason.INCONCLUSIVE, "a deadlock or serialization failure; the next run tries again"),
    ("53", Reason.CAPACITY, "the server is out of connections, disk or memory"),
    ("55P03", Reason.TIMEOUT, "another session holds a lock"),
    ("57014", Reason.TIMEOUT, "the statement ran into statement_timeout"),
    ("57", Reason.UNREACHABLE, "the server is starting or stopping"),
    ("58", Reason.CAPACITY, "the server's file system fails; look into its log"),
    ("08", Reason.UNREACHABLE, "the connection broke"),
    (
        "42704",
        Reason.MISCONFIGURED,
        "the server has nothing of this name; check what follows the ? in the DSN, else run `holdfast setup ENV`",
    ),
    ("42", Reason.MISCONFIGURED, "the schema does not fit; run `holdfast setup ENV`"),
    ("3F", Reason.MISCONFIGURED, "the schema is missing; run `holdfast setup ENV`"),
    ("22", Reason.MISCONFIGURED, "the schema does not take Holdfast's values; run `holdfast setup ENV`"),
    ("23", Reason.MISCONFIGURED, "a constraint that Holdfast's schema does not have; run `holdfast setup ENV`"),
    ("0A", Reason.MISCONFIGURED, "the server, or a pooler before it, does not support this"),
    ("XX", Reason.UNREACHABLE, "the server fails inside; look into its log"),
    ("", Reason.MISCONFIGURED, "something in the database, such as a trigger, refuses what Holdfast's schema allows"),
)

# Answers that say less by their state than by their words. Poolers end a connection by 08P01, a breach of protocol,
# whatever their reason is: these words are PgBouncer's. A server without TLS makes asyncpg raise a ConnectionError.
_BY_WORDS: tuple[tuple[str, Reason, str], ...] = (
    (
        "rejected SSL upgrade",
        Reason.REFUSED,
        "what answers has no TLS, or is no PostgreSQL; check host, port and sslmode in the DSN",
    ),
    (
        "query_wait_timeout",
        Reason.CAPACITY,
        "the pooler had no free server connection for that long; who holds them? look at SHOW POOLS",
    ),
    (
        "no such database",
        Reason.MISCONFIGURED,
        "check the name of the database in the DSN, and the pooler's list of them",
    ),
    ("no more connections allowed", Reason.CAPACITY, "the pooler's max_client_conn is reached"),
    (
        "not allowed in statement pooling mode",
        Reason.MISCONFIGURED,
        "the pooler shares its connections by statement; set pool_mode to transaction or session",
    ),
)

_BY_TYPE: tuple[tuple[type[Exception], Reason, str], ...] = (
    (ssl.SSLError, Reason.REFUSED, "check sslmode and the certificates in the DSN"),
    (
        FileNotFoundError,
        Reason.MISCONFIGURED,
        "a file that the DSN names is not there: a certificate, or the socket of a server that is down",
    ),
    (TimeoutError, Reason.TIMEOUT, "nothing answered; check host, port and firewall"),
    (OSError, Reason.UNREACHABLE, "check that the server runs, and host and port in the DSN"),
    (asyncpg.ClientConfigurationError, Reason.MISCONFIGURED, "check the DSN"),
)

_FAILURES = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


_PRIMARY = Place(Store.POSTGRES)


class Postgres:
    """One way into PostgreSQL as one role: makes connections and knows how to name what goes wrong."""

    store: ClassVar = Store.POSTGRES
    failures: ClassVar = _FAILURES

    def __init__(
        self,
        dsn: str,
        *,
        tally: Tally,
        statement_timeout: timedelta,
        connect_timeout: timedelta,
        place: Place = _PRIMARY,
    ) -> None:
        self.place = place
        self._door = Door(dsn)
        self.tally = tally
        self._scrub = Scrubber(secrets_of(dsn))
        parts = urlsplit(dsn)
        self.address = f"{parts.hostname or 'localhost'}:{parts.port or 5432}"
        self._connect_timeout = connect_timeout.total_seconds()
        self._answer_timeout = statement_timeout.total_seconds() + _GRACE
        milliseconds = str(round(statement_timeout.total_seconds() * 1000))
        # The server itself ends what this daemon, killed or cut off, can no longer end. A pooler refuses such settings
        # at the start of a connection, or hands them on to the next client: there a transaction's own must do.
        self._guards = {
            "statement_timeout": milliseconds,
            "lock_timeout": milliseconds,
            "idle_in_transaction_session_timeout": milliseconds,
        }
        self._options: dict[str, int] = {}
        if place.way is Way.POOLER:
            self._guards = {}
            self._options = {"statement_cache_size": 0}  # the next transaction may meet another server process

    def asked(self, *, sent_bytes: int = 0, committing: bool = False) -> Asked:
        """Count one request, and turn whatever fails in it into a StoreError.

        `committing` says that, should the answer be lost, the request may have taken effect all the same.
        """
        return Asked(self, sent_bytes=sent_bytes, writing=committing)

    async def connect(self, label: str) -> asyncpg.Connection[Any]:
        """A new connection that names itself `holdfast/LABEL`. Raises StoreError."""
        async with self.asked():
            return await self._door.connect(
                timeout=self._connect_timeout,
                command_timeout=self._answer_timeout,
                server_settings={"application_name": f"holdfast/{label}", **self._guards},
                **self._options,
            )

    async def close(self, connection: asyncpg.Connection[Any], *, broken: bool) -> None:
        """Say goodbye where somebody listens; drop the socket in any case."""
        if not broken:
            with suppress(*_FAILURES):
                async with asyncio.timeout(_CLOSE_WITHIN):
                    await connection.close()
        connection.terminate()

    async def node(self, connection: asyncpg.Connection[Any]) -> Node:
        """Who is at the other end, and whether it is the primary."""
        async with self.asked():
            row = await connection.fetchrow(
                "SELECT pg_is_in_recovery() AS standby,"
                " host(inet_server_addr()) || ':' || inet_server_port() AS address,"
                " current_setting('server_version') AS version, pg_postmaster_start_time()::text AS started,"
                " CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
                " ELSE pg_current_wal_lsn() END::text AS lsn"
            )
        return Node(
            store=Store.POSTGRES,
            address=row["address"] or self.address,
            primary=not row["standby"],
            version=f"PostgreSQL {row['version']}",
            position=row["lsn"] or "",
            identity=f"started {row['started']}",
        )

    def as_store_error(self, error: Exception, outcome: Outcome) -> StoreError:
        """A failure with its reason; the outcome is that of a request whose answer was lost."""
        reason, advice, answered = _reason(error)
        if answered:  # the server itself said no, so nothing is in doubt
            outcome = Outcome.FAILED
        text = self._scrub(" ".join(str(error).split())) or type(error).__name__
        return self.error(reason, f"{text} ({advice})", outcome=outcome)

    def error(self, reason: Reason, what: str, *, outcome: Outcome = Outcome.FAILED) -> StoreError:
        """A failure of this way into the store, to be raised."""
        where = "" if self.place.way is Way.PRIMARY else f" ({self.place})"
        return StoreError(
            reason,
            f"PostgreSQL at {self.address}{where}: {what}",
            store=Store.POSTGRES,
            outcome=outcome,
            place=self.place,
        )


def _reason(error: Exception) -> tuple[Reason, str, bool]:
    """The reason, the next step, and whether the server itself answered."""
    state = getattr(error, "sqlstate", None)
    if "idle-in-transaction timeout" in str(error):  # said while the connection breaks, whose own state asyncpg gives
        state = "25P03"
    for words, reason, advice in _BY_WORDS:
        if words in str(error):
            return reason, advice, True
    if isinstance(error, asyncpg.PostgresError) and state:
        reason, advice = next((reason, advice) for prefix, reason, advice in _BY_STATE if state.startswith(prefix))
        return reason, advice, not state.startswith(("08", "57P", "25P03"))
    for kind, reason, advice in _BY_TYPE:
        if isinstance(error, kind):
            return reason, advice, False
    if "another operation (2)" in str(error):  # asyncpg is still taking in the end that the server announced unasked
        return Reason.UNREACHABLE, "the connection broke", False
    if "closed" in str(error):  # asyncpg says so by a plain InterfaceError
        return Reason.UNREACHABLE, "the connection broke", False
    return Reason.INTERNAL, "this looks like a fault of Holdfast's own; please report it", False
