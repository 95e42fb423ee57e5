"""What a run did not check."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Of the runs before, nobody knows."""
    op.add_column("runs", sa.Column("left_out", sa.JSON, nullable=False, server_default="[]"))


def downgrade() -> None:
    """Forget it."""
    op.drop_column("runs", "left_out")
