#!/usr/bin/env bash
# Make sure that redis-server (6.2 or later) is on the PATH. The tests start their own servers on
# free ports, so a system service that an installation brings is stopped at once.
set -euo pipefail

fail() { echo "$1" >&2; exit 1; }

version_is_enough() {
    redis-server --version | sed -E 's/.* v=([0-9]+)\.([0-9]+).*/\1 \2/' |
        awk '{ exit !($1 > 6 || ($1 == 6 && $2 >= 2)) }'
}

install_with_apt() {
    local sudo=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null ||
            fail "redis-server is missing: as root, run  apt-get install -y redis-server"
        sudo=sudo
    fi
    echo "Installing redis-server with apt-get" >&2
    $sudo apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends redis-server >/dev/null
    if [ -d /run/systemd/system ]; then
        $sudo systemctl disable --quiet --now redis-server
    else
        $sudo service redis-server stop >/dev/null 2>&1 || true
    fi
}

if ! command -v redis-server >/dev/null; then
    case "$(uname -s)" in
        Darwin) fail "redis-server is missing: run  brew install redis" ;;
        *) command -v apt-get >/dev/null ||
            fail "redis-server is missing: install Redis 6.2 or later with your package manager"
            install_with_apt ;;
    esac
fi
version_is_enough || fail "Redis 6.2 or later is needed; found: $(redis-server --version)"
