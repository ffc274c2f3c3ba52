#!/usr/bin/env bash
# Builds Portico and the sample web service and runs both until Ctrl-C. What `make run` does.
#
#   PROFILE=release scripts/run.sh [flags of `portico serve`]
#
# Every variable of `portico serve` counts (README, Configuration). State lies in .portico: the data folder, a local
# certificate authority with the management API's certificate, and the sample's generated key.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
# shellcheck source=scripts/lib.sh
. scripts/lib.sh

scripts/prepare.sh run
# Node.js is needed for the portals only; without them everything else still runs, and their address says what is missing.
scripts/portal.sh || echo "run.sh: the portals could not be built, see above; everything else runs without them" >&2
build "${PROFILE:-dev}"

export PORTICO_DATA_DIR=${PORTICO_DATA_DIR:-$(data_folder)}
mkdir -p .portico
if [ -z "${PORTICO_TLS_CERT:-}" ]; then
    scripts/certificate.sh .portico/tls
    export PORTICO_TLS_CERT=.portico/tls/server.pem PORTICO_TLS_KEY=.portico/tls/server-key.pem
fi
# The sample's key guards the sample only, but a fixed one would sooner or later stand in front of something real.
key_file=.portico/azureml-key
if [ ! -s "$key_file" ]; then
    (umask 077 && openssl rand -hex 32 >"$key_file")
fi

processes=()
stop() {
    trap - INT TERM EXIT
    kill -TERM "${processes[@]}" 2>/dev/null || true
    wait "${processes[@]}" 2>/dev/null || true
}
trap 'stop; exit 130' INT
trap 'stop; exit 143' TERM
trap stop EXIT

# setsid: Ctrl-C reaches this script only, not also the Postgres that Portico must be the one to stop.
# setpriv: if this script is killed without a chance to clean up, the kernel ends both.
AZUREML_API_KEY=$(cat "$key_file") setsid setpriv --pdeathsig TERM "$(program azureml)" \
    --listen "${AZUREML_LISTEN:-127.0.0.1:8090}" --workspace demo --service hashing --state-dir .portico/azureml &
processes+=($!)
setsid setpriv --pdeathsig TERM "$(program portico)" serve "$@" &
processes+=($!)
echo "The sample web service's workspace is 'demo', its service 'hashing', its key in $key_file."
if [ -f .portico/tls/ca.pem ]; then
    echo "Clients of the management API over https trust .portico/tls/ca.pem."
fi

# Whichever ends first ends both: half of a demonstration would only puzzle.
status=0
wait -n "${processes[@]}" || status=$?
exit "$status"
