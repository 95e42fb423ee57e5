"""Rollups of runs, runs that did not take place, and how long a change took to arrive."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Of the runs before, nobody knows what arrived where."""
    op.add_column("runs", sa.Column("propagations", sa.JSON, nullable=False, server_default="[]"))
    op.create_table(
        "not_run",
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("probe", sa.Text, primary_key=True),
        sa.Column("at", sa.Float, primary_key=True),
        sa.Column("reason", sa.Text, primary_key=True),
        sa.Column("times", sa.Integer, nullable=False),
    )
    op.create_index("not_run_at", "not_run", ["at"])
    op.create_table(
        "rollups",
        sa.Column("environment", sa.Text, primary_key=True),
        sa.Column("probe", sa.Text, primary_key=True),
        sa.Column("length", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("start", sa.Float, primary_key=True),
        sa.Column("verdicts", sa.JSON, nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("steps", sa.JSON, nullable=False),
        sa.Column("propagations", sa.JSON, nullable=False),
    )
    op.create_index("rollups_start", "rollups", ["length", "start"])
