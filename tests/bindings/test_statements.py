"""Statements of a binding: which of their words are parameters, and what they can touch."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.bindings.fence import Kind, fenced
from monitor.bindings.postgres import SqlProfile, SqlThreads
from monitor.bindings.returned import Column, returned
from monitor.bindings.statements import compiled
from tests.bindings.schemas import TICKETS_BINDING, of, shipped

COMPILED = {
    "SELECT :user_id": ("SELECT $1", ("user_id",)),
    "SELECT :now, :user_id, :now": ("SELECT $1, $2, $3", ("now", "user_id", "now")),
    "SELECT :user_id::uuid, a::text": ("SELECT $1::uuid, a::text", ("user_id",)),
    "SELECT ':name', E'\\':name', $$ :name $$, $q$ :name $q$, U&':name'": None,
    'SELECT ":name" -- :name\n /* :name /* :name */ :name */ FROM t': None,
    "SELECT 'é🦊', :name": ("SELECT 'é🦊', $1", ("name",)),
    "SELECT x ->> 'a:b' = ANY (:thread_ids)": ("SELECT x ->> 'a:b' = ANY ($1)", ("thread_ids",)),
    "SELECT :name;": ("SELECT $1;", ("name",)),
}


@pytest.mark.parametrize("sql", COMPILED)
def test_parameters(sql: str) -> None:
    """A colon with a name is a parameter, but not in casts, texts, quotes and comments; all else is as it was."""
    found = compiled(sql)
    assert (found.sql, found.names) == (COMPILED[sql] or (sql, ()))


ACCEPTED = (
    "SELECT * FROM threads WHERE id = :thread_id",
    "SELECT * FROM public.threads WHERE (public.threads.id) = (:thread_id)::uuid AND (a OR b)",
    "SELECT * FROM threads t WHERE t.id = ANY (:thread_ids::uuid[])",
    "SELECT * FROM threads t WHERE t.id IN (:thread_id, :after_id)",
    "SELECT * FROM threads WHERE (tenant, id) = (1, :thread_id)",
    "SELECT * FROM messages WHERE thread_id IN (SELECT id FROM threads WHERE user_id = :user_id)",
    "SELECT * FROM messages WHERE thread_id = (SELECT max(id) FROM threads WHERE user_id = :user_id)",
    "SELECT * FROM messages m JOIN threads t ON t.id = m.thread_id WHERE t.id = :thread_id",
    "SELECT * FROM messages m JOIN threads t ON t.id = m.thread_id AND t.id = :thread_id",
    "SELECT * FROM threads t LEFT JOIN messages m ON m.thread_id = t.id WHERE t.id = :thread_id",
    "SELECT * FROM threads t JOIN messages m USING (thread_id) WHERE t.thread_id = :thread_id",
    "SELECT * FROM threads t, messages m, parts p WHERE p.message = m.id AND m.thread_id = t.id AND t.id = :thread_id",
    "SELECT t.id, (SELECT count(*) FROM messages m WHERE m.thread_id = t.id) FROM threads t WHERE t.id = :thread_id",
    "SELECT * FROM threads t, LATERAL (SELECT * FROM messages m WHERE m.thread_id = t.id) x WHERE t.id = :thread_id",
    "SELECT * FROM unnest(:thread_ids::uuid[]) AS w (id) LEFT JOIN threads t ON t.id = w.id",
    "SELECT * FROM threads t CROSS JOIN generate_series(1, 3) AS n WHERE t.id = :thread_id",
    "SELECT * FROM threads t, jsonb_array_elements(t.metadata) AS e WHERE t.id = :thread_id",
    "SELECT * FROM messages_of(:thread_id)",
    "SELECT create_thread(:user_id) AS thread_id",
    "WITH t AS (SELECT id FROM threads WHERE user_id = :user_id) SELECT * FROM messages m JOIN t ON t.id = m.thread_id",
    (
        "WITH RECURSIVE r AS (SELECT id FROM messages WHERE id = :message_id UNION ALL"
        " SELECT m.id FROM messages m JOIN r ON m.parent = r.id) SELECT * FROM r"
    ),
    "WITH gone AS (DELETE FROM messages WHERE thread_id = :thread_id RETURNING id) SELECT count(*) FROM gone",
    "SELECT 1 FROM a WHERE id = :thread_id UNION ALL SELECT 2 FROM b WHERE id = :thread_id",
    "UPDATE threads SET name = :name WHERE id = :thread_id RETURNING id",
    "UPDATE messages m SET role = :role FROM threads t WHERE m.thread_id = t.id AND t.id = :thread_id",
    "DELETE FROM messages USING threads t WHERE messages.thread_id = t.id AND t.user_id = :user_id",
    "INSERT INTO threads (id, user_id) VALUES (:thread_id, :user_id)",
    (
        "INSERT INTO messages (thread_id, seq) VALUES (:thread_id,"
        " (SELECT coalesce(max(seq), 0) + 1 FROM messages WHERE thread_id = :thread_id))"
    ),
    "INSERT INTO messages (thread_id) SELECT t.id FROM threads t WHERE t.id = :thread_id",
    "INSERT INTO users (id) VALUES (:user_id) ON CONFLICT (id) DO NOTHING",
    "INSERT INTO users (id, name) VALUES (:user_id, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
    (
        "INSERT INTO users AS u (email, owner) VALUES ('x', :user_id) ON CONFLICT (email) DO UPDATE SET a = 1"
        " WHERE u.owner = :user_id"
    ),
    "SELECT * FROM threads WHERE id = :thread_id FOR UPDATE",
)


@pytest.mark.parametrize("sql", ACCEPTED)
def test_accepted(sql: str) -> None:
    """Statements that ids of ours hold to what is ours."""
    fenced(sql, ids=("thread_id", "user_id"))


REFUSED = {
    "SELECT * FROM threads": "names no id of Holdfast's own; give it one of :thread_id :user_id",
    "SELECT :user_id FROM threads": "reads rows of threads that may be anybody's: without a WHERE nothing equates",
    "DELETE FROM threads WHERE name = 'x' AND :user_id = :user_id": "add AND … = :thread_id with the column",
    "UPDATE threads SET owner = :user_id": "changes rows of threads",
    "DELETE FROM public.threads WHERE id = :thread_id OR true": "deletes rows of public.threads that may be anybody's:"
    " in `WHERE id = :thread_id OR TRUE` nothing that holds for every row equates a column of threads with"
    " :thread_id :user_id; add AND … = :thread_id with the column of public.threads that holds it",
    "DELETE FROM threads WHERE NOT id = :thread_id": "deletes rows",
    "DELETE FROM threads WHERE id <> :thread_id": "deletes rows",
    "DELETE FROM threads WHERE id IS NOT DISTINCT FROM :thread_id": "deletes rows",
    "DELETE FROM threads WHERE id NOT IN (:thread_id)": "deletes rows",
    "DELETE FROM threads WHERE id <> ALL (:thread_ids)": "deletes rows",
    "DELETE FROM threads WHERE id IN (:thread_id, '1')": "deletes rows",
    "DELETE FROM threads WHERE lower(id) = :thread_id": "deletes rows",
    "DELETE FROM threads WHERE coalesce(id, :thread_id) = :thread_id": "deletes rows",
    "DELETE FROM threads WHERE (id = :thread_id) IS NOT TRUE": "deletes rows",
    "DELETE FROM threads WHERE name = :name AND :thread_id IS NOT NULL": "deletes rows",
    "SELECT * FROM messages m JOIN threads t ON true WHERE t.id = :thread_id": "a column of m with",
    "SELECT * FROM messages m LEFT JOIN threads t ON t.id = m.thread_id AND t.id = :thread_id": (
        "reads rows of messages"
    ),
    "SELECT * FROM messages m LEFT JOIN threads t ON m.thread_id = :thread_id AND t.id = :thread_id": (
        "reads rows of messages"
    ),
    "SELECT * FROM threads t RIGHT JOIN messages m ON m.thread_id = t.id WHERE t.id = :thread_id": (
        "reads rows of messages"
    ),
    "SELECT * FROM threads t RIGHT JOIN messages m ON m.thread_id = t.id AND t.id = :thread_id": (
        "reads rows of messages"
    ),
    "SELECT * FROM threads t FULL JOIN messages m ON m.thread_id = t.id AND t.id = :thread_id": "reads rows of threads",
    "SELECT * FROM threads t NATURAL JOIN messages m WHERE t.id = :thread_id": "reads rows of messages",
    "SELECT * FROM threads t, messages m WHERE thread_id = :thread_id": "reads rows of threads",
    "SELECT user_id FROM threads GROUP BY user_id HAVING user_id = :user_id": "without a WHERE",
    "SELECT * FROM messages WHERE thread_id IN (SELECT id FROM threads) AND role = :user_id::text OR false": (
        "reads rows"
    ),
    "SELECT * FROM messages WHERE thread_id IN (SELECT 1 FROM threads WHERE id = :thread_id)": "reads rows of messages",
    "SELECT * FROM messages WHERE thread_id IN (SELECT n.id FROM threads t, generate_series(1, 9) n (id)"
    " WHERE t.id = :thread_id)": "reads rows of messages",
    "SELECT * FROM messages WHERE thread_id IN (SELECT id FROM threads WHERE id = :thread_id UNION SELECT 1)": (
        "of messages"
    ),
    "SELECT * FROM threads WHERE id = :thread_id AND EXISTS (SELECT 1 FROM secrets)": "reads rows of secrets",
    "SELECT (SELECT count(*) FROM secrets) FROM threads WHERE id = :thread_id": "reads rows of secrets",
    "SELECT * FROM threads WHERE id = :thread_id ORDER BY (SELECT max(x) FROM secrets)": "reads rows of secrets",
    "SELECT * FROM threads WHERE id = :thread_id UNION SELECT * FROM threads": "without a WHERE",
    "WITH x AS (DELETE FROM messages RETURNING 1) SELECT * FROM threads WHERE id = :thread_id": (
        "deletes rows of messages"
    ),
    "WITH threads AS (SELECT 1 AS id) SELECT * FROM public.threads WHERE name = :name AND a = :user_id OR b": (
        "public.threads"
    ),
    "WITH x AS (SELECT 1 AS id) SELECT * FROM messages m JOIN x ON x.id = m.id WHERE :user_id <> ''": (
        "reads rows of messages"
    ),
    "WITH t AS (SELECT 7 AS id FROM threads WHERE id = :thread_id) DELETE FROM messages USING t WHERE "
    "messages.id = t.id": "of messages",
    "WITH t (id, n) AS (SELECT id, 7 FROM threads WHERE id = :thread_id) DELETE FROM m USING t WHERE m.id = t.n": (
        "of m "
    ),
    "DELETE FROM m USING (SELECT count(*) AS id FROM threads WHERE id = :thread_id) t WHERE m.id = t.id": "of m ",
    "UPDATE messages m SET role = :role FROM threads t WHERE t.id = :thread_id": "changes rows of messages",
    "UPDATE threads SET name = (SELECT secret FROM secrets LIMIT 1) WHERE id = :thread_id": "reads rows of secrets",
    "DELETE FROM messages USING threads t WHERE t.id = :thread_id": "deletes rows of messages",
    "UPDATE threads SET a = 1 WHERE id = :thread_id RETURNING (SELECT max(a) FROM secrets)": "reads rows of secrets",
    "SELECT * FROM all_messages() AS m WHERE m.thread_id <> :thread_id": (
        "`ALL_MESSAGES() AS m` may return what is anybody's"
    ),
    "SELECT * FROM threads t, LATERAL all_of() x WHERE t.id = :thread_id": "may return what is anybody's",
    "INSERT INTO threads (name) VALUES (:name), (:user_id)": "inserts a row without an id of Holdfast's own",
    "INSERT INTO threads (name) SELECT name FROM threads WHERE :user_id <> ''": "reads rows of threads",
    "INSERT INTO users (email, id) VALUES ('x', :user_id) ON CONFLICT (email) DO UPDATE SET a = 1": (
        "ON CONFLICT (email) DO UPDATE could change somebody else's row of users"
    ),
    "INSERT INTO users (id) VALUES (:user_id) ON CONFLICT ON CONSTRAINT u DO UPDATE SET a = 1": "its constraint",
    "SELECT * INTO copies FROM threads WHERE id = :thread_id": "SELECT INTO makes a table",
    "DELETE FROM a WHERE id = :thread_id; DELETE FROM b WHERE id = :thread_id": (
        "holds several statements; write them as a list"
    ),
    "TRUNCATE threads": "TRUNCATE is not for a binding; use DELETE with an id of ours",
    "MERGE INTO t USING s ON t.a = :user_id WHEN MATCHED THEN DELETE": "use INSERT … ON CONFLICT",
    "WITH x AS (SELECT :user_id) MERGE INTO t USING x ON true WHEN MATCHED THEN DELETE": "MERGE is not for a binding",
    "DROP TABLE threads": "DROP is not for a binding",
    "COPY threads FROM STDIN": "use INSERT",
    "CALL p(:user_id)": "call a function by SELECT",
    "DO $$ BEGIN END $$": "call a function by SELECT",
    "BEGIN": "Holdfast begins and ends transactions itself",
    "commit": "COMMIT is not for a binding; Holdfast begins and ends transactions itself",
    "EXPLAIN ANALYZE DELETE FROM threads": "EXPLAIN is not for a binding",
    "SET LOCAL ROLE x": "what a transaction begins with stands in `begin`",
    "SELECT * FROM threads WHERE id = $1 AND user_id = :user_id": "write :thread_id where it says $1",
    "SELECT * FROM threads WHERE id = :thread_id AND": "cannot be read as SQL at line 1",
    "SELECT 'x FROM threads": "does a quote or a comment not end?",
    "SELECT set_config('a', :user_id, false)": "write set_config(…, …, true)",
    "": "is empty",
}


@pytest.mark.parametrize("sql", REFUSED)
def test_refused(sql: str) -> None:
    """Statements that could touch or read what is a customer's, each with what was found and the next step."""
    with pytest.raises(ValueError, match=re.escape(REFUSED[sql])):
        fenced(sql, ids=("thread_id", "user_id"))


