"""`make detection`: break all that the demo can break, and write docs/detection.md."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    os.environ["HOLDFAST_RENEW_TABLE"] = "1"
    sys.exit(pytest.main([str(Path(__file__).parent), *sys.argv[1:]]))
