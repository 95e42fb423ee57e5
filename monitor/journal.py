"""Runs, open violations and their evidence: what the page, the API and the report read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from monitor.core.record import RunRecord
from monitor.core.verdict import Kind
from monitor.core.violations import Changes, KeptViolation, Stage, after
from monitor.ports import Clock, State, StateError

_NEVER = datetime.min.replace(tzinfo=UTC)
_PENDING = 10_000  # runs that wait for a state database that does not answer; the oldest go first


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
        self._standing: dict[tuple[str, str], dict[str, KeptViolation]] = {}
        self._latest: dict[tuple[str, str], RunRecord] = {}
        self.trouble = ""
        """What is wrong with the state database, or nothing."""

    async def load(self) -> None:
        """Take up the violations that stood when the daemon last stopped."""
        try:
            await self._refresh()
        except StateError as error:
            self.trouble = str(error)

    async def add(self, record: RunRecord) -> Changes:
        """Take in one run. Returns what it did to violations; raises nothing."""
        place = (record.environment, record.probe)
        self._latest[place] = record
        self._pending.append(record)
        standing = self._standing.get(place, {})
        if not standing and not record.finding.violations:
            return Changes()
        changes = after(record, standing.values(), new_id=self._new_id)
        for kept in changes.all():
            self._take(kept)
        if changes.opened or changes.closed:
            await self.flush()
        return changes

    async def flush(self) -> None:
        """Keep what is pending; learn what somebody else acknowledged. Trouble is noted, and nothing is dropped."""
        async with self._flushing:
            try:
                await self._refresh()
                runs, violations = list(self._pending), dict(self._unsaved)
                if runs or violations:
                    await self._state.save(runs, list(violations.values()))
                    saved = {record.run_id for record in runs}
                    while self._pending and self._pending[0].run_id in saved:
                        self._pending.popleft()
                    changed = {id_: kept for id_, kept in self._unsaved.items() if kept is not violations.get(id_)}
                    self._unsaved = changed
            except StateError as error:
                self.trouble = str(error)
            else:
                self.trouble = ""

    async def acknowledge(self, id_: str, *, note: str = "") -> KeptViolation | None:
        """Quieten a violation until its check passes again. Returns it, or None if none of this id stands."""
        for standing in self._standing.values():
            if id_ in standing:
                kept = acknowledged(standing[id_], at=self._clock.now(), note=note)
                self._take(kept)
                await self.flush()
                return kept
        return None

    async def prune(self, *, runs: timedelta, failures: timedelta, violations: timedelta) -> None:
        """Forget what is older than these ages."""
        now = self._clock.now()
        try:
            await self._state.prune(runs=now - runs, failures=now - failures, violations=now - violations)
        except StateError as error:
            self.trouble = str(error)

    def latest(self, environment: str) -> dict[str, RunRecord]:
        """The latest run of each probe that has run since the start, by probe."""
        return {probe: record for (env, probe), record in self._latest.items() if env == environment}

    def standing(self, environment: str | None = None) -> list[KeptViolation]:
        """Violations that are open or acknowledged, the latest opened first."""
        kept = [
            kept for (env, _), by_id in self._standing.items() if environment in (None, env) for kept in by_id.values()
        ]
        return sorted(kept, key=lambda each: each.opened, reverse=True)

    def acknowledged(self, environment: str, probe: str) -> dict[Kind, datetime]:
        """The kinds of violation of one probe that stand acknowledged, and since when."""
        standing = self._standing.get((environment, probe), {}).values()
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
        gone = set(environments)
        self._latest = {place: record for place, record in self._latest.items() if place[0] not in gone}
        self._standing = {place: kept for place, kept in self._standing.items() if place[0] not in gone}

    def _take(self, kept: KeptViolation) -> None:
        standing = self._standing.setdefault((kept.environment, kept.probe), {})
        if kept.stage is Stage.CLOSED:
            standing.pop(kept.id, None)
        else:
            standing[kept.id] = kept
        self._unsaved[kept.id] = kept

    async def _refresh(self) -> None:
        """Learn from the state database what somebody acknowledged there; the rest is known better here."""
        for kept in await self._state.violations(stages=(Stage.OPEN, Stage.ACKNOWLEDGED)):
            standing = self._standing.setdefault((kept.environment, kept.probe), {})
            mine = standing.get(kept.id)
            if mine is None and kept.id not in self._unsaved:  # else it was closed here
                standing[kept.id] = kept
            elif mine is not None and (kept.acknowledged or _NEVER) > (mine.acknowledged or _NEVER):
                heard = replace(mine, stage=Stage.ACKNOWLEDGED, acknowledged=kept.acknowledged, note=kept.note)
                standing[kept.id] = heard
                if kept.id in self._unsaved:  # or what is saved next would undo it
                    self._unsaved[kept.id] = heard


def acknowledged(kept: KeptViolation, *, at: datetime, note: str = "") -> KeptViolation:
    """The same violation, quiet from this moment; a note goes below those that were made before."""
    notes = "\n".join(filter(None, (kept.note, note)))
    return replace(kept, stage=Stage.ACKNOWLEDGED, acknowledged=at, note=notes)
