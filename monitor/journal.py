"""Runs, open violations and their evidence: what the page, the API and the report read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Protocol

from monitor.core.recent import KEPT, BudgetOf, Latest, Recent
from monitor.core.record import RunRecord
from monitor.core.verdict import Kind
from monitor.core.violations import Changes, KeptViolation, Stage, after
from monitor.ports import Acknowledgement, Clock, State, StateError
from monitor.probe import Probe

_NEVER = datetime.min.replace(tzinfo=UTC)
_PENDING = 10_000  # runs that wait for a state database that does not answer; the oldest go first
_GROUP = 50  # runs in one transaction: to make their rows takes the loop some milliseconds
_UNSAVED = 10_000  # violations that wait for it; closed ones go first, and what stands is never forgotten
_STANDING = 100_000  # far beyond any number of violations that stand at once
_RECALL = 0.1  # seconds that `recall` takes at a time: the runs of now go before those of the past


class Listener(Protocol):
    """Whoever wants to know at once. It is called between two turns of the loop, and must neither wait nor raise."""

    def ran(self, record: RunRecord, changes: Changes) -> None:
        """A run ended, and did this to violations."""

    def acknowledged(self, kept: KeptViolation) -> None:
        """Somebody acknowledged a violation, here or in the state database."""


class Journal:
    """Takes in every finished run. What it could not keep waits; a sick state database never stops a probe.

    Runs are kept in groups by `flush`, which somebody calls every second; a change of a violation is kept at once.
    """

    def __init__(self, state: State, *, clock: Clock, new_id: Callable[[], str]) -> None:
        self._state = state
        self._clock = clock
        self._new_id = new_id
        self._pending: deque[RunRecord] = deque(maxlen=_PENDING)
        self._unsaved: dict[str, KeptViolation] = {}
        self._flushing = asyncio.Lock()
        self._loaded = False
        self._standing: dict[str, dict[str, dict[str, KeptViolation]]] = {}
        self._latest: dict[str, dict[str, RunRecord]] = {}
        self._recent: dict[str, dict[str, Latest]] = {}
        self._budgets: dict[str, dict[str, BudgetOf]] = {}
        self._unrecalled: dict[tuple[str, str], None] = {}  # as a queue in which each stands once
        self._heard: set[str] = set()
        self._listeners: tuple[Listener, ...] = ()
        self.forgotten = 0
        """Runs and violations that waited for the state database for so long that they were never kept."""
        self.trouble = ""
        """What is wrong with the state database, or nothing."""

    async def load(self) -> None:
        """Take up the violations that stood when the daemon last stopped."""
        try:
            await self._refresh()
        except StateError as error:
            self._fail(error)

    def expect(self, environment: str, probes: Mapping[str, Probe[Any]]) -> None:
        """These probes run in an environment from now on; their budgets say how near to them a run came."""
        known = self._recent.get(environment, {})
        self._recent[environment] = {name: known.get(name) or Latest() for name in probes}
        self._budgets[environment] = {name: probe.budget_of for name, probe in probes.items()}
        self._unrecalled |= {(environment, name): None for name in probes if name not in known}

    def listen(self, listener: Listener) -> None:
        """Tell somebody of every run and acknowledgement until `unlisten`."""
        self._listeners = (*self._listeners, listener)

    def unlisten(self, listener: Listener) -> None:
        """Tell them no more."""
        self._listeners = tuple(each for each in self._listeners if each is not listener)

    async def add(self, record: RunRecord) -> Changes:
        """Take in one run. Returns what it did to violations; raises nothing."""
        environment, probe = record.environment, record.probe
        self._latest.setdefault(environment, {})[probe] = record
        if len(self._pending) == _PENDING:
            self.forgotten += 1
        self._pending.append(record)
        recent = self._recent.get(environment, {}).get(probe)
        if recent is not None:
            recent.add(record, self._budgets[environment][probe])
        standing = self._standing_of(environment, probe)
        changes = Changes()
        if standing or record.finding.violations:
            changes = after(record, standing.values(), new_id=self._new_id)
            for kept in changes.all():
                self._take(kept)
        for listener in self._listeners:
            listener.ran(record, changes)
        if changes.opened or changes.closed:
            await self.flush()
        return changes

    async def flush(self) -> None:
        """Keep what is pending; learn what somebody else acknowledged. Trouble is noted, and nothing is dropped."""
        async with self._flushing:
            try:
                await self._refresh()
                left = len(self._pending)
                while left > 0 or self._unsaved:
                    left -= await self._save()
                    await asyncio.sleep(0)
            except StateError as error:
                self._fail(error)
            else:
                self.trouble = ""

    async def _save(self) -> int:
        """Keep some of what is pending: -> how many runs. Raises StateError."""
        runs, violations = list(islice(self._pending, _GROUP)), dict(self._unsaved)
        await self._state.save(runs, list(violations.values()))
        saved = {record.run_id for record in runs}
        while self._pending and self._pending[0].run_id in saved:
            self._pending.popleft()
        self._unsaved = {id_: kept for id_, kept in self._unsaved.items() if kept is not violations.get(id_)}
        return len(runs)

    async def recall(self) -> None:
        """Learn some of what ran before the start, for `recent`; nothing once all is known. Somebody calls it often."""
        until = self._clock.monotonic() + _RECALL
        while self._unrecalled and self._clock.monotonic() < until:
            environment, probe = place = next(iter(self._unrecalled))
            try:
                before = await self._state.runs(environment=environment, probe=probe, limit=KEPT)
            except StateError:  # `flush` says so
                return
            self._unrecalled.pop(place, None)
            recent = self._recent.get(environment, {}).get(probe)
            if recent is not None:  # else it left the configuration meanwhile
                recent.precede(before, self._budgets[environment][probe])

    def heard(self) -> set[str]:
        """The environments in which something else than a run changed what stands, since this was last asked."""
        heard, self._heard = self._heard, set()
        return heard

    async def acknowledge(self, id_: str, *, note: str = "") -> KeptViolation | None:
        """Quieten a violation until its check passes again. Returns it, or None if none of this id stands."""
        kept = next((each for each in self._all_standing() if each.id == id_), None)
        if kept is None:
            return None
        kept = acknowledged(kept, at=self._clock.now(), note=note)
        self._take(kept)
        self._tell(kept)
        await self.flush()
        return kept

    async def prune(self, *, runs: timedelta, failures: timedelta, violations: timedelta) -> None:
        """Forget what is older than these ages."""
        now = self._clock.now()
        try:
            await self._state.prune(runs=now - runs, failures=now - failures, violations=now - violations)
        except StateError as error:
            self._fail(error)

    def latest(self, environment: str) -> dict[str, RunRecord]:
        """The latest run of each probe that has run since the start, by probe."""
        return dict(self._latest.get(environment, {}))

    def recent(self, environment: str, probe: str) -> Recent:
        """The latest runs of a probe, also from before the start once they are recalled; empty if it does not run."""
        recent = self._recent.get(environment, {}).get(probe)
        return recent.view() if recent is not None else Recent()

    def standing(self, environment: str | None = None) -> list[KeptViolation]:
        """Violations that are open or acknowledged, the latest opened first."""
        return sorted(self._all_standing(environment), key=lambda each: each.opened, reverse=True)

    def acknowledged(self, environment: str, probe: str) -> dict[Kind, datetime]:
        """The kinds of violation of one probe that stand acknowledged, and since when."""
        standing = self._standing_of(environment, probe).values()
        return {kept.kind: kept.acknowledged for kept in standing if kept.acknowledged is not None}

    async def runs(
        self, *, environment: str | None = None, probe: str | None = None, verdict: str | None = None, limit: int = 100
    ) -> list[RunRecord]:
        """The latest runs first, kept or pending. Raises StateError."""
        fits = [
            record
            for record in reversed(self._pending)
            if environment in (None, record.environment)
            and probe in (None, record.probe)
            and verdict in (None, record.verdict)
        ]
        kept = await self._state.runs(environment=environment, probe=probe, verdict=verdict, limit=limit)
        known = {record.run_id for record in fits}
        return [*fits, *(record for record in kept if record.run_id not in known)][:limit]

    async def run(self, run_id: str) -> RunRecord | None:
        """One run, kept or pending. Raises StateError."""
        waiting = (record for record in reversed(self._pending) if record.run_id == run_id)
        return next(waiting, None) or await self._state.run(run_id)

    async def violations(self, *, stages: Sequence[Stage] = (), limit: int = 1000) -> list[KeptViolation]:
        """The latest opened first; of all stages unless some are named. Raises StateError."""
        kept = {each.id: each for each in await self._state.violations(stages=stages, limit=limit)}
        for each in self._unsaved.values():
            if not stages or each.stage in stages:
                kept[each.id] = each
            else:  # it stood so when it was last kept, and does no more
                kept.pop(each.id, None)
        return sorted(kept.values(), key=lambda each: each.opened, reverse=True)[:limit]

    async def violation(self, id_: str) -> KeptViolation | None:
        """One violation by its id or the beginning of it, if that is unmistakable. Raises StateError."""
        found = [kept for kept in await self.violations() if kept.id.startswith(id_)]
        return found[0] if len(found) == 1 else None

    def forget(self, environments: Iterable[str]) -> None:
        """Environments have left the configuration."""
        for environment in environments:
            for known in (self._latest, self._standing, self._recent, self._budgets):
                known.pop(environment, None)

    def _standing_of(self, environment: str, probe: str) -> Mapping[str, KeptViolation]:
        return self._standing.get(environment, {}).get(probe, {})

    def _all_standing(self, environment: str | None = None) -> Iterable[KeptViolation]:
        chosen = self._standing.values() if environment is None else (self._standing.get(environment, {}),)
        return (kept for probes in chosen for by_id in probes.values() for kept in by_id.values())

    def _take(self, kept: KeptViolation) -> None:
        if kept.stage is Stage.CLOSED:
            standing = self._standing[kept.environment][kept.probe]
            standing.pop(kept.id, None)
            if not standing:
                del self._standing[kept.environment][kept.probe]
        else:
            self._stand(kept)
        self._unsaved[kept.id] = kept
        if len(self._unsaved) > _UNSAVED:
            self._forget_closed()

    def _stand(self, kept: KeptViolation) -> None:
        self._standing.setdefault(kept.environment, {}).setdefault(kept.probe, {})[kept.id] = kept

    def _forget_closed(self) -> None:
        """A tenth of the closed violations that wait, the oldest first; what stands is bounded by what is watched."""
        closed = [id_ for id_, kept in self._unsaved.items() if kept.stage is Stage.CLOSED][: _UNSAVED // 10]
        for id_ in closed:
            del self._unsaved[id_]
        self.forgotten += len(closed)

    def _fail(self, error: StateError) -> None:
        some = "; the oldest of what waited to be kept is forgotten" if self.forgotten else ""
        self.trouble = f"{error}{some}"

    def _tell(self, kept: KeptViolation) -> None:
        for listener in self._listeners:
            listener.acknowledged(kept)

    async def _refresh(self) -> None:
        """Learn what stood before the start, and then what somebody acknowledges; the rest is known better here."""
        if not self._loaded:
            for kept in await self._state.violations(stages=(Stage.OPEN, Stage.ACKNOWLEDGED), limit=_STANDING):
                if kept.id not in self._standing_of(kept.environment, kept.probe) and kept.id not in self._unsaved:
                    self._stand(kept)
                    self._heard.add(kept.environment)
            self._loaded = True
        for each in await self._state.acknowledgements():
            mine = self._standing_of(each.environment, each.probe).get(each.id)
            if mine is not None and each.at > (mine.acknowledged or _NEVER):
                self._hear(mine, each)

    def _hear(self, mine: KeptViolation, each: Acknowledgement) -> None:
        heard = replace(mine, stage=Stage.ACKNOWLEDGED, acknowledged=each.at, note=each.note)
        self._stand(heard)
        if heard.id in self._unsaved:  # or what is saved next would undo it
            self._unsaved[heard.id] = heard
        self._heard.add(heard.environment)
        self._tell(heard)


def acknowledged(kept: KeptViolation, *, at: datetime, note: str = "") -> KeptViolation:
    """The same violation, quiet from this moment; a note goes below those that were made before."""
    notes = "\n".join(filter(None, (kept.note, note)))
    return replace(kept, stage=Stage.ACKNOWLEDGED, acknowledged=at, note=notes)
