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

-- Words whose order depends on the version of the C library or of ICU: hyphens, blanks and signs that glibc moved in 2.28
-- (https://wiki.postgresql.org/wiki/Locale_data_changes), case, accents, letters that some languages sort as two, what is
-- ignored at first, other scripts, digits. Made once and never changed: an index that was right stays so, until the order
-- changes under it.
CREATE TABLE IF NOT EXISTS holdfast.words (
    id   integer PRIMARY KEY,
    word text NOT NULL
);
DO $$
BEGIN
    IF current_setting('server_encoding') = 'UTF8' AND NOT EXISTS (SELECT FROM holdfast.words) THEN
        INSERT INTO holdfast.words (id, word)
            SELECT (stem.n - 1) * 8 + ending.n, stem.text || ending.text
            FROM unnest(ARRAY[
                '1-1', '11', '1.1', '"a"', 'a a', 'a-a', 'a+a', 'aa', '$a', 'a_b', 'A', 'AA', 'e', E'\u00e9',
                'co-op', 'coop', 'Re-sort', 'resort', E'\u00df', 'ss', E'\u1e9e', 'I', 'i', E'\u0130', E'\u0131',
                E'\u00c5', 'ch', E'z\u00f6', E'\u0431', E'\u05d0', E'\u0e40\u0e01', E'\uac00', E'\uff71',
                E'\U0001f600', '10'
            ]) WITH ORDINALITY AS stem (text, n)
            CROSS JOIN unnest(ARRAY['', ' ', '-', '1', 'a', 'Z', E'\u0301', E'\u200d'])
                WITH ORDINALITY AS ending (text, n);
    END IF;
    CREATE INDEX IF NOT EXISTS words_default ON holdfast.words (word);
    IF current_setting('server_encoding') = 'UTF8' AND EXISTS (
        SELECT FROM pg_collation WHERE collname = 'und-x-icu' AND collnamespace = 'pg_catalog'::regnamespace
    ) THEN
        CREATE INDEX IF NOT EXISTS words_icu ON holdfast.words (word COLLATE "und-x-icu");
    END IF;
END
$$;

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
