"""How far a bench is, told while it runs; and the row of a part that failed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic

from bench.frame import Row

FAILED = "?"
"""The number of a row whose module failed."""
SHORT = 200
"""Characters of an error that a table has room for."""
_to_stderr = partial(print, file=sys.stderr, flush=True)


class Progress:
    """Tells, on the standard error, what is measured now, how long all has taken, and what is still to come.

    `seconds` is how long each part usually takes; what is left is told from it, and from how much longer or shorter
    the parts before took.
    """

    def __init__(
        self,
        seconds: Mapping[str, float],
        *,
        clock: Callable[[], float] = monotonic,
        say: Callable[[str], None] = _to_stderr,
    ) -> None:
        self._seconds = seconds
        self._clock, self._say = clock, say
        self._began = self._since = clock()
        self._now = ""
        self._done: list[str] = []

    def begin(self, part: str) -> None:
        """The part before has ended, if there was one, and this one begins."""
        self._ended()
        self._now, self._since = part, self._clock()
        left = self.left(self._since - self._began)
        self._say(
            f"{part} ({len(self._done) + 1} of {len(self._seconds)}), {minutes(self._since - self._began)} so far, "
            f"about {minutes(left)} to go"
        )

    def tell(self, what: str) -> None:
        """What the part that is measured now is at."""
        self._say(f"  {what} ({minutes(self._clock() - self._began)})")

    def end(self) -> None:
        """All is done."""
        self._ended()
        self._say(f"done in {minutes(self._clock() - self._began)}")

    def left(self, taken: float) -> float:
        """Seconds that the parts which are not done will take, if those that are have taken so many."""
        usual = sum(self._seconds[part] for part in self._done)
        pace = taken / usual if usual else 1.0
        return pace * sum(usually for part, usually in self._seconds.items() if part not in self._done)

    def _ended(self) -> None:
        if self._now:
            self._done.append(self._now)
            self._say(f"  {self._now} took {self._clock() - self._since:.0f} s")


def minutes(seconds: float) -> str:
    """As a clock shows them."""
    return f"{round(seconds) // 60}:{round(seconds) % 60:02d}"


def failed(name: str, error: Exception) -> Row:
    """The row of a module that could not measure anything: the last line of what was wrong, and what may be done."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = ": ".join([type(error).__name__, *lines[-1:]])
    if len(said) > SHORT:
        said = f"{said[:SHORT]}…"
    missing = isinstance(error, ModuleNotFoundError)
    advice = "; `python3 dev.py bench` installs what is needed" if missing else "; all of it is on the standard error"
    return Row(number=FAILED, what=f"the module `{name}`", note=f"not measured: {said}{advice}")