BEGIN = {
    "SET LOCAL ROLE authenticated": "",
    "SET LOCAL app.tenant = 'holdfast'": "",
    "SELECT set_config('app.user_id', :user_id, true)": "",
    "SELECT set_config('role', 'app', true), set_config('app.user_id', :user_id::text, true)": "",
    "SET ROLE authenticated": "use SET LOCAL",
    "SET SESSION app.user_id = 'x'": "use SET LOCAL",
    "SET LOCAL app.user_id = :user_id": "use SELECT set_config('app.user_id', :user_id, true)",
    "SELECT set_config('app.user_id', :user_id, false)": "inherits it; write set_config(…, …, true)",
    "SELECT pg_catalog.set_config('app.user_id', :user_id, false)": "inherits it; write set_config(…, …, true)",
    "SELECT set_config('app.user_id', id, true) FROM users": "reads rows of users",
    "RESET ROLE": "use SET LOCAL",
    "SET LOCAL statement_timeout = 0": "statement_timeout is Holdfast's own guard of the server; leave it out",
    "SELECT set_config('lock_timeout', '0', true)": "lock_timeout is Holdfast's own guard",
}


@pytest.mark.parametrize("sql", BEGIN)
def test_begin(sql: str) -> None:
    """A transaction begins with what ends with it."""
    _held(sql, BEGIN[sql], kind="begin")


