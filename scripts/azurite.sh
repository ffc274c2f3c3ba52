#!/usr/bin/env bash
# Runs Azurite, Microsoft's Azure Storage server for development, as the blob storage of tests and of the demo.
#
#   scripts/azurite.sh --install                         install only, print the path of azurite-blob
#   scripts/azurite.sh --blobPort 10000 --location DIR   install when needed, then become azurite-blob
#
# Installed by npm in a pinned version under $PORTICO_TOOLS_DIR (default: .portico/tools of this repository), so a
# machine needs only what scripts/node.sh needs. Every argument other than --install goes to azurite-blob.
set -euo pipefail

version=3.37.0
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${PORTICO_TOOLS_DIR:-$repository/.portico/tools}
folder=$tools/azurite
program=$folder/node_modules/.bin/azurite-blob

if ! command -v flock >/dev/null; then
    echo "azurite.sh: 'flock' is missing. On Debian: apt-get install util-linux" >&2
    exit 69
fi
node=$("$repository/scripts/node.sh")
export PATH="$node:$PATH"

mkdir -p "$folder"
(
    # Tests start several copies at once; only the first may install.
    flock 9
    installed=$(cat "$folder/installed-version" 2>/dev/null || true)
    if [ "$installed" != "$version" ] || [ ! -x "$program" ]; then
        echo "azurite.sh: installing azurite $version into $folder" >&2
        npm install --prefix "$folder" --no-audit --no-fund --no-save --loglevel=error "azurite@$version" >&2
        echo "$version" >"$folder/installed-version"
    fi
) 9>"$folder/.lock"

if [ "${1:-}" = --install ]; then
    echo "$program"
    exit 0
fi
# --skipApiVersionCheck: clients may speak a newer storage version than Azurite knows; what is used here is old.
exec "$program" --blobHost 127.0.0.1 --skipApiVersionCheck --disableTelemetry "$@"
