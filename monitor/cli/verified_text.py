"""What `holdfast ledger verify` prints, as text and as JSON."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from monitor.cli import common
from monitor.cli.ledger_text import moment, several, stamp
from monitor.cli.verify import Verified
from monitor.core.ledger.copy import Judgement, Wrong
from monitor.core.verdict import Kind

COUNTED = (Kind.LOST, Kind.CORRUPT, Kind.PHANTOM, Kind.RESURRECTED)
_SHOWN = 10  # ranges: who needs more of them reads them by a program


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
    """The verdict with a summary, the point, what it covers, and the first ranges that are wrong."""
    console, found = common.out(), each.judgement
    style = common.COLOUR[found.verdict]
    what = f"{environment} {each.store}" + ("" if live else " (copy)")
    said = found.reason or summary(found)
    head = Text(f"{common.MARK[found.verdict]} {found.verdict}", style=style) + Text(f"  {what}", style="bold")
    console.print(head + Text(f": {said}" if said else ""))
    if found.point.at_least:
        least, most = moment(found.point.at_least), found.point.at_most
        between = f"between {least} and {moment(most)}" if most else f"{least} or later"
        console.print(Text("  point       ", style="dim") + Text(between))
    if each.as_of:
        console.print(Text("  as of       ", style="dim") + Text(moment(each.as_of)))
    if found.covers:
        span = f"acknowledged from {moment(found.since)} to {moment(found.until)}"
        console.print(Text("  covers      ", style="dim") + Text(f"{several(found.covers, 'record')} {span}"))
    for wrong in found.wrong[:_SHOWN]:
        _print_wrong(console, wrong)
    if len(found.wrong) > _SHOWN:
        console.print(f"  and {len(found.wrong) - _SHOWN} more: --format json has all")
    for sentence in found.left_out:
        console.print(Text(f"  left out    {sentence}", style="dim"))


def summary(found: Judgement) -> str:
    """How much is wrong in all, by kind; empty where nothing is."""
    parts = []
    for kind in COUNTED:
        ranges = [wrong for wrong in found.wrong if wrong.kind is kind]
        if not ranges:
            continue
        records, writes = sum(wrong.records for wrong in ranges), sum(wrong.writes for wrong in ranges)
        several_ranges = f" in {len(ranges)} ranges" if len(ranges) > 1 else ""
        if writes == records:
            parts.append(f"{several(records, 'record')} {kind}{several_ranges}")
        else:
            parts.append(f"{several(writes, 'write')} {kind} ({records} of them records){several_ranges}")
    return "; ".join(parts)


def _amount(records: int, writes: int) -> str:
    """`2 records` where each write left one, else `9 writes, 2 of them records`."""
    if records == writes:
        return several(records, "record")
    return f"{several(writes, 'write')}, {records or 'none'} of them {'a record' if records == 1 else 'records'}"


def _print_wrong(console: Console, wrong: Wrong) -> None:
    marks = str(wrong.first) if wrong.first == wrong.last else f"{wrong.first} to {wrong.last}"
    amount = _amount(wrong.records, wrong.writes)
    when = f", sent {moment(wrong.sent)}" if wrong.sent else ""
    if wrong.acknowledged and wrong.first != wrong.last:
        when += f", the last acknowledged {moment(wrong.acknowledged)}"
    console.print(Text(f"  {wrong.kind:<12}", style="bold red") + Text(f"{amount}: {marks}{when}: {wrong.why}"))
