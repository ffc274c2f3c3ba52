#!/usr/bin/env bash
# Replays the examples of the contract against a Portico of its own and validates the replies; see scripts/replay.py.
#
#   [PORTICO_CONTRACT=FOLDER] scripts/replay.sh [--only TEXT] [--verbose]
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

contract=${PORTICO_CONTRACT:-$repository/../shared/contract}
if [ ! -d "$contract" ]; then
    echo "SKIPPED: there is no folder of the contract at $contract; PORTICO_CONTRACT names it. Nothing was replayed."
    exit 0
fi
build "${PROFILE:-dev}"
python=$(scripts/contract-clients.sh)
exec "$python" -u scripts/replay.py --portico "$(program portico)" --contract "$contract" "$@"
