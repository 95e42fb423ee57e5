"""Runs, violations and small facts."""

from alembic import op
from sqlalchemy import JSON, Column, Float, Integer, Text

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "runs",
        Column("run_id", Text, primary_key=True),
        Column("environment", Text, nullable=False),
        Column("probe", Text, nullable=False),
        Column("started", Float, nullable=False),
        Column("took", Float, nullable=False),
        Column("verdict", Text, nullable=False),
        Column("reason", Text),
        Column("message", Text, nullable=False),
        Column("checks", Integer, nullable=False),
        Column("kinds", JSON, nullable=False),
        Column("steps", JSON, nullable=False),
        Column("server", JSON, nullable=False),
    )
    op.create_index("runs_place", "runs", ["environment", "probe", "started"])
    op.create_index("runs_started", "runs", ["started"])
    op.create_table(
        "violations",
        Column("id", Text, primary_key=True),
        Column("environment", Text, nullable=False),
        Column("probe", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("stage", Text, nullable=False),
        Column("opened", Float, nullable=False),
        Column("last_seen", Float, nullable=False),
        Column("closed", Float),
        Column("acknowledged", Float),
        Column("note", Text),
        Column("times", Integer, nullable=False),
        Column("run_id", Text, nullable=False),
        Column("last_run_id", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("expected", Text, nullable=False),
        Column("actual", Text, nullable=False),
        Column("evidence", JSON, nullable=False),
    )
    op.create_index("violations_stage", "violations", ["stage", "opened"])
    op.create_table("facts", Column("name", Text, primary_key=True), Column("value", Text, nullable=False))
