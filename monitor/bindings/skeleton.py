"""A binding as a commented YAML text, from what was guessed of an application's tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from textwrap import indent

from monitor.bindings.drafts import (
    LONGEST_ID,
    UNKNOWN,
    Guessed,
    ProfileDrafts,
    ThreadDrafts,
    ageless,
    alive_of,
    as_kept,
    begins,
    cleaning,
    id_kind,
    number_by_server,
    parent,
    room_of,
)
from monitor.bindings.guesses import Conversations, Profiles, family, is_named_content
from monitor.bindings.survey import Column, Table

_LONG = 70_000  # characters; the longest content that probes write has fewer
_GIVEN = (":number", ":role", ":type", ":name", ":content", ":now", ":now_ms", ":metadata", ":profile")
_WIDTH = 100  # of a statement in one line
_HEX = 32  # digits of an id that is text
_SHORT_CONTENT = "[plain, astral, combining, right_to_left, control, code, deep_json, numbers]"
_HEAD = """\
# yaml-language-server: $schema=./binding.schema.json
# (`holdfast config schema --binding > binding.schema.json` lets your editor know every key)
#
# How an application stores conversations and profiles, so that Holdfast's probes write and read them as it does.
# `holdfast bind init` wrote this from the catalogue of its database: GUESS marks what may be wrong, DECIDE what only
# you can know. Every statement is held to ids of Holdfast's own: nothing of a customer is read or changed.
"""
_SESSIONS = """
redis:
  # DECIDE: how keys of sessions look, how they are kept, and how long they live; Redis does not tell. Take the section
  # out where there are none.
  session:
    key: "session:{user_id}:{session_id}"
    encoding: json  # or hash, redisjson, pickle
    ttl: 1h
    sliding: true  # whether each use begins the hour anew
