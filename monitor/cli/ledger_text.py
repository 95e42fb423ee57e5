"""What `holdfast ledger` prints, as text and as JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.cli import common
from monitor.cli.verify import Verified
from monitor.core import duration
from monitor.core.ledger.copy import Judgement, Wrong
from monitor.core.ledger.evidence import Epoch, PostgresEvidence, as_json
from monitor.core.ledger.found import Loss, Outage, Restore, Standing
from monitor.core.verdict import Kind
from monitor.ports import Store

COUNTED = (Kind.LOST, Kind.CORRUPT, Kind.PHANTOM, Kind.RESURRECTED)
Row: TypeAlias = tuple[str, ...]

_NOTHING = (
    "the ledger remembers nothing yet; the probe `durability` of a running daemon fills it, see `holdfast plan ENV`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the ledger of one environment has; nothing of a part that was not asked for."""

    environment: str
    standings: Mapping[Store, Standing] = field(default_factory=dict)
    losses: Sequence[Loss] = ()
    outages: Sequence[Outage] = ()
    restores: Sequence[Restore] = ()
    epochs: Sequence[Epoch] = ()
    parts: frozenset[str] = frozenset({"stores", "losses", "outages", "restores", "epochs"})

    def only(self, parts: Collection[str]) -> Self:
        """These parts of it."""
        return replace(self, parts=frozenset(parts))

    @property
    def empty(self) -> bool:
        """Whether nothing was ever written by this ledger."""
        return not self.epochs and all(not (each.live or each.expired or each.lost) for each in self.standings.values())


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
        "stores": [_standing_as_json(store, each) for store, each in kept.standings.items()],
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


def _standing_as_json(store: Store, each: Standing) -> dict[str, object]:
    return {
        "store": store,
        "live": each.live,
        "lost": each.lost,
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
        if each.lost or not quiet:
            mark = Text("✘ ", style="bold red") if each.lost else Text("✔ ", style="green")
            console.print(mark + Text(f"{kept.environment} {store}", style="bold") + Text(f": {_standing(each)}"))
    if quiet:
        return
    for part, titles, rows in _tables(kept):
        if part in kept.parts and rows:
            console.print(Text(f"\n{part} of {kept.environment}", style="bold"))
            console.print(_table(titles, rows))
        elif part in kept.parts and "stores" not in kept.parts:
            console.print(f"{kept.environment}: no {part} are known")


def _standing(each: Standing) -> str:
    parts = [
        f"{each.live} records live",
        f"{each.lost} lost",
        f"{each.indeterminate} that nobody knows of",
        f"{each.expired} retired",
        f"{each.due - each.verified} looks due",
    ]
    if each.oldest is not None:
        parts.append(f"the oldest verified is {_length(timedelta(seconds=round(each.oldest.total_seconds())))} old")
    if each.recovery_point is not None:
        parts.append(f"RPO {_length(each.recovery_point)}")
    if each.recovery_time is not None:
        parts.append(f"RTO {_length(each.recovery_time)}")
    return ", ".join(parts)


def _tables(kept: Kept) -> Iterator[tuple[str, Row, list[Row]]]:
    losses: list[Row] = [
        (
            *(moment(each.found), each.store, each.cause, str(each.records), str(each.writes)),
            *(f"{each.first} to {each.last}", _about(each.least, each.most)),
            moment(each.accepted) if each.accepted else "no",
        )
        for each in kept.losses
    ]
    yield "losses", ("found", "store", "cause", "records", "writes", "range", "RPO", "accepted"), losses
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
    yield "epochs", ("since", "until", "place", "server"), epochs


def _table(titles: Row, rows: Iterable[Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in titles:
        table.add_column(title, no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def verified_as_json(each: Verified) -> dict[str, object]:
    """What came of one store, by the names that `--help` gives."""
    found = each.judgement
    return {
        "store": each.store,
        "verdict": found.verdict,
        "reason": found.reason or None,
        "as_of": stamp(each.as_of),
        "point": {"at_least": stamp(found.point.at_least), "at_most": stamp(found.point.at_most)},
        "covers": {"records": found.covers, "from": stamp(found.since), "to": stamp(found.until)},
        "counts": {"present": found.present, **counts(found)},
        "violations": [_wrong(wrong) for wrong in found.wrong],
        "left_out": list(found.left_out),
    }


def counts(found: Judgement) -> dict[str, int]:
    """How many records are wrong, by kind."""
    return {kind.value: sum(wrong.records for wrong in found.wrong if wrong.kind is kind) for kind in COUNTED}


def _wrong(wrong: Wrong) -> dict[str, object]:
    return {
        "kind": wrong.kind,
        "why": wrong.why,
        "first": str(wrong.first),
        "last": str(wrong.last),
        "records": wrong.records,
        "writes": wrong.writes,
        "sent": stamp(wrong.sent),
        "acknowledged": stamp(wrong.acknowledged),
    }


def print_verified(each: Verified, *, environment: str, live: bool) -> None:
    """The verdict, the point, what it covers, and every range that is wrong."""
    console, found = common.out(), each.judgement
    style = common.COLOUR[found.verdict]
    what = f"{environment} {each.store}" + ("" if live else " (copy)")
    head = Text(f"{common.MARK[found.verdict]} {found.verdict}", style=style) + Text(f"  {what}", style="bold")
    console.print(head + Text(f": {found.reason}" if found.reason else ""))
    if found.point.at_least:
        least, most = moment(found.point.at_least), found.point.at_most
        between = f"between {least} and {moment(most)}" if most else f"{least} or later"
        console.print(Text("  point     ", style="dim") + Text(between))
    if each.as_of:
        console.print(Text("  as of     ", style="dim") + Text(moment(each.as_of)))
    if found.covers:
        span = f"acknowledged from {moment(found.since)} to {moment(found.until)}"
        console.print(Text("  covers    ", style="dim") + Text(f"{found.covers} records {span}"))
    for wrong in found.wrong:
        _print_wrong(console, wrong)
    for sentence in found.left_out:
        console.print(Text(f"  left out  {sentence}", style="dim"))


def _print_wrong(console: Console, wrong: Wrong) -> None:
    several = str(wrong.first) if wrong.first == wrong.last else f"{wrong.first} to {wrong.last}"
    amount = f"{wrong.records} record{'s' * (wrong.records != 1)}"
    amount += f" of {wrong.writes} writes" if wrong.writes > wrong.records else ""
    when = f", sent {moment(wrong.sent)}" if wrong.sent else ""
    if wrong.acknowledged and wrong.first != wrong.last:
        when += f", the last acknowledged {moment(wrong.acknowledged)}"
    console.print(Text(f"  {wrong.kind:<10}", style="bold red") + Text(f"{amount}: {several}{when}: {wrong.why}"))
