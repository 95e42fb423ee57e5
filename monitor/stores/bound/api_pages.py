"""Lists that an API gives a page at a time: by a cursor, by an offset, or by the link to the next page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

from pydantic import JsonValue

from monitor.bindings import Listing
from monitor.core.verdict import Reason
from monitor.stores.api import Who
from monitor.stores.api_connection import Answer, ApiConnection, Value

_MOST_REQUESTS = 2000  # of one list; more than any of ours needs, should an API lead on for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the next page begins."""

    after: JsonValue = None
    offset: int = 0
    link: str | None = None
    ended: bool = False


START = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What one request brought, and where the next page begins."""

    items: tuple[Mapping[str, JsonValue], ...]
    then: Place


async def leaves(
    connection: ApiConnection,
    listing: Listing,
    values: Mapping[str, Value],
    *,
    user: Who,
    most: int,
    start: Place = START,
) -> AsyncIterator[Leaf]:
    """As many items as `most`, or a few more where a page brings more than it was asked for. Raises StoreError.

    A list that is not there is an empty one. It ends, too, where the next page would be the same again.
    """
    place, brought = start, 0
    for _ in range(_MOST_REQUESTS):
        limit = min(listing.limit, most - brought)
        if place.ended or limit <= 0:
            return
        given = {**values, "limit": limit, "after": place.after, "offset": place.offset}
        answer = await connection.ask(listing, given, user=user, link=place.link)
        then = _then(connection, listing, answer, place, limit)
        brought += len(answer.items)
        yield Leaf(items=answer.items, then=then)
        place = then


def _then(connection: ApiConnection, listing: Listing, answer: Answer, place: Place, limit: int) -> Place:
    came = len(answer.items)
    if not answer.found:
        return replace(place, ended=True)
    if listing.after is not None:
        return Place(after=answer.after, ended=answer.after is None or answer.after == place.after)
    if "offset" in listing.names:
        short = came < limit if "limit" in listing.names else not came
        return Place(offset=place.offset + came, ended=short)
    full = "limit" in listing.names and came >= limit
    if full and answer.link is None and not listing.linked:
        what = f"the page is full ({came}), and nothing leads on; name `after`, send {{offset}}, or say `linked`"
        raise connection.error(listing, Reason.MISCONFIGURED, what)
    return Place(link=answer.link, ended=answer.link is None or answer.link == place.link)
