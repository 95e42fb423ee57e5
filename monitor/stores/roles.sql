-- Run this in the database that is to be watched, as a superuser, or as its owner if that role has CREATEROLE.
-- Then choose a password (\password @role@) and put it into environments.@environment@.postgres.dsn.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '@role@') THEN
        CREATE ROLE "@role@" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS CONNECTION LIMIT @limit@;
    END IF;
END
$$;

@schema@
INSERT INTO holdfast.environment (name, version) VALUES ('@environment@', @version@)
    ON CONFLICT (only_row) DO UPDATE SET version = excluded.version;

GRANT USAGE ON SCHEMA holdfast TO "@role@";
GRANT SELECT ON holdfast.environment, holdfast.words TO "@role@";
GRANT SELECT, INSERT, UPDATE, DELETE
    ON holdfast.threads, holdfast.messages, holdfast.registers, holdfast.profiles, holdfast.activities TO "@role@";
GRANT SELECT, INSERT, UPDATE, DELETE ON holdfast.ledger_registers, holdfast.ledger_records TO "@role@";
GRANT SELECT ON holdfast.activities_asked, holdfast.activities_answered, holdfast.own_messages TO "@role@";
GRANT EXECUTE ON FUNCTION holdfast.read_messages(uuid[]) TO "@role@";

DO $$
BEGIN
    IF to_regclass('holdfast.visible_messages') IS NOT NULL THEN
        GRANT SELECT ON holdfast.visible_messages TO "@role@";
    END IF;
END
$$;
