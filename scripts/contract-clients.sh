#!/usr/bin/env bash
# Makes the virtual environment with which replies are held against the contract, and prints the path of its Python interpreter.
#
# It lies under $PORTICO_TOOLS_DIR (default: .portico/tools of this repository) and is made again when the list below changes.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${PORTICO_TOOLS_DIR:-$repository/.portico/tools}/contract-clients
packages=(jsonschema==4.26.0 schemathesis==4.32.5)

mkdir -p "$folder"
(
    # Two scripts may start at once; only the first may install.
    flock 9
    if [ "$(cat "$folder/installed" 2>/dev/null)" != "${packages[*]}" ]; then
        echo "contract-clients.sh: installing ${packages[*]} into $folder" >&2
        python3 -m venv "$folder" >&2
        "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "${packages[@]}" >&2
        echo "${packages[*]}" >"$folder/installed"
    fi
) 9>"$folder/.lock"

echo "$folder/bin/python"
