"""`holdfast ledger`: what the ledger of acknowledged writes knows, a declared restore, and the check of a copy."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import orjson
import typer
from rich.text import Text

from monitor.cli import common
from monitor.cli.data import live
from monitor.cli.forgiving import Forgiven, forgiven, warnings, words
from monitor.cli.ledger_text import Kept, kept_as_json, moment, print_kept, several
from monitor.cli.ledgers import ALL, asked
from monitor.cli.verified_text import print_verified, verified_as_json
from monitor.cli.verify import Target, Verified, address, verified
from monitor.configfile import Loaded, secrets_in
from monitor.core import duration
from monitor.core.ledger.found import Loss
from monitor.core.residue import Instance
from monitor.core.secrets import Scrubber, secrets_of
from monitor.core.verdict import Verdict, worst
from monitor.metrics import Metrics
from monitor.ports import KEEPERS, Store
from monitor.stores.ledger import Ledgers
from monitor.stores.restored import Restored

FAILED = 1
UNKNOWN = common.EXIT[Verdict.UNKNOWN]
_AGAINST = "HOLDFAST_VERIFY_AGAINST"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Which writes were acknowledged, what of them was lost, and whether a backup has them.",
    epilog="Example: holdfast ledger verify production --against postgresql://postgres@localhost/scratch",
)


class Form(StrEnum):
    """The forms of an answer."""

    TEXT = "text"
    JSON = "json"


Format = Annotated[Form, typer.Option("--format", help="How to answer.")]
AtStore = Annotated[Store | None, typer.Option("--store", help="Only this store.", show_default=False)]


@app.command("list")
def list_(
    environments: common.Environments = None,
    store: AtStore = None,
    losses: Annotated[bool, typer.Option("--losses", help="Only what was lost, and why.")] = False,
    outages: Annotated[bool, typer.Option("--outages", help="Only for how long a store did not answer.")] = False,
    epochs: Annotated[bool, typer.Option("--epochs", help="Only which servers answered, and when.")] = False,
    restores: Annotated[bool, typer.Option("--restores", help="Only the restores that were declared.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The most rows of each; the latest.")] = 20,
    form: Format = Form.TEXT,
    config: common.Config = None,
    quiet: common.Quiet = False,
) -> None:
    """Show how the ledger stands, and its latest losses, outages, restores and epochs; also while the daemon runs.

    A loss says why, how many records and writes are gone, and how much time that is (RPO); an outage for how long an
    operation was not possible (RTO). Ends with 0, or 1 where there is no ledger to read.

    These are the ledger's own writes; what other probes found lost is shown by `holdfast violations list`.

    A loss is settled when a restore is declared that explains it, when somebody acknowledges its violation, when all
    its records are there again, or when the last age of the ladder is over; at once, where it is what the configuration
    declares (eviction, time to live). Until then the store has a ✘. A loss in the midst of writes that are kept is no
    loss of time: it has no RPO.

    Examples:
      holdfast ledger list production

      holdfast ledger list production --losses --format json

    """
    loaded = common.configuration_of_state(config)
    known = loaded.settings.environments
    names = common.environments_named(loaded, environments)
    asked_for = {"losses": losses, "outages": outages, "epochs": epochs, "restores": restores}
    wanted = {name for name, given in asked_for.items() if given}

    async def look(ledgers: Ledgers, _: Instance) -> list[Kept]:
        found = []
        for name in names:
            ledger, stores = (
                ledgers.of(name),
                [each for each in sorted(known[name].stores & KEEPERS) if store in (None, each)],
            )
            spans = [span for each in stores for span in await ledger.outages(each, limit=limit)]
            seen = [each for each in await ledger.epochs() if store is None or each.place.startswith(store)]
            restored = await ledger.restores()
            gone = await ledger.losses(store, limit=ALL)
            kept = Kept(
                environment=name,
                standings={each: await ledger.standing(each) for each in stores},
                standing={each: standing(gone, each) for each in stores},
                losses=gone[:limit],
                outages=sorted(spans, key=lambda each: each.began, reverse=True)[:limit],
                restores=restored[:limit],
                epochs=seen[: -limit - 1 : -1],
            )
            found.append(kept.only(wanted) if wanted else kept)
        return found

    everything = asked(loaded, look, code=FAILED)
    if form is Form.JSON:
        typer.echo(orjson.dumps([kept_as_json(kept) for kept in everything], option=orjson.OPT_INDENT_2).decode())
        return
    for kept in everything:
        print_kept(kept, quiet=quiet)


@app.command("declare-restore")
def declare_restore(
    environment: common.Environment,
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="The moment that it was restored to, with its zone.")],
    note: Annotated[str, typer.Option("--note", "-n", help="Why, for whoever comes next.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would forgive.")] = False,
    config: common.Config = None,
    quiet: common.Quiet = False,
) -> None:
    """Say that an environment was restored to a moment: what was acknowledged later is forgiven, nothing before it.

    A running daemon obeys from its next run of `durability` on. The history of losses stays. To declare the same moment
    again changes nothing but the note, and forgives what was acknowledged since.

    Examples:
      holdfast ledger declare-restore production --at 2026-11-22T03:00:00Z --note "bad migration, see #412"

      holdfast ledger declare-restore production --at 2026-11-22T04:00:00+01:00 --dry-run

    """
    loaded = common.configuration_of_state(config)
    settings = common.environment_named(loaded, environment)
    point = _moment(at, option="--at")

    async def declare(ledgers: Ledgers, _: Instance) -> tuple[list[Forgiven], bool]:
        ledger = ledgers.of(environment)
        gone = await ledger.losses(limit=ALL)
        found = [
            forgiven(
                store,
                await ledger.entries(store, identified=None, limit=ALL),
                standing(gone, store),
                point=point,
            )
            for store in sorted(settings.stores & KEEPERS)
        ]
        known = any(restore.at == point for restore in await ledger.restores())
        if not dry_run:
            await ledger.declare_restore(point, note=note)
        return found, known

    found, known = asked(loaded, declare, code=FAILED)
    if quiet and not dry_run:
        for sentence in warnings(found):
            common.err().print(Text("! ", style="yellow") + Text(sentence))
        return
    done = "would be declared" if dry_run else "is declared again" if known else "is declared"
    what = f"a restore of {environment} to {moment(point)} {done}"
    lost, others = sum(each.wrong for each in found), sum(each.others for each in found)
    forgives = f"it forgives {several(lost, 'record')} known to be wrong, and {others} more, should they be missing"
    console = common.out()
    console.print(Text("✔ ", style="green") + Text(f"{what}: {forgives}"))
    for sentence in words(found):
        console.print(Text(f"  {sentence}"))
    for sentence in warnings(found):
        console.print(Text("! ", style="yellow") + Text(sentence))
    if not dry_run:
        console.print(Text("  the daemon obeys from its next run of durability on", style="dim"))


@app.command()
def verify(
    environment: common.Environment,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="DSN",
            envvar=_AGAINST,
            help="A restored copy: postgresql://… or redis://…; ${VAR} and ${file:PATH} in it are expanded."
            " Without it, the live stores.",
            show_default=False,
        ),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="TIME", help="The moment that the copy must be of.", show_default=False),
    ] = None,
    slack: Annotated[
        str, typer.Option("--slack", metavar="LENGTH", help="How far clocks may be apart, with --as-of.")
    ] = "1s",
    store: AtStore = None,
    form: Format = Form.TEXT,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Check that a restored copy has every write that was acknowledged up to its moment, unchanged, and none after it.

    Restore a backup into a scratch server, and name that: a dump, a base backup with or without point-in-time recovery
    (a standby will do), an RDB or AOF file. It is only read. The moment that it is of is found by what it holds, and
    printed; with --as-of it has to be that moment. Without --against the live stores are looked at again.

    A write that is missing below that moment is lost, one above it a phantom, another content corrupt, and one that
    had been deleted before it resurrected. What nobody knows (its answer was lost) is right either way.

    JSON has, for each store: verdict, reason, as_of, point {at_least, at_most}, covers {records, from, to}, counts
    {present, lost, corrupt, phantom, resurrected}, violations [{kind, why, first, last, records, writes, sent,
    acknowledged}], left_out.

    Ends with 0 right · 2 violated · 3 unknown, as of another database · 78 where the configuration is wrong.

    Examples:
      holdfast ledger verify production --against 'postgresql://postgres:${PGPASSWORD}@localhost:5433/scratch'

      holdfast ledger verify production --against redis://localhost:6390/0 --as-of 2026-11-22T03:00:00Z

      holdfast ledger verify production --store postgres --format json

    """
    loaded = common.configuration(config)
    settings = common.environment_named(loaded, environment)
    point = _moment(as_of, option="--as-of") if as_of is not None else None
    if against is None and point is not None:
        common.fail("--as-of is of a copy; say by --against where it is", common.USAGE)
    copied, url = _address(against, store) if against is not None else (store, "")
    _scrubbing(loaded, url, level="debug" if verbose else "error")
    wanted = [each for each in sorted(settings.stores & KEEPERS) if copied in (None, each)]
    if not wanted:
        common.fail(f"environment {environment} has no {copied}; it has {', '.join(settings.stores)}", common.USAGE)
    within = _length(slack)

    async def look(ledgers: Ledgers, instance: Instance) -> list[Verified]:
        target = live(environment, settings, instance)
        tally = Metrics(location="", version="").tally(environment)
        found = []
        for each in wanted:
            copy = Restored(each, url, environment=environment, instance=instance, tally=tally) if url else None
            own = target.durables(each)
            task = Target(
                store=each,
                durables=copy.durables if copy else own,
                lifetime=own.lifetime,
                copy=copy,
                as_of=point,
                slack=within,
            )
            found.append(await verified(task, ledgers.of(environment), environment=environment))
        return found

    with common.err().status("looking …", spinner="dots"):
        found = asked(loaded, look, code=UNKNOWN)
    verdict = worst(each.judgement.verdict for each in found)
    if form is Form.JSON:
        shown = {"environment": environment, "verdict": verdict, "stores": [verified_as_json(each) for each in found]}
        typer.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
    else:
        for each in found:
            if not (quiet and each.judgement.verdict is Verdict.OK):
                print_verified(each, environment=environment, live=not url)
    raise typer.Exit(common.EXIT[verdict])


