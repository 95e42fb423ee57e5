#!/usr/bin/env python3
"""From a clone to a running Holdfast: makes .venv, installs what the lock names, and runs one command in it.

    python3 dev.py demo [OPTIONS]   the daemon on a PostgreSQL and a Valkey of its own; try --fault NAME
    python3 dev.py test [OPTIONS]   all tests, on real servers; options are pytest's (-n 0: one by one)
    python3 dev.py check            all that CI runs: lint, types, import contracts, tests
    python3 dev.py soak [OPTIONS]   bad weather of every sort for --for 30m, and no violation may come of it
    python3 dev.py ledger-kills     kill -9 the daemon during failovers: no false loss, and none unseen (--kills 100)
    python3 dev.py docs             the documentation as a site, in site/; a link that leads nowhere fails it; its
                                    search needs a server: python3 -m http.server --bind 127.0.0.1 --directory site
    python3 dev.py costs            measure what each probe costs the servers, and write docs/probes.md
    python3 dev.py bench [OPTIONS]  every goal of speed beside its anchor; --json FILE, --compare OLD, --write
    python3 dev.py bench-full       the same with more rounds, and the rows that take long
    python3 dev.py bench-ledger     intents a second on this disk, beside the disk bare
    python3 dev.py bench-web [OPTIONS]  the page, the API and /metrics while 1,000 environments are watched
    python3 dev.py sim [OPTIONS]    many environments in one daemon, or in --shards of them: cost, lags, memory, series
    python3 dev.py bench-trends     what rolling up costs, and how much room runs and rollups take
    python3 dev.py e2e [ALERT …]    break everything in turn: how long until Alertmanager tells somebody
    python3 dev.py lab [OPTIONS]    fail a Patroni cluster over, and hold what Holdfast says against the truth
    python3 dev.py detection        break all that the demo can break, and write docs/detection.md
    python3 dev.py screenshots      take the pictures of the status page in docs/images; needs Chromium
    python3 dev.py run COMMAND …    any holdfast command, such as: run check --config my.yaml
    python3 dev.py lock             resolve the dependencies anew

Needs Python 3.11 or newer and a package index; nothing else, no database, no root.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path
from time import monotonic

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / "python"
CHECKED = VENV / "holdfast-checked"  # how many seconds the last `check` took, for the bench
BYTECODE = VENV / "bytecode"

LOCKS = {
    # lock file: what pyproject.toml names for it
    "requirements.lock": [],
    "requirements-demo.lock": ["--extra", "demo", "--group", "build"],
    "requirements-dev.lock": ["--extra", "demo", "--group", "build", "--group", "dev"],
    "requirements-build.lock": ["--group", "build"],  # what deploy/build.sh makes the wheel with, and nothing else
}
# Most tests wait for a server most of the time, so that two files at once take little more than half the time.
TOGETHER = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
MODULES = {
    "test": ("pytest", *TOGETHER),
    "soak": ("tests.soak",),
    "ledger-kills": ("tests.soak.ledger_kills",),
    "costs": ("bench.costs",),
    "bench": ("bench",),
    "bench-full": ("bench", "--full"),
    "bench-ledger": ("bench.ledger",),
    "sim": ("bench.many",),
    "bench-trends": ("bench.trends",),
    "bench-web": ("bench.web",),
    "detection": ("tests.faults",),
    "e2e": ("tests.e2e",),
    "screenshots": ("tests.browser.screenshots",),
    "lab": ("lab",),
    "docs": ("mkdocs", "build", "--strict"),
}
CHECKS = (
    ["ruff", "check", "."],
    ["ruff", "format", "--check", "."],
    ["mypy"],
    ["lint-imports", "--no-logo"],
    ["mkdocs", "build", "--strict", "--quiet"],
    ["pytest", *TOGETHER],
)


def install(lock: str) -> None:
    """Make .venv hold what a lock names, and Holdfast itself; free where it does already."""
    stamp = VENV / "holdfast-installed"
    wanted = {name: _digest(name) for name in ("pyproject.toml", lock)}
    if stamp.exists() and PYTHON.exists():
        had = stamp.read_text().split()
        # The dev lock holds all that the demo's does, so that one does not undo the other.
        if had[:1] == [wanted["pyproject.toml"]] and had[1:] in ([wanted[lock]], [_digest("requirements-dev.lock")]):
            return
    if not PYTHON.exists():
        print(f"making {VENV.name} …", flush=True)
        try:
            venv.create(VENV, with_pip=True)
        except (subprocess.CalledProcessError, SystemExit):
            sys.exit("dev.py: Python's venv module cannot make an environment; on Debian: apt-get install python3-venv")
    print(f"installing {lock} (a minute at the first time) …", flush=True)
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _must([*pip, "--require-hashes", "-r", ROOT / lock])
    _must([*pip, "--no-deps", "--no-build-isolation", "--editable", ROOT])
    stamp.write_text(" ".join(wanted.values()))


def lock_all() -> None:
    """Resolve the dependencies anew, with hashes and for every platform; no index is named in a lock."""
    uv = BIN / "uv"
    if not uv.exists():
        _must([PYTHON, "-m", "pip", "install", "--quiet", "uv"])
    common = ["pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
    common += ["--no-emit-index-url", "--no-emit-find-links", "--custom-compile-command", "python3 dev.py lock"]
    for name, parts in LOCKS.items():
        alone = name == "requirements-build.lock"
        above = ["--constraint", "requirements-dev.lock"] if alone else ["--constraint", "requirements.lock"]
        above = ["--upgrade"] if name == "requirements.lock" else above
        _must([uv, *common, *([] if alone else ["pyproject.toml"]), *parts, *above, "--output-file", name])


def keep_bytecode() -> None:
    """Have all that is started from here read compiled modules, and keep them beside the packages.

    Where an image forbids it (PYTHONDONTWRITEBYTECODE), each process compiles a thousand modules anew: 2 s, not 0.8.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(BYTECODE))


def _digest(name: str) -> str:
    return hashlib.sha256((ROOT / name).read_bytes()).hexdigest()[:16]


def _must(command: list[str | Path]) -> None:
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def _become(*command: str | Path) -> None:
    """Run a command in place of this process, so that signals and exit codes are its own."""
    sys.stdout.flush()
    os.execv(command[0], [str(part) for part in command])


def main() -> None:
    """Read the first argument, and do it."""
    what, *rest = sys.argv[1:] or ["--help"]
    if sys.version_info < (3, 11):  # noqa: UP036  this file is what an older Python is shown
        sys.exit(f"dev.py: Python 3.11 or newer is needed; this is {sys.version.split()[0]}")
    keep_bytecode()
    if what in {"demo", "run"}:
        install("requirements-demo.lock")
        _become(BIN / "holdfast", *(["demo"] if what == "demo" else []), *rest)
    elif what in MODULES:
        install("requirements-dev.lock")
        _become(PYTHON, "-m", *MODULES[what], *rest)
    elif what == "check":
        install("requirements-dev.lock")
        failed, began = [], monotonic()
        for program, *options in CHECKS:
            print(f"\n=== {program} {' '.join(options)}", flush=True)
            if subprocess.run([BIN / program, *options], cwd=ROOT, check=False).returncode:
                failed.append(program)
        CHECKED.write_text(f"{monotonic() - began:.0f}\n")
        sys.exit(f"\ndev.py: failed: {', '.join(failed)}" if failed else 0)
    elif what == "lock":
        install("requirements-dev.lock")
        lock_all()
    else:
        print(__doc__)
        sys.exit(0 if what in {"-h", "--help", "help"} else 64)


if __name__ == "__main__":
    main()
