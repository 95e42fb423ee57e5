"""A terminal or a pipe, by Rich; the daemon prints nothing, and so does not import it."""

from __future__ import annotations

import errno
import os
import sys
from typing import NoReturn

from rich.console import Console


class Output(Console):
    """A console whose reader may go away, as `head` does: that ends a command as any other error does."""

    def on_broken_pipe(self) -> NoReturn:
        """Rich would exit here, also in the middle of an event loop, which does not bear that."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise BrokenPipeError(errno.EPIPE, "nobody reads the output any more")
