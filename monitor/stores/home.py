"""Where the state database is: a SQLite file, or a schema of a PostgreSQL that several daemons share."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg

from monitor.core.secrets import Scrubber, secrets_of
from monitor.core.shard import WHOLE, Shard
from monitor.stores.connecting import connect

_PATIENCE = 5  # seconds for a connection, and for each answer
_LONGEST = 38  # of a location in a schema's name; PostgreSQL cuts names at 63 bytes without a word


@dataclass(frozen=True, slots=True)
class Schema:
    """One daemon's schema in a PostgreSQL. Each has its own, by its location; so the tables are as in a file.

    One of several that share a location has it by what it calls itself there, such as `local 2/4`.
    """

    dsn: str = field(repr=False)
    location: str

    @property
    def name(self) -> str:
        """Such as holdfast_state_local; two locations never share one."""
        slug = re.sub(r"[^a-z0-9]+", "_", self.location.lower()).strip("_")[:_LONGEST]
        unmistakable = slug == self.location
        return f"holdfast_state_{slug}" + ("" if unmistakable else f"_{sha256(self.location.encode()).hexdigest()[:8]}")

    def __str__(self) -> str:
        return f"the state database (schema {self.name})"

    async def connect(self, *_: object, **__: object) -> Any:  # noqa: ANN401  asyncpg has no types
        """A new connection within the schema, which is made where it is missing. Raises as asyncpg does."""
        milliseconds = str(_PATIENCE * 1000)
        connection = await connect(
            self.dsn,
            timeout=_PATIENCE,
            command_timeout=_PATIENCE,
            server_settings={
                "application_name": f"holdfast state {self.location}".encode("ascii", "replace").decode(),
                "search_path": self.name,
                "synchronous_commit": "on",  # whatever the role or the database has: what is kept survives a crash
                "statement_timeout": milliseconds,
                "idle_in_transaction_session_timeout": milliseconds,
            },
        )
        try:
            # First asked: whoever may not make one may yet use the one that was made for him.
            if await connection.fetchval("SELECT to_regnamespace($1) IS NULL", self.name):
                with suppress(asyncpg.UniqueViolationError):  # IF NOT EXISTS does not see one that is being made
                    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self.name}")
        except BaseException:
            connection.terminate()
            raise
        return connection

    def scrub(self, text: str) -> str:
        """A text without the password."""
        return Scrubber(secrets_of(self.dsn))(text)

    def advice(self, reason: str) -> str:
        """The next step where PostgreSQL said this."""
        for words, advice in (
            ("permission denied for database", f"let a DBA run: CREATE SCHEMA {self.name} AUTHORIZATION <the role>"),
            ("permission denied", f"the role must own the schema {self.name}"),
            ("password authentication", "check user and password in `state`"),
            ("pg_hba", "let the role in there"),
            ("does not exist", "check user and database in `state`"),
            ("unsupported startup parameter", "it is a pooler; `state` must lead to PostgreSQL itself"),
            ("read-only", "it is a standby; `state` must lead to the primary"),
        ):
            if words in reason:
                return advice
        return "check that it runs and can be reached; what happens meanwhile is not kept"


Home: TypeAlias = Path | Schema | None
"""None is in memory, and forgets."""


def home_of(url: str, *, location: str, shard: Shard = WHOLE) -> Path | Schema:
    """The home that the setting `state` names; of a shard one of its own beside it, such as state.2-of-4.db."""
    if not url.startswith("sqlite:///"):
        return Schema(url, location if shard.whole else f"{location} {shard}")
    file = Path(url.removeprefix("sqlite:///"))
    return file if shard.whole else file.with_name(f"{file.stem}.{shard.number}-of-{shard.count}{file.suffix}")
