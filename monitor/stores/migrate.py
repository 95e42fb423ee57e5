"""Bringing the tables of the state database up to date, with Alembic."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

_FOLDER = Path(__file__).parent / "migrations"
HEAD = "0004"
"""The newest revision; a test holds it against the files."""


def upgrade(connection: sa.Connection) -> None:
    """Apply what is missing. A database that is up to date costs one SELECT: Alembic is not even imported."""
    if _current(connection):
        return
    # Before anything is locked, or whoever waits for it on a busy machine would give up.
    from alembic import command  # noqa: PLC0415  a tenth of a second, needed once in the life of a file
    from alembic.config import Config  # noqa: PLC0415  the same

    if connection.dialect.name == "sqlite":
        # SQLite's driver begins no transaction for CREATE: without this, a half-made file would be left behind.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext(current_schema() || ' is made'))")
        if _current(connection):  # another command of this daemon was first
            return
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _current(connection: sa.Connection) -> bool:
    if not sa.inspect(connection).has_table("alembic_version"):
        return False
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none() == HEAD
