"""`holdfast sweep`: what Holdfast wrote is taken away again, and what is kept is said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from monitor.cli import common
from monitor.cli.data import FAILED, NOBODY, live
from monitor.cli.statefile import home_in
from monitor.core import duration
from monitor.core.residue import Instance
from monitor.ports import StateError, Store, StoreError
from monitor.stores.environment import LiveEnvironment
from monitor.stores.home import Schema
from monitor.stores.lock import lock_of
from monitor.stores.state import KeptState


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """Whom a sweep spares: the daemon of this configuration, whose leftovers all go unless it is running."""

    instance: Instance
    running: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """How much went from each store, how much else is still there, how much ledgers keep, and what failed.

    No sweep takes a ledger's records from a daemon that may yet look for them: it would believe them lost.
    """

    counts: dict[Store, tuple[int, int, int]]
    failed: tuple[str, ...]


def command(
    environment: common.Environment,
    everybody: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Also what other daemons and `holdfast check` left less than an hour ago, once no run can need it;"
            " walks through all Redis keys.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Remove Holdfast's own leftovers, and nothing else. A running daemon does so by itself.

    Takes all that this configuration's daemon left, unless it is running, and what anybody left more than an hour ago.
    What a run may still need is kept, and it is said until when. Ends with 0, or 2 where a store could not be swept.

    Example:  holdfast sweep production --all --dry-run
    """
    loaded = common.configuration(config)
    settings = common.environment_named(loaded, environment)
    common.log_to_stderr(loaded, level="debug" if verbose else "error")
    home = home_in(loaded.settings)
    known = isinstance(home, Schema) or home.is_file()  # where no daemon ever ran, nobody is whom it would be

    async def main() -> None:
        present = await _present(home) if known else Present(instance=NOBODY, running=False)
        target = live(environment, settings, present.instance)
        swept = await _sweep(target, everybody=everybody, dry_run=dry_run)
        for store, (gone, kept, remembered) in swept.counts.items():
            why = _why_kept(present, target.longest_run, everybody=everybody)
            words = f"{gone} {'would go' if dry_run else 'removed'}" + (f"; {kept} kept: {why}" if kept else "")
            words += f"; {remembered} records of ledgers stay: their daemon looks for them again" if remembered else ""
            if not quiet:
                common.out().print(f"{environment} {store}: {words}")
        if swept.failed:
            common.fail("; ".join(swept.failed), FAILED)

    common.run(main)


async def _sweep(target: LiveEnvironment, *, everybody: bool, dry_run: bool) -> Swept:
    counts: dict[Store, tuple[int, int, int]] = {}
    failed: list[str] = []
    for store in sorted(target.stores):
        try:
            gone = await target.sweep(store, everybody=everybody, dry_run=dry_run)
            left = await target.left(store, everybody=everybody)
            remembered = await target.remembered(store)
        except StoreError as error:
            failed.append(str(error))
        else:
            counts[store] = (gone, max(0, left - gone) if dry_run else left, remembered)
    return Swept(counts=counts, failed=tuple(failed))


def _why_kept(present: Present, longest_run: timedelta, *, everybody: bool) -> str:
    """Why something is kept, and what to do."""
    if present.running:
        return "a run may need it; the daemon of this configuration is running, and sweeps by itself"
    after = f"{datetime.now(UTC) + longest_run + timedelta(seconds=1):%H:%M:%S} UTC"
    if everybody:
        return f"younger than {duration.text(longest_run)}, a run may still need it; run this again after {after}"
    return f"of other daemons or checks, younger than an hour; `--all` takes it after {after}"


async def _present(home: Path | Schema) -> Present:
    """Who the daemon of a state is, without counting as a start of it.

    Where it certainly does not run, it is whoever would start next: all that was left is then an earlier one's.
    """
    running = not await lock_of(home).free()
    state = KeptState(home)
    try:
        await state.open()
        id_, incarnation = await state.recall("instance"), int(await state.recall("incarnation") or 0)
    except StateError as error:
        common.err().print(Text(f"holdfast: {error}; only what is old enough for anybody to remove is swept"))
        return Present(instance=NOBODY, running=False)
    finally:
        await state.close()
    return Present(instance=Instance(id_ or NOBODY.id, incarnation + (not running)), running=running)
