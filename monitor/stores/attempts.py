"""Attempts to change what belongs to somebody else, all made by the server itself and all taken back.

One DO block makes them: each in a subtransaction that ends by an exception of its own, whatever it did. So
nothing is ever committed, a few round trips are enough, and a refusal, which is what is wanted, is no error in the
server's log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monitor.core.tenancy import Tenant

# Table, its identifier, and a column to set.
_OWNED = (
    ("threads", "id", "name"),
    ("messages", "id", "content"),
    ("profiles", "id", "body"),
    ("registers", "run", "items"),
    ("activities", "id", "content"),
)
_INSERT = (
    "INSERT INTO holdfast.messages (id, thread_id, instance, user_id, seq, role, type, content, metadata)"
    " VALUES ({id}, '{thread}', '{instance}', '{user}', {seq}, 'user', 'user_query', '', '{{}}')"
)

REACHED = "SELECT current_setting('holdfast.reached')"
"""What the block found: a JSON array of pairs, the attempt and whose data it would have changed."""

_BLOCK = """DO $block$
DECLARE
    attempt record;
    changed bigint;
    reached jsonb := '[]';
BEGIN
    FOR attempt IN SELECT * FROM (VALUES {attempts}) AS attempts (path, owner, statement) LOOP
        BEGIN
            EXECUTE attempt.statement;
            GET DIAGNOSTICS changed = ROW_COUNT;
            RAISE EXCEPTION 'taken back' USING ERRCODE = 'HF000';
        EXCEPTION
            WHEN SQLSTATE 'HF000' THEN
                IF changed > 0 THEN
                    reached := reached || jsonb_build_array(jsonb_build_array(attempt.path, attempt.owner));
                END IF;
            WHEN insufficient_privilege THEN
                NULL;
        END;
    END LOOP;
    PERFORM set_config('holdfast.reached', reached::text, true);
END
$block$"""

PATHS = (
    *(f"{verb} {table}" for table, _, _ in _OWNED for verb in ("UPDATE", "DELETE FROM")),
    "INSERT for another",
    "UPDATE that gives away",
    "INSERT ON CONFLICT",
)
"""The attempts by their names."""
PATHS_OF_NOBODY = PATHS[:-2]
"""Those for which one need not own anything."""

SHOWN = _BLOCK.format(
    attempts="('UPDATE threads', 'holdfast-user-N', 'UPDATE holdfast.threads SET name = name WHERE id = …'), …"
)
"""The block as `holdfast plan` shows it."""


def block(instance: str, viewer: Tenant | None, tenants: Sequence[Tenant]) -> str:
    """The block by which one user, or nobody, tries to change what is each one's, its own too.

    What is put into the text are identifiers, synthetic users and the mark of this daemon: all of our own making.
    """
    attempts = ", ".join(
        f"('{path}', '{owner.user}', $sql${statement}$sql$)"
        for owner in tenants
        for path, statement in _attempts(instance, viewer, owner)
    )
    return _BLOCK.format(attempts=attempts)


def _attempts(instance: str, viewer: Tenant | None, owner: Tenant) -> Iterator[tuple[str, str]]:
    for table, key, column in _OWNED:
        these = f"WHERE {key} = '{owner.id}'"
        yield f"UPDATE {table}", f"UPDATE holdfast.{table} SET {column} = {column} {these}"  # noqa: S608  see block
        yield f"DELETE FROM {table}", f"DELETE FROM holdfast.{table} {these}"  # noqa: S608
    new = _INSERT.format(id="gen_random_uuid()", thread=owner.id, instance=instance, user=owner.user, seq=2)
    yield "INSERT for another", new
    if viewer is not None:
        gift = f"UPDATE holdfast.messages SET user_id = '{owner.user}' WHERE id = '{viewer.id}'"  # noqa: S608
        yield "UPDATE that gives away", gift
        twin = _INSERT.format(id=f"'{owner.id}'", thread=viewer.id, instance=instance, user=viewer.user, seq=3)
        yield "INSERT ON CONFLICT", f"{twin} ON CONFLICT (id) DO UPDATE SET content = excluded.content"
