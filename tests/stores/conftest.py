"""Where tests of the stores keep a state."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.stores.home import Schema
from tests.conftest import in_database


@pytest.fixture(params=["file", "schema"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path | Schema:
    """Where a state is kept: in a new file, or in a new schema of a PostgreSQL."""
    if request.param == "file":
        return tmp_path / "state.db"
    servers, database = request.getfixturevalue("servers"), request.getfixturevalue("database")
    return Schema(in_database(servers.postgres.dsn, database), "test")
