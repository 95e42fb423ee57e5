"""Connections to PostgreSQL as the driver makes them, where also a user without a name gets an answer."""

from __future__ import annotations

from typing import Any

import asyncpg


async def connect(dsn: str, **options: object) -> asyncpg.Connection[Any]:
    """`asyncpg.connect`. In a container the uid may have no name, and asyncpg then raises what it never says it does.

    That is a ClientConfigurationError here.
    """
    try:
        return await asyncpg.connect(dsn, **options)
    except (KeyError, OSError) as error:
        # What getpass raises, up to Python 3.12 and since.
        if isinstance(error, KeyError) or "No username" in str(error):
            raise asyncpg.ClientConfigurationError(
                "it names no user, and the uid that Holdfast runs as has no name; write postgresql://USER@HOST/DATABASE"
            ) from None
        raise
