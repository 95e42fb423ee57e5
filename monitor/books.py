"""The ledgers of all environments while a daemon runs, and the pulses that write in them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta

from monitor.core.ledger.found import Standing
from monitor.core.spread import share
from monitor.metrics import Metrics
from monitor.ports import KEEPERS, Clock, Ledger, StateError, Store
from monitor.probe import Probe
from monitor.probes.durability import DurabilityProbe
from monitor.pulse import Pulses
from monitor.stores.environment import LiveEnvironment
from monitor.stores.home import Home
from monitor.stores.ledger import Ledgers

_MOVES_KEPT = timedelta(hours=1)  # of the register; a loss that is older is told by its records


class Books:
    """Every environment's ledger: opened by whoever writes first, shown, pruned, and closed last."""

    def __init__(self, home: Home, *, clock: Clock, metrics: Metrics) -> None:
        self._metrics = metrics
        self._ledgers = Ledgers(home, clock=clock)
        self._pulses = Pulses(clock)
        self._turns: dict[str, dict[Store, asyncio.Lock]] = {}
        self._kept: dict[str, frozenset[Store]] = {}
        self._standing: dict[str, Mapping[Store, Standing]] = {}

    def of(self, environment: str) -> Ledger:
        """The ledger of one environment."""
        return self._ledgers.of(environment)

    def turns(self, environment: str) -> Mapping[Store, asyncio.Lock]:
        """By which its scribes write one after the other, also those of a configuration before and after."""
        return self._turns.setdefault(environment, {store: asyncio.Lock() for store in Store})

    def standing(self, environment: str) -> Mapping[Store, Standing]:
        """How the ledger of each store stood a few seconds ago, where `durability` keeps one."""
        return self._standing.get(environment, {})

    def watch(
        self,
        environment: LiveEnvironment,
        probe: Probe[object] | None,
        *,
        audit: Callable[[], Awaitable[object]],
        paused: Callable[[], bool],
        within: timedelta,
    ) -> None:
        """Move the registers of an environment between the runs of `durability`, if there is a ledger that lasts.

        One that is new begins at its own moment `within` this time; where there were others, they are replaced at once.
        """
        after = timedelta() if environment.name in self._kept else within * share(environment.name)
        self.unwatch(environment.name)
        if not isinstance(probe, DurabilityProbe):
            return
        self._kept[environment.name] = keepers = environment.stores & KEEPERS
        if environment.ledger.durable:
            self._pulses.watch(
                environment,
                {store: environment.scribe(store) for store in keepers},
                rate=probe.rate,
                patience=probe.patience,
                audit=audit,
                paused=paused,
                after=after,
            )

    def unwatch(self, environment: str) -> None:
        """Nothing moves its registers any more; its ledger stays."""
        self._pulses.unwatch(environment)
        self._kept.pop(environment, None)
        self._standing.pop(environment, None)

    async def show(self) -> None:
        """Show how the ledgers stand, also while no run comes to an end: what is due and not looked at is told, too."""
        with suppress(StateError):  # the journal says what is wrong with the state database
            for name, stores in list(self._kept.items()):
                standing = {store: await self.of(name).standing(store) for store in sorted(stores)}
                self._standing[name] = standing
                for store, each in standing.items():
                    self._metrics.ledger(name, store, each)

    async def prune(self, *, keep: timedelta) -> None:
        """Forget what was retired longer ago than `keep`, and moves of registers much sooner."""
        with suppress(StateError):
            for name in list(self._kept):
                ledger = self.of(name)
                await ledger.prune(retired_before=ledger.now() - keep, moves_before=ledger.now() - _MOVES_KEPT)

    async def end(self, within: timedelta) -> None:
        """Stop the pulses."""
        await self._pulses.end(within)

    async def close(self) -> None:
        """Put on disk what is under way, and let go of it."""
        await self._ledgers.close()
