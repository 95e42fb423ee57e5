"""How an application's tables are written and read: named statements with named parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from monitor.bindings.part import Part
from monitor.bindings.returned import returned
from monitor.bindings.statements import Statement, listed, numbered
from monitor.bindings.tasks import PROFILE, TASKS, THREADS, Task, checked
from monitor.values import OneOrSeveral


def _checked(tasks: Mapping[str, Task]) -> AfterValidator:
    def check(sql: str, info: ValidationInfo) -> str:
        return checked(sql, tasks[info.field_name or ""])

    return AfterValidator(check)


Sql: TypeAlias = Annotated[str, _checked(TASKS)]
"""One statement with parameters such as `:user_id`, that can touch nothing but what is synthetic."""
ThreadSql: TypeAlias = Annotated[str, _checked(THREADS)]
"""One on conversations."""
ThreadSqls: TypeAlias = Annotated[tuple[ThreadSql, ...], OneOrSeveral(), Field(min_length=1)]
"""One or several, carried out in their order in one transaction."""
ProfileSql: TypeAlias = Annotated[str, _checked(PROFILE)]
"""One on profiles."""
ProfileSqls: TypeAlias = Annotated[tuple[ProfileSql, ...], OneOrSeveral(), Field(min_length=1)]
"""One or several, carried out in their order in one transaction."""


class Section(Part):
    """Statements by what they are for; `place` is where they stand in the binding."""

    place: ClassVar[str]

    def statements(self, task: str) -> tuple[Statement, ...]:
        """The statements for one task, in their order; none where the binding has none."""
        given: str | tuple[str, ...] | None = getattr(self, task)
        sqls = (given,) if isinstance(given, str) else given or ()
        return numbered(f"{self.place}.{task}", sqls)


class SqlThreads(Section):
    """Conversations. Parameters: :user_id :thread_id :now everywhere, and what is named at each.

    :now is a moment, as a timestamp with a zone or without, as text, or as seconds in a column of numbers; :now_ms is
    the same in milliseconds. It is later with each use, by a microsecond at least. :claims are those of a JWT, as JSON.

    Results are known by their columns' names (aliases). A thread: thread_id, user_id, name, metadata, and message_count
    where it keeps one. A message: message_id, role, type, content, metadata, and number where it keeps one.
    """

    place: ClassVar = "postgres.threads"

    create: ThreadSqls = Field(
        description="Store a thread: :name :metadata. RETURNING … AS thread_id where the server makes it."
    )
    append: ThreadSqls = Field(
        description="Append a message: :message_id :role :type :content :metadata :number, 1, 2, … RETURNING … AS"
        " message_id where the server makes it."
    )
    load: ThreadSql = Field(description="Read the thread itself.")
    messages: ThreadSql = Field(description="Read all its messages in their order; :limit bounds it.")
    delete: ThreadSqls = Field(description="Delete the thread and its messages; the last deletes the thread itself.")
    rename: ThreadSqls | None = Field(default=None, description="Give it another :name.")
    edit: ThreadSqls | None = Field(
        default=None, description="Change a message: :message_id :role :type :content :metadata."
    )
    delete_message: ThreadSqls | None = Field(
        default=None, description="Delete the message :message_id; the last deletes the message itself."
    )
    page: ThreadSql | None = Field(
        default=None, description="Read the :limit messages after :after_id (null for the first page) in their order."
    )
    newest: ThreadSql | None = Field(default=None, description="Read the last :limit messages, the newest first.")
    count: ThreadSql | None = Field(default=None, description="Count the thread's messages, as `messages`.")
    list: ThreadSql | None = Field(
        default=None, description="The threads of the user, as thread_id; bounded by `= ANY (:thread_ids)` or :user_id."
    )

    @field_validator("*", mode="after")
    @classmethod
    def _whole(cls, given: str | tuple[str, ...] | None, info: ValidationInfo) -> str | tuple[str, ...] | None:
        return _complete(given, THREADS[info.field_name or ""])


class SqlProfile(Section):
    """A user's profile, one for each. Parameters: :user_id :now, and what is named at each.

    It is read back by the column `profile`, and `permissions` where they stand in a column of their own.
    """

    place: ClassVar = "postgres.profile"

    write: ProfileSqls = Field(
        description="Insert or replace it: :profile (a JSON object) :permissions (a list) :version."
    )
    read: ProfileSql = Field(description="Read it.")
    delete: ProfileSqls = Field(description="Delete it.")

    @field_validator("*", mode="after")
    @classmethod
    def _whole(cls, given: str | tuple[str, ...] | None, info: ValidationInfo) -> str | tuple[str, ...] | None:
        return _complete(given, PROFILE[info.field_name or ""])


class PostgresBinding(Section):
    """An application's tables."""

    place: ClassVar = "postgres"

    begin: tuple[Sql, ...] = Field(
        default=(),
        description="How a transaction begins on behalf of :user_id (:claims are those of a JWT): SELECT"
        " set_config(…, true), SET LOCAL, or nothing.",
    )
    parents: tuple[Sql, ...] = Field(
        default=(), description="What must exist before a user's first thread, such as a row of its own; idempotent."
    )
    clean: tuple[Sql, ...] = Field(
        default=(),
        description="Delete all that :user_id has left from before :before; for what a killed daemon could not remove.",
    )
    threads: SqlThreads | None = Field(default=None, description="Conversations.")
    profile: SqlProfile | None = Field(default=None, description="Users' profiles.")


def _complete(given: str | tuple[str, ...] | None, task: Task) -> str | tuple[str, ...] | None:
    """What was given, where its statements together use all that the task cannot do without. Raises ValueError."""
    if given is not None:
        sqls = (given,) if isinstance(given, str) else given
        used = {name for one in numbered("", sqls) for name in one.names}
        if task.makes and sum(returned(sql, task.makes) is not None for sql in sqls) > 1:
            raise ValueError(f"returns {task.makes} by several statements; leave it to the one that inserts that row")
        if missing := [name for name in task.needs if name not in used]:
            raise ValueError(f"does not use {listed(missing)}; {task.advice}")
    return given
