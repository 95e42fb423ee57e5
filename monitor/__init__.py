"""Holdfast tells whether the data that was acknowledged still comes back."""

import sys
from importlib import import_module

__version__ = "0.1.0"

if "rich" not in sys.modules:
    # structlog imports all of Rich where it is there, for tracebacks that nobody is shown: they have the values of
    # variables, and a DSN is one. A module that is None cannot be imported; commands that print do that later.
    sys.modules["rich"] = None  # type: ignore[assignment]
    import_module("structlog.dev")
    del sys.modules["rich"]
