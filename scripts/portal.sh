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

sources=$(find src publisher developer package-lock.json vite.config.ts -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
if [ "$(cat dist/.sources-digest 2>/dev/null || true)" != "$sources" ]; then
    npm run --silent build
    echo "$sources" >dist/.sources-digest
    # Cargo cannot see that the folder that is embedded changed.
    touch ../crates/server/src/portal.rs
fi

if [ "${1:-}" = --check ]; then
    npm run --silent typecheck
    npm run --silent languages
    # What a visitor of the developer portal loads first, compressed; the budget of the design.
    bytes=$(for file in $(grep -oE '/-/assets/[^"]+' dist/developer/index.html | sed 's|/-/|dist/developer/|' | sort -u); do gzip -9 <"$file" | wc -c; done | awk '{ sum += $1 } END { print sum + 0 }')
    echo "The developer portal's first load is $bytes bytes compressed."
    if [ "$bytes" -eq 0 ] || [ "$bytes" -gt 256000 ]; then
        echo "portal.sh: that is over the budget of 256000 bytes" >&2
        exit 1
    fi
fi