CLEAN = {
    "DELETE FROM threads WHERE user_id = :user_id AND created_at < :before": "",
    "DELETE FROM threads WHERE user_id = :user_id AND created < :before_ms": "",
    "DELETE FROM m WHERE thread_id IN (SELECT id FROM t WHERE user_id = :user_id AND created < :before)": "",
    "DELETE FROM threads WHERE user_id = :user_id": "add AND created_at < :before",
    "DELETE FROM threads WHERE user_id = :user_id AND (created_at < :before OR true)": "add AND created_at < :before",
    "DELETE FROM threads WHERE user_id = :user_id AND NOT created_at < :before": "add AND created_at < :before",
    "DELETE FROM threads WHERE user_id = :user_id RETURNING :before": "uses :before outside of WHERE",
}


@pytest.mark.parametrize("sql", CLEAN)
def test_clean(sql: str) -> None:
    """A sweep takes what is old, and of one user."""
    _held(sql, CLEAN[sql], kind="clean")


def _held(sql: str, message: str, *, kind: Kind) -> None:
    if not message:
        fenced(sql, kind=kind, ids=("user_id",))
        return
    with pytest.raises(ValueError, match=re.escape(message)):
        fenced(sql, kind=kind, ids=("user_id",))


def test_shipped() -> None:
    """Every statement of the bindings that ship is held to what is synthetic, and so is that of tickets."""
    assert shipped("platform").postgres is not None
    assert shipped("supabase").postgres is not None
    assert of(TICKETS_BINDING).postgres is not None


