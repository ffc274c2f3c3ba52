#!/usr/bin/env bash
# Measures, side by side in one run with what one would use instead. Results belong into docs/performance.md, with the command.
#
#   scripts/bench.sh gateway [rounds seconds]   CPU for a call, beside nginx and HAProxy; memory; time until a write is served; time to start
#   scripts/bench.sh control [seconds rows]     calls of the management API, beside pgbench on the same Postgres
#
# Always the release profile. The gateway's load and the proxies are pinned to cores of their own where there are two.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"

what=${1:-}
shift || true
scripts/prepare.sh bench
target=${CARGO_TARGET_DIR:-target}/release
case $what in
    gateway)
        # As one would deploy it, where the machine can: with a profile (scripts/release.sh).
        scripts/release.sh -p gateway --example bench
        cargo build --locked --release -p snapshot --example size
        "$target/examples/bench" "$@"
        "$target/examples/size"
        cargo build --locked --release -p server --bin portico
        # This one only asks and waits: how it is built does not matter.
        cargo run --locked -p server --example change_bench -- "$target/portico"
        ;;
    control)
        scripts/release.sh -p server -p bench-control --bins
        "$target/bench-control" "$@"
        ;;
    *)
        echo "usage: bench.sh gateway|control [..]" >&2
        exit 64
        ;;
esac
