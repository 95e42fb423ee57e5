"""Whether an API's answers tell enough: what is written by it has to be known again, and what is read compared."""

from __future__ import annotations

from monitor.bindings.api import ApiThreads, Listing
from monitor.bindings.ids import Ids
from monitor.core.payload import Speech


def make_sure_told(api: ApiThreads, *, ids: Ids, speech: Speech, writes: bool, reads: bool) -> None:
    """Raises ValueError that names the request, and what it has to return."""
    if writes:
        _make_sure_ids(api, ids, speech)
    if reads:
        sent = api.create.names
        wanted = {
            "name": "name" in sent and speech.names,
            "metadata": not sent.isdisjoint({"metadata", "metadata_json"}) and speech.metadata != "no",
        }
        for name, needed in wanted.items():
            if needed and name not in api.load.returns:
                raise ValueError(f"api.threads.load does not return {name}, which create sends; name where it stands")
        for where, listing in (("messages", api.messages), ("newest", api.newest)):
            if listing is not None:
                _make_sure_messages(f"api.threads.{where}", listing, ids, speech)


def _make_sure_ids(api: ApiThreads, ids: Ids, speech: Speech) -> None:
    if ids.thread.made_by == "server" and "thread_id" not in api.create.returns:
        raise ValueError("api.threads.create does not return thread_id, which the server makes (ids.thread.made_by)")
    if ids.message.made_by == "holdfast":
        return
    for where, request, name in (
        ("append", api.append, "message_id"),
        ("append_many", api.append_many, "message_ids"),
    ):
        if request is not None and name not in request.returns and not _by_metadata(api, speech):
            raise ValueError(
                f"api.threads.{where} does not return {name}, which the server makes (ids.message.made_by); without it"
                " messages can be known again by their metadata only, and messages does not return these"
            )


def _make_sure_messages(where: str, listing: Listing, ids: Ids, speech: Speech) -> None:
    needed = {"role", "content"}
    needed |= {"type"} if speech.types else set()
    needed |= {"metadata"} if speech.metadata != "no" else set()
    needed |= {"message_id"} if ids.message.made_by == "holdfast" or speech.metadata == "no" else set()
    if missing := sorted(needed - set(listing.returns)):
        raise ValueError(f"{where} does not return {' and '.join(missing)} of each message; name where it stands")


def _by_metadata(api: ApiThreads, speech: Speech) -> bool:
    return speech.metadata != "no" and "metadata" in api.messages.returns
