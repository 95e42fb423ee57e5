"""What the commands share: where the configuration is, how it is refused, and how things are printed."""

from __future__ import annotations

import asyncio
import difflib
import os
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
import yaml

import monitor.probes
from monitor.configfile import ConfigError, Loaded, load, secrets_in
from monitor.core.secrets import Scrubber
from monitor.core.verdict import Verdict
from monitor.expansion import StandIn
from monitor.logs import Scrubbing, set_up
from monitor.probe import discover
from monitor.settings import EnvironmentSettings
from monitor.standins import nowhere

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")

USAGE = 64
WRONG_CONFIGURATION = 78
EXIT = {Verdict.OK: 0, Verdict.SLOW: 1, Verdict.VIOLATED: 2, Verdict.UNKNOWN: 3}
"""A deploy gate reads these; usage errors have a number of their own, lest a typing error look like a violation."""

COLOUR = {Verdict.OK: "green", Verdict.SLOW: "yellow", Verdict.UNKNOWN: "magenta", Verdict.VIOLATED: "bold red"}
MARK = {Verdict.OK: "✔", Verdict.SLOW: "◔", Verdict.UNKNOWN: "?", Verdict.VIOLATED: "✘"}

_BEGUN = 0.85  # how alike the beginning of a name is to what was typed, for it to be meant
_WARNINGS = 5  # references that are told to stand for nothing; of a thousand environments there are thousands
_PIPE_WIDTH = 200  # columns; what reads a pipe does not mind, and a table must not be cut off
PLACES = (Path("holdfast.yaml"), Path("/etc/holdfast/holdfast.yaml"))
"""Where a configuration is looked for that no flag names; the first counts."""
RUNBOOKS = "docs/runbooks"
"""Where they are in the repository: the last resort, where a daemon listens on any free port."""


def known_environments(context: typer.Context, incomplete: str) -> list[str]:
    """Names for tab completion, from whatever configuration is found; none where it cannot be read."""
    try:
        settings = read(context.params.get("config")).settings
    except (ConfigError, OSError):
        return []
    return [name for name in settings.environments if name.startswith(incomplete)]


def _known_probes(incomplete: str) -> list[str]:
    return [name for name in discover(monitor.probes) if name.startswith(incomplete)]


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="HOLDFAST_CONFIG",
        help="The configuration; without it ./holdfast.yaml, then /etc/holdfast/holdfast.yaml, then variables.",
        show_default=False,
    ),
]
Environment = Annotated[
    str, typer.Argument(metavar="ENV", help="An environment of the configuration.", autocompletion=known_environments)
]
Environments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ENV]...",
        help="Environments; all without any.",
        autocompletion=known_environments,
        show_default=False,
    ),
]
ProbeNames = Annotated[
    list[str] | None,
    typer.Option(
        "--probe", "-p", help="Only this probe; may be repeated.", autocompletion=_known_probes, show_default=False
    ),
]
Runbooks = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Below which runbooks can be read; the daemon serves them at http.public_url/runbooks.",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what is wrong.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log in detail.")]


