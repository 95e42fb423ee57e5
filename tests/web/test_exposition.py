"""The rendered page against prometheus_client's own, and the turns that others get meanwhile."""

from __future__ import annotations

import asyncio
import gc
import math
import re
from weakref import ref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary, generate_latest
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from monitor.exposition import OPENMETRICS, TEXT, Exposition, choose, render

ODD = ("", 'quo"te', "back\\slash", "new\nline", "\\n", "grün 漢字 🦞", "a,b={c}", " ")
NUMBERS = (0.0, -0.0, 1.0, 0.1, 1e-7, 123456.75, 999999.0, 1e6, 1234567.0, 1e21, -5e6, math.inf, -math.inf, math.nan)


def expected(registry: CollectorRegistry, *, openmetrics: bool) -> str:
    """The page of prometheus_client, without the families and samples of creation times."""
    page = generate_openmetrics(registry) if openmetrics else generate_latest(registry)
    names = {f"{metric.name}_created" for metric in registry.collect() if metric.type != "gauge"}

    def kept(line: str) -> bool:
        name = line.split(" ")[2] if line.startswith(("# HELP", "# TYPE")) else re.split("[{ ]", line, maxsplit=1)[0]
        return name not in names

    return "".join(line for line in page.decode().splitlines(keepends=True) if kept(line))


async def check(registry: CollectorRegistry, exposition: Exposition | None = None) -> None:
    """Both formats are prometheus_client's, on the first rendering and on the next."""
    exposition = exposition or Exposition(registry)
    for openmetrics in (False, True, False, True):
        assert (await exposition.render(openmetrics=openmetrics)).decode() == expected(
            registry, openmetrics=openmetrics
        )


def mixed() -> CollectorRegistry:
    """Families of all three types, with and without labels, with odd labels and odd numbers, and empty ones."""
    registry = CollectorRegistry()
    counter = Counter("asked_total", 'Text with "quotes", \\ and\nlines.', ["zone", "app"], registry=registry)
    gauge = Gauge("level", "A level.", ["app"], registry=registry)
    histogram = Histogram("took_seconds", "Lengths.", ["app"], unit="seconds", buckets=(0.1, 2, 5), registry=registry)
    Gauge("empty", "Nobody is in it.", ["app"], registry=registry)
    Counter("plain", "Without labels.", registry=registry).inc(2.5)
    Histogram("below_zero", "Has no sum.", buckets=(-1, 0, 1), registry=registry).observe(-3)
    Gauge("asked_for", "Answers when asked.", registry=registry).set_function(lambda: 42)
    for odd in ODD:
        counter.labels(odd, "x").inc(7)
        histogram.labels(odd).observe(1.5)
    for number in NUMBERS:
        gauge.labels(str(number) + str(math.copysign(1, number))).set(number)
        histogram.labels("numbers").observe(number)
    return registry


async def test_page_equals_that_of_prometheus_client() -> None:
    """Counters, gauges and histograms are written as prometheus_client writes them, in both formats."""
    await check(mixed())


async def test_empty_registry_is_an_empty_page() -> None:
    """A registry without families is an empty page, and an OpenMetrics page still says where it ends."""
    registry = CollectorRegistry()
    assert [await render(registry, openmetrics=openmetrics) for openmetrics in (False, True)] == [b"", b"# EOF\n"]


async def test_other_collectors_are_asked_to_collect() -> None:
    """What is none of the three classes, and what was derived from them, is written as prometheus_client does."""

    class OwnCounter(Counter):
        """Derived, so it may do anything."""

    registry = CollectorRegistry(target_info={"cluster": 'a"b'})
    Summary("sizes", "Sizes.", ["app"], registry=registry).labels("x").observe(3)
    Info("build", "The build.", registry=registry).info({"version": "1"})
    Enum("mood", "The mood.", states=["good", "bad"], registry=registry).state("bad")
    OwnCounter("own", "Own.", registry=registry).inc()
    Gauge("näme", "A name that needs escaping.", registry=registry).set(1)
    Gauge("label", "A label that needs escaping.", ["ä.b"], registry=registry).labels("x").set(1)
    await check(registry)


async def test_exemplars_are_written_in_openmetrics_only() -> None:
    """Exemplars of counters and of buckets are on the OpenMetrics page and not in the classic text."""
    registry = CollectorRegistry()
    Counter("asked", "Asked.", registry=registry).inc(1, {"trace": 'a"b'})
    Histogram("took", "Took.", registry=registry, buckets=(1, 2)).observe(1.5, {"trace": "c", "b": "d"})
    await check(registry)


