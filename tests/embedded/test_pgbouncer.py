"""The embedded PgBouncer: it starts, shares server connections by transaction, and reaches every database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from monitor.embedded.folder import PrivateFolder
from monitor.embedded.pgbouncer import EmbeddedPgBouncer
from monitor.embedded.process import EmbeddedError
from monitor.embedded.servers import Servers

_MEET = """
BEGIN;
SELECT pg_backend_pid();
DO $$ BEGIN
    WHILE (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND xact_start IS NOT NULL) < 4 LOOP
        PERFORM pg_stat_clear_snapshot(), pg_sleep(0.01);
    END LOOP;
    PERFORM pg_sleep(0.1);
END $$;
COMMIT
"""


@pytest.fixture(scope="module")
async def pooled() -> AsyncIterator[Servers]:
    """PostgreSQL with a PgBouncer before it."""
    async with Servers(fsync=False, pooler=True) as servers:
        yield servers


@pytest.fixture
async def pooler(pooled: Servers) -> EmbeddedPgBouncer:
    """The PgBouncer, without what an earlier test left in its server connections."""
    assert pooled.pgbouncer is not None
    await pooled.pgbouncer.stop()
    await pooled.pgbouncer.start()
    return pooled.pgbouncer


async def test_every_database_is_reached_by_its_name(pooled: Servers, pooler: EmbeddedPgBouncer) -> None:
    """A database that was made after the start is reached as the ordinary role, too."""
    await pooled.postgres.sql("CREATE DATABASE later", database="postgres")
    for database in ("app", "later"):
        said = await pooler.sql("SELECT current_database(), current_user", database=database)
        assert said.split() == [f"{database}|holdfast"]


async def test_what_one_client_sets_the_next_one_finds(pooler: EmbeddedPgBouncer) -> None:
    """In transaction mode a SET outlives its client; SET LOCAL does not."""
    await pooler.sql("SET my.name = 'somebody'")
    assert (await pooler.sql("SELECT current_setting('my.name', true)")).strip() == "somebody"
    await pooler.sql("BEGIN; SET LOCAL my.name = 'me'; COMMIT")
    assert (await pooler.sql("SELECT current_setting('my.name', true)")).strip() == "somebody"


async def test_a_restart_brings_clean_server_connections(pooler: EmbeddedPgBouncer) -> None:
    """stop() and start() keep the port, and nothing that a client set is left."""
    port = pooler.port
    await pooler.sql("SET my.name = 'somebody'")
    await pooler.stop()
    await pooler.start()
    assert pooler.port == port
    assert (await pooler.sql("SELECT current_setting('my.name', true) IS NULL")).strip() == "t"


async def test_transactions_at_once_have_server_connections_of_their_own(pooler: EmbeddedPgBouncer) -> None:
    """Four clients whose transactions overlap are served by four processes."""
    pids = [said.strip() for said in await asyncio.gather(*(pooler.sql(_MEET) for _ in range(4)))]
    assert len(set(pids)) == 4


async def test_a_refusal_is_said_in_the_words_of_the_pooler(pooled: Servers) -> None:
    """In statement mode a transaction is refused."""
    folder = PrivateFolder()
    strict = EmbeddedPgBouncer(folder, pooled.postgres, settings={"pool_mode": "statement"}, name="strict")
    try:
        await strict.start()
        with pytest.raises(EmbeddedError, match="transaction blocks not allowed in statement pooling mode"):
            await strict.sql("BEGIN")
    finally:
        await strict.stop()
        folder.close()
