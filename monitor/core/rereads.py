"""What several services read of documents that one wrote, from rows and from a cache, against what was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from monitor.core import confirmation
from monitor.core.confirmation import Judgement, Reading
from monitor.core.document import Cached, Document, told
from monitor.core.verdict import Finding, Json, Kind, Violation

THE_ROW = "the row of a profile or tool result"
"""What is read where nobody stands between."""
_THE_COPY = "the cached copy of a profile or tool result"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The rows of a document that another service read; `earlier` are the versions that were acknowledged before.

    `what` was read, and how: an API may answer from a copy of its own while the row is right.
    """

    name: str
    expected: Document
    reading: Reading[tuple[Document, ...]]
    earlier: tuple[Document, ...] = ()
    what: str = THE_ROW


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A cached copy as another service read it, once somebody had made it from the row.

    `by_api`: it may be one that an API has made, in a shape that the binding has to know.
    """

    name: str
    expected: Document
    reading: Reading[Cached]
    by_api: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that one run saw.

    `doubts` are controls that failed: a deleted copy that was still there, damage that was not seen. `evicted` is how
    many keys the server evicted meanwhile, for which a copy that is gone proves nothing.
    """

    rows: tuple[Row, ...] = ()
    copies: tuple[Copy, ...] = ()
    doubts: tuple[str, ...] = ()
    evicted: int = 0


def judge(seen: Seen) -> Finding:
    """Each reading against what was acknowledged."""
    judgements = [
        confirmation.judge(row.name, row.reading, partial(compare, row.expected, earlier=row.earlier, what=row.what))
        for row in seen.rows
    ]
    for copy in seen.copies:
        if seen.evicted and not copy.reading.first.present:
            doubt = f"{copy.name}: the copy is gone, and the server has evicted {seen.evicted} keys meanwhile"
            judgements.append(Judgement(doubt=doubt))
        elif copy.by_api and copy.reading.first.damaged:
            doubt = (
                f"{copy.name}: the copy is not as the binding says: nothing tells whether it is damaged, or of a shape"
            )
            judgements.append(Judgement(doubt=f"{doubt} of its own"))
        else:
            check = partial(compare_copy, copy.expected)
            judgements.append(confirmation.judge(copy.name, copy.reading, check))
    judgements += [Judgement(doubt=doubt) for doubt in seen.doubts]
    return confirmation.conclude(judgements, checks=len(seen.rows) + len(seen.copies))


def compare(
    expected: Document, rows: tuple[Document, ...], *, earlier: tuple[Document, ...] = (), what: str = THE_ROW
) -> Iterator[Violation]:
    """Whether there is a row, and it is what was acknowledged last. Old content is stale, whatever its number."""
    if not rows:
        yield _violation(Kind.LOST, what, expected, "nothing")
    for found in rows:
        if found.digest == expected.digest:
            continue
        said = next((old.version for old in earlier if old.said == found.said), None)
        if found.version < expected.version:
            yield _violation(Kind.STALE, what, expected, told(found.version))
        elif said is not None:
            yield _violation(Kind.STALE, what, expected, f"the content of version {said} as {found.version}")
        else:
            yield _violation(Kind.CORRUPT, what, expected, _shown(found))


def compare_copy(expected: Document, found: Cached) -> Iterator[Violation]:
    """Whether a copy that was just made from its row is that row."""
    if not found.present:
        yield _violation(Kind.LOST, _THE_COPY, expected, "nothing")
    elif found.document is None:
        yield _violation(Kind.CORRUPT, _THE_COPY, expected, "a value that disagrees with its own digest")
    elif found.document.digest == expected.digest:
        return
    elif found.document.version < expected.version:
        yield _violation(Kind.STALE, _THE_COPY, expected, told(found.document.version))
    else:
        yield _violation(Kind.DIVERGED, _THE_COPY, expected, _shown(found.document))


def _violation(kind: Kind, what: str, expected: Document, actual: str) -> Violation:
    evidence: dict[str, Json] = {"id": str(expected.id), "user": expected.user, "digest": expected.digest}
    return Violation(
        kind=kind,
        subject=what,
        expected=_shown(expected),
        actual=actual,
        evidence=evidence,
    )


def _shown(document: Document) -> str:
    return f"version {document.version} with digest {document.digest}"
