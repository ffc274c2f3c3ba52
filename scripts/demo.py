#!/usr/bin/env python3
"""The whole journey of Portico, step by step: from an empty installation to a finished batch job.

It starts a Portico, the sample web service and an Azurite of its own, with temporary data and free ports, publishes the
web service as an API, subscribes a developer, calls it through the gateway, runs into the limits, has a subscription
approved and runs a batch of 1,000 rows. Every step checks what it got; the first mismatch ends the demo with a status
other than 0. With PORTICO_URL it uses that Portico instead, with the token in PORTICO_TOKEN.

Everything here is plain HTTP with Python's standard library, so that it can be read as a description of the wire.
"""

import argparse
import contextlib
import csv
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
API_VERSION = "2024-05-01"
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
RESOURCE_GROUP = "demo"
ADMINISTRATOR = "admin@example.org"
DEVELOPER = "ann@example.org"
WORKSPACE, WEB_SERVICE = "demo", "hashing"
TEXT, HASHES = "This is a good day", "1 1 2 2 0 2 0 1"
BATCH_ROWS = 1000

JOBS = "/workspaces/{workspace}/services/{service}/jobs"
OPERATIONS = [
    ("rrs-execute", "RRS Execute", "POST", "/workspaces/{workspace}/services/{service}/execute?api-version={apiversion}&details={details}"),
    ("bes-submit", "BES Submit", "POST", JOBS + "?api-version={apiversion}"),
    ("bes-start", "BES Start", "POST", JOBS + "/{jobid}/start?api-version={apiversion}"),
    ("bes-status", "BES Status", "GET", JOBS + "/{jobid}?api-version={apiversion}"),
    ("bes-delete", "BES Delete", "DELETE", JOBS + "/{jobid}?api-version={apiversion}"),
]


class Mismatch(Exception):
    """What was seen is not what must be."""


def check(condition, message):
    if not condition:
        raise Mismatch(message)


class Steps:
    """Prints the journey: a numbered heading for each step, facts below it."""

    def __init__(self):
        self.count = 0
        self.began = time.monotonic()

    def step(self, title):
        self.count += 1
        print(f"\n{self.count:2}. {title}")

    @staticmethod
    def fact(text):
        print("    " + text)


STEPS = Steps()
step, fact = STEPS.step, STEPS.fact


