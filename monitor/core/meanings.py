"""What the closed sets of kinds and reasons mean, in a sentence each: for documents and for people on call."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.core.verdict import Kind, Reason

BROKEN: Mapping[Kind, str] = {
    Kind.LOST: "what was acknowledged cannot be read",
    Kind.CORRUPT: "what is read differs from what was written",
    Kind.REORDERED: "all is there, in another order",
    Kind.DUPLICATED: "something is there more often than it was written",
    Kind.PHANTOM: "something can be read that was rolled back, refused or never written",
    Kind.TORN: "a part of what had to be written as a whole can be seen",
    Kind.STALE: "a read that promised to be fresh is old",
    Kind.DIVERGED: "two stores still disagree after the deadline and the patience beyond it",
    Kind.LATE: "it arrived, after the deadline",
    Kind.LEAKED: "one user's data was seen or changed by another, or by nobody",
    Kind.RESURRECTED: "what was deleted is there again, or still",
    Kind.TTL_MISSING: "what was to expire has no expiry",
    Kind.TTL_EARLY: "it was gone before its time",
    Kind.TTL_LATE: "it was still there after its time",
    Kind.EVICTED: "the store removed it to make room",
    Kind.LOST_UPDATE: "of two updates at once one was overwritten",
    Kind.DIRTY_WRITE: "one transaction overwrote what another had not yet committed (G0)",
    Kind.ABORTED_READ: "what was later rolled back was read (G1a)",
    Kind.INTERMEDIATE_READ: "a state between two writes of one transaction was read (G1b)",
    Kind.CIRCULAR_FLOW: "each of several transactions saw what the next one wrote, in a circle (G1c)",
    Kind.READ_SKEW: "one transaction saw parts of two states (G-single)",
    Kind.WRITE_SKEW: "transactions that each read what the other wrote both committed (G2-item)",
    Kind.MISROUTED: "a reply belongs to somebody else's request",
}
UNTOLD: Mapping[Reason, str] = {
    Reason.UNREACHABLE: "nothing listens there, or the connection broke",
    Reason.TIMEOUT: "no answer came in time",
    Reason.REFUSED: "the store wants other credentials or rights, or TLS",
    Reason.READ_ONLY: "the server takes no writes: a standby, a replica, or one that is loading its data",
    Reason.CAPACITY: "the store is out of connections, disk or memory",
    Reason.MISCONFIGURED: "the schema, the database, the version or the pooler does not fit",
    Reason.INCONCLUSIVE: "a control failed, or a second look did not agree: what was seen proves nothing",
    Reason.PAUSED: "somebody paused probing",
    Reason.MISSED: "the run did not take place: its store is left alone after failures, or the daemon was too busy",
    Reason.INTERNAL: "a fault of Holdfast's own; the log has more",
}
