#!/usr/bin/env bash
# Write the lock: requirements/*.txt, exact versions with hashes for every supported Python and system.
# Arguments go to uv, such as --upgrade or --upgrade-package NAME.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
BIN=$PWD/.venv/bin
. tools/index.sh
export UV_CUSTOM_COMPILE_COMMAND="make lock"

compile() { # FILE ARGUMENT...
    "$BIN/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
        --no-emit-index-url --no-emit-find-links --output-file "requirements/$1" "${@:2}"
}

extras=(--extra operator --extra export --extra otel)
compile dev.txt pyproject.toml client/pyproject.toml "${extras[@]}" --group dev --group bench "$@"
# The images: the same versions as in development.
compile core.txt pyproject.toml --constraint requirements/dev.txt
compile operator.txt pyproject.toml --extra operator --constraint requirements/dev.txt
echo hatchling | compile build.txt - --constraint requirements/dev.txt
