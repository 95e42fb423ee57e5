"""Which programs of the system the lab needs, and how they are installed where they are missing."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from monitor.embedded.postgres import system_bindir
from monitor.embedded.process import NotInstalledError

PACKAGES: Mapping[str, str] = {
    "etcd": "etcd-server",
    "haproxy": "haproxy",
    "patroni": "patroni",
    "patronictl": "patroni",
}
"""The programs, and Debian's packages that have them."""


def _found(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin")))


def missing() -> tuple[str, ...]:
    """The packages that would have to be installed."""
    wanted = {package for name, package in PACKAGES.items() if _found(name) is None}
    return tuple(sorted(wanted | (set() if system_bindir() else {"postgresql"})))


def program(name: str) -> Path:
    """The path of one program; NotInstalledError where there is none."""
    found = _found(name)
    if found is None:
        raise NotInstalledError(f"there is no {name}: apt-get install --no-install-recommends {PACKAGES[name]}")
    return Path(found)


def postgres_programs() -> Path:
    """The folder of the newest PostgreSQL's programs; NotInstalledError where there is none."""
    found = system_bindir()
    if found is None:
        raise NotInstalledError("there is no PostgreSQL: apt-get install --no-install-recommends postgresql")
    return found