PLAIN = {
    "create": "INSERT INTO threads (id) VALUES (:thread_id)",
    "append": "INSERT INTO messages (id, thread_id) VALUES (:message_id, :thread_id)",
    "load": "SELECT id AS thread_id FROM threads WHERE id = :thread_id",
    "messages": "SELECT id AS message_id FROM messages WHERE thread_id = :thread_id LIMIT :limit",
    "delete": "DELETE FROM threads WHERE id = :thread_id",
}
TASKS = {
    (
        "append",
        "INSERT INTO m (id, t) VALUES (:mesage_id, :thread_id)",
    ): "there is no parameter :mesage_id here; did you"
    " mean :message_id? There are :user_id :claims :now :now_ms :thread_id :message_id",
    (
        "load",
        "SELECT 1 FROM threads WHERE id = :thread_id LIMIT :limit",
    ): "there is no parameter :limit here; there are :user_id",
    ("messages", "SELECT id FROM messages WHERE thread_id = :thread_id"): "does not use :limit; add",
    ("delete", "DELETE FROM threads WHERE user_id = :user_id"): "does not use :thread_id; else it is of more than this",
    ("edit", "UPDATE messages SET a = 1 WHERE thread_id = :thread_id"): "does not use :message_id; else it is of more",
}


@pytest.mark.parametrize(("task", "sql"), TASKS)
def test_tasks(task: str, sql: str) -> None:
    """What a statement is for says which parameters it has, and which it cannot do without."""
    with pytest.raises(ValidationError, match=re.escape(TASKS[task, sql])) as caught:
        SqlThreads.model_validate({**PLAIN, task: sql})
    assert caught.value.errors()[0]["loc"][0] == task


