"""`holdfast violations list|show|ack`: the evidence of each violation, from the state database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, TypeVar

import orjson
import typer
from rich.table import Table
from rich.text import Text

from monitor.cli import common, guidance
from monitor.cli.statefile import home_in, missing
from monitor.configfile import Loaded
from monitor.core import advice
from monitor.core.runbooks import of_kinds
from monitor.core.violations import KeptViolation, Stage
from monitor.ports import StateError
from monitor.stores.state import KeptState

T = TypeVar("T")
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="List, show and acknowledge violations.",
    epilog="Example: holdfast violations list --all",
)
Id = Annotated[str, typer.Argument(metavar="ID", help="The id of a violation, or an unmistakable part of its end.")]


class Form(StrEnum):
    """The forms of an answer."""

    TEXT = "text"
    JSON = "json"


Format = Annotated[Form, typer.Option("--format", help="How to answer.")]
_STYLE = {Stage.OPEN: "bold red", Stage.ACKNOWLEDGED: "yellow", Stage.CLOSED: "dim"}


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Closed ones, too.")] = False,
    form: Format = Form.TEXT,
    config: common.Config = None,
) -> None:
    """List violations that are open or acknowledged, the latest first.

    Example:  holdfast violations list --all
    """
    stages = () if everything else (Stage.OPEN, Stage.ACKNOWLEDGED)
    found = _with_state(common.configuration_of_state(config), lambda state: state.violations(stages=stages))
    if form is Form.JSON:
        typer.echo(orjson.dumps([_plain(kept) for kept in found], option=orjson.OPT_INDENT_2).decode())
        return
    if not found:
        common.out().print("no violation" + ("" if everything else " is open"))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("id", "stage", "environment", "probe", "kind", "opened (UTC)", "times", "subject"):
        table.add_column(title, no_wrap=title != "subject", overflow="fold")
    for kept in found:
        opened = kept.opened.strftime("%Y-%m-%d %H:%M:%S")
        stage = Text(kept.stage, style=_STYLE[kept.stage])
        subject = Text(kept.subject)
        table.add_row(kept.id[-12:], stage, kept.environment, kept.probe, kept.kind, opened, str(kept.times), subject)
    common.out().print(table)


@app.command()
def show(
    id_: Id,
    form: Format = Form.TEXT,
    config: common.Config = None,
) -> None:
    """Show one violation with all its evidence.

    Example:  holdfast violations show 31dab60df79b
    """
    loaded = common.configuration_of_state(config)
    kept = _one(loaded, id_)
    if form is Form.JSON:
        typer.echo(orjson.dumps(_plain(kept), option=orjson.OPT_INDENT_2).decode())
        return
    console = common.out()
    console.print(Text(f"{kept.kind}", style="bold red") + Text(f" in {kept.environment}, found by {kept.probe}"))
    for name, value in _plain(kept).items():
        if name not in {"evidence", "kind", "environment", "probe"} and value not in (None, ""):
            console.print(Text(f"  {name:<13}", style="dim") + Text(str(value)))
    for number, step in enumerate(advice.next_steps(kept)):
        console.print(Text(f"  {'' if number else 'next step':<13}", style="dim") + Text(step))
    runbook = guidance.page(of_kinds({kept.kind}), common.runbooks(None, loaded))
    console.print(Text(f"  {'runbook':<13}", style="dim") + Text(runbook))
    console.print(Text("  evidence", style="dim"))
    shown = orjson.dumps(dict(kept.evidence), option=orjson.OPT_INDENT_2, default=str).decode()
    console.print(Text("\n".join(f"    {line}" for line in shown.splitlines())))


@app.command()
def ack(
    id_: Id,
    note: Annotated[str, typer.Option("--note", "-n", help="Why, for whoever comes next.")] = "",
    config: common.Config = None,
    quiet: common.Quiet = False,
) -> None:
    """Acknowledge a violation: it stays quiet until the same check has passed again.

    A loss of acknowledged writes is taken as accepted by the next run, which closes it: the data stays gone.
    One that is acknowledged already stays so; the note is added to those that it has.

    Example:  holdfast violations ack 31dab60df79b --note "restore under way, see #412"
    """
    loaded = common.configuration_of_state(config)
    kept = _one(loaded, id_)
    if kept.closed:
        common.fail(
            f"the violation {kept.id} was closed at {kept.closed:%Y-%m-%d %H:%M:%S} UTC: nothing is left to do", 1
        )
    done = f"acknowledged {kept.kind} in {kept.environment} ({kept.probe}): {advice.once_acknowledged(kept)}"
    if kept.acknowledged:
        when = f"{kept.acknowledged:%Y-%m-%d %H:%M:%S} UTC"
        done = f"{kept.kind} in {kept.environment} ({kept.probe}) was acknowledged at {when} already"
        done += "; the note is added" if note else ""
    if note or not kept.acknowledged:
        stood = _with_state(loaded, lambda state: state.acknowledge(kept.id, at=datetime.now(UTC), note=note))
        if not stood:
            common.fail(f"the violation {kept.id} was closed just now: nothing is left to do", 1)
    if not quiet:
        common.out().print(Text("✔ ", style="green") + Text(done))


def _one(loaded: Loaded, id_: str) -> KeptViolation:
    if not id_:
        common.fail("the id is empty; give one that `holdfast violations list --all` shows", common.USAGE)
    found = [kept for kept in _with_state(loaded, lambda state: state.violations()) if kept.id.endswith(id_)]
    if len(found) != 1:
        what = "is no violation" if not found else f"are {len(found)} violations"
        common.fail(f"there {what} whose id ends in {id_!r}; see `holdfast violations list --all`", common.USAGE)
    return found[0]


def _with_state(loaded: Loaded, ask: Callable[[KeptState], Awaitable[T]]) -> T:
    home = home_in(loaded.settings)
    if none := missing(home):
        if nowhere := common.unconfigured(loaded):
            common.fail(nowhere, common.WRONG_CONFIGURATION)
        common.fail(none, 1)

    async def main() -> T:
        state = KeptState(home)
        try:
            await state.open()
            return await ask(state)
        finally:
            await state.close()

    try:
        return common.run(main)
    except StateError as error:
        common.fail(str(error), 1)


def _plain(kept: KeptViolation) -> dict[str, object]:
    names = ("id", "environment", "probe", "kind", "stage", "subject", "expected", "actual", "opened", "last_seen")
    more = ("times", "acknowledged", "closed", "note", "run_id", "last_run_id", "evidence")
    return {
        name: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name in (*names, *more)
        for value in (getattr(kept, name),)
    }
