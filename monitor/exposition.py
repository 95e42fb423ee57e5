"""The /metrics page, rendered in turns: a scrape must not be a latency that the probes then report as the store's.

`generate_latest` keeps the loop for more than a second at 100,000 series. Here the text of lines is built once and kept
(by `Columns` for all environments of one shape together), and other tasks have their turn every millisecond of work.
"""
# ruff: noqa: SLF001, ANN401  prometheus_client has no public, typed way to children; tests compare with generate_latest

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import InfoMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from monitor.columns import Columns
from monitor.textformat import bound, head, labels, number

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_SLICE = 0.001  # seconds of work between turns: a store's reply takes two or three turns to reach its probe
_BATCH = 32  # series between two looks at the clock
_PLAIN = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")

Family = Counter | Gauge | Histogram


def choose(accept: str) -> tuple[bool, str]:
    """Whether the Accept header of a scraper asks for OpenMetrics, and the Content-Type of what it gets.

    As prometheus_client: the first of OpenMetrics in a version that we speak wins, and everybody else gets text.
    """
    for each in accept.split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        version = next((part.partition("=")[2] for part in parameters if part.startswith("version=")), "1.0.0")
        if kind == "application/openmetrics-text" and version.split(".")[0] == "1":
            return True, OPENMETRICS
    return False, TEXT


class Turns:
    """Gives other tasks a turn after each millisecond of work."""

    def __init__(self) -> None:
        self._since = monotonic()

    @property
    def due(self) -> bool:
        """Whether it is somebody else's turn."""
        return monotonic() - self._since > _SLICE

    async def give(self) -> None:
        """Let others have a turn if one is due."""
        if self.due:
            await asyncio.sleep(0)
            self._since = monotonic()


@dataclass(frozen=True, slots=True)
class _Lines:
    """The lines of one child: what stands before each value."""

    child: Family
    starts: tuple[str, ...]


