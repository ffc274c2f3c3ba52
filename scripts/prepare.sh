#!/usr/bin/env bash
# Installs what this machine lacks to build, run or test Portico. Quick and silent when nothing is missing.
#
#   scripts/prepare.sh run     what `make run` needs: a C compiler, Postgres' server programs, openssl
#   scripts/prepare.sh test    that, and what `make test` and `make demo` need: Python with venv, Node.js, Redis
#   scripts/prepare.sh e2e     what `run` needs, and Chromium
#   scripts/prepare.sh bench   what `make bench-gateway` and `make bench-control` need: nginx, HAProxy, not started
#
# Debian and its relatives only: elsewhere it says what is missing. Uses apt-get as root or through sudo. Rust is the one
# thing it expects: a toolchain is the user's choice, not a package to slip in.
set -euo pipefail

purpose=${1:-run}
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# As old as the contract of embedded-postgres (crates/embedded-postgres/src/binaries.rs) allows.
oldest_postgres=15

if ! command -v cargo >/dev/null; then
    echo "prepare.sh: Rust is missing: install rustup, then a toolchain of at least the version in Cargo.toml." >&2
    exit 69
fi

# Whether Postgres' server programs are where Portico searches for them.
has_postgres() {
    local folder version
    [ -n "${DATABASE_URL:-}" ] && [ "$purpose" = run ] && return 0
    for folder in "${PORTICO_POSTGRES_BIN:-/nonexistent}" /usr/lib/postgresql/*/bin /usr/local/lib/postgresql/*/bin \
        /usr/local/pgsql/bin /usr/pgsql/bin /usr/bin ${PATH//:/ }; do
        [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] || continue
        version=$("$folder/postgres" --version | sed -E 's/.*\(PostgreSQL\) ([0-9]+).*/\1/')
        [ "$version" -ge "$oldest_postgres" ] && return 0
    done
    return 1
}

packages=()
command -v cc >/dev/null || packages+=(gcc libc6-dev)
command -v make >/dev/null || packages+=(make)
command -v openssl >/dev/null || packages+=(openssl)
command -v setpriv >/dev/null && command -v flock >/dev/null || packages+=(util-linux)
has_postgres || packages+=(postgresql)
if [ "$purpose" = e2e ] && [ -z "${CHROMIUM:-}" ]; then
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
        packages+=(chromium)
fi
if [ "$purpose" = test ]; then
    python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3 python3-venv)
    command -v curl >/dev/null || packages+=(curl)
    # Two tests share counters between gateways in it.
    command -v redis-server >/dev/null || packages+=(redis-server)
    # The tests send signals with the program, not with a shell's built-in.
    type -P kill >/dev/null || packages+=(procps)
fi

if [ "$purpose" = bench ]; then
    [ -x /usr/sbin/nginx ] || packages+=(nginx-light)
    [ -x /usr/sbin/haproxy ] || packages+=(haproxy)
    command -v taskset >/dev/null || packages+=(util-linux)
fi

if [ ${#packages[@]} -gt 0 ]; then
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo)
    fi
    if ! command -v apt-get >/dev/null || { [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; }; then
        echo "prepare.sh: missing: ${packages[*]} (names of Debian's packages). Please install them." >&2
        exit 69
    fi
    echo "prepare.sh: installing ${packages[*]}" >&2
    if [[ " ${packages[*]} " == *" postgresql "* ]]; then
        # Debian starts a cluster of its own on port 5432 with the package. Portico needs only the programs.
        quiet_cluster=/etc/postgresql-common/createcluster.d/portico.conf
        "${as_root[@]}" mkdir -p "$(dirname "$quiet_cluster")"
        echo 'create_main_cluster = false' | "${as_root[@]}" tee "$quiet_cluster" >/dev/null
        # A cluster that somebody wants later is theirs to have, so the setting goes again.
        trap '"${as_root[@]}" rm -f "$quiet_cluster"' EXIT
    fi
    if [ "$purpose" = bench ] && [ ! -e /usr/sbin/policy-rc.d ]; then
        # Debian starts servers when they are installed; the benchmark starts its own, on ports of its own.
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee /usr/sbin/policy-rc.d >/dev/null
        "${as_root[@]}" chmod +x /usr/sbin/policy-rc.d
        trap '"${as_root[@]}" rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}")
    # Lists that are there may be good enough; a fresh machine has none.
    if ! "${install[@]}" >/tmp/portico-apt.$$ 2>&1; then
        "${as_root[@]}" apt-get update >&2
        "${install[@]}" >&2
    fi
    rm -f /tmp/portico-apt.$$
    if ! has_postgres; then
        echo "prepare.sh: this distribution's Postgres is older than $oldest_postgres." >&2
        echo "prepare.sh: name a newer one's programs in PORTICO_POSTGRES_BIN, or a server in DATABASE_URL." >&2
        exit 69
    fi
fi

if [ "$purpose" = test ]; then
    "$repository/scripts/node.sh" >/dev/null
fi
