"""Stores and the ways between them: propagation, the ledger, failovers, and what probing costs."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitor.alerting.keeping import RESIDUE
from monitor.alerting.latency import DEADLINE
from monitor.dashboards.expressions import Expressions, fallen, quantile
from monitor.dashboards.panels import BAD, GOOD, About, Query, heat, lines, number

_PLACE = "location, environment"
_STORE = f"{_PLACE}, store"
_OF_STORE = "{{store}} of {{environment}} from {{location}}"
_LINK = f"{_PLACE}, source, target"
_NO_LINK = "no change was followed from one place to another; `sync` needs two places"
_NO_LEDGER = "no ledger is kept: `durability` does not run here"


def propagation(made: dashboard.Dashboard, of: Expressions) -> None:
    """How long changes are under way."""
    took = of.of_place("holdfast_propagation_seconds_bucket")
    legend = "{{source}} → {{target}}, {{environment}} from {{location}}"
    made.with_panel(
        lines(
            About(
                title="How long changes are under way",
                says="From its acknowledgement to where it can be read: half of the changes, and 19 in 20, took no "
                "longer; the dashes are the deadline.",
                unit="s",
                width=12,
                height=9,
                none=_NO_LINK,
            ),
            Query(quantile(0.95, took, _LINK), f"p95 {legend}"),
            Query(quantile(0.5, took, _LINK), f"p50 {legend}"),
            limit=Query(of.worst(DEADLINE, _PLACE), "deadline in {{environment}}"),
        )
    )
    made.with_panel(
        heat(
            About(
                title="Changes by the time that they took",
                says="How many changes arrived within each span of time.",
                unit="s",
                width=6,
                height=9,
                none=_NO_LINK,
            ),
            Query(fallen(took), "{{le}}"),
        )
    )
    made.with_panel(
        lines(
            About(
                title="How finely that is measured",
                says="A change arrived between two looks; times below this say no more than that it was quick.",
                unit="s",
                width=6,
                height=9,
                none=_NO_LINK,
            ),
            Query(of.worst("holdfast_propagation_resolution_seconds", _LINK), legend),
        )
    )


def ledgers(made: dashboard.Dashboard, of: Expressions) -> None:
    """What was acknowledged and is looked for again, and what failovers took."""
    for title, says, metric in (
        (
            "Writes lost by the latest failover (RPO)",
            "How much time of acknowledged writes the latest loss took, at the most; 0 where nothing was ever lost.",
            "holdfast_recovery_point_seconds",
        ),
        (
            "Time without writes in it (RTO)",
            "How long the latest outage of writes lasted, at the most; 0 where there was none.",
            "holdfast_recovery_time_seconds",
        ),
    ):
        bad = BAD if "RPO" in title else "orange"
        about = About(
            title=title, says=says, unit="s", width=6, height=5, steps=((None, GOOD), (1e-9, bad)), none="no ledger"
        )
        made.with_panel(number(about, f"max({of.of_place(metric)})"))
    panels = (
        (
            "Failovers as they were measured",
            "Time lost and time without writes, by store: a step up is a failover.",
            "s",
            (
                Query(of.worst("holdfast_recovery_point_seconds", _STORE), f"lost, {_OF_STORE}"),
                Query(of.worst("holdfast_recovery_time_seconds", _STORE), f"no writes, {_OF_STORE}"),
            ),
        ),
        (
            "Writes in the ledger",
            "Acknowledged writes by what became of them: live ones are looked for again, lost ones are a violation.",
            "short",
            (
                Query(
                    f"sum by (environment, store, state) ({of.of_place('holdfast_ledger_records')})",
                    "{{state}} in {{store}} of {{environment}}",
                ),
            ),
        ),
        (
            "Age of the oldest write that was found",
            "How far back it is shown that what was acknowledged is still there.",
            "s",
            (Query(of.worst("holdfast_oldest_verified_age_seconds", _STORE), _OF_STORE),),
        ),
        (
            "Looks that were taken when due",
            "Below 90 % a loss of older writes would be seen late; 0 before any was due.",
            "percentunit",
            (Query(of.worst("holdfast_verification_coverage_ratio", _STORE), _OF_STORE),),
        ),
    )
    for title, says, unit, queries in panels:
        first = title.startswith("Failovers")
        about = About(
            title=title, says=says, unit=unit, width=12 if first else 8, height=5 if first else 8, none=_NO_LEDGER
        )
        made.with_panel(lines(about, *queries))


def cost(made: dashboard.Dashboard, of: Expressions) -> None:
    """What the stores bear for being watched."""
    asked = of.of_place("holdfast_operations_total")
    panels = (
        (
            "Time that stores are busy with probing",
            "Seconds a second, as the daemon measures its requests; 1 is one connection that never rests.",
            "s",
            Query(f"sum by ({_STORE}) (rate({of.of_place('holdfast_cost_seconds_total')}[$window]))", _OF_STORE),
        ),
        (
            "Bytes sent to stores",
            "Content and commands, without the protocol around them.",
            "Bps",
            Query(f"sum by ({_STORE}) (rate({of.of_place('holdfast_cost_bytes_total')}[$window]))", _OF_STORE),
        ),
        (
            "Requests by their outcome",
            "`indeterminate` is a write that was sent and never answered: it may have taken place.",
            "ops",
            Query(
                f"sum by ({_STORE}, outcome) (rate({asked}[$window]))",
                "{{outcome}}, {{store}} of {{environment}} from {{location}}",
            ),
        ),
        (
            "Synthetic items",
            "Rows and keys of Holdfast's own that lie in the stores.",
            "short",
            Query(of.worst("holdfast_synthetic_items", _STORE), _OF_STORE),
        ),
        (
            "Synthetic items beside the ledger",
            "What runs left and no sweep has taken away yet; it should come back to little every few minutes.",
            "short",
            Query(
                # Items are counted by each sweep, the ledger all the time: between sweeps it can be the greater.
                f'clamp_min(max by (environment, store) ({RESIDUE}{{environment=~"$environment"}}), 0)',
                "{{store}} of {{environment}}",
            ),
        ),
    )
    for index, (title, says, unit, query) in enumerate(panels):
        none = "no daemon" if query.expr.find(RESIDUE) < 0 else "no ledger is kept, or the rules are not loaded"
        about = About(title=title, says=says, unit=unit, width=8 if index < 3 else 12, none=none)  # noqa: PLR2004  a row of three, and one of two
        made.with_panel(lines(about, query))
