"""What the statements of a binding are for: which parameters each can use, and which it cannot do without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from monitor.bindings.fence import fenced
from monitor.bindings.returned import returned
from monitor.bindings.statements import SENTINELS, compiled, known

_ALWAYS = ("user_id", "claims", "now", "now_ms")
_SPOKEN = ("message_id", "role", "type", "content", "metadata", "number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What statements are for.

    They can use the parameters `has`, besides :user_id :claims :now and :now_ms, and must use those of `needs`;
    `advice` says how. `kind` is how a transaction begins, what is swept, or any other. `makes` is the id that comes
    back where the server makes it.
    """

    has: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    advice: str = ""
    kind: Literal["begin", "clean", "other"] = "other"
    makes: Literal["", "thread_id", "message_id"] = ""


_OF_THREAD = "else it is of more than this thread: add `= :thread_id`"
_OF_MESSAGE = "else it is of more than this message: add `= :message_id`"
_BOUNDED = "add `= :thread_id`, and LIMIT :limit, for it must not grow with what it finds"

TASKS: Mapping[str, Task] = {
    "begin": Task(kind="begin"),
    "parents": Task(kind="begin"),
    "clean": Task(has=("before", "before_ms"), kind="clean"),
}
"""Of all users."""
THREADS: Mapping[str, Task] = {
    "create": Task(has=("thread_id", "name", "metadata"), makes="thread_id"),
    "append": Task(
        has=("thread_id", *_SPOKEN),
        needs=("thread_id",),
        advice="a message is appended to a thread",
        makes="message_id",
    ),
    "load": Task(has=("thread_id",), needs=("thread_id",), advice=_OF_THREAD),
    "messages": Task(has=("thread_id", "limit"), needs=("thread_id", "limit"), advice=_BOUNDED),
    "delete": Task(has=("thread_id",), needs=("thread_id",), advice=_OF_THREAD),
    "rename": Task(has=("thread_id", "name"), needs=("thread_id", "name"), advice=_OF_THREAD),
    "edit": Task(has=("thread_id", *_SPOKEN), needs=("message_id",), advice=_OF_MESSAGE),
    "delete_message": Task(has=("thread_id", *_SPOKEN), needs=("message_id",), advice=_OF_MESSAGE),
    "page": Task(
        has=("thread_id", "after_id", "limit"),
        needs=("thread_id", "after_id", "limit"),
        advice="add `= :thread_id`, LIMIT :limit, and what follows :after_id (null for the first page)",
    ),
    "newest": Task(has=("thread_id", "limit"), needs=("thread_id", "limit"), advice=_BOUNDED),
    "count": Task(has=("thread_id",), needs=("thread_id",), advice=_OF_THREAD),
    "list": Task(has=("thread_ids", "limit")),
}
"""Of conversations."""
PROFILE: Mapping[str, Task] = {
    "write": Task(
        has=("profile", "permissions", "version"),
        needs=("user_id", "profile"),
        advice="what is written is the :profile of :user_id",
    ),
    "read": Task(needs=("user_id",), advice="add `= :user_id`"),
    "delete": Task(needs=("user_id",), advice="add `= :user_id`"),
}
"""Of profiles."""


def checked(sql: str, task: Task) -> str:
    """A statement as it was given. Raises ValueError where it could touch, or read, more than what is synthetic."""
    known(compiled(sql).names, (*_ALWAYS, *task.has))
    ids = [name for name in (*task.has, *_ALWAYS) if name in SENTINELS]
    fenced(sql, kind=task.kind, ids=ids)
    if task.makes:
        returned(sql, task.makes)
    return sql
