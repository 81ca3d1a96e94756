#!/usr/bin/env bash
# Test the wheel with the lowest and with the highest versions that its own ranges admit, not the locked
# ones. Arguments: what pytest runs, instead of what is below. Each set of versions is tested whatever
# became of the one before; a line for each at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
BIN=$PWD/.venv/bin
. tools/index.sh
tools=$("$BIN/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
summary=() status=0

# install NAME RESOLUTION EXTRAS
install() {
    local venv=$PWD/.cache/ranges/$1
    "$BIN/python" -m venv --clear --without-pip "$venv" &&
        "$BIN/uv" pip install --quiet --python "$venv/bin/python" --resolution "$2" ".[$3]" &&
        "$BIN/uv" pip list --python "$venv/bin/python" --format freeze &&
        # pytest and its plugins come from the development environment, behind what was installed here.
        echo "$tools" > "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tools.pth"
}

# run NAME RESOLUTION EXTRAS TESTS...
run() {
    local name=$1 title="$1: $2 of [$3]" found log=$PWD/.cache/ranges/$1.log
    echo "== $title"
    if ! install "$1" "$2" "$3"; then
        summary+=("FAILED  $title: not installed") status=1
        return
    fi
    shift 3
    # schemathesis, which those tests do not use, needs a newer jsonschema-rs than the lowest.
    if "$PWD/.cache/ranges/$name/bin/python" -m pytest -q -p no:cacheprovider -p no:schemathesis "$@" |
        tee "$log"; then
        found=passed
    else
        found=FAILED status=1
    fi
    summary+=("$found  $title: $(tail -n 1 "$log")")
}

all=(tests/store tests/unit/gateway tests/unit/operator tests/unit/worker)
roles=(tests/store tests/unit/gateway tests/unit/worker)
operator=(tests/unit/operator)
[ $# = 0 ] || { all=("$@"); roles=("$@"); operator=("$@"); }

# The operator's libraries need newer ones of those that all roles share: without it they are lower.
run lowest lowest-direct export,otel "${roles[@]}"
run lowest-operator lowest-direct operator,export,otel "${operator[@]}"
run highest highest operator,export,otel "${all[@]}"

echo "== summary"
printf '%s\n' "${summary[@]}"
exit "$status"
