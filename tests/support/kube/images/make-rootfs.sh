#!/usr/bin/env bash
# Make a minimal Debian root file system as a tar file. Runs in a mount namespace of its own.
# Arguments: the mirror, the packages to include, the tar file to write.
set -euo pipefail
mirror=$1 includes=$2 tarball=$3
# A folder beside the tar file: /tmp may be small, or mounted without devices.
root=$(mktemp -d "$(dirname "$tarball")/rootfs.XXXXXX")
trap 'rm -rf --one-file-system "$root"' EXIT

debootstrap --variant=minbase --include="$includes" bookworm "$root" "$mirror"

# Services must not start when a later layer installs one.
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
# debootstrap leaves the mirror of the build; one line is enough for layers that install more.
printf 'deb %s bookworm main\n' "$mirror" > "$root/etc/apt/sources.list"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
rm -rf "$root"/usr/share/{doc,man,info,locale,lintian}/*
rm -f "$root/etc/resolv.conf" "$root/etc/hostname"
tar --numeric-owner --one-file-system -C "$root" -cf "$tarball" .
