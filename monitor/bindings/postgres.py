"""How an application's tables are written and read: named statements with named parameters."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from monitor.bindings.part import Part
from monitor.bindings.statements import sentinel_only

Sql: TypeAlias = Annotated[str, AfterValidator(sentinel_only)]
"""One statement with parameters such as `:thread_id`, that can touch nothing but what is synthetic."""
Sqls: TypeAlias = Annotated[
    tuple[Sql, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given), Field(min_length=1)
]
"""One statement or several, carried out in their order in one transaction."""


class SqlThreads(Part):
    """Conversations. Parameters: :user_id :thread_id :now everywhere, and what is named at each.

    Results are known by their columns' names (aliases). A thread: thread_id, user_id, name, metadata, and message_count
    where it keeps one. A message: message_id, role, type, content, metadata, and number where it keeps one.
    """

    create: Sqls = Field(
        description="Store a thread: :name :metadata. RETURNING … AS thread_id where the server makes it."
    )
    append: Sqls = Field(
        description="Append a message: :message_id :role :type :content :metadata :number, 1, 2, … RETURNING … AS"
        " message_id where the server makes it."
    )
    load: Sql = Field(description="Read the thread itself.")
    messages: Sql = Field(description="Read all its messages in their order; :limit bounds it.")
    delete: Sqls = Field(description="Delete the thread and its messages.")
    rename: Sqls | None = Field(default=None, description="Give it another :name.")
    edit: Sqls | None = Field(default=None, description="Change a message: :message_id :role :type :content :metadata.")
    delete_message: Sqls | None = Field(default=None, description="Delete the message :message_id.")
    page: Sql | None = Field(
        default=None, description="Read the :limit messages after :after_id (null for the first page) in their order."
    )
    newest: Sql | None = Field(default=None, description="Read the last :limit messages, the newest first.")
    count: Sql | None = Field(default=None, description="Count the thread's messages, as `messages`.")
    list: Sql | None = Field(
        default=None, description="The threads of the user, as thread_id; bounded by `= ANY (:thread_ids)` or :user_id."
    )


class SqlProfile(Part):
    """A user's profile, one for each. Parameters: :user_id :now, and what is named at each.

    It is read back by the column `profile`, and `permissions` where they stand in a column of their own.
    """

    write: Sqls = Field(description="Insert or replace it: :profile (a JSON object) :permissions (a list) :version.")
    read: Sql = Field(description="Read it.")
    delete: Sqls = Field(description="Delete it.")


class PostgresBinding(Part):
    """An application's tables."""

    begin: tuple[Sql, ...] = Field(
        default=(),
        description="How a transaction begins on behalf of :user_id: set_config(…, true), SET LOCAL, or nothing.",
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
