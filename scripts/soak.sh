#!/usr/bin/env bash
# A real Portico under load while its configuration changes all the time. What `make soak` does.
#
#   MINUTES=5 PROFILE=release scripts/soak.sh
#
# Before it, the test of continuous change (`no_call_fails_or_goes_astray…`) runs for a minute with a gateway apart as well:
# every call must be answered by the right API with a configuration that is not older than the one before.
#
# Fails when a call failed, or when memory or file descriptors grew. State is in a folder of its own that goes away.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

scripts/prepare.sh run
build "${PROFILE:-dev}"
PORTICO_SOAK_SECONDS=${PORTICO_SOAK_SECONDS:-60} cargo test -p server --test it -- --nocapture no_call_fails_or_goes_astray
data=$(mktemp -d)
# The account of Postgres has to get through.
chmod 755 "$data"
trap 'rm -rf "$data"' EXIT
python3 scripts/soak.py "$(program portico)" "$data" "${MINUTES:-5}"
