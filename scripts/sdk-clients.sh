#!/usr/bin/env bash
# Installs the unmodified clients that Portico must serve, each in an environment of its own, and prints where it is.
#
#   scripts/sdk-clients.sh python-5     Python with azure-mgmt-apimanagement 5.0.0 (api-version 2024-05-01)
#   scripts/sdk-clients.sh python-4     Python with azure-mgmt-apimanagement 4.0.0 (api-version 2022-08-01)
#   scripts/sdk-clients.sh javascript   a folder whose node_modules has @azure/arm-apimanagement 10.0.0
#   scripts/sdk-clients.sh az           the program az 2.91.0
#   scripts/sdk-clients.sh all          installs all four, prints their places in this order
#
# They lie under $PORTICO_TOOLS_DIR (default: .portico/tools of this repository) and are made once. `az` is large (about
# 700 MB), so only what is asked for is installed.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${PORTICO_TOOLS_DIR:-$repository/.portico/tools}

for needed in python3 flock; do
    if ! command -v "$needed" >/dev/null; then
        echo "sdk-clients.sh: '$needed' is missing. On Debian: apt-get install python3 python3-venv util-linux" >&2
        exit 69
    fi
done
mkdir -p "$tools"

# python_environment NAME REQUIREMENT..: a virtual environment, made again when the requirements change.
python_environment() {
    local folder=$tools/$1
    shift
    (
        # Tests start several copies at once; only the first may install.
        flock 9
        if [ "$(cat "$folder/installed" 2>/dev/null || true)" != "$*" ] || ! "$folder/bin/python" -c '' 2>/dev/null; then
            echo "sdk-clients.sh: installing $* into $folder" >&2
            python3 -m venv --clear "$folder" >&2
            "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >&2
            echo "$*" >"$folder/installed"
        fi
    ) 9>"$folder.lock"
}

# node_environment NAME PACKAGE..: a folder with node_modules.
node_environment() {
    local folder=$tools/$1
    shift
    (
        flock 9
        if [ "$(cat "$folder/installed" 2>/dev/null || true)" != "$*" ]; then
            echo "sdk-clients.sh: installing $* into $folder" >&2
            rm -rf "$folder"
            mkdir -p "$folder"
            PATH=$("$repository/scripts/node.sh"):$PATH
            npm install --prefix "$folder" --no-audit --no-fund --no-save --loglevel=error "$@" >&2
            echo "$*" >"$folder/installed"
        fi
    ) 9>"$folder.lock"
}

client() {
    case $1 in
    python-5)
        python_environment "$1" azure-mgmt-apimanagement==5.0.0 azure-identity==1.27.0
        echo "$tools/$1/bin/python"
        ;;
    python-4)
        python_environment "$1" azure-mgmt-apimanagement==4.0.0 azure-identity==1.27.0
        echo "$tools/$1/bin/python"
        ;;
    javascript)
        node_environment "$1" @azure/arm-apimanagement@10.0.0 @azure/core-auth@1.11.0 @azure/identity@4.14.1
        echo "$tools/$1"
        ;;
    az)
        python_environment "$1" azure-cli==2.91.0
        echo "$tools/$1/bin/az"
        ;;
    all)
        for each in python-5 python-4 javascript az; do client "$each"; done
        ;;
    *)
        echo "usage: sdk-clients.sh python-5|python-4|javascript|az|all" >&2
        exit 64
        ;;
    esac
}

client "${1:-}"