"""


def skeleton(guessed: Guessed) -> str:
    """The text of the file."""
    text = "\n".join(_lines(guessed)).rstrip() + "\n"
    return re.sub(r"\n{3,}", "\n\n", text)


def _lines(guessed: Guessed) -> Iterator[str]:
    yield f"{_HEAD}name: {_yaml(guessed.name)}\n"
    if guessed.used:
        yield from _tables(guessed)
    if guessed.redis:
        yield _SESSIONS


def _tables(guessed: Guessed) -> Iterator[str]:
    yield "ids:"
    if guessed.threads is not None:
        yield from _ids(guessed.threads)
    user = guessed.threads.user if guessed.threads else guessed.profile.user if guessed.profile else None
    yield "  # Ten users of each daemon, whom no customer can be."
    yield f"  user: {{kind: {id_kind(user) if user else 'text'}}}\n"
    if guessed.threads is not None:
        yield from _messages(guessed.threads)
    yield "postgres:"
    yield from _begin(guessed)
    yield from _parents(guessed)
    yield from _clean(guessed)
    if guessed.threads is not None:
        yield from _threads(guessed, guessed.threads)
    if guessed.profile is not None:
        yield from _profile(guessed, guessed.profile)


def _ids(found: Conversations) -> Iterator[str]:
    for what, prefix, column in (("thread", "thread_", found.thread_id), ("message", "msg_", found.message_id)):
        words = [f"kind: {id_kind(column)}"]
        room = room_of(column)
        if id_kind(column) == "text" and (room is None or room >= len(prefix) + _HEX):
            yield f"  # GUESS: how the application's ids of {what}s begin; Holdfast's will look like them."
            words.append(f"prefix: {prefix}")
        if number_by_server(column):
            words.append("made_by: server")
        if number_by_server(column) and not column.made_by_server:
            yield f"  # DECIDE: {column.name} has no sequence, so say in the statement who makes the next number."
        yield f"  {what}: {{{', '.join(words)}}}"


def _messages(found: Conversations) -> Iterator[str]:
    yield "messages:"
    if found.role is None:
        yield "  # GUESS: nothing says who has spoken, so that all have the role `user`."
        yield "  roles: [user]"
    else:
        yield from _choices("roles", found.role, "GUESS", ("user", "assistant"))
    if found.type is not None:
        yield from _choices("types", found.type, "DECIDE", ("text",))
    both = found.metadata is not None and found.message_metadata is not None
    if not both and (found.metadata or found.message_metadata):
        yield "  # GUESS: not both, threads and messages, have metadata, so none are written."
    yield f"  metadata: {'any' if both else _yaml('no')}"
    room = room_of(found.content)
    if room is not None and room < _LONG:
        yield f"  # {found.content.name} takes {room} characters, so content of 64 KiB is left out."
        yield f"  content: {_SHORT_CONTENT}"
    if found.name is None:
        yield "  names: false"
    yield ""


def _choices(key: str, column: Column, mark: str, otherwise: Sequence[str]) -> Iterator[str]:
    told = f"What {column.name} may be" if column.choices else f"{mark}: what {column.name} may be"
    yield f"  # {told}; they take turns, so name one as often as it should come."
    yield f"  {key}: [{', '.join(map(_yaml, column.choices or otherwise))}]"


def _begin(guessed: Guessed) -> Iterator[str]:
    secured = [table for table in guessed.used if table.secured]
    if not secured:
        return
    statements, unknown = begins(guessed)
    for each in unknown:
        yield f"  # DECIDE: policies also ask for {each}; add SELECT set_config('{each}', …, true)."
    if not statements:
        yield "  # DECIDE: how do the policies know the user? They say:"
        yield from (f"  #   {' '.join(policy.split())}" for table in secured for policy in table.policies)
        return
    yield "  # GUESS: row-level security holds, and its policies ask for this."
    yield "  begin:"
    yield from (f"    - {statement}" for statement in statements)
    yield ""


def _parents(guessed: Guessed) -> Iterator[str]:
    if guessed.link is None:
        return
    if (found := parent(guessed)) is None:
        yield f"  # DECIDE: threads refer to {guessed.link.table}, which is not in this schema. Let `parents` insert"
        yield "  # the row of :user_id there, or bind the API, whose accounts exist."
        yield ""
        return
    table, values, statement = found
    yield "  # A thread refers to its user, whose row must exist first."
    yield from _decide(table, values, margin="  ")
    yield "  parents:"
    yield "    - |"
    yield indent(statement, "      ") + "\n"


def _clean(guessed: Guessed) -> Iterator[str]:
    statements = [*cleaning(guessed)]
    for table in ageless(guessed) if statements else ():
        yield f"  # GUESS: nothing says how old rows of {table.name} are, so up to ten of Holdfast's stay there."
    if statements:
        yield "  # What a killed daemon left, from before any run that is under way."
        yield "  clean:"
        yield from _each(statements, margin="    ")
    else:
        yield "  # DECIDE: nothing says how old rows are, so what a killed daemon left stays; add `clean` if you can."
    yield ""


def _threads(guessed: Guessed, found: Conversations) -> Iterator[str]:
    drafts = ThreadDrafts(guessed, found)
    yield "  threads:"
    if not found.by_name:
        yield f"    # GUESS: {found.threads.name} and {found.messages.name} have such keys and columns, not such names;"
        yield "    # `bind init --threads TABLE --messages TABLE` takes others."
    yield from _decide(found.threads, drafts.create_values(), margin="    ")
    yield from _key("create", drafts.create())
    yield from _counters(found)
    yield from _decide(found.messages, drafts.append_values(), margin="    ")
    yield from _content(found.content)
    if len(drafts.append()) > 1:
        yield "    # Several statements are one transaction, and each must touch one row."
    yield from _key("append", drafts.append())
    yield from _key("rename", drafts.rename())
    yield from _key("edit", drafts.edit())
    yield from _deletion(guessed, found)
    yield from _key("delete_message", drafts.delete_message())
    yield from _key("delete", drafts.delete())
    yield "    # What is read is known by the names of the columns."
    if alive_of(found.threads):
        yield "    # GUESS: a thread that is put away is not shown."
    yield from _key("load", drafts.load())
    if not drafts.ordered:
        yield "    # DECIDE: nothing tells the order of messages; ids do not."
    for task in (drafts.messages, drafts.page, drafts.newest, drafts.count, drafts.list):
        yield from _key(task.__name__, task())


def _counters(found: Conversations) -> Iterator[str]:
    """What an application may keep of a thread's messages, and these statements do not."""
    known = {column.name for column in (found.count, found.updated, found.created) if column}
    for column in found.threads.columns:
        if column.name not in known and re.search(r"(^|_)count$|^last_\w+", column.name):
            yield f"    # DECIDE: {column.name} ({column.type}) is not kept here; add it to the UPDATE of `append`"
            yield "    # where your application counts or dates messages by it."


