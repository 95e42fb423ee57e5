"""Redis keeps the ledger's writes: what is asked of it, on real servers."""

from __future__ import annotations

from datetime import UTC, datetime

from monitor.core.ledger.entries import Entry, Mark, State, content_of, digest_of
from monitor.core.ledger.found import Written
from monitor.ports import Store
from monitor.stores.durable_keys import KeyDurables
from tests.conftest import Site


def entry(site: Site, n: int, *, identified: bool = False, series: str = "0badcafe") -> Entry:
    """An intent, as the ledger hands it out."""
    return Entry(
        environment=site.environment.name,
        store=Store.REDIS,
        mark=Mark(series, n),
        identified=identified,
        state=State.INTENDED,
        intended=datetime(2026, 3, 1, tzinfo=UTC),
    )


async def test_a_register_moves_only_from_what_is_expected(site: Site) -> None:
    """Nothing, then a mark after another; where it holds something else, nothing at all is written."""
    durables = KeyDurables(site.environment.ways)
    writer, reader = await durables.writer("test"), await durables.reader("test")
    first, second, third = (entry(site, n, identified=n != 1) for n in (1, 2, 3))
    assert await writer.read() is None
    assert await writer.write(first, expected=[Mark("x", 9)]) == Written(moved=False, before=None)
    assert await writer.read() is None
    assert await writer.write(first, expected=[None]) == Written(moved=True, before=None)
    assert await writer.write(second, expected=[Mark("x", 9), first.mark]) == Written(moved=True, before=first.mark)
    assert await writer.write(third, expected=[first.mark, None]) == Written(moved=False, before=second.mark)
    sighting = await reader.look(None)
    assert sighting.register == second.mark
    content = content_of(site.environment.name, Store.REDIS, second.mark)
    assert sighting.digests == {second.mark: digest_of(content)}
    assert sighting == await reader.look([first.mark, second.mark, third.mark])
    assert sighting.evidence.writable
    await writer.leave()
    assert (await reader.look([second.mark])).digests == {}
    assert await site.servers.valkey.command("KEYS", f"holdfast:{site.environment.name}:*") == []
    await reader.close()
    await writer.close()
