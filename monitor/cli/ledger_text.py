"""What `holdfast ledger list` prints, as text and as JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self, TypeAlias

from rich.table import Table
from rich.text import Text

from monitor.cli import common
from monitor.core import duration
from monitor.core.ledger.evidence import Epoch, PostgresEvidence, as_json
from monitor.core.ledger.found import Loss, Outage, Restore, Standing
from monitor.ports import Store

Row: TypeAlias = tuple[str, ...]

_NOTHING = (
    "the ledger remembers nothing yet; the probe `durability` of a running daemon fills it, see `holdfast plan ENV`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Acknowledged writes of the ledger that are lost: records, and mere moves of the register."""

    records: int
    moves: int

    @property
    def writes(self) -> int:
        """All of them."""
        return self.records + self.moves

    def __str__(self) -> str:
        if not self.writes:
            return "none of the ledger's own writes lost"
        records = "a record" if self.records == 1 else "records"
        return f"{several(self.writes, 'write')} lost ({self.records} of them {records})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the ledger of one environment has; nothing of a part that was not asked for.

    `standing` are all losses of each store that nothing has settled yet, however few rows are asked for.
    """

    environment: str
    standings: Mapping[Store, Standing] = field(default_factory=dict)
    standing: Mapping[Store, Sequence[Loss]] = field(default_factory=dict)
    losses: Sequence[Loss] = ()
    outages: Sequence[Outage] = ()
    restores: Sequence[Restore] = ()
    epochs: Sequence[Epoch] = ()
    parts: frozenset[str] = frozenset({"stores", "losses", "outages", "restores", "epochs"})

    def only(self, parts: Collection[str]) -> Self:
        """These parts of it."""
        return replace(self, parts=frozenset(parts))

    def missing(self, store: Store) -> Missing:
        """What is lost of a store and not settled."""
        records = self.standings[store].lost
        return Missing(records=records, moves=sum(each.writes - each.records for each in self.standing.get(store, ())))

    @property
    def empty(self) -> bool:
        """Whether nothing was ever written by this ledger."""
        return not self.epochs and all(not (each.live or each.expired or each.lost) for each in self.standings.values())


def several(count: int, noun: str) -> str:
    """So many of them, in words: `1 record`, `2 records`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def moment(at: datetime | None) -> str:
    """A moment for people."""
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} UTC" if at else "?"


def stamp(at: datetime | None) -> str | None:
    """A moment for programs."""
    return at.isoformat().replace("+00:00", "Z") if at else None


def _length(length: timedelta | None) -> str:
    return "-" if length is None else duration.text(timedelta(milliseconds=round(length.total_seconds() * 1000)))


def _about(least: timedelta, most: timedelta) -> str:
    return f"{_length(least)} to {_length(most)}"


def kept_as_json(kept: Kept) -> dict[str, object]:
    """One environment's ledger."""
    parts: dict[str, object] = {
        "stores": [_standing_as_json(store, kept) for store in kept.standings],
        "losses": [_loss_as_json(each) for each in kept.losses],
        "outages": [
            {
                "store": each.store,
                "operation": each.operation,
                "began": stamp(each.began),
                "ended": stamp(each.ended),
                "seconds": [_seconds(each.least), _seconds(each.most)],
            }
            for each in kept.outages
        ],
        "restores": [
            {"at": stamp(each.at), "declared": stamp(each.declared), "note": each.note} for each in kept.restores
        ],
        "epochs": [
            {"place": each.place, "first": stamp(each.first), "last": stamp(each.last), **as_json(each.evidence)}
            for each in kept.epochs
        ],
    }
    return {"environment": kept.environment, **{name: part for name, part in parts.items() if name in kept.parts}}


def _standing_as_json(store: Store, kept: Kept) -> dict[str, object]:
    each = kept.standings[store]
    return {
        "store": store,
        "live": each.live,
        "lost": each.lost,
        "lost_writes": kept.missing(store).writes,
        "indeterminate": each.indeterminate,
        "expired": each.expired,
        "overdue": each.due - each.verified,
        "oldest_seconds": _seconds(each.oldest),
        "recovery_point_seconds": _seconds(each.recovery_point),
        "recovery_time_seconds": _seconds(each.recovery_time),
    }


