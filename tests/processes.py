"""Processes below a test, which may end between being listed and being asked."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import psutil

Answer = TypeVar("Answer")


def family(pid: int) -> list[psutil.Process]:
    """All descendants of a process."""
    return psutil.Process(pid).children(recursive=True)


def told(asked: Callable[[], Answer]) -> Answer | None:
    """What a process answers when it is asked; None where it has ended since it was listed."""
    with suppress(psutil.NoSuchProcess):
        return asked()
    return None


def lives(process: psutil.Process) -> bool:
    """Whether it has not ended, as a zombie has."""
    return told(process.status) not in {None, psutil.STATUS_ZOMBIE}
