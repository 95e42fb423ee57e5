"""Rules that were broken in one place each, every one of which some story must notice: `python -m tests.alerting`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy

from tests.alerting.promtool import Rules, alerts

_FEW = 3
_NEVER = "vector(1) > 2"


def mutants(made: Rules) -> Iterator[tuple[str, Rules]]:
    """What was broken, and the rules with that."""
    for number, rule in enumerate(alerts(made)):
        name = f"{rule['alert']} {rule['labels'].get('long', '')}{rule['labels'].get('cost', '')}".strip()
        yield f"{name}: never fires", _with(made, number, expr=_NEVER)
        if _true(rule["expr"]) != rule["expr"]:
            yield f"{name}: fires whatever is compared", _with(made, number, expr=_true(rule["expr"]))
        for line in range(1, len(rule["expr"].splitlines())):
            yield (
                f"{name}: without {rule['expr'].splitlines()[line]}",
                _with(made, number, expr=_less(rule["expr"], line)),
            )
        if "for" in rule:
            yield f"{name}: without its wait", _with(made, number, **{"for": "0s"})
            yield f"{name}: waits thrice as long", _with(made, number, **{"for": _longer(rule["for"])})
        for index, found in enumerate(re.finditer(r"last_over_time\(([^\[]*)\[\w+\]\)", rule["expr"])):
            gone = rule["expr"].replace(found[0], found[1])
            yield f"{name}: forgets at once ({index})", _with(made, number, expr=gone)
        for index, found in enumerate(re.finditer(r"(?<=[<>] )(?!0\b(?!\.))\d[\d.]*", rule["expr"])):
            for factor in (0.2, 5):
                other = f"{float(found[0]) * factor:g}"
                yield (
                    f"{name}: {found[0]} is {other} ({index})",
                    _with(made, number, expr=rule["expr"][: found.start()] + other + rule["expr"][found.end() :]),
                )


def _with(made: Rules, number: int, **changed: str) -> Rules:
    broken = deepcopy(made)
    list(alerts(broken))[number].update(changed)
    return broken


def _true(expr: str) -> str:
    """The first comparison holds, whatever it compares."""
    return re.sub(r" (==|>|<) (?!bool)", r" \1 bool ", expr, count=1)


def _less(expr: str, line: int) -> str:
    """Without one line, and with the parentheses that this leaves open."""
    lines = expr.splitlines()
    lines[line] = lines[line][len(lines[line].rstrip(")")) :]
    kept = "\n".join(lines)
    open_ = kept.count("(") - kept.count(")")
    return kept if open_ >= 0 else kept.replace(")", "", -open_)


def _longer(wait: str) -> str:
    return re.sub(r"\d+", lambda number: str(int(number[0]) * _FEW), wait)