class Answer:
    """Status, headers and body of one HTTP answer."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return f"{self.status} {self.body.decode('utf-8', 'replace')[:500]}"


def http(method, url, headers=None, body=None, timeout=30):
    """One request; an error status is an answer like any other."""
    headers = dict(headers or {})
    if body is not None:
        body = json.dumps(body).encode()
        headers.setdefault("Content-Type", "application/json")
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def until(what, seconds, attempt):
    """Repeats `attempt` until it gives something; at most `seconds` long."""
    deadline = time.monotonic() + seconds
    while True:
        result = attempt()
        if result:
            return result
        check(time.monotonic() < deadline, f"{what}: not within {seconds} seconds")
        time.sleep(0.1)


class Processes:
    """What this demo has started. All of it ends with the demo, however the demo ends."""

    def __init__(self, folder, verbose):
        self.folder, self.verbose, self.running = folder, verbose, []

    def start(self, name, command, environment=None):
        log = open(self.folder / f"{name}.log", "wb")
        # setpriv: should the demo be killed, the kernel ends what it has started.
        command = ["setpriv", "--pdeathsig", "TERM", *map(str, command)]
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )
        self.running.append((name, process))
        return process

    def log(self, name):
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")

    def still_running(self, name):
        for known, process in self.running:
            if known == name:
                check(process.poll() is None, f"{name} ended with status {process.returncode}:\n{self.log(name)[-4000:]}")
        return True

    def stop(self):
        for _, process in reversed(self.running):
            if process.poll() is None:
                process.terminate()
        for name, process in reversed(self.running):
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                print(f"{name} did not end after SIGTERM", file=sys.stderr)
                process.kill()
                process.wait()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(url):
    try:
        return http("GET", url, timeout=5).status == 200
    except OSError:
        return False


def start_portico(processes, program, folder, **more):
    """A Portico on its embedded Postgres; gives its URL and a token of the first administrator. `more`: its environment."""
    port, gateway_port, portal_port = free_port(), free_port(), free_port()
    password = secrets.token_urlsafe(24)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PORTICO_")}
    environment.pop("DATABASE_URL", None)
    environment.update(
        PORTICO_DATA_DIR=str(folder / "data"),
        PORTICO_LISTEN=f"127.0.0.1:{port}",
        PORTICO_GATEWAY_LISTEN=f"0.0.0.0:{gateway_port}",
        PORTICO_PORTAL_LISTEN=f"127.0.0.1:{portal_port}",
        PORTICO_ADMIN_EMAIL=ADMINISTRATOR,
        PORTICO_ADMIN_PASSWORD=password,
        **more,
    )
    began = time.monotonic()
    processes.start("portico", [program, "serve"], environment)
    url = f"http://127.0.0.1:{port}"
    until("Portico's readiness", 60, lambda: processes.still_running("portico") and answers(url + "/readyz"))
    fact(f"Portico is ready at {url} after {time.monotonic() - began:.1f} s, on a Postgres of its own")
    answer = http("POST", url + "/sign-in", body={"email": ADMINISTRATOR, "password": password})
    check(answer.status == 200, f"The administrator cannot sign in: {answer}")
    fact(f"{ADMINISTRATOR} has signed in")
    return url, answer.json()["access_token"]


class Management:
    """The management API, as an administrator calls it."""

    def __init__(self, url, token):
        self.url, self.headers = url.rstrip("/"), {"Authorization": "Bearer " + token}

    def call(self, method, path, body=None, expect=(200,), query=None, headers=None):
        url = path if path.startswith("http") else self.url + path
        if "api-version=" not in url:
            url += ("&" if "?" in url else "?") + urllib.parse.urlencode({"api-version": API_VERSION, **(query or {})})
        answer = http(method, url, {**self.headers, **(headers or {})}, body)
        check(answer.status in expect, f"{method} {url} answered {answer}")
        return answer

    def long_running(self, method, path, body):
        """A long-running operation: started, polled until it has succeeded, its result read."""
        answer = self.call(method, path, body, expect=(200, 201, 202))
        polls = 0
        operation = answer.headers.get("Azure-AsyncOperation")
        while operation:
            polls += 1
            state = self.call("GET", operation).json()
            if state["status"] == "Succeeded":
                break
            check(state["status"] in ("InProgress", "Started", "Running", "Accepted", "Created", "Activating"), f"The operation ended: {state}")
            check(polls < 300, f"The operation does not end: {state}")
            time.sleep(0.1)
        return self.call("GET", path).json(), answer.status, polls


def mails(management, service, address, seen):
    """Mails of the service's outbox to an address that were not seen before."""
    listed = management.call("GET", f"{service}/mails").json()["value"]
    fresh = [mail for mail in listed if address in mail["properties"]["recipient"] and mail["name"] not in seen]
    seen.update(mail["name"] for mail in fresh)
    return [mail["properties"] for mail in fresh]


def mail_to(management, service, address, seen, what):
    fresh = until(what, 15, lambda: mails(management, service, address, seen))
    for mail in fresh:
        fact(f"mail to {mail['recipient']}: {mail['subject']!r}")
    return fresh


def template_parameters(template):
    return [
        {"name": name, "type": "string", "required": True, "values": []} for name in re.findall(r"\{(\w+)\}", template)
    ]


def rrs(gateway, key, service_key, text=TEXT):
    """One call of the request-response service through the gateway."""
    url = f"{gateway}/azureml-demo/workspaces/{WORKSPACE}/services/{WEB_SERVICE}/execute?api-version=2.0&details=true"
    headers = {"Authorization": "Bearer " + service_key}
    if key is not None:
        headers["Ocp-Apim-Subscription-Key"] = key
    body = {"Inputs": {"input1": {"ColumnNames": ["Col2"], "Values": [[text]]}}, "GlobalParameters": {}}
    return http("POST", url, headers, body)


