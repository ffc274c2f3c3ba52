#!/usr/bin/env bash
# Builds with the release profile, optimised for how the programs are used: they are built twice, and in between they work under load and
# write down which way their code goes. What the benchmarks build.
#
#   scripts/release.sh [arguments of cargo build]   instead of: -p server -p azureml -p gateway -p bench-control --bins --example bench
#   PORTICO_PGO=0 scripts/release.sh                without a profile; takes less than half of the time, and calls cost more
#                                                   (docs/performance.md)
#
# The load is that of the gateway's benchmark and, if Portico is among what is built, a real one whose configuration changes while it is
# called, and the calls of the management API's benchmark. It needs an `llvm-profdata` that reads the compiler's format (Debian: the
# package `llvm-19`, or its path in LLVM_PROFDATA); without it, or where the load cannot run, this says so and builds without a profile.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"

[ $# -gt 0 ] || set -- -p server -p azureml -p gateway -p bench-control --bins --example bench
# Always all together: cargo chooses the features of dependencies for all that is built at once, and a profile is of no use for a
# dependency that was built otherwise.
selection=(--locked --release "$@")
pgo=$(realpath -m "${CARGO_TARGET_DIR:-target}")/pgo

without() {
    echo "release.sh: $1: building without a profile" >&2
    exec cargo build "${selection[@]}"
}

# The first of the known programs that reads the profiles.
profdata() {
    local program
    for program in ${LLVM_PROFDATA:+"$LLVM_PROFDATA"} "$(rustc --print sysroot)"/lib/rustlib/*/bin/llvm-profdata \
        llvm-profdata llvm-profdata-{25..19}; do
        if command -v "$program" >/dev/null && "$program" merge -o "$pgo/try.profdata" "$@" 2>/dev/null; then
            rm -f "$pgo/try.profdata"
            echo "$program"
            return
        fi
    done
    return 1
}

[ "${PORTICO_PGO:-1}" != 0 ] || without "PORTICO_PGO=0"
mkdir -p "$pgo"

# A try on a program of one line, before the long build.
trial=$(mktemp -d)
data=$(mktemp -d)
trap 'rm -rf "$trial" "$data"' EXIT
echo 'fn main() {}' >"$trial/trial.rs"
rustc -O --out-dir "$trial" -Cprofile-generate="$trial" "$trial/trial.rs" 2>/dev/null && "$trial/trial" ||
    without "this toolchain takes no profiles"
merge=$(profdata "$trial"/*.profraw) || without "no llvm-profdata that reads the profiles of $(rustc --version)"

# What the profile is of.
sources=$( (rustc --version && echo "$*" && cat Cargo.lock && find crates examples scripts/release.sh scripts/soak.py migrations \
    -type f -not -path '*/tests/*' -print0 | sort -z | xargs -0 sha256sum) | sha256sum | cut -c 1-16)
profile=$pgo/$sources.profdata
if [ ! -s "$profile" ]; then
    raw=$pgo/raw
    rm -rf "$raw" "$pgo"/*.profdata
    # Build scripts and macros are built likewise; what they do is of no interest.
    LLVM_PROFILE_FILE=/dev/null RUSTFLAGS="${RUSTFLAGS:-} -Cprofile-generate=$raw" CARGO_TARGET_DIR=$pgo \
        cargo build "${selection[@]}"
    rm -rf "$raw"
    if [ -x "$pgo/release/examples/bench" ]; then
        "$pgo/release/examples/bench" train >&2 || without "the benchmark's load does not run here"
    fi
    if [ -x "$pgo/release/portico" ]; then
        # The account of Postgres has to get through.
        chmod 755 "$data"
        python3 scripts/soak.py "$pgo/release/portico" "$data" 0.75 >&2 || without "Portico's load does not run here"
    fi
    if [ -x "$pgo/release/bench-control" ]; then
        "$pgo/release/bench-control" train >&2 || without "the management API's load does not run here"
    fi
    "$merge" merge -o "$profile" "$raw"
fi
RUSTFLAGS="${RUSTFLAGS:-} -Cprofile-use=$profile" cargo build "${selection[@]}"
