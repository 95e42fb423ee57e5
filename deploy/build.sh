#!/bin/sh
# Holdfast, and what it needs, in a folder that stands alone: the very lines that the Dockerfile runs.
#
#   deploy/build.sh /opt/holdfast      PYTHON=python3.12 deploy/build.sh /opt/holdfast
#
# The wheel is made with what requirements-build.lock names, the folder of what requirements.lock names, each by its
# hash. Neither pip nor a compiler comes into the folder. It works only where it was made: its scripts name its Python.
# What an earlier build left in the folder goes; a folder of anything else is refused.
set -eu
umask 022
target=$1
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

if [ -n "$(ls -A "$target" 2>/dev/null)" ] && [ ! -e "$target/pyvenv.cfg" ]; then
    echo "deploy/build.sh: $target holds something else, which would be removed; name a new or an empty folder" >&2
    exit 1
fi
"$python" - <<'END'
import os, pathlib, sys

real = pathlib.Path(os.path.realpath(sys._base_executable))  # of a venv, the Python that it is from
homes = {pathlib.Path(each) for each in ("/root", "/home", "/run/user")}  # the unit's ProtectHome= hides them
if homes & {*real.parents} or not all(folder.stat().st_mode & 0o001 for folder in real.parents):
    sys.exit(f"deploy/build.sh: {real} is in a folder that other users cannot enter, so none could run what is built "
             "with it; name another by PYTHON=/usr/bin/python3")
END

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/build"
pip() { "$work/build/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
pip install --require-hashes --only-binary :all: -r requirements-build.lock
pip wheel --no-deps --no-build-isolation --wheel-dir "$work" .

# Into an older build pip would install nothing, for its version is the same.
"$python" -m venv --clear --without-pip "$target"
pip --python "$target/bin/python" install --compile --no-deps --require-hashes --only-binary :all: -r requirements.lock
pip --python "$target/bin/python" install --compile --no-deps "$work"/holdfast-*.whl
rm -f "$target"/bin/activate* "$target"/bin/Activate.ps1

"$target/bin/holdfast" --version