def standing(losses: Iterable[Loss], store: Store) -> list[Loss]:
    """Those of a store that nothing has settled."""
    return [loss for loss in losses if loss.store == store and loss.accepted is None]


def _moment(text: str, *, option: str) -> datetime:
    """A moment in the past. Else the command ends with 64."""
    example = "2026-11-22T03:00:00Z or 2026-11-22T04:00:00+01:00"
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        common.fail(f"{option}: {text!r} is not a moment such as {example}", common.USAGE)
    if at.tzinfo is None:
        common.fail(f"{option}: {text!r} does not say in which zone; add Z for UTC, or as in {example}", common.USAGE)
    if at > datetime.now(UTC):
        common.fail(f"{option}: {text!r} is in the future", common.USAGE)
    return at.astimezone(UTC)


def _length(text: str) -> timedelta:
    try:
        return duration.parse(text)
    except ValueError as error:
        common.fail(f"--slack: {error}", common.USAGE)


def _address(against: str, store: Store | None) -> tuple[Store, str]:
    """The store of a copy and its address. Else the command ends with 64."""
    try:
        copied, url = address(against)
    except ValueError as error:
        common.fail(f"--against: {error}", common.USAGE)
    if store not in (None, copied):
        common.fail(f"--against leads to a {copied}, and --store says {store}", common.USAGE)
    if secrets_of(against) and url == against and os.environ.get(_AGAINST) != against:
        warning = (
            "a password on a command line can be read by everybody on this machine; write ${VARIABLE} in its place"
        )
        common.err().print(Text("! ", style="yellow") + Text(f"{warning}, in single quotes, or set {_AGAINST}"))
    return copied, url


def _scrubbing(loaded: Loaded, url: str, *, level: str) -> None:
    scrubbing = common.log_to_stderr(loaded, level=level)
    scrubbing.scrub = Scrubber([*secrets_in(loaded.settings), *secrets_of(url)])
