"""What a look at a store means: which acknowledged writes are lost, why, and how much time that is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from monitor.core.ledger.causes import Cause
from monitor.core.ledger.entries import Entry, Fate, Mark
from monitor.core.ledger.found import Audited
from monitor.core.ledger.gaps import Gap, behind, beside, gaps
from monitor.core.ledger.ladder import after_look
from monitor.core.ledger.look import Account, Look
from monitor.core.ledger.losses import orphans, stand, tell
from monitor.core.ledger.recovery import kept_at
from monitor.core.ledger.sorting import Sorted, sort
from monitor.core.ledger.splits import two_primaries
from monitor.core.ledger.succession import deleted_by_another
from monitor.core.ledger.wording import damaged, diverged, doubt, left_out, standby, unintended

__all__ = ["Account", "Look", "account", "right"]


def right(look: Look) -> bool:
    """Whether the first look shows nothing that a second one, or one at everything, would have to confirm."""
    if not look.first.evidence.writable:
        return True
    if look.breaks and not look.full:
        return False
    found = sort(look)
    wrong = found.wrong or found.doubtful or found.strays or found.doubtful_strays
    return not (wrong or behind(look, look.first.register) or two_primaries(look))


def account(look: Look, *, ladder: tuple[timedelta, ...]) -> Account:
    """Judge a look. The same look always comes to the same."""
    if not look.first.evidence.writable:
        return Account(checks=0, doubt=standby(look))
    found, excused = _without_excused(look, sort(look), ladder=ladder)
    events = gaps(look, found)
    known = [entry for entry, fate in found.standing if fate is Fate.LOST and entry.accepted is None]
    told = [tell(look, gap) for gap in events.gaps]
    told.append(stand(look, known, ladder=ladder))
    violations = [violation for part in told for violation in part.violations]
    losses = [loss for part in told for loss in part.losses]
    accepted = {mark: moment for part in told for mark, moment in part.accepted.items()}
    if rest := [entry for entry in orphans(look, known) if entry.mark not in accepted]:
        violations += tell(look, beside(look, rest)).violations
    for entry, fate in found.wrong:
        if fate is Fate.RESURRECTED and _taken_back(entry, events.gaps):
            accepted[entry.mark] = look.at
        elif fate is not Fate.LOST:
            violations.append(damaged(look, entry, fate))
    violations += unintended(look, found.strays, events.ahead)
    if not any(loss.cause == Cause.SPLIT_BRAIN for loss in losses):
        violations += diverged(look)
    fates = (*found.right, *found.wrong, *found.standing)
    return Account(
        checks=len(fates) + len(found.strays) + len(look.breaks) + 1,
        violations=tuple(violations),
        audited=(*_audited(look, fates, accepted, ladder=ladder), *_moves(look, events.gaps, accepted)),
        losses=tuple(losses),
        judged=tuple(broken.id for broken in look.breaks) if look.full else (),
        doubt=doubt(look, found, events),
        left_out=(
            *left_out(look, found, events, excused=excused),
            *(sentence for part in told for sentence in part.left_out),
        ),
    )


def _without_excused(look: Look, found: Sorted, *, ladder: tuple[timedelta, ...]) -> tuple[Sorted, int]:
    """What was found without records that the daemon of another state file may have deleted; and how many these are."""
    series = look.series
    held = [mark for broken in look.breaks if (mark := broken.second) is not None]
    if not found.foreign and all(mark.series in series for mark in held):
        return found, 0
    missing = [entry for entry, fate in found.wrong if fate is Fate.LOST]
    excused = {entry.mark for entry in deleted_by_another(look, missing, ladder=ladder)}
    right = [(entry, Fate.ABSENT) for entry, _ in found.wrong if entry.mark in excused]
    wrong = [(entry, fate) for entry, fate in found.wrong if entry.mark not in excused]
    return replace(found, right=[*found.right, *right], wrong=wrong), len(excused)


def _taken_back(entry: Entry, events: Iterable[Gap]) -> bool:
    """Whether a deletion was itself among what an event took away."""
    deleted = entry.retired
    return deleted is not None and any(
        gap.suffix and gap.kept is not None and kept_at(gap.kept) <= deleted <= gap.at for gap in events
    )


def _audited(
    look: Look, fates: Iterable[tuple[Entry, Fate]], accepted: dict[Mark, datetime], *, ladder: tuple[timedelta, ...]
) -> Iterable[Audited]:
    for entry, fate in fates:
        since = accepted.get(entry.mark) or (entry.accepted if fate is entry.fate else None)
        yield after_look(entry, fate, at=look.at, ladder=ladder, accepted=since)


def _moves(look: Look, events: Iterable[Gap], accepted: dict[Mark, datetime]) -> Iterable[Audited]:
    """Moves of the register that are lost: kept as such, so that no later break counts them again."""
    for gap in events:
        for entry in gap.lost:
            if not entry.identified:
                yield Audited(
                    mark=entry.mark,
                    fate=Fate.LOST,
                    at=look.at,
                    rung=entry.rung,
                    due=None,
                    accepted=accepted.get(entry.mark),
                )
