#!/usr/bin/env bash
# A real Portico under load while its configuration changes all the time. What `make soak` does.
#
#   MINUTES=5 PROFILE=release scripts/soak.sh
#
# Fails when a call failed, or when memory or file descriptors grew. State is in a folder of its own that goes away.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

scripts/prepare.sh run
build "${PROFILE:-dev}"
data=$(mktemp -d)
# The account of Postgres has to get through.
chmod 755 "$data"
trap 'rm -rf "$data"' EXIT
python3 scripts/soak.py "$(program portico)" "$data" "${MINUTES:-5}"
