"""What is guessed of tables, and how it is written down, where no server is needed to see it."""

from __future__ import annotations

import pytest
import yaml

from monitor.bindings import Binding
from monitor.bindings.drafts import Guessed
from monitor.bindings.guesses import conversations, missed, profiles
from monitor.bindings.skeleton import skeleton
from monitor.bindings.survey import Column, Foreign, Table

UUID_KEY = Column(name="id", type="uuid", required=True)
MADE = Column(name="created_at", type="timestamp with time zone", default="now()")


def table(name: str, *columns: Column, to: dict[str, str] | None = None, policies: tuple[str, ...] = ()) -> Table:
    """A table of the schema `public` with the key `id`; `to` are its foreign keys."""
    foreign = tuple(Foreign(column=column, table=place, to="id") for column, place in (to or {}).items())
    return Table(
        schema="public",
        name=name,
        columns=columns,
        primary_key=("id",),
        foreign=foreign,
        secured=bool(policies),
        policies=policies,
    )


def written(*tables: Table) -> str:
    """The text of a binding for conversations in these tables."""
    return skeleton(Guessed(name="app", threads=conversations(tables), profile=None, tables=tables, redis=False))


def threads(**more: object) -> Table:
    """A table of threads."""
    user = Column(name="user_id", type="uuid", required=True)
    return table("threads", UUID_KEY, user, MADE, **more)  # type: ignore[arg-type]  # the helper's own


def messages(*columns: Column, name: str = "messages") -> Table:
    """A table of messages in threads."""
    body = columns or (Column(name="content", type="text", required=True),)
    link = Column(name="thread_id", type="uuid", required=True)
    return table(name, UUID_KEY, link, *body, MADE, to={"thread_id": "public.threads"})


@pytest.mark.parametrize("name", ["messages", "chat_messages", "post", "replies"])
def test_messages_by_any_usual_name(name: str) -> None:
    """Messages are found by the usual names, alone or at the end of a longer one, singular or plural."""
    found = conversations([threads(), messages(name=name)])
    assert found is not None
    assert (found.threads.name, found.messages.name, found.of_thread.name) == ("threads", name, "thread_id")


def test_what_looks_like_nothing_is_nothing() -> None:
    """Tables of something else are no conversations and no profiles."""
    others = [table("invoices", UUID_KEY, MADE), table("products", UUID_KEY)]
    assert (conversations(others), profiles(others, besides=())) == (None, None)


def test_what_is_written_is_a_binding() -> None:
    """The text can be loaded, whatever is missing in the tables."""
    values = yaml.safe_load(written(threads(), messages()))
    binding = Binding.model_validate(values)
    assert (binding.messages.roles, binding.messages.names, binding.messages.metadata) == (("user",), False, "no")


def test_policies_that_ask_for_a_jwt() -> None:
    """Where policies ask auth.uid(), a transaction begins with its claims; a user elsewhere is for the reader."""
    own = threads(to={"user_id": "auth.users"}, policies=("(user_id = auth.uid())",))
    text = written(own, messages())
    assert "SELECT set_config('request.jwt.claims', :claims, true)" in text
    assert "SET LOCAL ROLE authenticated" in text
    assert "DECIDE: threads refer to auth.users" in text


def test_a_setting_that_nobody_can_guess() -> None:
    """A setting of another sort than the user's is left to the reader, and the user's is filled in."""
    asked = "tenant = current_setting('app.tenant') AND user_id = current_setting('app.user_id')::uuid"
    text = written(threads(policies=(asked,)), messages())
    assert "DECIDE: policies also ask for app.tenant" in text
    assert "- SELECT set_config('app.user_id', :user_id, true)" in text


def test_names_that_sql_would_not_read() -> None:
    """Reserved words and capitals are quoted."""
    text = written(
        threads(), messages(Column(name="content", type="text"), Column(name="order", type="text", required=True))
    )
    assert '"order"' in text
    assert Binding.model_validate(yaml.safe_load(text)).postgres is not None


def test_short_content_is_not_asked_for_64_kib() -> None:
    """Where a column takes few characters, the largest kind of content is left out."""
    text = written(threads(), messages(Column(name="body", type="character varying(4000)")))
    assert "large" not in yaml.safe_load(text)["messages"]["content"]


def test_a_user_whose_id_takes_no_value() -> None:
    """An id that is always made by the server is left to the reader, who is shown how to look it up."""
    key = Column(name="id", type="integer", made_by_server=True, always=True, unique=True)
    accounts = table("accounts", key, Column(name="email", type="text", required=True, unique=True))
    text = written(accounts, threads(to={"user_id": "public.accounts"}), messages())
    assert "DECIDE: id is GENERATED ALWAYS and takes no value: find users by another column" in text


def test_a_column_that_is_too_short_for_a_user() -> None:
    """Where an id of a user would be cut off, that is a decision."""
    user = Column(name="user_id", type="character(10)", required=True)
    text = written(table("threads", UUID_KEY, user, MADE), messages())
    assert "DECIDE: user_id (character(10)) may be too short for :user_id." in text


def test_messages_by_their_role() -> None:
    """Tables of other names are taken by a foreign key and a role, and it is said that their names do not say so."""
    user = Column(name="user_id", type="uuid", required=True)
    told = [Column(name="role", type="text", required=True), Column(name="words", type="text", required=True)]
    link = Column(name="case_id", type="uuid", required=True)
    lines = table("lines", UUID_KEY, link, *told, MADE, to={"case_id": "public.cases"})
    text = written(table("cases", UUID_KEY, user, MADE), lines)
    assert "GUESS: cases and lines have such keys and columns, not such names" in text
    assert "GUESS: words (text) is what is said; its name does not say so." in text


def test_what_was_missed() -> None:
    """The nearest tables are named with what they lack."""
    link = Column(name="thread_id", type="uuid", required=True)
    bare = table("messages", UUID_KEY, link, MADE, to={"thread_id": "public.threads"})
    assert conversations([threads(), bare]) is None
    assert missed([threads(), bare]) == ("messages in threads: messages has no column of text or json",)
