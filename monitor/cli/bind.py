"""`holdfast bind init|check|try`: from an application's schema to a binding that fits it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer
from pydantic import ValidationError
from rich.text import Text

from monitor.bindingfile import read_binding
from monitor.bindings import Binding
from monitor.cli import common
from monitor.configfile import ConfigError, Loaded, secrets_in
from monitor.core.secrets import Scrubber
from monitor.expansion import read as read_text
from monitor.ports import Store
from monitor.settings import EnvironmentSettings

DOES_NOT_FIT = 2
_OWN = "bind"
"""The environment of a command that no configuration names."""
_FLAGS = {Store.POSTGRES: "--dsn", Store.REDIS: "--url", Store.API: "--base-url"}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Teach the probes how your application stores things: write a binding, check it, try it.",
    epilog="Example: holdfast bind init app.yaml --dsn postgresql://holdfast@db.example/app",
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The binding.", show_default=False)]
Env = Annotated[
    str | None,
    typer.Argument(
        metavar="[ENV]",
        help="The environment of the configuration whose stores and log-in are used.",
        autocompletion=common.known_environments,
        show_default=False,
    ),
]
Dsn = Annotated[
    str | None,
    typer.Option(envvar="HOLDFAST_BIND_DSN", help="The PostgreSQL, in place of ENV's.", show_default=False),
]
Url = Annotated[
    str | None, typer.Option(envvar="HOLDFAST_BIND_URL", help="The Redis, in place of ENV's.", show_default=False)
]
BaseUrl = Annotated[
    str | None,
    typer.Option("--base-url", envvar="HOLDFAST_BIND_BASE_URL", help="The API, in place of ENV's.", show_default=False),
]
Token = Annotated[
    list[str] | None,
    typer.Option(
        envvar="HOLDFAST_BIND_TOKENS", help="ID=TOKEN of a user whom the API knows; four or more.", show_default=False
    ),
]
JwtKey = Annotated[
    str | None,
    typer.Option(
        "--jwt-key",
        envvar="HOLDFAST_BIND_JWT_KEY",
        help="The secret by which the API's JWTs are signed (HS256).",
        show_default=False,
    ),
]
Format = Annotated[Literal["text", "json"], typer.Option("--format", help="How to answer.")]
Json = Annotated[bool, typer.Option("--json", hidden=True, help="What --format json was before.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A binding and where it is tried; `absent` are sections that no server was named for."""

    name: str
    binding: Binding
    loaded: Loaded | None
    absent: tuple[Store, ...]

    @property
    def settings(self) -> EnvironmentSettings | None:
        """The environment; None where no server was named."""
        return self.loaded.settings.environments[self.name] if self.loaded else None

    @property
    def scrub(self) -> Scrubber:
        """Takes every secret out of what is printed."""
        return Scrubber(secrets_in(self.settings or self.binding))


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where servers are, as flags say it, and how one logs in to the API."""

    dsn: str | None
    url: str | None
    base_url: str | None
    tokens: Sequence[str]
    jwt_key: str | None

    def settings(self) -> dict[str, dict[str, object]]:
        """The same as a part of an environment's settings. Ends the command where a flag is wrong."""
        found: dict[str, dict[str, object]] = {}
        if self.dsn is not None:
            found["postgres"] = {"dsn": _expanded("--dsn", self.dsn)}
        if self.url is not None:
            found["redis"] = {"url": _expanded("--url", self.url)}
        if self.base_url is not None:
            found["api"] = {"base_url": _expanded("--base-url", self.base_url)}
        if self.jwt_key is not None:
            auth: dict[str, object] = {"kind": "jwt", "key": _expanded("--jwt-key", self.jwt_key)}
            found["api"] = {**found.get("api", {}), "auth": auth}
        elif self.tokens:
            found["api"] = {**found.get("api", {}), "auth": {"kind": "token", "accounts": [*self._accounts()]}}
        return found

    def _accounts(self) -> Iterator[dict[str, str]]:
        for each in ",".join(self.tokens).split(","):
            name, sign, token = _expanded("--token", each).partition("=")
            if not sign:
                common.fail("--token: expected ID=TOKEN, such as --token probe-1='${TOKEN_1}'", common.USAGE)
            yield {"id": name, "token": token}


