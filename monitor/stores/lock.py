"""Whether a daemon runs with a state file: a lock beside it, which the kernel lets go of however the daemon ends."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from time import sleep

from monitor.ports import StateError

_TRIES, _GLANCE = 3, 0.05  # seconds: whoever asks whether it is free holds it for a moment himself


class StateLock:
    """The lock of one state file. Two daemons with one state would each take the other for dead, and sweep it."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._path = state.with_name(f"{state.name}.lock")
        self._file: int | None = None

    def take(self) -> None:
        """Hold it until `release`, or until this process ends. Raises StateError where another daemon holds it.

        Where the file system has no locks, or nothing can be made there, nothing is held.
        """
        with suppress(OSError):
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            for _ in range(_TRIES):
                with suppress(BlockingIOError):
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                sleep(_GLANCE)
            self.release()
            raise StateError(
                f"the state file {self._state} belongs to another daemon, which is running;"
                " give each daemon a `state` of its own, or stop the other"
            )

    def release(self) -> None:
        """Let go."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def free(self) -> bool:
        """Whether certainly no daemon holds it; in doubt one does."""
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        else:
            return True
        finally:
            os.close(file)
