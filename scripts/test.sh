#!/usr/bin/env bash
# Runs every test of the workspace and closes with one line that counts them. What `make test` does.
#
#   scripts/test.sh [arguments of cargo test, instead of --workspace]
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"

scripts/prepare.sh test
if [ $# -eq 0 ]; then
    set -- --workspace
    # Installed here rather than by the first test that needs them, so that no test's time limit pays for a download.
    scripts/azurite.sh --install >/dev/null
    scripts/smtp-sink.sh --install >/dev/null
    scripts/python-clients.sh >/dev/null
    scripts/sdk-clients.sh all >/dev/null
fi

# Which operation of the contract each test calls; see scripts/coverage.py.
export PORTICO_WITNESSES=${PORTICO_WITNESSES:-$(realpath -m "${CARGO_TARGET_DIR:-target}")/witnesses.tsv}
mkdir -p "$(dirname "$PORTICO_WITNESSES")"
: >"$PORTICO_WITNESSES"

output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
cargo test --locked --no-fail-fast "$@" 2>&1 | tee "$output" || status=$?

# A line of cargo test: "test result: ok. 12 passed; 0 failed; 1 ignored; ...", one for each test binary.
read -r passed failed ignored < <(awk '/^test result: / {
    for (i = 1; i < NF; i++) {
        if ($(i + 1) ~ /^passed/) passed += $i
        if ($(i + 1) ~ /^failed/) failed += $i
        if ($(i + 1) ~ /^ignored/) ignored += $i
    }
} END { print passed + 0, failed + 0, ignored + 0 }' "$output")
grep -E '^test .* (FAILED|failed)$|^error: ' "$output" || true
if [ "$status" -eq 0 ] && [ "$passed" -eq 0 ]; then
    echo "No test ran." >&2
    status=1
fi
echo "$passed passed, $failed failed, $ignored skipped"
exit "$status"
