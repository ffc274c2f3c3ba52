#!/usr/bin/env bash
# The journey through both portals in Chromium, by mouse and keyboard only, against a Portico of its own with the sample
# web service: accessibility, content security policy, and the screenshots under docs/screenshots.
#
#   scripts/e2e.sh [arguments of playwright test]
#
# Chromium is the one that CHROMIUM names, or the system's (scripts/prepare.sh installs Debian's): the one that Playwright
# would download is on no package mirror. What a failed test saw is in portal/test-results, with the logs of both programs.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

scripts/prepare.sh e2e
scripts/portal.sh
build "${PROFILE:-dev}"
PATH=$(scripts/node.sh):$PATH

work=$(mktemp -d)
# Postgres has an account of its own where this runs as root, and must be able to enter.
chmod 711 "$work"
processes=()
stop() {
    trap - INT TERM EXIT
    [ ${#processes[@]} -eq 0 ] || kill -TERM "${processes[@]}" 2>/dev/null || true
    wait "${processes[@]}" 2>/dev/null || true
    rm -rf "$work"
}
trap 'stop; exit 130' INT
trap 'stop; exit 143' TERM
trap stop EXIT

AZUREML_KEY=$(openssl rand -hex 32)
PORTICO_ADMIN_PASSWORD=$(openssl rand -hex 16)
export AZUREML_KEY PORTICO_ADMIN_PASSWORD PORTICO_ADMIN_EMAIL=admin@example.org

AZUREML_API_KEY=$AZUREML_KEY setsid setpriv --pdeathsig TERM "$(program azureml)" \
    --listen 127.0.0.1:0 --workspace demo --service hashing >"$work/azureml.out" 2>"$work/azureml.log" &
processes+=($!)
PORTICO_DATA_DIR=$work/data PORTICO_LISTEN=127.0.0.1:0 PORTICO_TLS_LISTEN=127.0.0.1:0 PORTICO_GATEWAY_LISTEN=0.0.0.0:0 \
    PORTICO_PORTAL_LISTEN=127.0.0.1:0 setsid setpriv --pdeathsig TERM "$(program portico)" serve >"$work/portico.out" 2>"$work/portico.log" &
processes+=($!)

# printed FILE PATTERN: the first match in a file that a process is still writing.
printed() {
    local found
    for _ in $(seq 600); do
        if found=$(grep -oEm1 "$2" "$work/$1"); then
            echo "$found"
            return
        fi
        if ! kill -0 "${processes[@]}" 2>/dev/null; then
            break
        fi
        sleep 0.2
    done
    echo "e2e.sh: '$2' did not appear in $1:" >&2
    tail -20 "$work/$1" "$work/${1%.out}.log" >&2
    return 1
}
AZUREML_URL=$(printed azureml.out 'http://127\.0\.0\.1:[0-9]+')/workspaces/demo/services/hashing
PORTICO_URL=$(printed portico.out 'Management API +http://[0-9.:]+' | grep -oE 'http.*')
printed portico.out 'Administrator' >/dev/null
export AZUREML_URL PORTICO_URL

if [ -z "${CHROMIUM:-}" ]; then
    CHROMIUM=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
fi
export CHROMIUM
cd portal
rm -rf test-results
# Everything of all tests has its own limits; this one is for a browser that hangs.
status=0
timeout --kill-after=10 1500 npx --no-install playwright test "$@" || status=$?
if [ "$status" -ne 0 ]; then
    mkdir -p test-results
    cp "$work"/*.log "$work"/*.out test-results/
    echo "e2e.sh: what the tests saw is in portal/test-results" >&2
fi
exit "$status"
