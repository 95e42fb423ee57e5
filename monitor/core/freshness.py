"""Whether a change arrived everywhere, in time, and never went away again for somebody who had seen it.

Lag and loss are told apart by position: a replica that has applied the position of a write, and lacks it, lost it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from monitor.core import confirmation
from monitor.core.confirmation import Judgement, Reading
from monitor.core.document import Cached, Document, told
from monitor.core.record import Node
from monitor.core.verdict import Finding, Json, Kind, Reason, Violation


@dataclass(frozen=True, slots=True, order=True)
class Link:
    """From where to where a change has to come."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source} to {self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at a target: the version found, None where there was nothing.

    `applied` tells whether the target had applied the position of the write before it was asked; None if it cannot say.
    `by_source` tells that what is configured as a replica was the very server that took the write.
    """

    version: int | None
    applied: bool | None = None
    by_source: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The marks by which servers of one cluster know each other, one set per sort; empty where they are not told."""

    marks: tuple[frozenset[str], ...]

    def akin(self, other: Origin) -> bool | None:
        """Whether two servers hold the same data, as far as both tell; None if they do not."""
        told = [bool(ours & theirs) for ours, theirs in zip(self.marks, other.marks, strict=True) if ours and theirs]
        return all(told) if told else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A target that could not be asked: why, and its place."""

    reason: Reason
    message: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """How one target was followed after `written`, a version, was acknowledged at the source; times in seconds.

    `took` is the time from the acknowledgement to the answer that had the version, None if none had; `resolution` the
    part of it after the last question that missed it was sent; `waited` the time until that question was sent. `store`
    names the store whose primary knows the truth. `back` are the looks of a session that came back on a new
    connection, the second where the first was old, and `origin` is then what the target says of itself.
    `at_source` is a target that is the source itself.
    """

    link: Link
    store: str
    place: str
    written: int
    took: float | None
    resolution: float
    waited: float
    last: Look
    back: tuple[Look, ...] = ()
    origin: Origin | None = None
    at_source: bool = False

    def fresh(self, look: Look) -> bool:
        """Whether a look found the version, or a later one."""
        return look.version is not None and look.version >= self.written

    @property
    def wrong(self) -> bool:
        """Whether the source has to be asked, too."""
        return self.took is None or any(not self.fresh(look) for look in self.back)

    @property
    def in_itself(self) -> bool:
        """Whether the source was compared with nothing but itself."""
        return not self.wrong and all(look.by_source for look in (self.last, *self.back))


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A cached copy, as it was looked at once a change and its way into the cache were acknowledged.

    `kept` tells whether the cache held the copy before the change: else there was nothing that could be old.
    """

    link: Link
    written: int
    kept: bool
    reading: Reading[Cached]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What a new connection to the source found in the end: who answered, and which version it has."""

    node: Node
    version: int | None
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that one run saw. `controls` are there, by store, where a trace is wrong."""

    traces: tuple[Trace, ...] = ()
    failures: tuple[Failure, ...] = ()
    copies: tuple[Copied, ...] = ()
    controls: Mapping[str, Control] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Judges what a run saw. `deadline` is in seconds after an acknowledgement."""

    deadline: float

    def __call__(self, seen: Seen) -> Finding:
        """Violations first; else what could not be asked is unknown for its own reason, and a doubt inconclusive."""
        failures = list(seen.failures)
        judgements = [Judgement(doubt=doubt) for doubt in seen.doubts]
        for copied in seen.copies:
            name = f"the copy from {copied.link}"
            judgements.append(confirmation.judge(name, copied.reading, partial(stale_copy, copied)))
            if not copied.kept:
                judgements.append(Judgement(doubt=f"{name} was not kept before the change, so nothing could be old"))
        for trace in seen.traces:
            control = seen.controls.get(trace.store)
            if (misled := _foreign(trace, control) or _itself(trace)) is not None:
                failures.append(misled)
            else:
                judgements += self._judge(trace, control)
        checks = len(seen.traces) + len(seen.copies)
        if failures and not any(judgement.violations for judgement in judgements):
            message = "; ".join(failure.message for failure in failures)
            return Finding.unknown(failures[0].reason, message, checks=checks, place=failures[0].place)
        return confirmation.conclude(judgements, checks=checks)

    def _judge(self, trace: Trace, control: Control | None) -> Iterator[Judgement]:
        if trace.took is not None and trace.took > self.deadline:
            yield self._late(trace, trace.took)
        if trace.wrong:
            doubt = _doubt(trace, control)
            if doubt or control is None:
                yield Judgement(doubt=f"{trace.link}: version {trace.written} was missed{doubt}")
            else:
                yield Judgement(violations=(self._violation(_kind(trace, control), trace, control),))

    def _late(self, trace: Trace, took: float) -> Judgement:
        if took - trace.resolution <= self.deadline:  # it may have been there for long when it was looked at
            doubt = f"{trace.link}: seen after {took:.3f} s, but for {trace.resolution:.3f} s nobody had looked"
            return Judgement(doubt=doubt)
        violation = Violation(
            kind=Kind.LATE,
            subject=f"a change on its way from {trace.link}",
            expected=f"within {self.deadline:g} s of its acknowledgement",
            actual=f"after {took:.3f} s",
            evidence=_evidence(trace),
        )
        return Judgement(violations=(violation,))

    def _violation(self, kind: Kind, trace: Trace, control: Control) -> Violation:
        gone_back = kind is Kind.STALE and trace.took is not None
        found = trace.back[-1] if gone_back else trace.last
        actual = told(found.version)
        if gone_back:
            actual += f" for a session that had seen version {trace.written}"
        elif kind is Kind.DIVERGED and found.applied:
            actual += ", although it has applied the position of the write"
        elif kind is Kind.DIVERGED:
            behind = "" if found.applied is None else ", and has not applied the position of the write"
            actual += f" {trace.waited:.3f} s after the acknowledgement{behind}"
        truth = "was acknowledged" if trace.at_source else "the source has"
        return Violation(
            kind=kind,
            subject=f"a change on its way from {trace.link}",
            expected=f"version {trace.written}, which {truth}",
            actual=actual,
            evidence={**_evidence(trace), "source_version": control.version, "confirmed_by": control.node.evidence()},
        )


def _kind(trace: Trace, control: Control) -> Kind:
    """Whether an acknowledged change is gone, or an older state is shown for it, or two stores disagree."""
    if trace.at_source:
        return Kind.LOST if control.version is None else Kind.STALE
    return Kind.DIVERGED if trace.took is None else Kind.STALE


def _doubt(trace: Trace, control: Control | None) -> str:
    """Why a version that was missed proves nothing; nothing where it does."""
    if control is None or trace.origin is None or not trace.back[1:]:
        return ", and there was no second look"
    if any(map(trace.fresh, trace.back)):
        several = (
            "" if trace.took is None else "; does the address lead to several servers? Then set monotonic to false"
        )
        return f" by one look and there in the next{several}"
    if not control.node.primary:
        return f", and {control.node.address}, which took the write, is no primary any more"
    if control.origin.akin(trace.origin) is None:
        return ", and nothing tells whether the two belong together"
    kept = trace.fresh(Look(version=control.version))
    if trace.at_source:  # a server that was just promoted may have been asked before it had caught up
        return " by one connection to the source only" if kept else ""
    return "" if kept else ", and the source itself has not kept it"


def stale_copy(copied: Copied, cached: Cached) -> Iterator[Violation]:
    """Whether a cached copy is older than the acknowledged change. None at all is never old."""
    if cached.document is not None and cached.document.version < copied.written:
        yield Violation(
            kind=Kind.STALE,
            subject=f"the cached copy from {copied.link}",
            expected=f"version {copied.written}, or no copy",
            actual=told(cached.document.version),
            evidence={"source": copied.link.source, "target": copied.link.target},
        )


def version_in(found: Document | None, expected: Document) -> int | None:
    """The version that was found; what says that it is the expected one and has other content is the one before.

    So a permission that was revoked, and still stands, is old, whatever number stands beside it.
    """
    if found is None:
        return None
    if found.version != expected.version or found.digest == expected.digest:
        return found.version
    return expected.version - 1 or None


def _foreign(trace: Trace, control: Control | None) -> Failure | None:
    if control is None or trace.origin is None or control.origin.akin(trace.origin) is not False:
        return None
    message = (
        f"{trace.place} is no copy of the primary at {control.node.address}: it belongs to another cluster or"
        " database, or has never been synchronised; check its address and what it replicates from"
    )
    return Failure(reason=Reason.MISCONFIGURED, message=message, place=trace.place)


def _itself(trace: Trace) -> Failure | None:
    if not trace.in_itself:
        return None
    message = (
        f"{trace.place} is no replica: expected a server that follows the primary, found the primary itself (was the"
        " replica promoted?), so nothing tells whether changes are replicated; point its address at a replica, or take"
        " it out of the configuration; where it leads to several servers, keep the primary out of them"
    )
    return Failure(reason=Reason.MISCONFIGURED, message=message, place=trace.place)


def _evidence(trace: Trace) -> dict[str, Json]:
    back: list[Json] = [look.version for look in trace.back]
    return {
        "source": trace.link.source,
        "target": trace.link.target,
        "written_version": trace.written,
        "last_look": {"version": trace.last.version, "applied_position": trace.last.applied},
        "looks_of_a_new_session": back,
        "seconds": None if trace.took is None else round(trace.took, 6),
        "resolution_seconds": round(trace.resolution, 6),
        "last_missed_after_seconds": round(trace.waited, 6),
    }


def wrong(traces: Iterable[Trace]) -> set[str]:
    """The stores whose sources have to be asked as well."""
    return {trace.store for trace in traces if trace.wrong}
