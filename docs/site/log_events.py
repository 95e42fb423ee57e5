"""What each event of the log means, in a sentence for whoever reads it at night. A test holds that all are here."""

from __future__ import annotations

from collections.abc import Mapping

EVENTS: Mapping[str, str] = {
    "clock.jumped": "The machine's clock was set by so many seconds; lengths are measured by another clock and hold.",
    "command.failed": "A command ended by a fault of Holdfast's own, with exit status 70; the traceback is in it.",
    "config.doubtful": "The configuration was taken, but something in it looks wrong or waits for the next start.",
    "config.loaded": "A configuration is in force, at the start or after a change.",
    "config.rejected": "A changed configuration cannot be used; the old one stays in force. Every problem is listed.",
    "daemon.failed": "The daemon cannot start or go on, and ends.",
    "daemon.started": "The daemon serves its page at `url` and begins to probe.",
    "daemon.stopped": "The end. `runs_cut_off` are runs that did not end within `shutdown_timeout`.",
    "daemon.stopping": "SIGTERM or SIGINT came; runs that are under way may end.",
    "environment.paused": "Somebody paused probing, until then.",
    "environment.ready": "A store that was left alone after failures answers again.",
    "environment.resumed": "Somebody ended a pause.",
    "environment.unreachable": "A store cannot be used; what needs it is left alone for a while, and tried again.",
    "failover.observed": "Another server answers as primary, or the same one after a crash or a promotion.",
    "pulse.failed": "The register of a store is not moved, by a fault of Holdfast's own.",
    "run.failed": "A run ended by a fault of Holdfast's own; it is `unknown`, and the traceback is in the line.",
    "run.finished": "A run ended: its verdict, how long it took, and what it found. One line for each run.",
    "run.missed": "So many runs did not take place, because the one before was still under way or the daemon was busy.",
    "state.failed": "The state database does not take what it is given. Probing goes on, and nothing is remembered.",
    "state.recovered": "The state database takes what it is given again.",
    "state.unusable": "The state database cannot be used at the start; the daemon runs without one.",
    "sweep.failed": "Left-over synthetic data could not be removed; it is tried again.",
    "sweep.finished": "So many left-over synthetic rows or keys were removed.",
    "violation.closed": "A violation ended: its check passed again, or somebody's word settled it.",
    "violation.opened": "A promise is broken: which, of what, what was expected and what was found.",
}
