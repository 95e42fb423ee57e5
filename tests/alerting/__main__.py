"""Break the rules in every place, and see which break no story notices."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.alerting.mutants import mutants
from tests.alerting.promtool import failing
from tests.alerting.test_rules import MADE, told


def main() -> int:
    """Print what is not noticed; -> 0 if nothing is."""
    made = [each for each in mutants(MADE) if not sys.argv[1:] or each[0].split()[0].rstrip(":") in sys.argv[1:]]
    unnoticed = []
    for name, broken in made:
        with tempfile.TemporaryDirectory() as folder:
            if not failing(Path(folder), told(name.split()[0].rstrip(":"), broken)):
                unnoticed.append(name)
                sys.stdout.write(f"not noticed: {name}\n")
                sys.stdout.flush()
    sys.stdout.write(f"{len(made)} mutants, {len(unnoticed)} not noticed\n")
    return bool(unnoticed)


if __name__ == "__main__":
    sys.exit(main())
