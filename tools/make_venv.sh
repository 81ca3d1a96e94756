#!/usr/bin/env bash
# Create or update the virtual environment $1 with the project (editable) and the locked tools.
set -euo pipefail
venv=$1
# PYTHON, when set, wins; then the plain names, so that an activated environment is respected.
works() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if ! works "$venv/bin/python"; then
    python=
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14 python; do
        if works "$candidate"; then python=$candidate; break; fi
    done
    if [ -z "$python" ]; then
        echo "No Python >= 3.11 with venv was found: install one (Debian: python3 python3-venv)," >&2
        echo "or name it: make venv PYTHON=/path/to/python3" >&2
        exit 1
    fi
    echo "Creating $venv with $("$python" --version) ($(command -v "$python"))" >&2
    "$python" -m venv --clear "$venv"
fi
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
pip install --quiet --require-hashes -r requirements/dev.txt
# The lock has the build backend too, so that nothing else is downloaded.
pip install --quiet --no-deps --no-build-isolation --editable . --editable ./client