def _content(column: Column) -> Iterator[str]:
    if not is_named_content(column):
        yield f"    # GUESS: {column.name} ({column.type}) is what is said; its name does not say so."
    if family(column) == "json":
        yield f"    # GUESS: {column.name} holds a string of JSON: {as_kept(column)}, read by #>> '{{}}'. Where it is"
        yield "    # an object: jsonb_build_object('text', :content::text) here and in `edit`, ->> 'text' to read it."


def _deletion(guessed: Guessed, found: Conversations) -> Iterator[str]:
    if guessed.softly:
        yield "    # GUESS: what is deleted is marked, and stays until `clean` takes it."
        return
    marked = [table.name for table in (found.threads, found.messages) if alive_of(table, also_archived=False)]
    if marked:
        yield f"    # GUESS: rows are deleted, though {marked[0]} could mark them."


def _profile(guessed: Guessed, found: Profiles) -> Iterator[str]:
    drafts = ProfileDrafts(guessed, found)
    yield f"  # GUESS: {found.document.name} is the document that services write and read."
    yield "  profile:"
    yield from _decide(found.table, drafts.values(), margin="    ")
    for task in (drafts.write, drafts.read, drafts.delete):
        yield from _key(task.__name__, task())


def _key(task: str, statements: Sequence[str]) -> Iterator[str]:
    """An operation with its statements, as one would write them."""
    if not statements:
        return
    if len(statements) == 1:
        text = _broken(statements[0])
        yield f"    {task}: |\n{indent(text, '      ')}" if "\n" in text else f"    {task}: {text}"
    else:
        yield f"    {task}:"
        yield from _each(statements, margin="      ")
    yield ""


def _each(statements: Sequence[str], *, margin: str) -> Iterator[str]:
    for text in map(_broken, statements):
        yield f"{margin}- |\n{indent(text, margin + '  ')}" if "\n" in text else f"{margin}- {text}"


def _broken(statement: str) -> str:
    """A long statement in several lines."""
    if len(statement) <= _WIDTH or "\n" in statement:
        return statement
    return statement.replace(" WHERE ", "\nWHERE ", 1)


def _decide(table: Table, values: Mapping[str, str], *, margin: str) -> Iterator[str]:
    for column in table.columns:
        if values.get(column.name) == UNKNOWN:
            link = table.leads(column.name)
            told = f"refers to {link.table}: name a row of it, or insert one in `parents`," if link else "needs a value"
            yield f"{margin}# DECIDE: {column.name} ({column.type}) {told} in place of NULL."
        yield from _bounds(column, values.get(column.name), margin=margin)


def _bounds(column: Column, value: str | None, *, margin: str) -> Iterator[str]:
    """What the server asks of a value that was made up or that probes give."""
    if value is None or value == UNKNOWN:
        return
    if column.always:
        yield f"{margin}# DECIDE: {column.name} is GENERATED ALWAYS and takes no value: find users by another column,"
        yield f"{margin}# as `Users found by a lookup` in config/bindings/README.md shows."
    for check in column.checks:
        mark = "GUESS" if value in _GIVEN else "DECIDE"
        yield f"{margin}# {mark}: {column.name} is given {value}, and the server holds it to {' '.join(check.split())}."
    room = room_of(column)
    if room is not None and room < LONGEST_ID and value == ":user_id":
        yield f"{margin}# DECIDE: {column.name} ({column.type}) may be too short for :user_id."
    elif value.startswith(("left(", "'X")):
        yield f"{margin}# GUESS: {column.name} ({column.type}) is too short for an id, so it is given {value}."


def _yaml(text: str) -> str:
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", text)
    return text if plain and text.lower() not in {"null", "true", "false", "yes", "no", "on", "off"} else f'"{text}"'