def out() -> Console:
    """Where results go. Colour on a terminal only, and not where NO_COLOR is set."""
    from monitor.cli.output import Output  # noqa: PLC0415  the daemon prints nothing

    return Output(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def err() -> Console:
    """Where complaints and progress go."""
    from rich.console import Console  # noqa: PLC0415  the same

    return Console(stderr=True, highlight=False, soft_wrap=True)


def fail(message: str, code: int) -> NoReturn:
    """Say what is wrong, and end."""
    from rich.text import Text  # noqa: PLC0415  the same

    err().print(Text("holdfast: ", style="bold red") + Text(message))
    raise typer.Exit(code)


def read(
    path: Path | None, overrides: Mapping[str, object] | None = None, *, stand_in: StandIn | None = None
) -> Loaded:
    """The configuration. Raises ConfigError."""
    found = path or next((place for place in PLACES if _is_there(place)), None)
    return load(found, probes=discover(monitor.probes), environ=os.environ, overrides=overrides, stand_in=stand_in)


def _is_there(place: Path) -> bool:
    try:
        return place.is_file()
    except PermissionError:  # the folder that one stands in, as with `sudo -u holdfast` in somebody's home
        return False


def configuration(
    path: Path | None, overrides: Mapping[str, object] | None = None, *, stand_in: StandIn | None = None
) -> Loaded:
    """The configuration; where it cannot be used, all that is wrong with it is said, and the command ends with 78."""
    try:
        return read(path, overrides, stand_in=stand_in)
    except ConfigError as error:
        complain(error)
        raise typer.Exit(WRONG_CONFIGURATION) from None


def configuration_of_state(path: Path | None) -> Loaded:
    """The same for a command that reads the state database and asks no store: it needs no store's secret.

    What `${…}` does not stand for here, such as a password in a shell that was opened just now, is a warning.
    """
    from rich.text import Text  # noqa: PLC0415  the daemon prints nothing

    loaded = configuration(path, stand_in=nowhere)
    for message in dict.fromkeys(problem.message.partition(";")[0] for problem in loaded.unresolved[:_WARNINGS]):
        err().print(Text(f"holdfast: {message}; this command asks no store, and does without", style="dim"))
    return loaded


def from_flags(overrides: Mapping[str, object]) -> Loaded:
    """A configuration of nothing but flags. Raises ConfigError."""
    return load(None, probes=discover(monitor.probes), environ={}, overrides=overrides)


def complain(error: ConfigError, *, what: str = "the configuration") -> None:
    """Say everything that is wrong with a configuration."""
    from rich.text import Text  # noqa: PLC0415  the same

    console = err()
    count = len(error.problems)
    console.print(Text(f"holdfast: {what} cannot be used: {count} problem{'s' * (count > 1)}", style="bold red"))
    for problem in error.problems:
        line = Text("  ")
        line.append(problem.where or "configuration", style="cyan")
        line.append(f": {problem.key}: " if problem.key else ": ", style="bold")
        console.print(line + Text(problem.message))


def runbooks(given: str | None, loaded: Loaded, *, otherwise: str = "") -> str:
    """Below which address runbooks can be read: as it is given, or of the page that the configuration names.

    Else `otherwise`, or what the daemon of this configuration serves on this machine.
    """
    from monitor.alive import local  # noqa: PLC0415  it loads what asks by HTTP, which the daemon does not

    http = loaded.settings.http
    if given or http.public_url or otherwise:
        return given or (f"{http.public_url}/runbooks" if http.public_url else otherwise)
    return f"{local(http.listen)}/runbooks" if http.port else RUNBOOKS


def log_to_stderr(loaded: Loaded, *, level: str | None = None) -> Scrubbing:
    """Set logging up as configured; a level that is given goes first."""
    scrubbing = Scrubbing(Scrubber(secrets_in(loaded.settings)))
    logging = loaded.settings.logging
    set_up(form=logging.format, level=level or logging.level, scrubbing=scrubbing)
    return scrubbing


def environment_named(loaded: Loaded, name: str) -> EnvironmentSettings:
    """An environment of the configuration; where it is not there, the command ends with 64."""
    (found,) = environments_named(loaded, [name])
    return loaded.settings.environments[found]


def environments_named(loaded: Loaded, names: Iterable[str] | None) -> list[str]:
    """Environments of the configuration, each once; all of them where none is named. Where one is not there: 64.

    Where no configuration was found at all, that is said, and the command ends with 78.
    """
    if none := unconfigured(loaded):
        fail(none, WRONG_CONFIGURATION)
    every = loaded.settings.environments
    return list(dict.fromkeys(known(name, every, what="environment") for name in names or every))


def unconfigured(loaded: Loaded) -> str:
    """That no configuration was found, where it was looked for, and the next step; nothing where there is any."""
    if loaded.files or loaded.settings.environments:
        return ""
    looked = " or ".join(f"./{place}" if not place.is_absolute() else str(place) for place in PLACES)
    return f"no configuration was found at {looked}; name one by --config FILE or HOLDFAST_CONFIG"


def known(name: str, names: Iterable[str], *, what: str, listed_by: str = "") -> str:
    """The name, if it is known; else the nearest is named, and the command ends with 64.

    `listed_by` is the command that lists names of which there are too many for a line.
    """
    known_names = list(names)
    if name in known_names:
        return name
    near = _near(name, known_names)
    every = f"`{listed_by}` lists them" if listed_by else f"known: {', '.join(known_names) or 'none'}"
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else every
    if near and listed_by:
        hint += f" {every}"
    fail(f"there is no {what} {name!r}; {hint}", USAGE)


def _near(name: str, names: Sequence[str]) -> list[str]:
    """At most three names that may have been meant, the likeliest first: those whose beginning it is, or nearly is.

    Of a name that is cut short most letters are missing, and difflib would find others nearer that are as short.
    """

    def alike(one: str, other: str) -> float:
        return difflib.SequenceMatcher(a=other, b=one).ratio()

    begun = {each: alike(each[: len(name)], name) for each in names if name}
    first = sorted((each for each in begun if begun[each] >= _BEGUN), key=lambda each: -begun[each])
    return list(dict.fromkeys([*first, *difflib.get_close_matches(name, names, n=1)]))[:3]


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function on the fastest loop that is installed."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with suppress(ImportError):  # it is not there on every platform
        from uvloop import new_event_loop as factory  # noqa: PLC0415
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main())
    except ConfigError as error:  # a driver has refused an address
        complain(error)
        raise typer.Exit(WRONG_CONFIGURATION) from None


def on_terminal() -> bool:
    """Whether somebody watches standard output."""
    return sys.stdout.isatty()


class Dumper(yaml.SafeDumper):
    """YAML in which a text of several lines stands as one would write it."""


Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)
