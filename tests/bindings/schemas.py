"""Schemas of applications, and bindings of those that do not ship one."""

from __future__ import annotations

from pathlib import Path

import yaml

from monitor.bindings import Binding

ROOT = Path(__file__).parents[2]
PLATFORM = (ROOT / "examples/platform/schema.sql").read_text(encoding="utf-8")
"""The schema that config/bindings/platform.yaml is for."""
OPEN = """
GRANT USAGE ON SCHEMA public TO holdfast;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO holdfast;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO holdfast;
"""
"""What the ordinary role needs there."""

SUPABASE = """
CREATE SCHEMA auth;
CREATE TABLE auth.users (
    id uuid PRIMARY KEY, instance_id uuid, aud varchar(255), role varchar(255), email varchar(255),
    raw_user_meta_data jsonb, created_at timestamptz
);
CREATE UNIQUE INDEX users_email ON auth.users (email);
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;
CREATE TABLE public.profiles (
    id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE,
    settings jsonb NOT NULL DEFAULT '{}', updated_at timestamptz
);
CREATE TABLE public.threads (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    title text, metadata jsonb, created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE public.messages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), thread_id uuid NOT NULL REFERENCES public.threads ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE, role text NOT NULL, content text, metadata jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE FUNCTION public.handle_new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN INSERT INTO public.profiles (id) VALUES (NEW.id); RETURN NEW; END $$;
CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users
    FOR EACH ROW EXECUTE FUNCTION public.handle_new_user();
ALTER TABLE public.profiles ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.threads ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.profiles TO authenticated
    USING ((SELECT auth.uid()) = id) WITH CHECK ((SELECT auth.uid()) = id);
CREATE POLICY own ON public.threads TO authenticated
    USING ((SELECT auth.uid()) = user_id) WITH CHECK ((SELECT auth.uid()) = user_id);
CREATE POLICY own ON public.messages TO authenticated
    USING ((SELECT auth.uid()) = user_id) WITH CHECK ((SELECT auth.uid()) = user_id);
GRANT USAGE ON SCHEMA public, auth TO anon, authenticated, authenticator;
GRANT ALL ON ALL TABLES IN SCHEMA public TO anon, authenticated;
GRANT SELECT, INSERT ON auth.users TO authenticator;
"""
"""A project as Supabase documents it; the roles are made apart, for they are of the whole server."""

TICKETS = """
CREATE TYPE speaker AS ENUM ('customer', 'agent');
CREATE TABLE tenants (id bigint PRIMARY KEY, label varchar(80) NOT NULL);
CREATE TABLE tickets (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant bigint NOT NULL REFERENCES tenants,
    subject varchar(200) NOT NULL, extra text NOT NULL, labels text[] NOT NULL, opened int NOT NULL,
    entries int NOT NULL DEFAULT 0
);
CREATE TABLE entries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ticket bigint NOT NULL REFERENCES tickets,
    position int NOT NULL,
    said_by speaker NOT NULL, body text, extra json NOT NULL, said_at timestamp NOT NULL, said_ms bigint NOT NULL,
    UNIQUE (ticket, position)
);
"""
"""Ids that the server makes, epoch integers, JSON in a text, an array, a moment without a zone, an enum."""

TICKETS_BINDING = """
name: tickets
ids:
  thread: {kind: number, made_by: server}
  message: {kind: number, made_by: server}
  user: {kind: number}
messages:
  roles: [customer, agent]
postgres:
  parents:
    - INSERT INTO tenants (id, label) VALUES (:user_id, 'Holdfast') ON CONFLICT (id) DO NOTHING
  clean:
    - |
      DELETE FROM entries
      WHERE ticket IN (SELECT id FROM tickets WHERE tenant = :user_id AND opened < :before)
    - DELETE FROM tickets WHERE tenant = :user_id AND opened < :before
  threads:
    create: |
      INSERT INTO tickets (tenant, subject, extra, labels, opened)
      VALUES (:user_id, :name, :metadata, '{synthetic}', :now) RETURNING id AS thread_id
    append:
      - UPDATE tickets SET entries = entries + 1 WHERE id = :thread_id AND tenant = :user_id
      - |
        INSERT INTO entries (ticket, position, said_by, body, extra, said_at, said_ms)
        SELECT t.id, t.entries, :role, :content, :metadata, :now, :now_ms FROM tickets AS t WHERE t.id = :thread_id
        RETURNING id AS message_id
    edit: |
      UPDATE entries SET said_by = :role, body = :content, extra = :metadata
      WHERE id = :message_id AND ticket = :thread_id
    delete_message:
      - UPDATE tickets SET entries = entries WHERE id = :thread_id
      - DELETE FROM entries WHERE id = :message_id
    delete:
      - DELETE FROM entries WHERE ticket = :thread_id
      - DELETE FROM tickets WHERE id = :thread_id AND tenant = :user_id
    load: |
      SELECT id AS thread_id, tenant AS user_id, subject AS name, extra AS metadata FROM tickets WHERE id = :thread_id
    messages: |
      SELECT id AS message_id, said_by AS role, body AS content, extra AS metadata FROM entries
      WHERE ticket = :thread_id ORDER BY position LIMIT :limit
    page: |
      SELECT id AS message_id, said_by AS role, body AS content, extra AS metadata FROM entries
      WHERE ticket = :thread_id
        AND position > coalesce((SELECT position FROM entries WHERE id = :after_id), 0)
      ORDER BY position LIMIT :limit
    newest: |
      SELECT id AS message_id, said_by AS role, body AS content, extra AS metadata FROM entries
      WHERE ticket = :thread_id ORDER BY position DESC LIMIT :limit
"""
"""How tickets are spoken of as conversations."""


def shipped(name: str) -> Binding:
    """A binding that ships."""
    return of((ROOT / f"config/bindings/{name}.yaml").read_text(encoding="utf-8"))


def of(text: str) -> Binding:
    """A binding, the tables of it only."""
    given = yaml.safe_load(text)
    return Binding.model_validate(
        {key: part for key, part in given.items() if key not in {"redis", "api", "threads", "profile"}}
    )
