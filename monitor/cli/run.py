"""`holdfast run`: the daemon."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from typing import Annotated

import structlog
import typer

from monitor.app import App
from monitor.cli.common import (
    WRONG_CONFIGURATION,
    Config,
    Quiet,
    Verbose,
    configuration,
    fail,
    log_to_stderr,
    read,
    run,
    unconfigured,
)
from monitor.configfile import Loaded
from monitor.core.shard import Shard
from monitor.listening import ListenError
from monitor.ports import StateTakenError

log = structlog.get_logger("holdfast")


def _shard(text: str | None) -> str | None:
    try:
        return text and str(Shard.of(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Part = Annotated[
    str | None,
    typer.Option("--shard", metavar="K/N", callback=_shard, help="Watch only this part of the environments, as 2/4."),
]


def command(config: Config = None, shard: Part = None, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Watch all environments until SIGTERM or SIGINT.

    SIGHUP, or a change of the file, reloads the configuration; a bad new file keeps the old one.

    Ends with 0 after SIGTERM, 78 where the configuration is wrong or the `state` is another running daemon's, 1 where
    it cannot listen or dies.

    Several on one machine share the environments by --shard; each has its own state beside the configured one, and
    listens at the configured port plus K - 1.

    Examples:
      holdfast run --config /etc/holdfast/holdfast.yaml

      holdfast run --config /etc/holdfast/holdfast.yaml --shard 2/4

    """

    def mine(loaded: Loaded) -> Loaded:
        settings = loaded.settings.model_copy(update={"shard": shard or loaded.settings.shard})
        return replace(loaded, settings=settings.of_its_shard())

    given = configuration(config)
    if nowhere := unconfigured(given):
        fail(f"{nowhere}; `holdfast demo` needs none", WRONG_CONFIGURATION)
    loaded = mine(given)
    if not loaded.settings.environments and loaded.settings.part.whole:
        nothing = "there is nothing to watch: add an environment below `environments:` (see config/holdfast.yaml)"
        fail(nothing, WRONG_CONFIGURATION)
    scrubbing = log_to_stderr(loaded, level="warning" if quiet else "debug" if verbose else None)

    async def main() -> None:
        app = App(loaded, reload=lambda: mine(read(config)), scrubbing=scrubbing)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, app.request_reload)
        await app.run(stop)

    try:
        run(main)
    except typer.Exit:
        raise
    except StateTakenError as error:
        log.error("daemon.failed", message=str(error))
        raise typer.Exit(WRONG_CONFIGURATION) from None
    except ListenError as error:
        log.error("daemon.failed", message=str(error))
        raise typer.Exit(1) from None
    except Exception:
        log.exception("daemon.failed")
        raise typer.Exit(1) from None
    raise typer.Exit(0)
