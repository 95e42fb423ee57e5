"""What the catalogue says of row-level security on the tables that a binding names.

A table is kept where it has row-level security or policies: there its owners mean the server to tell users apart.
A weakness is a fact that keeps it from doing so for the role that asks; where rows were seen, it is the likely cause.
"""

from __future__ import annotations

KEPT = """
WITH RECURSIVE named AS (
    SELECT name, to_regclass(name)::oid AS oid FROM unnest($1::text[]) AS given (name)
    UNION
    SELECT name, d.refobjid FROM named
    JOIN pg_rewrite r ON r.ev_class = named.oid
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> named.oid
)
SELECT DISTINCT name FROM named JOIN pg_class c ON c.oid = named.oid
WHERE c.relrowsecurity OR EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid)
"""
"""Those of the tables and views that are kept, or that read what is."""

WEAKNESSES = """
WITH kept AS (
    SELECT c.oid, c.relrowsecurity, c.relforcerowsecurity, c.relowner
    FROM unnest($1::text[]) AS given (name) JOIN pg_class c ON c.oid = to_regclass(name)
    WHERE c.relkind IN ('r', 'p') AND (c.relrowsecurity OR EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid))
)
SELECT format('the role %I is a superuser, whom row-level security does not bind', rolname)
    FROM pg_roles WHERE rolname = current_user AND rolsuper AND EXISTS (SELECT FROM kept)
UNION ALL
SELECT format('the role %I has BYPASSRLS', rolname)
    FROM pg_roles WHERE rolname = current_user AND rolbypassrls AND NOT rolsuper AND EXISTS (SELECT FROM kept)
UNION ALL
SELECT format('row-level security does not filter %s for the role %I%s', oid::regclass, current_user, CASE
        WHEN NOT relrowsecurity THEN ': it has policies, but is disabled'
        WHEN pg_has_role(relowner, 'USAGE') AND NOT relforcerowsecurity THEN ': it is not forced on the owner'
        ELSE '' END)
    FROM kept WHERE NOT row_security_active(oid)
"""
"""One weakness a row, as a sentence, for the role that asks."""
