"""What people may change by way of the page."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request

from monitor.core.violations import KeptViolation
from monitor.web.answers import Fault, bad, moment
from monitor.web.daemon import Daemon
from monitor.web.guard import content

LONGEST_NOTE = 2000  # characters


async def form(request: Request, *known: str) -> dict[str, str]:
    """The fields of a form that a page sent; what is unknown is left out. Raises Fault where it is no form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Fault(415, "a form was expected", do="send it from the page, or use the API below /api/v1")
    given = parse_qs((await content(request)).decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20)
    return {name: given[name][0] for name in known if name in given}


async def acknowledge(daemon: Daemon, kept: KeptViolation, note: str) -> KeptViolation:
    """Quieten a violation until its check passes again. Raises Fault."""
    if len(note) > LONGEST_NOTE:
        raise bad("note", expected=f"at most {LONGEST_NOTE} characters", found=f"{len(note)} characters")
    changed = await daemon.journal.acknowledge(kept.id, note=note)
    if changed is None:
        when = f" at {moment(kept.closed)}" if kept.closed else ""
        raise Fault(409, f"the violation {kept.id} was closed{when}", do="there is nothing left to acknowledge")
    daemon.metrics.standing(changed.environment, daemon.journal.standing(changed.environment))
    return changed
