"""TLS contexts that are kept for as long as one made anew would be the same."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from ssl import SSLContext
from typing import ClassVar
from weakref import WeakValueDictionary


class KeptContext:
    """The TLS context of one way into a store, as the driver made it from settings and files.

    To make one takes 16 ms of the processor where it holds the authorities of a whole system, and 0.8 MB. So ways
    whose settings are equal have one together, and none recalls it once a file is another than it was.
    """

    _all: ClassVar[WeakValueDictionary[Hashable, SSLContext]] = WeakValueDictionary()

    def __init__(self, settings: Mapping[str, object], files: Iterable[Path]) -> None:
        self._settings = tuple((name, repr(value)) for name, value in sorted(settings.items()))
        self._files = tuple(files)
        self._held: SSLContext | None = None
        self._doubted = False

    def made_of(self) -> Hashable:
        """All that a context would be made of now."""
        return self._settings, tuple((file, _version(file)) for file in self._files)

    def recall(self) -> SSLContext | None:
        """The context that was made of the same, here or for another way; None if there is none to be trusted."""
        self._held = None if self._doubted else self._all.get(self.made_of())
        return self._held

    def keep(self, context: SSLContext, made_of: Hashable) -> None:
        """Keep what a connection was made by. If a file was changed meanwhile, nobody knows what is in it."""
        if self.made_of() != made_of:
            return
        if self._doubted or made_of not in self._all:
            self._all[made_of] = context
        self._held, self._doubted = self._all[made_of], False

    def doubt(self) -> None:
        """A connection failed over TLS: recall nothing until another context has led to one."""
        self._doubted = True


def _version(file: Path) -> Hashable:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