def _loss_as_json(each: Loss) -> dict[str, object]:
    return {
        "id": each.id,
        "store": each.store,
        "found": stamp(each.found),
        "cause": each.cause,
        "first": str(each.first),
        "last": str(each.last),
        "records": each.records,
        "writes": each.writes,
        "suffix": each.suffix,
        "recovery_point_seconds": [_seconds(each.least), _seconds(each.most)],
        "accepted": stamp(each.accepted),
        "settled_by": each.settled_by or None,
        "details": dict(each.details),
    }


def _seconds(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()


def _server(epoch: Epoch) -> str:
    seen = epoch.evidence
    role = "takes writes" if seen.writable else "takes no writes"
    if isinstance(seen, PostgresEvidence):
        return f"{seen.address}, system {seen.system or '?'}, timeline {seen.timeline or '?'}, {role}"
    return f"{seen.address}, run {seen.run_id[:12]}, {role}"


def print_kept(kept: Kept, *, quiet: bool) -> None:
    """One environment's ledger: how it stands, then its tables, those without a row left out."""
    console = common.out()
    if kept.empty and not quiet:
        console.print(Text(f"{kept.environment}: {_NOTHING}"))
        return
    for store, each in kept.standings.items() if "stores" in kept.parts else ():
        missing = kept.missing(store)
        stands = missing.writes or kept.standing.get(store)
        if stands or not quiet:
            mark = Text("✘ ", style="bold red") if stands else Text("✔ ", style="green")
            console.print(
                mark + Text(f"{kept.environment} {store}", style="bold") + Text(f": {_standing(each, missing)}")
            )
    if quiet:
        return
    for part, titles, rows in _tables(kept):
        if part in kept.parts and rows:
            console.print(Text(f"\n{part} of {kept.environment}", style="bold"))
            console.print(_table(titles, rows))
        elif part in kept.parts and "stores" not in kept.parts:
            console.print(f"{kept.environment}: no {part} are known")


def _standing(each: Standing, missing: Missing) -> str:
    parts = [
        f"{several(each.live, 'record')} live",
        str(missing),
        f"{each.indeterminate} that nobody knows of",
        f"{each.expired} retired",
        f"{several(each.due - each.verified, 'look')} due",
    ]
    if each.oldest is not None:
        parts.append(f"the oldest verified is {_length(timedelta(seconds=round(each.oldest.total_seconds())))} old")
    if each.recovery_point is not None:
        parts.append(f"RPO {_length(each.recovery_point)}")
    if each.recovery_time is not None:
        parts.append(f"RTO {_length(each.recovery_time)}")
    return ", ".join(parts)


def _settled(each: Loss) -> str:
    by = f", by {each.settled_by}" if each.settled_by else ""
    return "no" if each.accepted is None else moment(each.accepted) + by


def _tables(kept: Kept) -> Iterator[tuple[str, Row, list[Row]]]:
    losses: list[Row] = [
        (
            *(moment(each.found), each.store, each.cause.replace("_", " "), str(each.records), str(each.writes)),
            *(f"{each.first} to {each.last}", _about(each.least, each.most) if each.suffix else "-"),
            _settled(each),
        )
        for each in kept.losses
    ]
    yield "losses", ("found", "store", "cause", "records", "writes", "range", "RPO", "settled"), losses
    outages: list[Row] = [
        (
            *(moment(each.began), moment(each.ended) if each.ended else "lasts"),
            *(each.store, each.operation, _about(each.least, each.most)),
        )
        for each in kept.outages
    ]
    yield "outages", ("began", "ended", "store", "operation", "RTO"), outages
    restores: list[Row] = [(moment(each.at), moment(each.declared), each.note) for each in kept.restores]
    yield "restores", ("to", "declared", "note"), restores
    epochs: list[Row] = [(moment(each.first), moment(each.last), each.place, _server(each)) for each in kept.epochs]
    yield "epochs", ("since", "last seen", "place", "server"), epochs


def _table(titles: Row, rows: Iterable[Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in titles:
        table.add_column(title, no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
