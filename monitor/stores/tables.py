"""The tables of the state database. Moments are seconds since the epoch, UTC; lengths are seconds."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("probe", sa.Text, nullable=False),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("took", sa.Float, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("checks", sa.Integer, nullable=False),
    sa.Column("kinds", sa.JSON, nullable=False),
    sa.Column("steps", sa.JSON, nullable=False),
    sa.Column("server", sa.JSON, nullable=False),
    sa.Column("left_out", sa.JSON, nullable=False),
    sa.Column("propagations", sa.JSON, nullable=False),
    sa.Index("runs_place", "environment", "probe", "started"),
    sa.Index("runs_started", "started"),
)

not_run = sa.Table(
    "not_run",
    metadata,
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("probe", sa.Text, primary_key=True),
    sa.Column("at", sa.Float, primary_key=True),
    sa.Column("reason", sa.Text, primary_key=True),
    sa.Column("times", sa.Integer, nullable=False),
    sa.Index("not_run_at", "at"),
)

rollups = sa.Table(
    "rollups",
    metadata,
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("probe", sa.Text, primary_key=True),
    sa.Column("length", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("start", sa.Float, primary_key=True),
    sa.Column("verdicts", sa.JSON, nullable=False),
    sa.Column("reasons", sa.JSON, nullable=False),
    sa.Column("steps", sa.JSON, nullable=False),
    sa.Column("propagations", sa.JSON, nullable=False),
    sa.Index("rollups_start", "length", "start"),
)

violations = sa.Table(
    "violations",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("probe", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("opened", sa.Float, nullable=False),
    sa.Column("last_seen", sa.Float, nullable=False),
    sa.Column("closed", sa.Float),
    sa.Column("acknowledged", sa.Float),
    sa.Column("note", sa.Text),
    sa.Column("times", sa.Integer, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("last_run_id", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("expected", sa.Text, nullable=False),
    sa.Column("actual", sa.Text, nullable=False),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Index("violations_stage", "stage", "opened"),
)

facts = sa.Table(
    "facts",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

ledger_entries = sa.Table(
    "ledger_entries",
    metadata,
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("store", sa.Text, primary_key=True),
    sa.Column("n", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("series", sa.Text, nullable=False),
    sa.Column("identified", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("intended", sa.Float, nullable=False),
    sa.Column("answered", sa.Float),
    sa.Column("epoch", sa.Integer),
    sa.Column("weak", sa.Boolean, nullable=False),
    sa.Column("xid", sa.Text, nullable=False),
    sa.Column("rung", sa.Integer, nullable=False),
    sa.Column("due", sa.Float),
    sa.Column("verified", sa.Float),
    sa.Column("fate", sa.Text, nullable=False),
    sa.Column("accepted", sa.Float),
    sa.Column("retired", sa.Float),
    sa.Column("wrong", sa.Float),  # since when its fate is
    sa.Index("ledger_entries_due", "environment", "store", "due"),
    sa.Index("ledger_entries_fate", "environment", "store", "identified", "state", "fate"),
)

ledger_epochs = sa.Table(
    "ledger_epochs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("first", sa.Float, nullable=False),
    sa.Column("last", sa.Float, nullable=False),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Column("opening", sa.JSON),
    sa.Index("ledger_epochs_place", "environment", "place", "id"),
)

ledger_breaks = sa.Table(
    "ledger_breaks",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("expected", sa.JSON, nullable=False),
    sa.Column("first", sa.Text),
    sa.Column("second", sa.Text),
    sa.Column("writable", sa.Boolean, nullable=False),
    sa.Column("before", sa.Integer),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("judged", sa.Boolean, nullable=False),
    sa.Index("ledger_breaks_place", "environment", "place", "judged"),
)

ledger_outages = sa.Table(
    "ledger_outages",
    metadata,
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("store", sa.Text, primary_key=True),
    sa.Column("operation", sa.Text, primary_key=True),
    sa.Column("began", sa.Float, primary_key=True),
    sa.Column("ended", sa.Float),
    sa.Column("least", sa.Float, nullable=False),
    sa.Column("most", sa.Float, nullable=False),
)

ledger_losses = sa.Table(
    "ledger_losses",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("store", sa.Text, nullable=False),
    sa.Column("found", sa.Float, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("first", sa.Text, nullable=False),
    sa.Column("last", sa.Text, nullable=False),
    sa.Column("records", sa.Integer, nullable=False),
    sa.Column("writes", sa.Integer, nullable=False),
    sa.Column("suffix", sa.Boolean, nullable=False),
    sa.Column("least", sa.Float, nullable=False),
    sa.Column("most", sa.Float, nullable=False),
    sa.Column("accepted", sa.Float),
    sa.Column("details", sa.JSON, nullable=False),
    sa.Index("ledger_losses_found", "environment", "found"),
)

ledger_restores = sa.Table(
    "ledger_restores",
    metadata,
    sa.Column("environment", sa.Text, primary_key=True),
    sa.Column("at", sa.Float, primary_key=True),
    sa.Column("declared", sa.Float, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
)
