#!/usr/bin/env bash
# Generated files that are committed: writes them again, or checks that they are what the code generates.
#
#   scripts/goldens.sh            writes openapi/*.json, the portals' types of them, and the tests' snapshots
#   scripts/goldens.sh --check    fails when one of the documents differs (the snapshots fail their own tests)
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

build dev
generated=$(mktemp -d)
trap 'rm -rf "$generated"' EXIT
"$(program portico)" openapi >"$generated/management.json"
"$(program portico)" openapi --developer >"$generated/developer.json"
if [ "${1:-}" = --check ]; then
    status=0
    for name in management developer; do
        if ! cmp -s "openapi/$name.json" "$generated/$name.json"; then
            diff -u "openapi/$name.json" "$generated/$name.json" | head -60 || true
            echo "goldens.sh: openapi/$name.json is not what the code generates: run 'make goldens' and review the change." >&2
            status=1
        fi
    done
    exit "$status"
fi
mkdir -p openapi
for name in management developer; do
    cp "$generated/$name.json" "openapi/$name.json"
    chmod 644 "openapi/$name.json"
done
scripts/portal.sh --types
INSTA_UPDATE=always cargo test --locked --workspace --no-fail-fast
git status --short -- '*.snap' openapi 'portal/src/*.gen.ts'
