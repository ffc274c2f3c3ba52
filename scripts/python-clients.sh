#!/usr/bin/env bash
# Makes the virtual environment of examples/clients and prints the path of its Python interpreter.
#
#   python=$(scripts/python-clients.sh)
#   "$python" examples/clients/rrs.py --help
#
# The environment lies under $PORTICO_TOOLS_DIR (default: .portico/tools of this repository) and is made again when
# examples/clients/requirements.txt changes. It needs python3 with the venv module, nothing else.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${PORTICO_TOOLS_DIR:-$repository/.portico/tools}
folder=$tools/python-clients
requirements=$repository/examples/clients/requirements.txt
program=$folder/bin/python

for needed in python3 flock; do
    if ! command -v "$needed" >/dev/null; then
        echo "python-clients.sh: '$needed' is missing. On Debian: apt-get install python3 python3-venv util-linux" >&2
        exit 69
    fi
done
if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
    echo "python-clients.sh: python3 has no venv module. On Debian: apt-get install python3-venv" >&2
    exit 69
fi

mkdir -p "$folder"
(
    # Tests start several copies at once; only the first may install.
    flock 9
    if ! cmp -s "$requirements" "$folder/installed-requirements.txt" || [ ! -x "$program" ]; then
        echo "python-clients.sh: installing $requirements into $folder" >&2
        python3 -m venv "$folder" >&2
        "$program" -m pip install --quiet --disable-pip-version-check -r "$requirements" >&2
        cp "$requirements" "$folder/installed-requirements.txt"
    fi
) 9>"$folder/.lock"

echo "$program"
