"""Faults that break profiles, and what is cached of them."""

from __future__ import annotations

from collections.abc import Callable

from monitor.core.verdict import Kind, Reason
from monitor.embedded.faults.fault import Fault, Site, by_rewriting, by_sql, drop_fault_schema, stop_rewriting

_DROP = """
CREATE FUNCTION holdfast_fault.drop_profile() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    DELETE FROM holdfast.profiles WHERE id = NEW.id;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER holdfast_fault AFTER INSERT ON holdfast.profiles
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION holdfast_fault.drop_profile();
"""

_IGNORE = """
CREATE FUNCTION holdfast_fault.keep_body() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.body := OLD.body;
    RETURN NEW;
END
$$;
CREATE TRIGGER holdfast_fault BEFORE UPDATE ON holdfast.profiles
    FOR EACH ROW EXECUTE FUNCTION holdfast_fault.keep_body();
"""

_FORGET = """
CREATE FUNCTION holdfast_fault.forget_preferences() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.body := NEW.body - 'preferences';
    RETURN NEW;
END
$$;
CREATE TRIGGER holdfast_fault BEFORE INSERT OR UPDATE ON holdfast.profiles
    FOR EACH ROW EXECUTE FUNCTION holdfast_fault.forget_preferences();
"""


def _is_copy(command: list[bytes]) -> bool:
    return bool(command) and command[0].upper() == b"SET" and b":cache:" in command[1]


def _mangled(command: list[bytes]) -> list[bytes]:
    """SET with a value in which a letter is another, as a client with a wrong encoding would send it."""
    if _is_copy(command):
        return [*command[:2], command[2].replace("ë".encode(), b"e").replace("🪝".encode(), b"?"), *command[3:]]
    return command


def _under_another_key(command: list[bytes]) -> list[bytes]:
    """SET of a key that nobody reads."""
    return [command[0], command[1] + b"-elsewhere", *command[2:]] if _is_copy(command) else command


def _always_the_first() -> Callable[[list[bytes]], list[bytes]]:
    first: dict[bytes, bytes] = {}

    def rewrite(command: list[bytes]) -> list[bytes]:
        if not _is_copy(command):
            return command
        return [*command[:2], first.setdefault(command[1], command[2]), *command[3:]]

    return rewrite


async def _keep_the_first(site: Site) -> None:
    await by_rewriting(_always_the_first())(site)


FAULTS = (
    Fault(
        name="profile-lost-after-commit",
        breaks="a profile vanishes at COMMIT, which is acknowledged all the same (a deferred trigger)",
        probe="profile",
        report=Kind.LOST,
        also={"sync": frozenset({Kind.LOST}), "isolation": frozenset({Reason.INCONCLUSIVE})},
        inject=by_sql(_DROP),
        heal=drop_fault_schema,
    ),
    Fault(
        name="profile-update-ignored-in-one-column",
        breaks="an update of a profile counts its version up and leaves its content as it was (a trigger)",
        probe="profile",
        report=Kind.STALE,
        inject=by_sql(_IGNORE),
        heal=drop_fault_schema,
    ),
    Fault(
        name="preferences-forgotten",
        breaks="a profile is stored without its preferences (a trigger)",
        probe="profile",
        report=Kind.CORRUPT,
        inject=by_sql(_FORGET),
        heal=drop_fault_schema,
    ),
    Fault(
        name="cached-result-mangled",
        breaks="what is cached loses the letters that are not ASCII on its way (a proxy that rewrites SET)",
        probe="profile",
        report=Kind.CORRUPT,
        inject=by_rewriting(_mangled),
        heal=stop_rewriting,
    ),
    Fault(
        name="cached-result-never-rebuilt",
        breaks="after an eviction results are cached under another key than readers use (a proxy that rewrites SET)",
        probe="profile",
        report=Kind.LOST,
        inject=by_rewriting(_under_another_key),
        heal=stop_rewriting,
    ),
    Fault(
        name="cache-rebuilt-from-an-old-value",
        breaks="whoever makes a cached result anew does so from what it remembers, not from the row (a proxy)",
        probe="profile",
        report=Kind.STALE,
        inject=_keep_the_first,
        heal=stop_rewriting,
    ),
)
