"""Faults that let one user see or change what belongs to another."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.core.verdict import Kind, Reason
from monitor.embedded.faults.fault import FENCED_USER, Change, Fault, Report, Site, by_sql, drop_fault_schema
from monitor.embedded.faults.pooled import in_every_pooled_session

_ROLE = "holdfast"  # the ordinary role of the demo and of tests, which owns the schema
NOTHING: Mapping[str, frozenset[Report]] = {}
_POLICY = "user_id = current_setting('holdfast.user_id', true)"


def _healed_by(script: str) -> Change:
    """Change it back as superuser, and take away what the fault made in a schema of its own."""

    async def heal(site: Site) -> None:
        await site.servers.postgres.sql(f"SET client_min_messages = warning; {script}")
        await drop_fault_schema(site)

    return heal


def _leak(name: str, breaks: str, *, inject: str, heal: str, also: Mapping[str, frozenset[Report]] = NOTHING) -> Fault:
    return Fault(
        name=name,
        also=also,
        breaks=breaks,
        probe="isolation",
        report=Kind.LEAKED,
        inject=by_sql(inject),
        heal=_healed_by(heal),
    )


def _instead_of(view: str, made: str) -> str:
    """Set one of our views aside, and put something else in its place, which belongs to a superuser."""
    return f"ALTER VIEW holdfast.{view} RENAME TO {view}_aside; {made}; GRANT SELECT ON holdfast.{view} TO {_ROLE};"


def _put_back(view: str, kind: str) -> str:
    return f"""
    DO $$ BEGIN
        IF to_regclass('holdfast.{view}_aside') IS NOT NULL THEN
            DROP {kind} IF EXISTS holdfast.{view} CASCADE;
            ALTER VIEW holdfast.{view}_aside RENAME TO {view};
        END IF;
    END $$;
    """


_REFRESHED = """
CREATE FUNCTION holdfast_fault.refresh() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    REFRESH MATERIALIZED VIEW holdfast.visible_messages;
    RETURN NULL;
