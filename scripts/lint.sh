#!/usr/bin/env bash
# Everything that is checked without running the product. What `make lint` does; .ci/run calls it too.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
step() { printf '\n== %s\n' "$*"; }

step "Format"
cargo fmt --all --check
step "Crate graph"
python3 scripts/crate-graph.py
step "Compose file"
scripts/compose-check.sh
step "Licences, bans, sources, advisories"
scripts/deny.sh
step "Clippy"
cargo clippy --locked --workspace --all-targets -- -D warnings
