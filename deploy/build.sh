#!/bin/sh
# Holdfast, and what it needs, in a folder that stands alone: the very lines that the Dockerfile runs.
#
#   deploy/build.sh /opt/holdfast      PYTHON=python3.12 deploy/build.sh /opt/holdfast
#
# The wheel is made with what requirements-build.lock names, the folder of what requirements.lock names, each by its
# hash. Neither pip nor a compiler comes into the folder. It works only where it was made: its scripts name its Python.
set -eu
umask 022
target=$1
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${PYTHON:-python3}" -m venv "$work/build"
pip() { "$work/build/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
pip install --require-hashes --only-binary :all: -r requirements-build.lock
pip wheel --no-deps --no-build-isolation --wheel-dir "$work" .

"${PYTHON:-python3}" -m venv --without-pip "$target"
pip --python "$target/bin/python" install --compile --no-deps --require-hashes --only-binary :all: -r requirements.lock
pip --python "$target/bin/python" install --compile --no-deps "$work"/holdfast-*.whl
rm -f "$target"/bin/activate* "$target"/bin/Activate.ps1

"$target/bin/holdfast" --version