END
$$;
CREATE TRIGGER holdfast_fault AFTER INSERT ON holdfast.activities EXECUTE FUNCTION holdfast_fault.refresh();
"""
_MATERIALIZED = _instead_of(
    "visible_messages",
    "CREATE MATERIALIZED VIEW holdfast.visible_messages AS SELECT id, user_id, content FROM holdfast.messages",
)

_IMMUTABLE = f"""
CREATE FUNCTION holdfast_fault.user_id() RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT current_setting('holdfast.user_id', true) $$;
GRANT USAGE ON SCHEMA holdfast_fault TO {_ROLE};
ALTER POLICY owner ON holdfast.messages USING (user_id = holdfast_fault.user_id());
"""


def _redis_keys(*rules: str) -> Change:
    async def change(site: Site) -> None:
        await site.servers.valkey.command("ACL", "SETUSER", FENCED_USER, *rules)

    return change


FAULTS: tuple[Fault, ...] = (
    _leak(
        "row-level-security-disabled",
        "row-level security of the messages is switched off, as for a migration, and not on again",
        inject="ALTER TABLE holdfast.messages DISABLE ROW LEVEL SECURITY",
        heal="ALTER TABLE holdfast.messages ENABLE ROW LEVEL SECURITY",
    ),
    _leak(
        "owner-without-force",
        "row-level security of the messages no longer binds the owner of the table, as whom the application asks",
        inject="ALTER TABLE holdfast.messages NO FORCE ROW LEVEL SECURITY",
        heal="ALTER TABLE holdfast.messages FORCE ROW LEVEL SECURITY",
    ),
    _leak(
        "role-with-bypassrls",
        "the application's role is given BYPASSRLS",
        also={"pool": frozenset({Reason.MISCONFIGURED})},  # it knows that such a role tells it nothing
        inject=f"ALTER ROLE {_ROLE} BYPASSRLS",
        heal=f"ALTER ROLE {_ROLE} NOBYPASSRLS",
    ),
    _leak(
        "second-permissive-policy",
        "a second policy, for a report perhaps, lets everybody read all messages: permissive policies add up",
        inject="CREATE POLICY reports ON holdfast.messages FOR SELECT USING (true)",
        heal="DROP POLICY IF EXISTS reports ON holdfast.messages",
    ),
    _leak(
        "policy-for-writes-left-open",
        "a second policy lets everybody insert messages in anybody's name",
        inject="CREATE POLICY imports ON holdfast.messages FOR INSERT WITH CHECK (true)",
        heal="DROP POLICY IF EXISTS imports ON holdfast.messages",
    ),
    _leak(
        "policy-with-an-immutable-function",
        "the policy asks an IMMUTABLE function who the user is: a prepared statement takes everybody for the first",
        inject=_IMMUTABLE,
        heal=f"ALTER POLICY owner ON holdfast.messages USING ({_POLICY})",
    ),
    _leak(
        "partition-without-row-level-security",
        "one partition has no row-level security of its own, and can be asked for by itself",
        inject="ALTER TABLE holdfast.activities_answered DISABLE ROW LEVEL SECURITY",
        heal="ALTER TABLE holdfast.activities_answered ENABLE ROW LEVEL SECURITY",
    ),
    _leak(
        "view-with-its-owners-rights",
        "a view gets the rights of its owner, a superuser, whom row-level security does not bind",
        inject="ALTER VIEW holdfast.visible_messages SET (security_invoker = false);"
        " ALTER VIEW holdfast.visible_messages OWNER TO postgres;"
        f" GRANT SELECT ON holdfast.visible_messages TO {_ROLE}",
        heal="ALTER VIEW holdfast.visible_messages SET (security_invoker = true);"
        f" ALTER VIEW holdfast.visible_messages OWNER TO {_ROLE}",
    ),
    _leak(
        "function-with-its-definers-rights",
        "a function gets the rights of its definer, a superuser, whom row-level security does not bind",
        inject="ALTER FUNCTION holdfast.read_messages(uuid[]) SECURITY DEFINER;"
        " ALTER FUNCTION holdfast.read_messages(uuid[]) OWNER TO postgres",
        heal="ALTER FUNCTION holdfast.read_messages(uuid[]) SECURITY INVOKER;"
        f" ALTER FUNCTION holdfast.read_messages(uuid[]) OWNER TO {_ROLE}",
    ),
    _leak(
        "view-made-materialized",
        "a view is materialized now, and refreshed when somebody does something: no policy filters what it holds",
        inject=_MATERIALIZED + _REFRESHED,
        heal="DROP TRIGGER IF EXISTS holdfast_fault ON holdfast.activities;"
        + _put_back("visible_messages", "MATERIALIZED VIEW"),
    ),
    _leak(
        "application-forgets-where",
        "the application's own view, which row-level security does not bind, has lost its WHERE user_id = …",
        inject=_instead_of(
            "own_messages", "CREATE VIEW holdfast.own_messages AS SELECT id, user_id, content FROM holdfast.messages"
        ),
        heal=_put_back("own_messages", "VIEW"),
    ),
    Fault(
        name="set-through-a-transaction-pooler",
        breaks="a client says who its user is by SET, not SET LOCAL: the pooler hands that to whoever comes next",
        probe="isolation",
        report=Kind.LEAKED,
        also={"pool": frozenset({Kind.LEAKED})},
        pooler=True,
        inject=in_every_pooled_session("SET holdfast.user_id = 'holdfast-user-1'"),
        heal=in_every_pooled_session("RESET holdfast.user_id"),
    ),
    Fault(
        name="redis-user-with-all-keys",
        breaks="the ACL of the Redis user says ~*, so that it may read every key and not those of its prefix only",
        probe="isolation",
        report=Kind.LEAKED,
        fenced=True,
        inject=_redis_keys("~*"),
        heal=_redis_keys("resetkeys", "~holdfast:*"),
    ),
)
