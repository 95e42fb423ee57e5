-- The tables of the platform. Safe to run at every start: nothing that is there is touched.

CREATE TABLE IF NOT EXISTS threads (
    id         text PRIMARY KEY,                  -- thread_…
    user_id    text NOT NULL,
    name       text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    metadata   jsonb NOT NULL DEFAULT '{}',
    is_active  boolean NOT NULL DEFAULT true
);
CREATE INDEX IF NOT EXISTS threads_of_user ON threads (user_id, created_at, id);

CREATE TABLE IF NOT EXISTS messages (
    id           text PRIMARY KEY,                -- msg_…
    thread_id    text NOT NULL REFERENCES threads ON DELETE CASCADE,
    role         text NOT NULL CHECK (role IN ('user', 'assistant', 'tool')),
    content      text NOT NULL,
    metadata     jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL,            -- strictly increasing within a thread
    message_type text NOT NULL CHECK (message_type IN ('user_query', 'agent_thinking', 'tool_result', 'agent_completed'))
);
CREATE INDEX IF NOT EXISTS messages_of_thread ON messages (thread_id, created_at, id);

CREATE TABLE IF NOT EXISTS user_profiles (
    user_id           text PRIMARY KEY,
    auth_data         jsonb NOT NULL DEFAULT '{}',
    last_login        timestamptz,
    subscription_tier text NOT NULL DEFAULT 'free',
    permissions       jsonb NOT NULL DEFAULT '[]',
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at        timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- First answers by Idempotency-Key. They are written in the transaction of what they answer, and go with its thread;
-- the key is taken before the thread exists, hence the deferred check.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    user_id     text NOT NULL,
    key         text NOT NULL,
    fingerprint bytea NOT NULL,                   -- SHA-256 of the request
    thread_id   text NOT NULL REFERENCES threads ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    answer      text,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX IF NOT EXISTS idempotency_keys_of_thread ON idempotency_keys (thread_id);
DELETE FROM idempotency_keys WHERE created_at < clock_timestamp() - interval '1 day';
