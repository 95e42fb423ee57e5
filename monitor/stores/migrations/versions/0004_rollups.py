"""Rollups of runs, runs that did not take place, how long a change took to arrive; and steps in half the space."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


runs = sa.table("runs", sa.column("run_id", sa.Text), sa.column("steps", sa.JSON))
_AT_ONCE = 1000


def upgrade() -> None:
    """Of the runs before, nobody knows what arrived where."""
    _shorten_steps(op.get_bind())
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


def _shorten_steps(connection: sa.Connection) -> None:
    changed = (
        sa.update(runs)
        .where(runs.c.run_id == sa.bindparam("which"))
        .values(steps=sa.bindparam("shorter", type_=sa.JSON))
    )
    last = ""
    while True:
        query = sa.select(runs).where(runs.c.run_id > last).order_by(runs.c.run_id).limit(_AT_ONCE)
        rows = connection.execute(query).all()
        if not rows:
            return
        connection.execute(changed, [{"which": row.run_id, "shorter": _shorter(row.steps)} for row in rows])
        last = rows[-1].run_id


def _shorter(steps: list[list[Any]]) -> dict[str, list[list[int]]]:
    """From [name, after, took, failed, messages?] in seconds to microseconds by name."""
    found: dict[str, list[list[int]]] = {}
    for name, after, took, failed, *messages in steps:
        kept = [round(after * 1_000_000), round(took * 1_000_000)]
        if failed or messages:
            kept += [int(failed), sum(messages)]
        found.setdefault(name, []).append(kept)
    return found
