"""Numbers and texts as Prometheus' formats spell them."""

from __future__ import annotations

from typing import Final

from prometheus_client.utils import floatToGoString

_SIMPLE: Final = 1e6  # below it, Python and Go write a number alike


def escaped(value: str) -> str:
    """The value of a label, between its quotes."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def labels(values: dict[str, str]) -> str:
    """The labels of a line, in the order of their names."""
    if not values:
        return ""
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in sorted(values.items())) + "}"


def number(value: float) -> str:
    """A sample's value."""
    if type(value) is float and -_SIMPLE < value < _SIMPLE:
        return repr(value)
    return bound(value)


def bound(value: float) -> str:
    """A bound of a histogram, as Go writes numbers."""
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]  # it has no annotations


def head(*, name: str, text: str, kind: str, unit: str = "", openmetrics: bool) -> str:
    """What stands before a family's lines. In the older format a counter is called as its samples are."""
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    if not openmetrics:
        name = f"{name}_total" if kind == "counter" else name
        return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"
    text = text.replace('"', r"\"")
    unit = f"# UNIT {name} {unit}\n" if unit else ""
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n{unit}"


def exemplar(key: str, *, value: float, at: float, name: str) -> str:
    """What stands behind a sample that names where it is from, in OpenMetrics."""
    return f' # {{{name}="{escaped(key)}"}} {number(value)} {at}'
