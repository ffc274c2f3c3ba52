#!/usr/bin/env bash
# Holds every operation of the management API against its OpenAPI document with generated requests; see scripts/schemathesis.py.
#
#   scripts/schemathesis.sh [--seconds 150] [--seed 1] [more options of schemathesis]
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

build "${PROFILE:-dev}"
python=$(scripts/contract-clients.sh)
exec "$python" -u scripts/schemathesis.py --portico "$(program portico)" "$@"
