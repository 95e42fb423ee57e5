"""The ledger of acknowledged writes: entries, evidence, breaks, outages, losses and declared restores."""

from alembic import op
from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Integer, Text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables of the ledger."""
    op.create_table(
        "ledger_entries",
        Column("environment", Text, primary_key=True),
        Column("store", Text, primary_key=True),
        Column("n", BigInteger, primary_key=True, autoincrement=False),
        Column("series", Text, nullable=False),
        Column("identified", Boolean, nullable=False),
        Column("state", Text, nullable=False),
        Column("intended", Float, nullable=False),
        Column("answered", Float),
        Column("epoch", Integer),
        Column("weak", Boolean, nullable=False),
        Column("xid", Text, nullable=False),
        Column("rung", Integer, nullable=False),
        Column("due", Float),
        Column("verified", Float),
        Column("fate", Text, nullable=False),
        Column("accepted", Float),
        Column("retired", Float),
        Column("wrong", Float),
    )
    op.create_index("ledger_entries_due", "ledger_entries", ["environment", "store", "due"])
    op.create_index("ledger_entries_fate", "ledger_entries", ["environment", "store", "identified", "state", "fate"])
    op.create_table(
        "ledger_epochs",
        Column("id", Integer, primary_key=True),
        Column("environment", Text, nullable=False),
        Column("place", Text, nullable=False),
        Column("first", Float, nullable=False),
        Column("last", Float, nullable=False),
        Column("evidence", JSON, nullable=False),
        Column("opening", JSON),
    )
    op.create_index("ledger_epochs_place", "ledger_epochs", ["environment", "place", "id"])
    op.create_table(
        "ledger_breaks",
        Column("id", Integer, primary_key=True),
        Column("environment", Text, nullable=False),
        Column("place", Text, nullable=False),
        Column("at", Float, nullable=False),
        Column("expected", JSON, nullable=False),
        Column("first", Text),
        Column("second", Text),
        Column("writable", Boolean, nullable=False),
        Column("before", Integer),
        Column("epoch", Integer, nullable=False),
        Column("judged", Boolean, nullable=False),
    )
    op.create_index("ledger_breaks_place", "ledger_breaks", ["environment", "place", "judged"])
    op.create_table(
        "ledger_outages",
        Column("environment", Text, primary_key=True),
        Column("store", Text, primary_key=True),
        Column("operation", Text, primary_key=True),
        Column("began", Float, primary_key=True),
        Column("ended", Float),
        Column("least", Float, nullable=False),
        Column("most", Float, nullable=False),
    )
    op.create_table(
        "ledger_losses",
        Column("id", Integer, primary_key=True),
        Column("environment", Text, nullable=False),
        Column("store", Text, nullable=False),
        Column("found", Float, nullable=False),
        Column("cause", Text, nullable=False),
        Column("first", Text, nullable=False),
        Column("last", Text, nullable=False),
        Column("records", Integer, nullable=False),
        Column("writes", Integer, nullable=False),
        Column("suffix", Boolean, nullable=False),
        Column("least", Float, nullable=False),
        Column("most", Float, nullable=False),
        Column("accepted", Float),
        Column("details", JSON, nullable=False),
    )
    op.create_index("ledger_losses_found", "ledger_losses", ["environment", "found"])
    op.create_table(
        "ledger_restores",
        Column("environment", Text, primary_key=True),
        Column("at", Float, primary_key=True),
        Column("declared", Float, nullable=False),
        Column("note", Text, nullable=False),
    )
