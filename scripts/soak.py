#!/usr/bin/env python3
"""Load on a Portico whose configuration changes all the time: scripts/soak.py PROGRAM DATA_FOLDER MINUTES

The backend is the echo service that Portico brings along. Callers keep their connections; one of them opens a new one for each
call. The writer makes and removes APIs with operations and changes the policy of the API that is called, as fast as it is answered,
at most 20 times a second. No call may fail or be answered by another policy than one that was in force while it ran.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

EMAIL, PASSWORD = "admin@example.org", "correct horse battery"
SERVICE = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/soak/providers/Microsoft.ApiManagement/service/soak"
CALLERS = 4
# Growth after the first tenth of the time that is no leak: caches fill, allocators keep what they have.
GROWTH_MEGABYTES = 40
GROWTH_DESCRIPTORS = 16
POLICY = (
    '<policies><inbound><base /><set-header name="X-Generation" exists-action="override"><value>{0}</value></set-header></inbound>'
    '<backend><base /></backend><outbound><base /><set-header name="X-Generation" exists-action="override"><value>{0}</value>'
    "</set-header></outbound></policies>"
)


def start(program, data):
    environment = dict(
        os.environ,
        PORTICO_DATA_DIR=data,
        PORTICO_LISTEN="127.0.0.1:0",
        PORTICO_PORTAL_LISTEN="127.0.0.1:0",
        PORTICO_GATEWAY_LISTEN="0.0.0.0:0",
        PORTICO_ADMIN_EMAIL=EMAIL,
        PORTICO_ADMIN_PASSWORD=PASSWORD,
        PORTICO_LOG="warn",
    )
    for name in ("DATABASE_URL", "PORTICO_TLS_CERT", "PORTICO_TLS_KEY", "PORTICO_GATEWAY_TLS_LISTEN"):
        environment.pop(name, None)
    process = subprocess.Popen([program, "serve"], env=environment, stdout=subprocess.PIPE, text=True)
    management = None
    for line in process.stdout:
        words = line.split()
        if words[:2] == ["Management", "API"]:
            management = words[2]
        if words[:2] == ["Gateway", "port"]:
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return process, management
    sys.exit("portico ended before it was ready")


class Management:
    def __init__(self, url):
        self.url, self.token = url, None
        self.token = self.send("POST", "/sign-in", {"email": EMAIL, "password": PASSWORD})["access_token"]

    def send(self, method, path, body=None):
        joint = "&" if "?" in path else "?"
        request = urllib.request.Request(
            f"{self.url}{path}{joint}api-version=2022-08-01",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "If-Match": "*"} if method in ("PATCH", "DELETE") else {"Content-Type": "application/json"},
        )
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=60) as reply:
            text = reply.read()
            return json.loads(text) if text else None


def usage(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    return resident / 1024, len(os.listdir(f"/proc/{pid}/fd"))


def main():
    program, data, minutes = sys.argv[1], sys.argv[2], float(sys.argv[3])
    process, url = start(program, data)
    try:
        return soak(process, Management(url), minutes * 60)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def soak(process, management, seconds):
    management.send("PUT", SERVICE, {
        "location": "here", "sku": {"name": "Developer", "capacity": 1},
        "properties": {"publisherEmail": EMAIL, "publisherName": "soak"},
    })
    while management.send("GET", SERVICE)["properties"]["provisioningState"] != "Succeeded":
        time.sleep(0.1)
    gateway = urllib.parse.urlsplit(management.send("GET", SERVICE)["properties"]["gatewayUrl"])
    key = management.send("POST", f"{SERVICE}/subscriptions/master/listSecrets")["primaryKey"]
    # The generations that a call may meet: what was the last one answered when it began, up to the last one begun when it ended.
    state = {"begun": 0, "done": 0, "stop": False, "writes": 0}
    failures, counts = [], [0] * CALLERS

    def policy(generation):
        body = {"properties": {"format": "rawxml", "value": POLICY.format(generation)}}
        management.send("PUT", f"{SERVICE}/apis/echo-api/policies/policy", body)

    policy(0)

    def call(number):
        connection = None
        while not state["stop"]:
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(gateway.hostname, gateway.port, timeout=30)
                oldest = state["done"]
                connection.request("GET", "/echo/resource?param1=soak", headers={"Ocp-Apim-Subscription-Key": key})
                answer = connection.getresponse()
                body = answer.read()
                newest = state["begun"]
                generation = int(answer.headers.get("X-Generation", "-1"))
                if answer.status != 200 or not oldest <= generation <= newest:
                    failures.append(f"{answer.status}, generation {generation} not in {oldest}..{newest}: {body[:200]!r}")
                counts[number] += 1
                if number == 0:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))
                connection = None

    def write():
        number = 0
        while not state["stop"]:
            began = time.monotonic()
            try:
                number += 1
                path = f"{SERVICE}/apis/passing-{number % 10}"
                if number % 20 < 10:
                    management.send("PUT", path, {"properties": {
                        "displayName": f"Passing {number}", "path": f"passing/{number % 10}", "protocols": ["https"], "serviceUrl": "http://127.0.0.1:9"}})
                    management.send("PUT", f"{path}/operations/all", {"properties": {"displayName": "All", "method": "GET", "urlTemplate": f"/at/{number}"}})
                else:
                    management.send("DELETE", path)
                state["begun"] += 1
                policy(state["begun"])
                state["done"] = state["begun"]
                state["writes"] += 2
            except (OSError, ValueError) as error:
                failures.append(f"a write: {error!r}")
            time.sleep(max(0.0, 0.1 - (time.monotonic() - began)))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)] + [threading.Thread(target=write)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    time.sleep(seconds / 10)
    warm = usage(process.pid)
    print(f"after {seconds / 10:.0f} s: {warm[0]:.1f} MB, {warm[1]} descriptors", flush=True)
    peak = warm[0]
    while time.monotonic() - began < seconds and not failures:
        time.sleep(1)
        peak = max(peak, usage(process.pid)[0])
    elapsed = time.monotonic() - began
    end = usage(process.pid)
    state["stop"] = True
    for thread in threads:
        thread.join()
    print(f"{sum(counts)} calls ({sum(counts) / elapsed:.0f}/s) and {state['writes']} changes ({state['writes'] / elapsed:.1f}/s) in {elapsed:.0f} s")
    print(f"{len(failures)} failures; at the end {end[0]:.1f} MB (peak {peak:.1f}), {end[1]} descriptors")
    for failure in failures[:10]:
        print(f"  {failure}")
    if failures:
        return 1
    if end[0] > warm[0] + GROWTH_MEGABYTES or end[1] > warm[1] + GROWTH_DESCRIPTORS:
        print("memory or descriptors grew")
        return 1
    return 0


sys.exit(main())
