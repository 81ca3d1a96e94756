#!/usr/bin/env bash
# Test the wheel with the lowest and with the highest versions that its own ranges admit, not the locked
# ones. Arguments: what pytest runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
BIN=$PWD/.venv/bin
. tools/index.sh
tools=$("$BIN/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
[ $# != 0 ] || set -- tests/store tests/unit/gateway tests/unit/operator tests/unit/worker

for resolution in lowest-direct highest; do
    venv=$PWD/.cache/ranges/$resolution
    "$BIN/python" -m venv --clear --without-pip "$venv"
    "$BIN/uv" pip install --quiet --python "$venv/bin/python" --resolution "$resolution" \
        '.[operator,export,otel]'
    echo "== $resolution"
    "$BIN/uv" pip list --python "$venv/bin/python" --format freeze
    # pytest and its plugins come from the development environment, behind what was installed here.
    echo "$tools" > "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tools.pth"
    # schemathesis, which those tests do not use, needs a newer jsonschema-rs than the lowest.
    "$venv/bin/python" -m pytest -q -p no:cacheprovider -p no:schemathesis "$@"
done
