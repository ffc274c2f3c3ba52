#!/usr/bin/env bash
# Generated files that are committed: writes them again, or checks that they are what the code generates.
#
#   scripts/goldens.sh            writes openapi/management.json and the tests' snapshots
#   scripts/goldens.sh --check    fails when openapi/management.json differs (the snapshots fail their own tests)
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh
golden=openapi/management.json

build dev
generated=$(mktemp)
trap 'rm -f "$generated"' EXIT
"$(program portico)" openapi >"$generated"
if [ "${1:-}" = --check ]; then
    if ! diff -u "$golden" "$generated" | head -60 || ! cmp -s "$golden" "$generated"; then
        echo "goldens.sh: $golden is not what the code generates: run 'make goldens' and review the change." >&2
        exit 1
    fi
    exit 0
fi
mkdir -p "$(dirname "$golden")"
cp "$generated" "$golden"
chmod 644 "$golden"
INSTA_UPDATE=always cargo test --locked --workspace --no-fail-fast
git status --short -- '*.snap' openapi
