"""Bringing the tables of the state database up to date; those of older versions with Alembic."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from monitor.stores.tables import metadata

_FOLDER = Path(__file__).parent / "migrations"
HEAD = "0004"
"""The newest revision; a test holds it against the files."""
_version = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))


def upgrade(connection: sa.Connection) -> None:
    """Make the tables where there are none, or apply what is missing; one that is up to date costs one SELECT.

    Only tables of an older version need Alembic. Others start 0.1 s sooner without, and 10 MB smaller for life.
    """
    made = _made(connection)
    if made and _current(connection):
        return
    if made:  # before anything is locked, or whoever waits for it on a busy machine would give up
        import alembic.command  # noqa: F401, PLC0415
    if connection.dialect.name == "sqlite":
        # SQLite's driver begins no transaction for CREATE: without this, a half-made file would be left behind.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext(current_schema() || ' is made'))")
    if not _made(connection):
        _make(connection)
    elif not _current(connection):  # else another command of this daemon was first
        migrate(connection)


def migrate(connection: sa.Connection) -> None:
    """Apply every migration that has not been, from the first on where there is no table yet."""
    from alembic import command  # noqa: PLC0415  a tenth of a second, needed once in the life of a file
    from alembic.config import Config  # noqa: PLC0415  the same

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _make(connection: sa.Connection) -> None:
    """The tables as the newest migration leaves them; a test holds both against each other."""
    metadata.create_all(connection, checkfirst=False)
    _version.create(connection)
    connection.execute(_version.insert().values(version_num=HEAD))


def _made(connection: sa.Connection) -> bool:
    return sa.inspect(connection).has_table(_version.name)


def _current(connection: sa.Connection) -> bool:
    return connection.execute(sa.select(_version.c.version_num)).scalar_one_or_none() == HEAD
