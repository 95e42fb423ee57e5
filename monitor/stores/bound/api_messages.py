"""Threads and messages as an application's API has them, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from uuid import UUID

from pydantic import JsonValue

from monitor.bindings import ApiThreads
from monitor.core.payload import Message, Thread, written_as
from monitor.stores.api_connection import Value
from monitor.stores.bound.identities import Identities
from monitor.stores.bound.proof import is_made


class Translation:
    """Between our threads and messages, and the values of requests and answers."""

    def __init__(self, api: ApiThreads, identities: Identities) -> None:
        self._api = api
        self._identities = identities
        told = "message_id" in api.append.returns
        self.by_metadata = identities.messages.style.made_by == "server" and not told

    def header(self, thread: Thread) -> dict[str, Value]:
        """The values of a thread that is to be created."""
        metadata = json.loads(thread.metadata)
        return {"name": thread.name, "metadata": metadata, "metadata_json": thread.metadata}

    def message(self, message: Message) -> dict[str, Value]:
        """The values of a message; its id is null where the server has not yet said which it made."""
        return {
            "message_id": self._identities.messages.id(message.id),
            "role": message.role,
            "type": message.type,
            "content": message.content,
            "metadata": json.loads(message.metadata),
            "metadata_json": message.metadata,
            "number": message.number,
        }

    def thread_read(self, thread: Thread, values: Mapping[str, JsonValue]) -> Thread:
        """The header that was answered where `thread` was asked for. What `create` does not send, nobody can expect."""
        sent, user = self._api.create.names, values.get("user_id")
        metadata = "metadata" in sent or "metadata_json" in sent
        return Thread(
            id=self._identities.threads.ours(given) if (given := _id(values.get("thread_id"))) else thread.id,
            user=self._identities.owner(_text(user), asked=thread.user) if "user_id" in values else thread.user,
            name=_text(values.get("name")) if "name" in sent else thread.name,
            metadata=_json(values.get("metadata")) if metadata else thread.metadata,
        )

    def is_made(self, thread: Thread, values: Mapping[str, JsonValue]) -> bool:
        """Whether the header that was answered is that of the thread that was made, by what was sent and returned."""
        sent, told = self._api.create.names, self._api.load.returns
        as_sent = {"name": {"name"}, "metadata": {"metadata", "metadata_json"}}
        by = [part for part, names in as_sent.items() if part in told and not names.isdisjoint(sent)]
        return is_made(thread, self.thread_read(thread, values), by=by)

    def message_read(self, values: Mapping[str, JsonValue]) -> Message:
        """A message that was answered."""
        metadata, number, content = _json(values.get("metadata")), values.get("number"), values.get("content")
        return Message(
            id=self._message_id(values.get("message_id"), metadata),
            number=number if isinstance(number, int) else 0,
            role=_text(values.get("role")),
            type=_text(values.get("type")),
            content=None if content is None else _text(content),
            metadata=metadata if "metadata" in self._api.messages.returns else "{}",
        )

    def _message_id(self, given: JsonValue, metadata: str) -> UUID:
        messages, theirs = self._identities.messages, _id(given)
        if self.by_metadata and (ours := written_as(metadata)) is not None:
            if theirs is not None and messages.id(ours) is None:
                messages.learn(ours, theirs)
            return ours
        return messages.ours(_text(given))


def _id(value: JsonValue) -> str | int | None:
    return value if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def _text(value: JsonValue) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json(value: JsonValue) -> str:
    """JSON text; of an application that keeps metadata as text, that text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
