#!/usr/bin/env bash
# Builds what the README's journey needs and runs it as printed; see scripts/readme.py.
#
#   scripts/readme.sh [curl|python|az ..]     all three without an argument
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

scripts/prepare.sh test
build "${PROFILE:-dev}"
exec python3 -u scripts/readme.py --portico "$(program portico)" --azureml "$(program azureml)" "$@"