def test_place() -> None:
    """Of several statements the error says which one."""
    with pytest.raises(ValidationError) as caught:
        SqlProfile.model_validate(
            {
                "write": ["INSERT INTO p (id, body) VALUES (:user_id, :profile)", "UPDATE p SET a = 1"],
                "read": "SELECT body AS profile FROM p WHERE id = :user_id",
                "delete": "DELETE FROM p WHERE id = :user_id",
            }
        )
    assert [error["loc"] for error in caught.value.errors()] == [("write", 1)]


COLUMNS = st.sampled_from(["id", "thread_id", "user_id", "name", '"Odd name"'])
FENCES = st.builds(
    lambda column, value: f"{{of}}{column} {value}",
    COLUMNS,
    st.sampled_from(
        [
            "= :thread_id",
            "= (:thread_id)",
            "= :user_id::uuid",
            "= CAST(:message_id AS bigint)",
            "= ANY (:thread_ids)",
            "= ANY (:thread_ids::uuid[])",
            "IN (:thread_id)",
            "IN (SELECT x.id FROM others AS x WHERE x.owner = :user_id)",
        ]
    ),
)
OTHERS = st.lists(
    st.sampled_from(["{of}a > 1", "({of}b IS NULL OR {of}c)", "{of}created_at < now()", "NOT {of}gone", "{of}d = 'x'"]),
    max_size=3,
)
VERBS = st.sampled_from(
    [
        "SELECT * FROM things AS t WHERE {where}",
        "SELECT count(*) FROM things AS t WHERE {where} GROUP BY t.a ORDER BY 1 LIMIT :limit",
        "UPDATE things AS t SET name = :name WHERE {where}",
        "DELETE FROM things AS t WHERE {where} RETURNING t.id",
        "WITH w AS (DELETE FROM things AS t WHERE {where} RETURNING t.id) SELECT * FROM w",
        "INSERT INTO copies (id) SELECT t.id FROM things AS t WHERE {where}",
        "SELECT :user_id, (SELECT max(t.a) FROM things AS t WHERE {where})",
    ]
)
WEAKENINGS = (
    "{fence} OR true",
    "({fence} OR t.a = 1)",
    "NOT ({fence})",
    "NOT NOT ({fence})",
    "({fence}) IS NOT NULL",
    "coalesce({fence}, true)",
    "CASE WHEN {fence} THEN true ELSE true END",
    "({fence}) = false",
    "EXISTS (SELECT 1 FROM others AS o WHERE o.id = :thread_id OR {fence})",
    "true",
    ":user_id = :user_id",
    "'x' = :user_id",
    "current_user = :user_id",
)