@app.command()
def init(
    file: File,
    dsn: Annotated[
        str | None, typer.Option(envvar="HOLDFAST_BIND_DSN", help="The application's PostgreSQL.", show_default=False)
    ] = None,
    schema: Annotated[str, typer.Option(help="The schema that has the application's tables.")] = "public",
    url: Annotated[
        str | None,
        typer.Option(envvar="HOLDFAST_BIND_URL", help="Its Redis, if sessions are kept there.", show_default=False),
    ] = None,
    threads: Annotated[
        str | None, typer.Option(metavar="TABLE", help="The table of conversations.", show_default="guessed")
    ] = None,
    messages: Annotated[
        str | None, typer.Option(metavar="TABLE", help="The table of their messages.", show_default="guessed")
    ] = None,
    profiles: Annotated[
        str | None, typer.Option(metavar="TABLE", help="The table of users' profiles.", show_default="guessed")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
) -> None:
    """Write a binding for the tables that are there, as far as they can be guessed.

    Only the catalogue is read, never a row. What was guessed is marked `# GUESS`, what you have to decide `# DECIDE`.
    Ends with 0, or 2 where the server cannot be asked or nothing looks like conversations or profiles. --url alone
    writes the beginning of a binding for sessions.

    Example:  holdfast bind init app.yaml --dsn postgresql://holdfast@db.example/app
    """
    from monitor.cli.bind_init import Named, written  # noqa: PLC0415  the other commands do not need it

    if file.exists() and not force:
        common.fail(f"{file} is there already; name another file, or say --force", common.USAGE)
    if dsn is None and url is None:
        common.fail("name the application's PostgreSQL by --dsn, or its Redis by --url", common.USAGE)
    address = None if dsn is None else _expanded("--dsn", dsn)
    named = Named(threads=threads, messages=messages, profiles=profiles)
    text, summary = written(file, dsn=address, schema=schema, redis=url is not None, named=named)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        common.fail(f"{file} cannot be written ({error.strerror}); name another file", common.USAGE)
    console = common.out()
    for sentence in summary:
        console.print(Text("  ") + Text(sentence))
    console.print(Text("✔ ", style="green") + Text(f"{file} is written; look for GUESS and DECIDE in it, then:"))
    console.print(f"  holdfast bind check {file} {'--url' if dsn is None else '--dsn'} …")


@app.command()
def check(
    file: File,
    environment: Env = None,
    config: common.Config = None,
    dsn: Dsn = None,
    url: Url = None,
    base_url: BaseUrl = None,
    token: Token = None,
    jwt_key: JwtKey = None,
    form: Format = "text",
    json: Json = False,
    verbose: common.Verbose = False,
) -> None:
    """Check a binding: the file alone, or also against the servers that are named. Writes nothing to them.

    Every statement is prepared by the server, Redis and the API's log-in are asked for. Ends with 0, with 2 where the
    binding does not fit the servers, with 78 where the file is wrong. ${VAR} in addresses and tokens is expanded.

    Examples:
      holdfast bind check app.yaml                            the file alone

      holdfast bind check app.yaml production                 against an environment

      holdfast bind check app.yaml --dsn postgresql://…       against a server

    """
    from monitor.cli.bind_run import checked  # noqa: PLC0415  the stores are imported where they are asked

    servers = Servers(dsn=dsn, url=url, base_url=base_url, tokens=token or (), jwt_key=jwt_key)
    found = _subject(file, environment, config, servers, verbose=verbose)
    asked = found.settings is not None
    _end(
        file,
        found,
        common.run(lambda: _collected(checked(found), found, quiet=json or form == "json")) if asked else [],
        json=json or form == "json",
    )


@app.command("try")
def try_(
    file: File,
    environment: Env = None,
    config: common.Config = None,
    dsn: Dsn = None,
    url: Url = None,
    base_url: BaseUrl = None,
    token: Token = None,
    jwt_key: JwtKey = None,
    form: Format = "text",
    json: Json = False,
    verbose: common.Verbose = False,
) -> None:
    """Carry out each operation of a binding once, as a synthetic user, with its timing; then clean up.

    Writes what a probe would write, and nothing of a customer's is read. Ends with 0, with 2 where something did not
    come back or was left, with 78 where the file is wrong. ${VAR} in addresses and tokens is expanded.

    Examples:
      holdfast bind try app.yaml staging

      holdfast bind try app.yaml --dsn postgresql://holdfast@db.example/app

      holdfast bind try app.yaml --base-url https://app.example --jwt-key '${APP_KEY}'

    """
    from monitor.cli.bind_run import tried  # noqa: PLC0415  as above

    servers = Servers(dsn=dsn, url=url, base_url=base_url, tokens=token or (), jwt_key=jwt_key)
    found = _subject(file, environment, config, servers, verbose=verbose)
    if found.settings is None:
        common.fail("name an environment of the configuration, or servers by --dsn, --url and --base-url", common.USAGE)
    _end(
        file,
        found,
        common.run(lambda: _collected(tried(found), found, quiet=json or form == "json")),
        json=json or form == "json",
    )


def _subject(file: Path, environment: str | None, config: Path | None, servers: Servers, *, verbose: bool) -> Subject:
    """The binding, and where it is tried. Where the file or the configuration is wrong, the command ends with 78."""
    try:
        binding = read_binding(file, environ=os.environ)
    except ConfigError as error:
        common.complain(error, what=str(file))
        raise typer.Exit(common.WRONG_CONFIGURATION) from None
    given, name = servers.settings(), environment or _OWN
    there = {store for store in Store if given.get(store.value)}
    if environment is not None:
        there |= common.environment_named(common.configuration(config), environment).stores
    if not there:
        return Subject(name=name, binding=binding, loaded=None, absent=())
    reduced, absent = _reduced(binding, there)
    if reduced is None:
        wanted = " or ".join(_FLAGS[store] for store in absent)
        common.fail(f"{file} has nothing for the servers that are named; name others by {wanted}", common.USAGE)
    overrides = {"environments": {name: {**given, "binding": reduced}}}
    try:
        loaded = common.read(config, overrides) if environment else common.from_flags(overrides)
    except ConfigError as error:
        common.complain(error, what="what the flags name")
        raise typer.Exit(common.WRONG_CONFIGURATION if environment else common.USAGE) from None
    common.log_to_stderr(loaded, level="debug" if verbose else "critical")
    return Subject(name=name, binding=reduced, loaded=loaded, absent=absent)


def _reduced(binding: Binding, stores: set[Store]) -> tuple[Binding | None, tuple[Store, ...]]:
    """So much of a binding as concerns these stores, and for which others it has a section."""
    absent = tuple(store for store in Store if getattr(binding, store.value) is not None and store not in stores)
    if not absent:
        return binding, ()
    parts = {name: getattr(binding, name) for name in type(binding).model_fields}
    parts |= {store.value: None for store in absent}
    for what in ("threads", "profile"):
        if (way := parts[what]) and {way.read, way.write} & {store.value for store in absent}:
            parts[what] = None
    with suppress(ValidationError):
        return Binding(**parts), absent
    return None, absent


def _expanded(flag: str, value: str) -> str:
    """The value of a flag with `${VAR}` and `${file:PATH}` filled in, so that secrets need not be on a command line."""
    found = read_text(f"value: {orjson.dumps(value).decode()}", environ=os.environ, folder=Path.cwd())
    if found.faults:
        common.fail(f"{flag}: {found.faults[0].message}", common.USAGE)
    return str(found.data["value"])


MARK = {
    "done": ("✔", "green"),
    "equal": ("✔", "green"),
    "left_out": ("·", "dim"),
    "unknown": ("?", "magenta"),
    "differs": ("✘", "bold red"),
    "failed": ("✘", "bold red"),
}


async def _collected(found: AsyncIterator[Any], subject: Subject, *, quiet: bool) -> list[Any]:
    """All that is found, each printed as soon as it is there."""
    console, part, all_of_it = common.out(), "", []
    scrub = subject.scrub
    async for each in found:
        all_of_it.append(each)
        if quiet:
            continue
        if each.part != part:
            part = each.part
            console.print(Text(part, style="bold"))
        mark, style = MARK[each.outcome]
        took = "" if each.took is None else f"{each.took.total_seconds() * 1000:.1f} ms"
        timed = f"{each.operation:<28}{took:>10}  " if each.operation else ""
        console.print(Text(f"  {mark} ", style=style) + Text(f"{timed}{scrub(each.message)}".rstrip()))
    return all_of_it


def _end(file: Path, subject: Subject, found: list[Any], *, json: bool) -> None:
    """Say how it ended, and end."""
    from monitor.trial import WRONG  # noqa: PLC0415  as above

    wrong = [each for each in found if each.outcome in WRONG]
    probes = ", ".join(sorted(subject.binding.served()))
    scrub, console = subject.scrub, common.out()
    if json:
        rows = [
            {
                "part": each.part,
                "operation": each.operation,
                "outcome": each.outcome,
                "ms": None if each.took is None else round(each.took.total_seconds() * 1000, 1),
                "message": scrub(each.message),
            }
            for each in found
        ]
        document = {
            "file": str(file),
            "probes": sorted(subject.binding.served()),
            "fits": not wrong,
            "not_asked": [store.value for store in subject.absent],
            "found": rows,
        }
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        for store in subject.absent:
            text = f"its section `{store}` was left out: name a server by {_FLAGS[store]}"
            console.print(Text("· ", style="dim") + Text(text))
        if wrong:
            some = f"{len(wrong)} problem{'s' * (len(wrong) > 1)}"
            console.print(Text("✘ ", style="bold red") + Text(f"{file} does not fit: {some}"))
        elif subject.settings is None:
            console.print(Text("✔ ", style="green") + Text(f"{file} can be read; probes that go through it: {probes}"))
            flags = ", ".join(_FLAGS[store] for store in Store if getattr(subject.binding, store.value) is not None)
            console.print(f"  To check it against servers, name an environment, or {flags}.")
        else:
            console.print(Text("✔ ", style="green") + Text(f"{file} fits; probes that go through it: {probes}"))
    raise typer.Exit(DOES_NOT_FIT if wrong else 0)
