"""Row 11: the judge of histories, on histories of a serial database with ten clients; how it grows, and its memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from bench.frame import Effort, Figure, Goal, Row

SHORT, LONG = 1_000, 100_000
PROGRAM = """
import json, resource, sys
from random import Random
from time import process_time
from monitor.core.history.judge import judge
from monitor.core.history.operations import Append, Kind, Read, Transaction
count, rounds = map(int, sys.argv[1:])
random, lists, made = Random(7), {}, []
for number in range(count):
    micros = []
    for place in range(random.randint(1, 4)):
        key = number // 50 * 5 + random.randrange(5)  # each key lives for a while, as in the probe
        if random.random() < 0.5:
            lists.setdefault(key, []).append(number * 4 + place)
            micros.append(Append(key, number * 4 + place))
        else:
            micros.append(Read(key, tuple(lists.get(key, ()))))
    made.append(Transaction(Kind.OK, number % 10, tuple(micros), 2 * number, 2 * number + 1))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
took = []
for _ in range(rounds):
    began = process_time()
    found = judge(made)
    took.append(process_time() - began)
    assert found.valid, found
print(json.dumps([took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


async def measure(effort: Effort) -> Sequence[Row]:
    """Both lengths, each in a process of its own, whose memory is told with it."""
    short, _ = _judged(SHORT, effort.rounds + 1)
    long, memory = _judged(LONG, 3 if effort.full else 1)
    brief, lengthy = Figure.of(short[1:]), Figure.of(long)
    linear = Figure.of([brief.median * LONG / SHORT] * len(long))
    what = "judge of a history of {:,} transactions"
    return [
        Row(
            number="11",
            what=what.format(SHORT),
            unit="ms",
            own=Figure.of(value * 1000 for value in brief.values),
            goal=Goal(most=50),
        ),
        Row(number="11", what=what.format(LONG), unit="s", own=lengthy, goal=Goal(most=15)),
        Row(
            number="11",
            what=what.format(LONG) + ", growth",
            unit="s",
            own=lengthy,
            anchor=linear,
            beside=f"{LONG // SHORT} times the short one",
        ),
        Row(
            number="11",
            what=what.format(LONG) + ": memory of the process, the history in it",
            unit="MB",
            own=Figure.of([memory]),
            goal=Goal(most=500),
        ),
    ]


def _judged(transactions: int, rounds: int) -> tuple[list[float], float]:
    """Seconds of the processor each time, and the most memory in MB."""
    command = [sys.executable, "-c", PROGRAM, str(transactions), str(rounds)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  our own
    took, memory = json.loads(said)
    return took, memory