@given(verb=VERBS, fence=FENCES, others=OTHERS, place=st.integers(0, 3))
def test_held(verb: str, fence: str, others: list[str], place: int) -> None:
    """Whatever else it asks for, a statement whose rows a condition equates with ids of ours is accepted."""
    conditions = [*others[:place], fence, *others[place:]]
    fenced(_built(verb, conditions), ids=("thread_id", "user_id"))


@given(verb=VERBS, fence=FENCES, others=OTHERS, place=st.integers(0, 3), weakening=st.sampled_from(WEAKENINGS))
def test_weakened(verb: str, fence: str, others: list[str], place: int, weakening: str) -> None:
    """The same is refused as soon as the condition is gone, or holds for some rows only."""
    weak = weakening.format(fence=fence)
    sql = _built(verb, [*others[:place], weak, *others[place:]])
    with pytest.raises(ValueError, match=r"things|no id of Holdfast's own"):
        fenced(sql, ids=("thread_id", "user_id"))


@given(fence=FENCES, others=OTHERS, join=st.sampled_from(["LEFT JOIN", "LEFT OUTER JOIN", "FULL JOIN", "NATURAL JOIN"]))
def test_moved(fence: str, others: list[str], join: str) -> None:
    """A condition in the ON of an outer join leaves every row of the side that always comes; HAVING reads all."""
    where = " AND ".join(["true", *others]).format(of="t.")
    on = "" if join.startswith("NATURAL") else f" ON {fence}".format(of="t.")
    for sql in (
        f"SELECT * FROM things AS t {join} others AS o{on} WHERE {where} AND o.id = :thread_id",  # noqa: S608
        f"SELECT t.id FROM things AS t WHERE {where} GROUP BY t.id HAVING {fence}".format(of="t."),  # noqa: S608
    ):
        with pytest.raises(ValueError, match=r"things|no id of Holdfast's own"):
            fenced(sql, ids=("thread_id", "user_id"))


