"""The programs that the bench compares with: where Debian keeps them, and what installs them."""

from __future__ import annotations

import shutil
from pathlib import Path

PACKAGES = {
    "pgbench": "postgresql",
    "psql": "postgresql-client",
    "redis-cli": "redis-tools",
    "redis-benchmark": "redis-tools",
    "prometheus-blackbox-exporter": "prometheus-blackbox-exporter",
    "prometheus-postgres-exporter": "prometheus-postgres-exporter",
    "prometheus-redis-exporter": "prometheus-redis-exporter",
}


def program(name: str) -> Path | None:
    """Where a program is; of PostgreSQL's the program itself, and not the wrapper by which Debian chooses a version."""
    own = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parent.parent.name))
    found = shutil.which(name)
    return own[-1] if own else Path(found) if found else None


def needed(*names: str) -> str:
    """What to install for these, as the note of a row that was not measured."""
    packages = sorted({PACKAGES[name] for name in names})
    return f"not measured: {' and '.join(names)} is not here; on Debian: apt-get install {' '.join(packages)}"
