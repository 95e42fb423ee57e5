"""What PostgreSQL's catalogue says about who is kept from whose rows in Holdfast's own schema.

A weakness is a fact that could open a path that no probe walks; where rows were seen, it is the likely cause.
`row_security_active` decides by the same function of the server that raises 42501 under `row_security = off`, but
needs no error, one of which in the log of each table and run would be many.
"""

from __future__ import annotations

_MINE = "has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
_UNBOUND = "(o.rolsuper OR o.rolbypassrls)"

AUDIT = f"""
WITH kept AS (
    SELECT c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity, c.relowner FROM pg_class c
    WHERE c.relnamespace = 'holdfast'::regnamespace AND c.relkind IN ('r', 'p') AND {_MINE}
      AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'user_id')
), reading AS (
    SELECT c.oid, c.relkind, c.reloptions, c.relowner FROM pg_class c
    WHERE c.relkind IN ('v', 'm') AND c.oid <> coalesce(to_regclass('holdfast.own_messages'), 0) AND {_MINE}
      AND EXISTS (
        SELECT FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        JOIN kept ON d.refclassid = 'pg_class'::regclass AND d.refobjid = kept.oid WHERE r.ev_class = c.oid
      )
), callable AS (
    SELECT p.oid, p.prosecdef, p.proleakproof, p.proowner FROM pg_proc p
    WHERE p.pronamespace = 'holdfast'::regnamespace AND has_function_privilege(p.oid, 'EXECUTE')
      AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
)
SELECT format('the role %I is a superuser, whom row-level security does not bind', rolname)
    FROM pg_roles WHERE rolname = current_user AND rolsuper
UNION ALL
SELECT format('the role %I has BYPASSRLS', rolname)
    FROM pg_roles WHERE rolname = current_user AND rolbypassrls AND NOT rolsuper
UNION ALL
SELECT format('row-level security does not filter holdfast.%I for the role %I%s', relname, current_user, CASE
        WHEN NOT relrowsecurity THEN ': it is disabled'
        WHEN pg_has_role(relowner, 'USAGE') AND NOT relforcerowsecurity THEN ': it is not forced on the owner'
        ELSE '' END)
    FROM kept WHERE NOT row_security_active(oid)
UNION ALL
SELECT format('the policy %I on holdfast.%I permits %s besides what the policy `owner` does', polname, relname,
        CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
        ELSE 'everything' END)
    FROM pg_policy JOIN kept ON kept.oid = polrelid WHERE polpermissive AND polname <> 'owner'
      AND EXISTS (
        SELECT FROM unnest(polroles) AS role WHERE CASE role WHEN 0 THEN true ELSE pg_has_role(role, 'USAGE') END
      )
UNION ALL
SELECT format('the materialized view %s holds rows that row-level security cannot filter', oid::regclass)
    FROM reading WHERE relkind = 'm'
UNION ALL
SELECT format('the view %s has the rights of its owner %I, whom row-level security does not bind',
        reading.oid::regclass, o.rolname)
    FROM reading JOIN pg_roles o ON o.oid = relowner WHERE relkind = 'v' AND {_UNBOUND} AND NOT EXISTS (
        SELECT FROM pg_options_to_table(reloptions) WHERE option_name = 'security_invoker' AND option_value::boolean
    )
UNION ALL
SELECT format('the function %s has the rights of its owner %I, whom row-level security does not bind',
        callable.oid::regprocedure, o.rolname)
    FROM callable JOIN pg_roles o ON o.oid = proowner WHERE prosecdef AND {_UNBOUND}
UNION ALL
SELECT format('the function %s is LEAKPROOF, so that it may be given rows before row-level security has filtered them',
        callable.oid::regprocedure)
    FROM callable WHERE proleakproof
"""  # noqa: S608  constants
"""One weakness a row, as a sentence; none where all is as Holdfast made it."""
