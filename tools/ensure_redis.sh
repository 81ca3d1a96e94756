#!/usr/bin/env bash
# Make sure that redis-server (6.2 or later) is on the PATH. The tests start their own servers on
# free ports, so a system service that an installation brings is stopped at once.
set -euo pipefail

fail() { echo "$1" >&2; exit 1; }

version_is_enough() {
    redis-server --version | sed -E 's/.* v=([0-9]+)\.([0-9]+).*/\1 \2/' |
        awk '{ exit !($1 > 6 || ($1 == 6 && $2 >= 2)) }'
}

if ! command -v redis-server >/dev/null; then
    [ "$(uname -s)" != Darwin ] || fail "redis-server is missing: run  brew install redis"
    "$(dirname "${BASH_SOURCE[0]}")/ensure_programs.sh" redis-server
fi
version_is_enough || fail "Redis 6.2 or later is needed; found: $(redis-server --version)"
