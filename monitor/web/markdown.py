"""A violation as Markdown, to be pasted into a ticket or a chat."""

from __future__ import annotations

import json
import re

from monitor.core import advice
from monitor.core.meanings import BROKEN
from monitor.core.violations import KeptViolation
from monitor.web import guidance, words

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!])")


def violation(kept: KeptViolation) -> str:
    """All that is known of it; what came from outside cannot become a link, a picture or a heading."""
    rows = {
        "environment": kept.environment,
        "probe": kept.probe,
        "stage": kept.stage,
        "expected": kept.expected,
        "actual": kept.actual,
        "seen": f"{kept.times} {'time' if kept.times == 1 else 'times'}",
        **({"note": kept.note} if kept.note else {}),
        "id": kept.id,
    }
    lines = [f"## {_line(kept.kind)}: {_line(kept.subject)}", "", f"{BROKEN[kept.kind].capitalize()}.", ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {_line(value)} |" for name, value in rows.items()), ""]
    if steps := advice.next_steps(kept):
        lines += ["Next step:", "", *(f"{place}. {_step(text)}" for place, text in enumerate(steps, start=1)), ""]
    for each in guidance.timeline(kept):
        by = f", by run `{each.run_id}`" if each.run_id else ""
        lines.append(f"- {words.when(each.at)}: {_line(each.what)}{by}")
    evidence = words.visible(json.dumps(dict(kept.evidence), indent=2, ensure_ascii=False, default=str))
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", evidence)), default=0))
    return "\n".join([*lines, "", f"{fence}json", evidence, fence, ""])


def _step(text: str) -> str:
    """Its commands stay commands; all around them is text."""
    pieces = words.visible(text).split("`")
    return "`".join(each if place % 2 else _escaped(each) for place, each in enumerate(pieces))


def _line(text: str) -> str:
    return _escaped(" ".join(words.visible(text).split()))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)
