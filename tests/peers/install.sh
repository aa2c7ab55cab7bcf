#!/usr/bin/env bash
# Install what the peer tests talk to. Without the right to install, the tests that need a missing
# peer say so and are counted as skipped; with CI=true a missing peer is a failure.
set -u
packages=(orthanc orthanc-dicomweb dcmtk dicom3tools libpixelmed-java pixelmed-apps dcm2niix
    postgresql strace systemd default-jre-headless chromium)
# Node brings its own npm unless it is Debian's.
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi
if ! command -v apt-get >/dev/null; then
    echo "not a Debian system: install ${missing[*]} yourself to run every test" >&2
    exit 0
fi
if [ "$(id -u)" -eq 0 ]; then as=(); elif sudo -n true 2>/dev/null; then as=(sudo -n); else
    echo "no right to install ${missing[*]}: the tests that need them will be skipped" >&2
    exit 0
fi
echo "installing ${missing[*]}"
# A fresh install must not start services: the tests start their own on loopback.
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { "${as[@]}" apt-get update && "${as[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "not everything could be installed; trying one by one" >&2
    for package in "${missing[@]}"; do
        "${as[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
            apt-get install -y --no-install-recommends "$package" >>"$log" 2>&1 || echo "  no $package" >&2
    done
fi
rm -f "$log"
