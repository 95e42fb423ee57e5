"""Leftovers behind an application's API: the threads of its synthetic users that no run will ask for again.

Where the API lists no threads they cannot be found: they stay until the application forgets them itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from pydantic import JsonValue

from monitor.bindings import ApiThreads, Listing
from monitor.core.payload import USERS, synthetic_user
from monitor.core.residue import Broom
from monitor.stores.api_connection import ApiConnection, Value
from monitor.stores.bound.api_pages import leaves
from monitor.stores.bound.context import Bound

_MOST = 10_000  # threads of one user at one time; the next sweep goes on
_VERSION = 7
_NAME = "Holdfast "


async def sweep_api(bound: Bound, broom: Broom, *, dry_run: bool) -> int:
    """Delete the threads that killed runs have left; -> how many went (or would go). Raises StoreError."""
    api = bound.binding.api.threads if bound.binding.api else None
    if api is None or api.list is None or not _is_fenced(bound, api.list):
        return 0
    connection = await bound.ways.primary_api.connect("sweep")
    try:
        users = {str(bound.identities.user(name)): name for name in map(synthetic_user, range(USERS))}
        return sum([await _sweep_user(bound, api, connection, name, broom, dry_run=dry_run) for name in users.values()])
    finally:
        await connection.close()


async def _sweep_user(
    bound: Bound, api: ApiThreads, connection: ApiConnection, name: str, broom: Broom, *, dry_run: bool
) -> int:
    values: dict[str, Value] = {"user_id": bound.identities.user(name)}
    oldest = datetime.now(UTC) - broom.own_age  # by accounts of its own a daemon knows no other's
    who, gone = bound.who(name), 0
    if api.list is None:
        return gone
    left = [
        item["thread_id"]
        async for leaf in leaves(connection, api.list, values, user=who, most=_MOST)
        for item in leaf.items
        if item.get("thread_id")
        and _is_ours(item, str(values["user_id"]))
        and (made := _made(item)) is not None
        and made < oldest
    ]
    for thread_id in dict.fromkeys(map(str, left)):
        if dry_run:
            gone += 1
        else:
            answer = await connection.ask(api.delete, {**values, "thread_id": thread_id}, user=who)
            gone += answer.found
    return gone


def _is_fenced(bound: Bound, listing: Listing) -> bool:
    """Whether it lists one user's threads: whose, the request says or the log-in."""
    return "user_id" in listing.names or bound.ways.primary_api.address.auth is not None


def _is_ours(item: Mapping[str, JsonValue], user_id: str) -> bool:
    """Whether a run has made it, and for this user: an API that is broken may show others' threads as well."""
    if str(item.get("user_id", user_id)) != user_id:
        return False
    return _run(item) is not None or str(item.get("name") or "").startswith(_NAME)


def _made(item: Mapping[str, JsonValue]) -> datetime | None:
    """When the run began that made it, as its id says; else when the application says that it was made."""
    if (run := _run(item)) is not None:
        return datetime.fromtimestamp((run.int >> 80) / 1000, UTC)
    match item.get("created_at"):
        case bool():
            return None
        case int() | float() as seconds:
            return datetime.fromtimestamp(seconds if seconds < 1e11 else seconds / 1000, UTC)  # noqa: PLR2004  in the year 5138, or milliseconds
        case str() as text:
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                return None
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _run(item: Mapping[str, JsonValue]) -> UUID | None:
    metadata = item.get("metadata")
    given = metadata.get("run") if isinstance(metadata, dict) else None
    try:
        run = UUID(given) if isinstance(given, str) else None
    except ValueError:
        return None
    return run if run is not None and run.version == _VERSION else None
