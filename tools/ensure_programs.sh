#!/usr/bin/env bash
# Make sure that the programs which the tests run are on the PATH. Arguments: PROGRAM or, where the
# Debian package has another name, PROGRAM:PACKAGE. A service that a package starts is stopped.
set -euo pipefail

fail() { echo "$1" >&2; exit 1; }

missing=() packages=()
for each in "$@"; do
    command -v "${each%%:*}" >/dev/null && continue
    missing+=("${each%%:*}") packages+=("${each##*:}")
done
[ "${#missing[@]}" != 0 ] || exit 0

command -v apt-get >/dev/null ||
    fail "missing: ${missing[*]}. Install them with your package manager"
sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null ||
        fail "missing: ${missing[*]}. As root, run  apt-get install -y ${packages[*]}"
    sudo=sudo
fi
echo "Installing ${packages[*]} with apt-get" >&2
$sudo apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 \
    install --no-install-recommends "${packages[@]}" >/dev/null
for package in "${packages[@]}"; do
    if [ -d /run/systemd/system ]; then
        $sudo systemctl disable --quiet --now "$package" 2>/dev/null || true
    else
        $sudo service "$package" stop >/dev/null 2>&1 || true
    fi
done
