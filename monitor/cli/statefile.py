"""What stands in the way of a state file, in words, before anybody tries to use it."""

from __future__ import annotations

import os
from pathlib import Path

from monitor.settings import Settings
from monitor.stores.home import Schema, home_of

_BEGINNING = b"SQLite format 3\0"


def home_in(settings: Settings) -> Path | Schema:
    """Where the state database of a configuration is."""
    return home_of(settings.state.get_secret_value(), location=settings.location, shard=settings.part)


def missing(home: Path | Schema) -> str:
    """Why a state cannot be read because it is not there yet; nothing where it may be."""
    if isinstance(home, Schema) or home.is_file():
        return ""
    return hindrance(home) or f"there is no state file {home}; has the daemon of this configuration ever run here?"


def hindrance(home: Path | Schema) -> str:
    """Why this user cannot use a state file, and the next step; nothing where it can, or could make it.

    A database is not asked here.
    """
    if isinstance(home, Schema):
        return ""
    path, folder = home, home.parent
    said = ""
    if not os.access(folder, os.F_OK):
        said = f"its folder {folder} does not exist or cannot be entered; make it, writable for Holdfast's user"
    elif not folder.is_dir():
        said = f"{folder} is no folder; choose another path in `state`"
    elif path.is_dir():
        said = "it is a folder; name a file in it"
    elif not os.access(folder, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.R_OK | os.W_OK)):
        said = "this user may not write it; make the file and its folder writable for the user that Holdfast runs as"
    elif path.is_file() and not _is_database(path):
        said = "it is some other file; choose another path in `state`, or move it away"
    return f"the state file {path} cannot be used: {said}" if said else ""


def _is_database(path: Path) -> bool:
    """Whether a file begins as a SQLite database does; a new one is empty."""
    with path.open("rb") as file:
        return file.read(len(_BEGINNING)) in {b"", _BEGINNING}
