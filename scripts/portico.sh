#!/usr/bin/env bash
# Runs the `portico` that was built last, with the data folder that `make run` uses.
#
#   TOKEN=$(scripts/portico.sh token --email admin@localhost)
set -euo pipefail

here=$PWD
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

newest=
for profile in release dev; do
    candidate=$(program portico)
    if [ -x "$candidate" ] && { [ -z "$newest" ] || [ "$candidate" -nt "$newest" ]; }; then
        newest=$candidate
    fi
done
if [ -z "$newest" ]; then
    echo "portico.sh: nothing is built yet: run 'make run'" >&2
    exit 69
fi
export PORTICO_DATA_DIR=${PORTICO_DATA_DIR:-$(data_folder)}
newest=$(realpath "$newest")
cd "$here"
exec "$newest" "$@"