async def test_changes_are_seen_on_the_next_page() -> None:
    """What was counted, added, removed, added anew, cleared or unregistered since the last page shows on the next."""
    registry = CollectorRegistry()
    exposition = Exposition(registry)
    counter = Counter("asked", "Asked.", ["app"], registry=registry)
    for name in "abc":
        counter.labels(name).inc()
    await check(registry, exposition)
    counter.remove("b")
    await check(registry, exposition)
    counter.remove("a")
    counter.labels("a").inc(5)
    await check(registry, exposition)
    counter.remove_by_labels({"app": "c"})
    counter.labels("d").inc()
    await check(registry, exposition)
    counter.clear()
    await check(registry, exposition)
    registry.unregister(counter)
    await check(registry, exposition)


async def test_removed_series_are_let_go() -> None:
    """Nothing is remembered of a series that was removed, nor of a family that was unregistered."""
    registry = CollectorRegistry()
    exposition = Exposition(registry)
    gauge = Gauge("level", "A level.", ["app"], registry=registry)
    child = ref(gauge.labels("a"))
    await exposition.render(openmetrics=False)
    gauge.remove("a")
    await exposition.render(openmetrics=False)
    gc.collect()
    assert child() is None
    registry.unregister(gauge)
    family = ref(gauge)
    del gauge
    gc.collect()
    assert family() is None


@settings(deadline=None)  # the machine may be busy
@given(
    labels=st.dictionaries(st.text(st.characters(codec="utf-8")), st.floats(), max_size=5),
    amounts=st.lists(st.floats(min_value=0), max_size=5),
    text=st.text(st.characters(codec="utf-8", exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")),
)
def test_any_label_and_number_is_written_alike(labels: dict[str, float], amounts: list[float], text: str) -> None:
    """Whatever the labels, the numbers and the help text are, the pages are equal, byte for byte."""
    registry = CollectorRegistry()
    gauge = Gauge("level", text, ["app"], registry=registry)
    counter = Counter("asked", text, ["app"], registry=registry)
    histogram = Histogram("took", text, ["app"], registry=registry)
    for label, number in labels.items():
        gauge.labels(label).set(number)
        for amount in amounts:
            counter.labels(label).inc(amount)
            histogram.labels(label).observe(amount)
    names = {"asked_created", "took_created"}

    def without_created(page: bytes) -> bytes:
        lines = page.decode().split("\n")
        return "\n".join(line for line in lines if not any(name in line[:30] for name in names)).encode()

    for openmetrics, generate in ((False, generate_latest), (True, generate_openmetrics)):
        page = asyncio.run(render(registry, openmetrics=openmetrics))
        assert page == without_created(generate(registry))


async def test_others_have_turns_while_a_big_registry_is_rendered() -> None:
    """Another task gets many turns during one rendering, and the page is whole all the same."""
    registry = CollectorRegistry()
    histogram = Histogram("took_seconds", "Lengths.", ["app"], registry=registry)
    for number in range(2_000):
        histogram.labels(str(number)).observe(number)
    rendering = asyncio.create_task(render(registry, openmetrics=False))
    turns = 0
    while not rendering.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10
    assert rendering.result().decode() == expected(registry, openmetrics=False)


async def test_series_may_come_and_go_while_a_page_is_rendered() -> None:
    """A page that is rendered while series appear and vanish is well-formed, and the next one is right."""
    registry = CollectorRegistry()
    exposition = Exposition(registry)
    gauge = Gauge("level", "A level.", ["app"], registry=registry)
    for number in range(20_000):
        gauge.labels(str(number)).set(number)
    renderings = [asyncio.create_task(exposition.render(openmetrics=False)) for _ in range(2)]
    number = 0
    while not all(each.done() for each in renderings):
        gauge.remove(str(number))
        gauge.labels(f"new {number}").set(number)
        number += 1
        await asyncio.sleep(0)
    for each in renderings:
        (family,) = text_string_to_metric_families(each.result().decode())
        assert len(family.samples) >= 20_000 - number
    await check(registry, exposition)


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/plain",
        "text/plain;version=0.0.4",
        "application/json",
        "application/openmetrics-text",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        "application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5",
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;q=0.5",
    ],
)
def test_format_is_chosen_as_prometheus_client_chooses(accept: str) -> None:
    """The Accept headers of Prometheus, of curl and of browsers lead to the format that prometheus_client gives."""
    _, content_type = choose_encoder(accept)
    assert choose(accept)[1] == content_type.split("; escaping")[0]


def test_format_that_we_do_not_speak_is_not_promised() -> None:
    """Who asks for OpenMetrics 2.0 or text 1.0.0 alone gets the classic text, and is told so."""
    assert choose("application/openmetrics-text;version=2.0.0") == (False, TEXT)
    assert choose("text/plain;version=1.0.0;escaping=allow-utf-8") == (False, TEXT)
    assert choose("application/openmetrics-text;version=2.0.0,application/openmetrics-text") == (True, OPENMETRICS)