def _built(verb: str, conditions: list[str]) -> str:
    of = "t."
    return verb.format(where=" AND ".join(f"({each})" if " OR " in each else each for each in conditions)).format(of=of)


MAKES = "INSERT INTO threads (user_id) VALUES (:user_id) RETURNING {}"
NO_IDS = (
    "5 AS thread_id",
    "5 thread_id",
    '5 AS "thread_id"',
    "CAST(5 AS thread_id)",
    "thread_id(5)",
    "(SELECT 5 AS thread_id)",
    "CASE WHEN true THEN 5 ELSE thread_id END",
    ":user_id AS thread_id",
    "NULL AS thread_id",
    "id + 1 AS thread_id",
    "coalesce(id, 5) AS thread_id",
    "(SELECT max(id) FROM threads WHERE user_id = :user_id) AS thread_id",
    "others.id AS thread_id",
    "id AS thread_id, 5 AS thread_id",
    "*, 5 AS thread_id",
)


@pytest.mark.parametrize("what", NO_IDS)
def test_what_is_returned_as_an_id(what: str) -> None:
    """What comes back as the id of a thread is a plain column of the table that is inserted into, and nothing else."""
    create = MAKES.format(what)
    with pytest.raises(ValidationError, match="need not be the id of the row that it inserts") as caught:
        SqlThreads.model_validate({**PLAIN, "create": create})
    assert caught.value.errors()[0]["loc"][0] == "create"


@pytest.mark.parametrize(
    "create",
    [
        "UPDATE threads SET name = :name WHERE user_id = :user_id RETURNING id AS thread_id",
        "SELECT id AS thread_id FROM threads WHERE user_id = :user_id",
        "WITH t AS (INSERT INTO threads (user_id) VALUES (:user_id) RETURNING id) SELECT 5 AS thread_id FROM t",
    ],
)
def test_ids_come_from_what_inserts(create: str) -> None:
    """An id is returned by the INSERT itself: another statement could return that of what is there already."""
    with pytest.raises(ValidationError, match="return one plain column of"):
        SqlThreads.model_validate({**PLAIN, "create": create})


def test_one_id() -> None:
    """Of several statements only one says which id it is."""
    made = "INSERT INTO threads (user_id) VALUES (:user_id) RETURNING id AS thread_id"
    with pytest.raises(ValidationError, match="returns thread_id by several statements"):
        SqlThreads.model_validate({**PLAIN, "create": [made, made]})


@given(
    column=st.sampled_from(["id", '"Odd name"', "thread_id", "ID"]),
    of=st.sampled_from(["", "t."]),
    cast=st.sampled_from(["{}", "({})", "{}::text", "CAST({} AS bigint)"]),
    weakening=st.sampled_from(
        ["{} + 0", "coalesce({}, 5)", "max({})", "(SELECT {})", "lower({})", "nullif({}, 5)", "5"]
    ),
)
def test_columns_that_are_ids(column: str, of: str, cast: str, weakening: str) -> None:
    """A column, however it is cast, is told with its table; whatever is computed of it is refused."""
    sql = "INSERT INTO app.threads AS t (user_id) VALUES (:user_id) RETURNING {} AS thread_id"
    name = column.strip('"') if column.startswith('"') else column.lower()
    assert returned(sql.format(cast.format(of + column)), "thread_id") == Column("app.threads", name)
    with pytest.raises(ValueError, match="need not be the id"):
        returned(sql.format(cast.format(weakening.format(of + column))), "thread_id")
