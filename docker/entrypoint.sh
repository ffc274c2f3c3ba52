#!/bin/sh
# Takes secrets from files where they were not given as variables, then becomes portico.
set -eu

secrets=${PORTICO_SECRETS_DIR:-/run/portico-secrets}
if [ -z "${PORTICO_SECRET_KEY:-}" ] && [ -r "$secrets/secret-key" ]; then
    PORTICO_SECRET_KEY=$(cat "$secrets/secret-key")
    export PORTICO_SECRET_KEY
fi
if [ -z "${DATABASE_URL:-}" ] && [ -n "${DATABASE_HOST:-}" ] && [ -r "$secrets/database-password" ]; then
    DATABASE_URL="postgres://portico:$(cat "$secrets/database-password")@$DATABASE_HOST/portico"
    export DATABASE_URL
fi
exec portico "$@"
