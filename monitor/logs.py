"""structlog, set up once; the standard library's loggers go through the same pipeline."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from monitor.core.secrets import Scrubber


class Scrubbing:
    """Takes secrets out of what is logged: out of the values, and, as the last processor, out of the finished line.

    Out of both, because a line spells its values anew: what was quoted in a traceback is quoted twice in JSON.
    `scrub` may be replaced when the configuration is.
    """

    def __init__(self, scrub: Scrubber) -> None:
        self.scrub = scrub

    def __call__(self, _logger: WrappedLogger, _method: str, line: Any) -> str:  # noqa: ANN401  a renderer's string
        """The line without secrets."""
        return self.scrub(str(line))

    def values(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """The event without secrets in its texts."""
        return {name: self._clean(value) for name, value in event.items()}

    def _clean(self, value: object) -> object:
        if isinstance(value, str):
            return self.scrub(value)
        if isinstance(value, list | tuple | set | frozenset):
            return [self._clean(each) for each in value]
        if isinstance(value, dict):
            return {self._clean(key): self._clean(each) for key, each in value.items()}
        return value


class _Enduring:
    """A stream that takes what it can: a full disk, or a reader that went away, is no reason to stop probing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if that is possible."""
        with suppress(OSError, ValueError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        """Flush, if that is possible."""
        with suppress(OSError, ValueError):
            self._stream.flush()


def set_up(*, form: str, level: str, scrubbing: Scrubbing, stream: TextIO = sys.stderr) -> None:
    """Send everything that is logged to one stream. `form` is json, console, or auto: console on a terminal only."""
    on_terminal = stream.isatty()
    console = form == "console" or (form == "auto" and on_terminal)
    colours = console and on_terminal and not os.environ.get("NO_COLOR")
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _drop_empty,
    ]
    # Plain tracebacks: the rich ones show the values of variables, and a DSN is one.
    rendered: list[Processor] = (
        [
            scrubbing.values,
            structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback),
        ]
        if console
        else [structlog.processors.format_exc_info, scrubbing.values, _json]
    )
    enduring = _Enduring(stream)
    structlog.configure(
        processors=[*shared, *rendered, scrubbing],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(
            cast("TextIO", enduring)
        ),  # past the standard library, which costs ten times as much
        cache_logger_on_first_use=False,  # modules hold loggers from before this call
    )
    logging.captureWarnings(True)  # noqa: FBT003  the signature is the library's
    handler = logging.StreamHandler(enduring)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered, scrubbing],
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in (
        "apscheduler",
        "uvicorn.access",
        "uvicorn.error",
        "asyncio",
        "alembic",
        "httpx",
        "httpcore",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)  # one line a run is what people read


def _drop_empty(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {name: value for name, value in event.items() if value is not None}


def _json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return orjson.dumps({"event": event.pop("event"), **event}, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