def hashes(answer):
    value = answer.json()["Results"]["output1"]["value"]
    return " ".join(
        cell for name, cell in zip(value["ColumnNames"], value["Values"][0]) if ".".join(name.split(".")[:-1]).endswith("HashingFeature")
    )


def journey(options, processes, folder):
    step("Start")
    if options.url:
        url, token = options.url, os.environ.get("PORTICO_TOKEN")
        check(token, "PORTICO_URL needs PORTICO_TOKEN: the output of `portico token --email ..`")
        until("Portico's readiness", 60, lambda: answers(url.rstrip("/") + "/readyz"))
        fact(f"Portico is ready at {url}")
        name = "demo-" + uuid.uuid4().hex[:12]
    else:
        url, token = start_portico(processes, options.portico, folder)
        name = "demoazureml"
    service_key = secrets.token_hex(32)
    azureml_port, blob_port = free_port(), free_port()
    processes.start(
        "azureml",
        [options.azureml, "--listen", f"127.0.0.1:{azureml_port}", "--workspace", WORKSPACE, "--service", WEB_SERVICE],
        {"AZUREML_API_KEY": service_key},
    )
    web_service = f"http://127.0.0.1:{azureml_port}"
    until("the web service", 30, lambda: processes.still_running("azureml") and answers(web_service + "/healthz"))
    fact(f"The sample web service is at {web_service}")
    (folder / "azurite").mkdir()
    processes.start("azurite", [REPOSITORY / "scripts/azurite.sh", "--blobPort", blob_port, "--location", folder / "azurite"])

    management = Management(url, token)
    seen = set()

    step("Check the service's name")
    checking = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.ApiManagement/checkNameAvailability"
    for tried, expected in [(name, "Valid"), ("-no-name-", "Invalid")]:
        answer = management.call("POST", checking, {"name": tried}).json()
        check(answer["nameAvailable"] == (expected == "Valid") and answer["reason"] == expected, f"{tried}: {answer}")
        fact(f"{tried}: {answer['reason']}" + (f" ({answer['message']})" if answer.get("message") else ""))

    step(f"Create the service {name}")
    service = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{RESOURCE_GROUP}/providers/Microsoft.ApiManagement/service/{name}"
    began = time.monotonic()
    created, status, polls = management.long_running("PUT", service, {
        "location": "West Europe",
        "sku": {"name": "Developer", "capacity": 1},
        "properties": {"publisherName": name, "publisherEmail": ADMINISTRATOR},
    })
    check(status == 201, f"The service's creation answered {status}")
    check(created["properties"]["provisioningState"] == "Succeeded", f"The service is not ready: {created}")
    gateway = created["properties"]["gatewayUrl"].rstrip("/")
    fact(f"succeeded after {time.monotonic() - began:.2f} s and {polls} polls; its gateway is {gateway}")
    mail_to(management, service, ADMINISTRATOR, seen, "the welcome mail")
    taken = management.call("POST", checking, {"name": name}).json()
    check(taken["reason"] == "AlreadyExists", f"The name is still free: {taken}")
    products = management.call("GET", f"{service}/products").json()["value"]
    check(sorted(product["name"] for product in products) == ["starter", "unlimited"], f"products: {products}")
    fact("it has the products Starter and Unlimited")

    step("Add the API 'AzureML Demo API' with its five operations")
    api, status, _ = management.long_running("PUT", f"{service}/apis/azureml-demo", {
        "properties": {
            "displayName": "AzureML Demo API", "path": "azureml-demo", "protocols": ["https"], "serviceUrl": web_service,
        },
    })
    check(status == 201 and api["properties"]["path"] == "azureml-demo", f"The API is {api}")
    for operation, title, method, template in OPERATIONS:
        management.call("PUT", f"{service}/apis/azureml-demo/operations/{operation}", {
            "properties": {
                "displayName": title, "method": method, "urlTemplate": template,
                "templateParameters": template_parameters(template),
                "responses": [{"statusCode": 200, "description": "OK", "representations": [], "headers": []}],
            },
        }, expect=(201,))
        fact(f"{title}: {method} {template}")
    for product in ("starter", "unlimited"):
        management.call("PUT", f"{service}/products/{product}/apis/azureml-demo", expect=(200, 201))
        management.call("HEAD", f"{service}/products/{product}/apis/azureml-demo", expect=(204,))
    fact("it belongs to Starter and Unlimited")

    step("A developer subscribes to Starter")
    management.call("PUT", f"{service}/users/ann", {
        "properties": {"firstName": "Ann", "lastName": "Bee", "email": DEVELOPER, "state": "active"},
    }, expect=(201,))
    mails(management, service, DEVELOPER, seen)
    management.call("PUT", f"{service}/subscriptions/ann-starter", {
        "properties": {
            "ownerId": f"{service}/users/ann", "scope": f"{service}/products/starter", "displayName": "Ann's Starter", "state": "active",
        },
    }, expect=(201,))
    keys = management.call("POST", f"{service}/subscriptions/ann-starter/listSecrets").json()
    starter_key = keys["primaryKey"]
    fact(f"active; her key begins with {starter_key[:4]}")

    step("Call the web service through the gateway")
    answer = rrs(gateway, starter_key, service_key)
    check(answer.status == 200, f"The call answered {answer}")
    check(hashes(answer) == HASHES, f"The hashes are {hashes(answer)!r}, not {HASHES!r}")
    fact(f"{TEXT!r}: {hashes(answer)}")
    answer = rrs(gateway, None, service_key)
    check(answer.status == 401 and "missing subscription key" in answer.json()["message"], f"Without a key: {answer}")
    fact(f"without a key: 401, {answer.json()['message']}")
    answer = rrs(gateway, secrets.token_hex(16), service_key)
    check(answer.status == 401 and "invalid subscription key" in answer.json()["message"], f"With a wrong key: {answer}")
    fact(f"with a wrong key: 401, {answer.json()['message']}")
    answer = http("GET", f"{gateway}/azureml-demo/nothing-here", {"Ocp-Apim-Subscription-Key": starter_key})
    check(answer.status == 404, f"An unknown operation: {answer}")
    fact("an unknown operation: 404")

    step("Run into Starter's five calls a minute")
    for number in range(2, 6):
        answer = rrs(gateway, starter_key, service_key)
        check(answer.status == 200, f"Call {number} answered {answer}")
    answer = rrs(gateway, starter_key, service_key)
    check(answer.status == 429, f"The sixth call answered {answer}")
    check(1 <= int(answer.headers["Retry-After"]) <= 60, f"Retry-After is {answer.headers['Retry-After']}")
    fact(f"the sixth call: 429, {answer.json()['message']} (Retry-After: {answer.headers['Retry-After']})")

    step("Subscribe to Unlimited, which an administrator approves")
    mails(management, service, DEVELOPER, seen)
    mails(management, service, ADMINISTRATOR, seen)
    subscription = f"{service}/subscriptions/ann-unlimited"
    requested = management.call("PUT", subscription, {
        "properties": {"ownerId": f"{service}/users/ann", "scope": f"{service}/products/unlimited", "displayName": "Ann's Unlimited"},
    }, expect=(201,)).json()
    check(requested["properties"]["state"] == "submitted", f"The subscription is {requested}")
    fact("submitted")
    mail_to(management, service, ADMINISTRATOR, seen, "the mail that asks the administrator")
    mails(management, service, DEVELOPER, seen)
    unlimited_key = management.call("POST", f"{subscription}/listSecrets").json()["primaryKey"]
    answer = rrs(gateway, unlimited_key, service_key)
    check(answer.status == 401, f"A subscription that waits for approval opened the gateway: {answer}")
    fact("its key opens nothing yet: 401")
    approved = management.call("PATCH", subscription, {"properties": {"state": "active"}}, headers={"If-Match": "*"}).json()
    check(approved["properties"]["state"] == "active", f"The subscription is {approved}")
    fact("approved")
    mail_to(management, service, DEVELOPER, seen, "the activation mail")
    answer = rrs(gateway, unlimited_key, service_key)
    check(answer.status == 200 and hashes(answer) == HASHES, f"With the approved key: {answer}")
    fact("its key opens the gateway: 200")

    step(f"Run a batch of {BATCH_ROWS:,} rows through the gateway")
    rows, result = folder / "rows.csv", folder / "result.csv"
    with open(rows, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Col1", "Col2"])
        writer.writerows([number, TEXT if number == 0 else f"This is row number {number}"] for number in range(BATCH_ROWS))
    until("Azurite", 60, lambda: processes.still_running("azurite") and accepts(blob_port))
    # Azurite's well-known account, the same in every installation: it guards nothing.
    storage = (
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;"
        "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
        f"BlobEndpoint=http://127.0.0.1:{blob_port}/devstoreaccount1;"
    )
    client = subprocess.run(
        [
            sys.executable, REPOSITORY / "examples/clients/bes.py", "--url", f"{gateway}/azureml-demo",
            "--workspace", WORKSPACE, "--service", WEB_SERVICE, "--poll-seconds", "0.2",
            "--input", rows, "--output", result,
        ],
        env={
            **os.environ, "AZUREML_API_KEY": service_key, "AZUREML_SUBSCRIPTION_KEY": unlimited_key,
            "AZURE_STORAGE_CONNECTION_STRING": storage,
        },
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
    )
    for line in client.stdout.splitlines():
        fact(line)
    check(client.returncode == 0, f"The batch client ended with status {client.returncode}")
    with open(result, newline="", encoding="utf-8") as file:
        header, *values = csv.reader(file)
    check(len(values) == BATCH_ROWS, f"The result has {len(values)} rows")
    check(header[:2] == ["Col1", "Col2"] and len(header) == 10, f"The result's columns are {header}")
    check(" ".join(values[0][2:]) == HASHES, f"The first row's hashes are {values[0][2:]}")
    fact(f"the result has {len(values):,} rows; the first one's hashes: {' '.join(values[0][2:])}")
    check("Finished" in client.stdout or "finished" in client.stdout, "The client did not see the job finish")
    print(f"\nFinished: {STEPS.count} steps in {time.monotonic() - STEPS.began:.1f} s.")


def accepts(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False


def temporary_folder():
    """A folder that the account of Postgres can enter, for a demo that root runs."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="portico-demo-"))
    folder.chmod(0o755)
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--portico", type=pathlib.Path, help="the program portico")
    parser.add_argument("--azureml", type=pathlib.Path, required=True, help="the program azureml")
    parser.add_argument("--url", default=os.environ.get("PORTICO_URL"), help="a running Portico instead (or PORTICO_URL)")
    parser.add_argument("--verbose", action="store_true", help="show the logs of what was started, also on success")
    options = parser.parse_args()
    if options.portico is None and options.url is None:
        parser.error("give --portico or --url")
    options.azureml = options.azureml.resolve()
    options.portico = options.portico and options.portico.resolve()

    folder = temporary_folder()
    processes = Processes(folder, options.verbose)
    for terminating in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(terminating, lambda *_: sys.exit(143))
    status = 1
    try:
        journey(options, processes, folder)
        status = 0
    except (Mismatch, OSError, KeyError, ValueError, subprocess.SubprocessError) as problem:
        print(f"\nFAILED in step {STEPS.count}: {problem if isinstance(problem, Mismatch) else repr(problem)}", file=sys.stderr)
    finally:
        processes.stop()
        if status or options.verbose:
            for name, _ in processes.running:
                print(f"\n--- the end of {name}'s log\n{processes.log(name)[-6000:]}", file=sys.stderr)
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)
    return status


if __name__ == "__main__":
    sys.exit(main())
