"""PromQL for panels. Every selector obeys the variables at the top of a dashboard.

Of two instances of one daemon (a pod and its successor) the greater value counts, as in the rules. What the rules
record is read by the names that monitor.alerting gives it.
"""

from __future__ import annotations

from monitor.alerting.objective import OBJECTIVE
from monitor.dashboards.given import Given

NOT_YET, OK, SLOW, PAUSED, CANNOT_TELL, VIOLATED = range(6)
"""How a promise stands, by gravity, so that of several places the greatest is what to look at."""

_EACH = "location, environment, probe"
_MISSING = 3  # intervals without a run, as in HoldfastProbeNotRunning
_LATELY = "10m"


class Expressions:
    """The pieces of a dashboard; `probed` says whether it has the variable `probe`."""

    def __init__(self, given: Given, *, probed: bool) -> None:
        names = ("location", *given.labels, "environment")
        self.place = ",".join(f'{name}=~"${name}"' for name in names)
        self.probe = f'{self.place},probe=~"$probe"' if probed else self.place

    def of_place(self, metric: str, *more: str) -> str:
        """A metric of environments, as the variables choose."""
        return f"{metric}{{{','.join((self.place, *more))}}}"

    def of_probe(self, metric: str, *more: str) -> str:
        """A metric of probes, as the variables choose."""
        return f"{metric}{{{','.join((self.probe, *more))}}}"

    def worst(self, metric: str, by: str, *more: str) -> str:
        """The greatest value of a gauge."""
        chosen = self.of_probe if "probe" in by else self.of_place
        return f"max by ({by}) ({chosen(metric, *more)})"

    def state(self, by: str) -> str:
        """How promises stand: the first of these that is so, and of several places the gravest."""
        last_run = self.worst("holdfast_last_run_timestamp_seconds", _EACH)
        paused = self.worst("holdfast_paused", "location, environment")
        interval = self.worst("holdfast:interval_seconds", _EACH)
        slow = self.of_probe("holdfast_runs_total", 'verdict="slow"')
        cases = (
            (self.worst("holdfast_open_violations", _EACH) + " > 0", VIOLATED),
            (f"({last_run} * 0 + on (location, environment) group_left () ({paused})) > 0", PAUSED),
            (f"{last_run} == 0", NOT_YET),
            (self.worst("holdfast_consecutive_failures", _EACH) + " > 0", CANNOT_TELL),
            (f"(time() - {last_run}) > {_MISSING} * {interval}", CANNOT_TELL),
            (f"sum by ({_EACH}) (increase({slow}[{_LATELY}])) > 0", SLOW),
            (last_run, OK),
        )
        joined = "\nor\n".join(f"  ({case}) * 0 + {value}" for case, value in cases)
        return f"max by ({by}) (\n{joined}\n)"

    def went_wrong(self, window: str, by: str = "location, environment") -> str:
        """The share of runs that were bad, as the rules count them."""
        bad, runs = (
            f"sum by ({by}) ({self.of_place(f'holdfast:{each}:increase{window}')})" for each in ("bad_runs", "runs")
        )
        return f"{bad} / ({runs} > 0)"

    def burn(self, window: str) -> str:
        """How many times faster than bearable the budget goes."""
        return f"({self.went_wrong(window)})\n/ (1 - {self._objective()})"

    def budget_left(self) -> str:
        """The share of the error budget of 30 days that is left; below 0 it is overdrawn.

        The averages of all hours in these days weigh each by its runs; ten minutes are fine enough for that, and a
        look at every sample of 30 days would be slow.
        """
        bad, runs = (
            f"sum by (location, environment) (avg_over_time({self.of_place(f'holdfast:{each}:increase1h')}[30d:10m]))"
            for each in ("bad_runs", "runs")
        )
        return f"1 - {bad} / ({runs} > 0)\n/ (1 - {self._objective()})"

    def _objective(self) -> str:
        return self.worst(OBJECTIVE, "location, environment")


def quantile(share: float, buckets: str, by: str, *, window: str = "$window") -> str:
    """A quantile of a histogram within a window. Where nothing was observed there is none, and NaN is no series."""
    return f"histogram_quantile({share:g}, sum by ({by}, le) (rate({buckets}[{window}]))) >= 0"


def fallen(buckets: str) -> str:
    """How many observations came into each bucket, for a heatmap."""
    return f"sum by (le) (increase({buckets}[$__rate_interval]))"
