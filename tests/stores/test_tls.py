"""A TLS context is recalled only for as long as one made anew would be the same."""

from __future__ import annotations

from pathlib import Path
from ssl import PROTOCOL_TLS_CLIENT, SSLContext

import pytest

from monitor.stores.tls import KeptContext


def made() -> SSLContext:
    """A context as a driver would make one."""
    return SSLContext(PROTOCOL_TLS_CLIENT)


@pytest.mark.parametrize("change", ["written", "removed", "replaced", "made"])
def test_a_changed_file_is_another_context(tmp_path: Path, change: str) -> None:
    """However a file changes, and also where one that was not there comes to be."""
    file, coming = tmp_path / "ca", tmp_path / "crl"
    file.write_text("a")
    kept, context = KeptContext({"ssl": tmp_path}, (file, coming)), made()
    kept.keep(context, kept.made_of())
    assert kept.recall() is context
    match change:
        case "written":
            file.write_text("ab")
        case "removed":
            file.unlink()
        case "replaced":
            (tmp_path / "new").write_text("b")
            (tmp_path / "new").rename(file)
        case _:
            coming.write_text("c")
    assert kept.recall() is None


def test_what_was_made_while_a_file_changed_is_not_kept(tmp_path: Path) -> None:
    """Nobody knows which of the two contents is in it."""
    file = tmp_path / "ca"
    kept, context = KeptContext({"ssl": tmp_path}, (file,)), made()
    before = kept.made_of()
    file.write_text("a")
    kept.keep(context, before)
    assert kept.recall() is None


def test_equal_settings_have_one_context_and_others_have_none(tmp_path: Path) -> None:
    """Ways share it, for as long as one of them holds it."""
    one, equal, other = (KeptContext({"ssl": tmp_path, "mode": mode}, ()) for mode in ("a", "a", "b"))
    context = made()
    one.keep(context, one.made_of())
    assert equal.recall() is context
    assert other.recall() is None
    del one, equal, context
    assert KeptContext({"ssl": tmp_path, "mode": "a"}, ()).recall() is None


def test_a_doubted_context_is_replaced_by_the_next(tmp_path: Path) -> None:
    """Who doubts recalls nothing; the others go on until another has led to a connection."""
    one, equal = (KeptContext({"ssl": tmp_path}, ()) for _ in range(2))
    first, second = made(), made()
    one.keep(first, one.made_of())
    one.doubt()
    assert one.recall() is None
    assert equal.recall() is first
    one.keep(second, one.made_of())
    assert one.recall() is second
    assert equal.recall() is second
