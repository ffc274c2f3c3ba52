#!/usr/bin/env bash
# Builds what the demo needs and runs it. What `make demo` does; the journey itself is scripts/demo.py.
#
#   scripts/demo.sh [--verbose]     with a Portico, a sample web service and an Azurite of its own, all temporary
#   PORTICO_URL=http://127.0.0.1:8080 PORTICO_TOKEN=$(portico token ..) scripts/demo.sh
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

scripts/prepare.sh test
build "${PROFILE:-dev}"
python=$(scripts/python-clients.sh)
scripts/azurite.sh --install >/dev/null
exec "$python" -u scripts/demo.py --portico "$(program portico)" --azureml "$(program azureml)" "$@"
