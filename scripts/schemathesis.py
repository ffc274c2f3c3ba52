#!/usr/bin/env python3
"""Runs schemathesis on the OpenAPI document of the management API against a Portico of its own; see scripts/schemathesis.sh.

The document is the one that the Portico under test gives out, which is openapi/management.json (a test compares the two). Every
operation is tried on one service, with the examples, with values at the edges of the schemas, and with random ones, until
the time is over. A reply that the document does not describe, and any status of 500 or more, is a failure.
"""

import argparse
import pathlib
import subprocess
import sys
import time

from demo import Processes, http, start_portico, temporary_folder

GROUP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/fuzz-rg/providers/Microsoft.ApiManagement"
# The service under test must stay, and its administrator's sign-in must not be locked by wrong passwords.
LEFT_OUT = ["ApiManagementService_Delete", "ApiManagementService_CreateOrUpdate", "ApiManagementService_Update", "DeletedServices_Purge",
            "SignIn", "Bootstrap", "Token"]
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance"


def configuration(service):
    # Names that exist where a path needs them, so that what is tried gets further than a 404.
    names = {
        "subscriptionId": "00000000-0000-0000-0000-000000000001", "resourceGroupName": "fuzz-rg", "serviceName": service,
        "apiId": "echo-api", "productId": "starter", "userId": "1", "groupId": "developers",
    }
    lines = ["[parameters]", '"query.api-version" = "2024-05-01"', '"header.If-Match" = "*"']
    lines += [f'"path.{name}" = "{value}"' for name, value in names.items()]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portico", type=pathlib.Path, required=True, help="the program")
    parser.add_argument("--seconds", type=int, default=150, help="how long")
    parser.add_argument("--seed", type=int, default=1, help="the same seed tries the same")
    options, more = parser.parse_known_args()
    folder = temporary_folder()
    processes = Processes(folder, False)
    try:
        url, token = start_portico(processes, options.portico, folder, PORTICO_GATEWAY_DOMAIN="gateway.localhost")
        headers = {"Authorization": "Bearer " + token}
        service = f"{url}{GROUP}/service/fuzzed"
        body = {"location": "West US", "sku": {"name": "Developer", "capacity": 1},
                "properties": {"publisherEmail": "admin@example.org", "publisherName": "fuzzed"}}
        made = http("PUT", f"{service}?api-version=2024-05-01", headers, body)
        if made.status != 201:
            sys.exit(f"the service was refused: {made}")
        for _ in range(600):
            if http("GET", f"{service}?api-version=2024-05-01", headers).json()["properties"]["provisioningState"] == "Succeeded":
                break
            time.sleep(0.05)
        config = folder / "schemathesis.toml"
        config.write_text(configuration("fuzzed"), encoding="utf-8")
        program = pathlib.Path(sys.executable).with_name("schemathesis")
        command = [
            program, "--config-file", config, "run", f"{url}/openapi.json", "--url", url, "-H", f"Authorization: Bearer {token}",
            "--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--max-time", str(options.seconds),
            "--seed", str(options.seed), "--workers", "2", "--request-timeout", "30", "--continue-on-failure", "--no-color",
            "--suppress-health-check", "all", "--generation-database", "none", "--warnings", "off",
        ]
        for operation in LEFT_OUT:
            command += ["--exclude-operation-id", operation]
        status = subprocess.run([*map(str, command), *more], cwd=folder, check=False).returncode
        if status:
            print(f"\n--- errors in Portico's log\n{chr(10).join(l for l in processes.log('portico').splitlines() if 'ERROR' in l)[-4000:]}")
        return status
    finally:
        processes.stop()


if __name__ == "__main__":
    sys.exit(main())
