#!/usr/bin/env bash
# Test the wheel with the lowest and with the highest versions that its own ranges admit, not the locked
# ones. Arguments: what pytest runs, instead of what is below.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
BIN=$PWD/.venv/bin
. tools/index.sh
tools=$("$BIN/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# run NAME RESOLUTION EXTRAS TESTS...
run() {
    local venv=$PWD/.cache/ranges/$1 resolution=$2 extras=$3
    shift 3
    "$BIN/python" -m venv --clear --without-pip "$venv"
    "$BIN/uv" pip install --quiet --python "$venv/bin/python" --resolution "$resolution" ".[$extras]"
    echo "== $resolution of [$extras]"
    "$BIN/uv" pip list --python "$venv/bin/python" --format freeze
    # pytest and its plugins come from the development environment, behind what was installed here.
    echo "$tools" > "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tools.pth"
    # schemathesis, which those tests do not use, needs a newer jsonschema-rs than the lowest.
    "$venv/bin/python" -m pytest -q -p no:cacheprovider -p no:schemathesis "$@"
}

all=(tests/store tests/unit/gateway tests/unit/operator tests/unit/worker)
roles=(tests/store tests/unit/gateway tests/unit/worker)
operator=(tests/unit/operator)
[ $# = 0 ] || { all=("$@"); roles=("$@"); operator=("$@"); }

# The operator's libraries need newer ones of those that all roles share: without it they are lower.
run lowest lowest-direct export,otel "${roles[@]}"
run lowest-operator lowest-direct operator,export,otel "${operator[@]}"
run highest highest operator,export,otel "${all[@]}"
