#!/usr/bin/env bash
# Builds the two portals into portal/dist, which the next build of Portico embeds. Node.js is needed for this only.
#
#   scripts/portal.sh           builds, unless nothing changed since the last build
#   scripts/portal.sh --check   also checks the types, the translations and the size of the first load
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
PATH=$(scripts/node.sh):$PATH
cd portal

# What the build depends on, as one digest: a build takes seconds, but `npm ci` does not.
lock=$(sha256sum package-lock.json | cut -d' ' -f1)
if [ "$(cat node_modules/.lock-digest 2>/dev/null || true)" != "$lock" ]; then
    npm ci --no-audit --no-fund --loglevel=error
    echo "$lock" >node_modules/.lock-digest
fi

if [ "${1:-}" = --types ]; then
    npm run --silent types
    exit 0
fi

sources=$(find src publisher developer package-lock.json vite.config.ts -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
if [ "$(cat dist/.sources-digest 2>/dev/null || true)" != "$sources" ]; then
    npm run --silent build
    echo "$sources" >dist/.sources-digest
    # Cargo cannot see that the folder that is embedded changed.
    touch ../crates/server/src/portal.rs
fi

if [ "${1:-}" = --check ]; then
    # Generated beside the committed files, so that a check changes nothing.
    status=0
    fresh=$(mktemp -d)
    trap 'rm -rf "$fresh"' EXIT
    for pair in management:api developer:developer; do
        document=${pair%%:*} folder=src/${pair##*:}
        npx --no-install openapi-typescript "../openapi/$document.json" -o "$fresh/$document.ts" >/dev/null
        if ! cmp -s "$folder/schema.gen.ts" "$fresh/$document.ts"; then
            echo "portal.sh: portal/$folder/schema.gen.ts is not what openapi/$document.json generates: run 'make goldens'" >&2
            status=1
        fi
    done
    npm run --silent typecheck || status=1
    npm run --silent languages || status=1
    # What a browser loads before it shows either portal, compressed; the budget of the design.
    for portal in publisher developer; do
        base=/-/
        [ "$portal" = developer ] || base=/publisher/
        bytes=$(grep -oE "${base}assets/[^\"]+" "dist/$portal/index.html" | sort -u | sed "s|^$base|dist/$portal/|" | while read -r file; do gzip -9 <"$file" | wc -c; done | awk '{ sum += $1 } END { print sum + 0 }')
        echo "The $portal portal's first load is $bytes bytes compressed."
        if [ "$bytes" -eq 0 ] || [ "$bytes" -gt 256000 ]; then
            echo "portal.sh: that is not within the budget of 256000 bytes" >&2
            status=1
        fi
    done
    exit "$status"
fi
