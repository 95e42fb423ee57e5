"""`holdfast ledger verify`: a restored copy, or the live stores, against what the ledger remembers."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from monitor import expansion
from monitor.addresses import AddressError, postgres_url, redis_url
from monitor.cli.ledgers import ALL
from monitor.core import duration
from monitor.core.ledger.copy import Judgement, judge
from monitor.core.ledger.entries import Entry, State
from monitor.core.ledger.found import Sighting
from monitor.core.ledger.prefix import Copy
from monitor.core.verdict import Verdict
from monitor.ports import Durables, Ledger, Store, StoreError
from monitor.stores.restored import Restored

_LABEL = "verify"
_POSTGRES = ("postgresql:", "postgres:")
_REDIS = ("redis:", "rediss:", "unix:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is verified of one store: the live one, or a copy of it that may have to be of a given moment.

    `lifetime` is how long the live one keeps what nobody touches.
    """

    store: Store
    durables: Durables
    lifetime: timedelta | None
    copy: Restored | None = None
    as_of: datetime | None = None
    slack: timedelta = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What came of it."""

    store: Store
    as_of: datetime | None
    judgement: Judgement


def address(text: str, *, environ: dict[str, str] | None = None) -> tuple[Store, str]:
    """Which store an address leads to, and the address with `${VAR}` and `${file:PATH}` in it expanded.

    Raises ValueError; nothing of the address is in its message.
    """
    variables = dict(os.environ) if environ is None else environ
    read = expansion.read(f"against: {json.dumps(text)}", environ=variables, folder=Path.cwd())
    if read.faults:
        raise ValueError(read.faults[0].message)
    url = str(read.data["against"])
    if not url.startswith((*_POSTGRES, *_REDIS)):
        raise ValueError(
            "expected a URL that begins with postgresql:// or postgres://, or of Redis or Valkey with redis://,"
            " rediss:// or unix://"
        )
    store = Store.REDIS if url.startswith(_REDIS) else Store.POSTGRES
    try:
        (redis_url if store is Store.REDIS else postgres_url)(SecretStr(url))
    except AddressError as error:
        raise ValueError(str(error)) from None
    return store, url


async def verified(target: Target, ledger: Ledger, *, environment: str) -> Verified:
    """Look, and judge. Raises StateError."""
    began = ledger.now()
    as_of = began if target.copy is None else target.as_of
    try:
        if target.copy is not None and (unfit := await target.copy.unfit()):
            return _unknown(target, unfit)
        first = await _look(target.durables)
        entries = await ledger.entries(target.store, identified=None, limit=ALL)
        sighting = await _again(target.durables, first, entries)
    except StoreError as error:
        return _unknown(target, f"{error.reason}: {error}")
    if target.copy is None and not sighting.evidence.writable:
        return _unknown(target, f"{sighting.evidence.address} is no primary: it takes no writes")
    copy = Copy(
        environment=environment,
        store=target.store,
        at=ledger.now(),
        entries=entries,
        register=sighting.register,
        digests=sighting.digests,
        as_of=as_of,
        slack=target.slack,
        live=target.copy is None,
        losses=await ledger.losses(target.store, limit=ALL),
        restores=await ledger.restores(),
        keeps=target.lifetime,
    )
    found = judge(copy)
    if found.verdict is Verdict.UNKNOWN and entries:
        found = replace(found, reason=f"{found.reason}{_others(sighting)}")
    return Verified(store=target.store, as_of=target.as_of, judgement=found)


async def _look(durables: Durables, wanted: Sequence[Entry] | None = None) -> Sighting:
    reader = await durables.reader(_LABEL)
    try:
        return await reader.look(None if wanted is None else [entry.mark for entry in wanted])
    finally:
        await reader.close()


async def _again(durables: Durables, first: Sighting, entries: Sequence[Entry]) -> Sighting:
    """Look for what is missing by its name, on a new connection: an index that is damaged does not name it."""
    missing = [
        entry
        for entry in entries
        if entry.identified and entry.state is State.ACKED and entry.mark not in first.digests
    ]
    if not missing:
        return first
    second = await _look(durables, missing)
    return replace(first, digests={**second.digests, **first.digests})


def _unknown(target: Target, reason: str) -> Verified:
    return Verified(store=target.store, as_of=target.as_of, judgement=Judgement(verdict=Verdict.UNKNOWN, reason=reason))


def _others(sighting: Sighting) -> str:
    """Whose ledgers are there instead."""
    told = [
        f"{daemon} ({records} records, last write {duration.text(timedelta(seconds=round(idle)))} ago)"
        for daemon, records, idle in sighting.others
    ]
    return f"; it has records of other daemons: {', '.join(told)}" if told else "; nor records of any other daemon"
