#!/usr/bin/env bash
# Everything that is checked without running the product. What `make lint` does; .ci/run calls it too. Every check runs, also
# after one has failed.
set -uo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository" || exit 1
failed=()
check() {
    local name=$1
    shift
    printf '\n== %s\n' "$name"
    "$@" || failed+=("$name")
}

check "format" cargo fmt --all --check
check "crate graph" python3 scripts/crate-graph.py
check "compose file" scripts/compose-check.sh
check "licences, bans, sources, advisories" scripts/deny.sh
check "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings

if [ ${#failed[@]} -gt 0 ]; then
    printf 'lint failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