class Exposition:
    """Renders a registry, and remembers the beginnings of its lines. What is removed there vanishes here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._known: WeakKeyDictionary[Collector, dict[Sequence[str], _Lines]] = WeakKeyDictionary()

    async def render(self, *, openmetrics: bool) -> bytes:
        """The whole page, without the `_created` series. Raises whatever a collector raises."""
        return b"".join([part async for part in self.parts(openmetrics=openmetrics)])

    async def parts(self, *, openmetrics: bool) -> AsyncIterator[bytes]:
        """The same part by part, as somebody asks for them; between two of them anything may change."""
        turns = Turns()
        with self.registry._lock:
            collectors = list(self.registry._collector_to_names)
        target = self.registry.get_target_info()
        if target:
            about = InfoMetricFamily("target", "Target metadata", target)
            yield _foreign([about], openmetrics=openmetrics)
        for collector in collectors:
            if isinstance(collector, Columns):
                for chunk in collector.chunks(openmetrics=openmetrics):
                    yield chunk.encode("utf-8", "replace")
                    await turns.give()
            elif isinstance(collector, Family) and _is_own(collector):
                async for part in self._family(collector, turns, openmetrics=openmetrics):
                    yield part
            else:
                yield _foreign(collector.collect(), openmetrics=openmetrics)
            await turns.give()
        if openmetrics:
            yield b"# EOF\n"

    async def _family(self, family: Family, turns: Turns, *, openmetrics: bool) -> AsyncIterator[bytes]:
        """One family, chunk by chunk."""
        known = self._known.setdefault(family, {})
        children = _children(family)
        write = _WRITERS[type(family)]
        parts = [_head(family, openmetrics=openmetrics)]
        for count, (values, child) in enumerate(children.items()):
            lines = known.get(values)
            if lines is None or lines.child is not child:
                lines = known[values] = _Lines(child, _starts(child, values))
            write(child, lines.starts, parts, openmetrics)
            if not count % _BATCH and turns.due:
                yield _encode(parts)
                parts.clear()
                await turns.give()
        yield _encode(parts)
        if len(known) > len(children):
            for values in known.keys() - children.keys():
                del known[values]


async def render(registry: CollectorRegistry, *, openmetrics: bool) -> bytes:
    """The page of a registry, once. Who renders the same registry again keeps an Exposition, which is faster."""
    return await Exposition(registry).render(openmetrics=openmetrics)


def _is_own(family: Family) -> bool:
    """Whether it is one of the three classes themselves, with names that need no escaping."""
    names = (family._name, *family._labelnames)
    return type(family) in _WRITERS and all(_PLAIN.fullmatch(name) for name in names)


def _children(family: Any) -> dict[Sequence[str], Any]:
    """Every child of a family by its label values; the family itself where it has no labels."""
    if not family._labelnames:
        return {(): family}
    with family._lock:
        return dict(family._metrics)


def _head(family: Family, *, openmetrics: bool) -> str:
    return head(
        name=family._name, text=family._documentation, kind=family._type, unit=family._unit, openmetrics=openmetrics
    )


def _starts(child: Family, values: Sequence[str]) -> tuple[str, ...]:
    """The beginning of each line of a child, up to the value."""
    name, given = child._name, dict(zip(child._labelnames, values, strict=True))
    if isinstance(child, Counter):
        return (f"{name}_total{labels(given)} ",)
    if isinstance(child, Gauge):
        return (f"{name}{labels(given)} ",)
    bounds = [bound(each) for each in child._upper_bounds]
    buckets = [f"{name}_bucket{labels({**given, 'le': each})} " for each in bounds]
    return (*buckets, f"{name}_count{labels(given)} ", f"{name}_sum{labels(given)} ")


def _write_counter(child: Any, starts: tuple[str, ...], parts: list[str], openmetrics: bool) -> None:  # noqa: FBT001  hot
    exemplar = _exemplar(child._value) if openmetrics else ""
    parts.append(f"{starts[0]}{number(child._value.get())}{exemplar}\n")


def _write_gauge(child: Any, starts: tuple[str, ...], parts: list[str], _openmetrics: bool) -> None:  # noqa: FBT001  hot
    if "_child_samples" in child.__dict__:  # set_function puts itself there
        (sample,) = child._child_samples()
        parts.append(f"{starts[0]}{number(sample.value)}\n")
    else:
        parts.append(f"{starts[0]}{number(child._value.get())}\n")


def _write_histogram(child: Any, starts: tuple[str, ...], parts: list[str], openmetrics: bool) -> None:  # noqa: FBT001  hot
    total = 0.0
    for start, bucket in zip(starts, child._buckets, strict=False):  # count and sum come after the buckets
        total += bucket.get()
        exemplar = _exemplar(bucket) if openmetrics else ""
        parts.append(f"{start}{number(total)}{exemplar}\n")
    parts.append(f"{starts[-2]}{number(total)}\n")
    if child._upper_bounds[0] >= 0:  # a sum of what may be negative is no counter
        parts.append(f"{starts[-1]}{number(child._sum.get())}\n")


_Writer = Callable[[Any, tuple[str, ...], list[str], bool], None]
_WRITERS: dict[type[Any], _Writer] = {Counter: _write_counter, Gauge: _write_gauge, Histogram: _write_histogram}


def _exemplar(value: Any) -> str:
    found: Exemplar | None = value.get_exemplar()
    if not found:
        return ""
    when = "" if found.timestamp is None else f" {found.timestamp}"
    return f" # {labels(found.labels)} {number(found.value)}{when}"


def _encode(parts: list[str]) -> bytes:
    return "".join(parts).encode("utf-8", "replace")


class _Given:
    """Families that were collected already, as a collector."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _foreign(metrics: Iterable[Metric], *, openmetrics: bool) -> bytes:
    """The families of a collector that is none of ours: few and small, so prometheus_client writes them itself."""
    kept = []
    for metric in metrics:
        chosen = copy.copy(metric)
        chosen.samples = [sample for sample in metric.samples if sample.name != f"{metric.name}_created"]
        kept.append(chosen)
    if openmetrics:
        page: bytes = generate_openmetrics(_Given(kept))  # type: ignore[no-untyped-call]  # it has no annotations
        return page.removesuffix(b"# EOF\n")
    return generate_latest(_Given(kept))
