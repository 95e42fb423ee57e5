-- Holdfast's own tables. Synthetic conversations only; nothing of a customer is ever stored or read here.
-- Row-level security is forced, so that even the owner of the tables sees one synthetic user at a time.

CREATE SCHEMA IF NOT EXISTS holdfast;

-- One row: the environment that this database belongs to. A daemon of another environment refuses to probe it.
CREATE TABLE IF NOT EXISTS holdfast.environment (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    name       text NOT NULL,
    version    integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS holdfast.threads (
    id            uuid PRIMARY KEY,
    instance      text NOT NULL,
    user_id       text NOT NULL,
    name          text NOT NULL,
    metadata      jsonb NOT NULL,
    message_count integer NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS holdfast.messages (
    id         uuid PRIMARY KEY,
    thread_id  uuid NOT NULL REFERENCES holdfast.threads (id) ON DELETE CASCADE,
    instance   text NOT NULL,
    user_id    text NOT NULL,
    seq        integer NOT NULL,
    role       text NOT NULL,
    type       text NOT NULL,
    content    text,
    metadata   jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT messages_thread_seq UNIQUE (thread_id, seq)
);

-- Small numbers (value) and lists (items) that transactions change side by side; one set of them per run.
CREATE TABLE IF NOT EXISTS holdfast.registers (
    run        uuid NOT NULL,
    id         integer NOT NULL,
    instance   text NOT NULL,
    user_id    text NOT NULL,
    value      bigint NOT NULL DEFAULT 0,
    items      text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run, id)
);

-- One versioned document per user and run: a profile, its preferences, its permissions.
CREATE TABLE IF NOT EXISTS holdfast.profiles (
    id         uuid PRIMARY KEY,
    instance   text NOT NULL,
    user_id    text NOT NULL,
    version    bigint NOT NULL,
    body       jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What users did, in a partition for each kind of it: each partition can be asked for by itself, too.
CREATE TABLE IF NOT EXISTS holdfast.activities (
    id         uuid NOT NULL,
    kind       text NOT NULL,
    instance   text NOT NULL,
    user_id    text NOT NULL,
    content    text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, kind)
) PARTITION BY LIST (kind);
CREATE TABLE IF NOT EXISTS holdfast.activities_asked PARTITION OF holdfast.activities FOR VALUES IN ('asked');
CREATE TABLE IF NOT EXISTS holdfast.activities_answered PARTITION OF holdfast.activities FOR VALUES IN ('answered');

-- The ledger's side in the store: of each daemon one register, whose mark moves with every write, and the records that
-- it looks for again and again. They are nobody's: no user, no row-level security.
CREATE TABLE IF NOT EXISTS holdfast.ledger_registers (
    daemon   text PRIMARY KEY,
    mark     text NOT NULL,
    location text NOT NULL DEFAULT '',
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS holdfast.ledger_records (
    daemon     text NOT NULL,
    series     text NOT NULL,
    n          bigint NOT NULL,
    content    text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (daemon, series, n)
);

CREATE INDEX IF NOT EXISTS threads_user ON holdfast.threads (user_id, created_at);
CREATE INDEX IF NOT EXISTS messages_user ON holdfast.messages (user_id, created_at);
CREATE INDEX IF NOT EXISTS registers_user ON holdfast.registers (user_id, created_at);
CREATE INDEX IF NOT EXISTS profiles_user ON holdfast.profiles (user_id, created_at);
CREATE INDEX IF NOT EXISTS activities_user ON holdfast.activities (user_id, created_at);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'threads', 'messages', 'registers', 'profiles', 'activities', 'activities_asked', 'activities_answered'
    ] LOOP
        EXECUTE format('ALTER TABLE holdfast.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE holdfast.%I FORCE ROW LEVEL SECURITY', name);
        IF NOT EXISTS (SELECT FROM pg_policies WHERE schemaname = 'holdfast' AND tablename = name) THEN
            EXECUTE format(
                'CREATE POLICY owner ON holdfast.%I USING (user_id = current_setting(''holdfast.user_id'', true))'
                ' WITH CHECK (user_id = current_setting(''holdfast.user_id'', true))',
                name
            );
        END IF;
    END LOOP;
END
$$;

-- Other paths to the same rows, as applications have them, for the probe `isolation`. A function with the rights of who
-- calls it, and a view with those of who asks, are filtered by row-level security alone. A view with the rights of its
-- owner, whom nothing may bind, filters by a condition of its own.
CREATE OR REPLACE FUNCTION holdfast.read_messages(wanted uuid[]) RETURNS TABLE (user_id text, content text)
    LANGUAGE sql STABLE SECURITY INVOKER
    AS 'SELECT m.user_id, m.content FROM holdfast.messages AS m WHERE m.id = ANY (wanted)';

CREATE OR REPLACE VIEW holdfast.own_messages WITH (security_barrier = true) AS
    SELECT id, user_id, content FROM holdfast.messages WHERE user_id = current_setting('holdfast.user_id', true);

DO $$
BEGIN
    IF current_setting('server_version_num')::integer >= 150000 THEN
        CREATE OR REPLACE VIEW holdfast.visible_messages WITH (security_invoker = true) AS
            SELECT id, user_id, content FROM holdfast.messages;
    END IF;
END
$$;
