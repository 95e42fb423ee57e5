"""What the demo can break, on purpose and in a real server, and what must then be reported."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from monitor.core.verdict import Kind
from monitor.embedded.proxy import TcpProxy
from monitor.embedded.servers import Servers


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a fault is injected: the servers, and the proxy that stands before Valkey where a fault needs one."""

    servers: Servers
    valkey_proxy: TcpProxy | None = None


Change = Callable[[Site], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to break an environment, never the daemon.

    `probe` must report `kind` within `rounds` rounds, and no other kind. `inject` and `heal` act on a running site.
    """

    name: str
    breaks: str
    probe: str
    kind: Kind
    inject: Change
    heal: Change
    rounds: int = 2
    valkey_proxy: bool = False


_DROP_ROWS = """
CREATE SCHEMA holdfast_fault;
CREATE FUNCTION holdfast_fault.drop_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    DELETE FROM holdfast.messages WHERE id = NEW.id;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER holdfast_fault AFTER INSERT ON holdfast.messages
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.seq % 3 = 2)
    EXECUTE FUNCTION holdfast_fault.drop_row();
"""
_HEAL_POSTGRES = "SET client_min_messages = warning; DROP SCHEMA IF EXISTS holdfast_fault CASCADE;"


async def _drop_rows(site: Site) -> None:
    await site.servers.postgres.sql(_DROP_ROWS)


async def _heal_postgres(site: Site) -> None:
    await site.servers.postgres.sql(_HEAL_POSTGRES)


def _without_expiry(command: list[bytes]) -> list[bytes]:
    """SET key value PX n, as a client with a forgotten argument would send it."""
    if command and command[0].upper() == b"SET" and b"PX" in command[3:]:
        place = command.index(b"PX", 3)
        return command[:place] + command[place + 2 :]
    return command


async def _drop_expiry(site: Site) -> None:
    _proxy(site).rewrite = _without_expiry


async def _heal_valkey(site: Site) -> None:
    _proxy(site).rewrite = None


def _proxy(site: Site) -> TcpProxy:
    if site.valkey_proxy is None:
        raise RuntimeError("this fault needs a site with valkey_proxy")
    return site.valkey_proxy


FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            name="rows-dropped-after-commit",
            breaks="every third message vanishes at COMMIT, which is acknowledged all the same (a deferred trigger)",
            probe="thread",
            kind=Kind.LOST,
            inject=_drop_rows,
            heal=_heal_postgres,
        ),
        Fault(
            name="ttl-never-set",
            breaks="the expiry of every SET is forgotten on its way (a proxy that rewrites commands)",
            probe="session",
            kind=Kind.TTL_MISSING,
            inject=_drop_expiry,
            heal=_heal_valkey,
            valkey_proxy=True,
        ),
    )
}
"""Every fault by its name; tests/faults runs all of them."""
