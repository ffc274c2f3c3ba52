#!/usr/bin/env python3
"""Runs a batch job of an Azure ML web service, directly or through an API gateway.

Uploads the input to Azure blob storage, submits and starts the job, polls its status until it ends, and downloads the
result with the token that the job's status gives.

    ./bes.py --url http://127.0.0.1:8090 --workspace W --service S --api-key K \\
        --storage "$AZURE_STORAGE_CONNECTION_STRING" --input rows.csv --output result.csv

Every flag can be given as an environment variable instead (see --help). Needs the packages of requirements.txt for
the upload; everything else is Python's standard library.
"""

import argparse
import email.utils
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

from azure.core.exceptions import AzureError, ResourceExistsError
from azure.storage.blob import BlobServiceClient

# The states of a job; a service may answer with the number or the name.
STATUS_NAMES = ["NotStarted", "Running", "Failed", "Cancelled", "Finished"]
# Answers that say nothing about the job itself: too many calls, or a gateway without its backend for a moment.
TRANSIENT = {429, 502, 503, 504}


class Problem(Exception):
    """Ends the client with a message."""


def flag(parser, name, variable, required, text):
    """A flag that an environment variable can stand for."""
    value = os.environ.get(variable) or None
    parser.add_argument(
        name, default=value, required=required and value is None, help=f"{text} (or {variable})"
    )


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flag(parser, "--url", "AZUREML_URL", True, "the web service's or the gateway API's address")
    flag(parser, "--workspace", "AZUREML_WORKSPACE", True, "workspace id")
    flag(parser, "--service", "AZUREML_SERVICE", True, "service id")
    flag(parser, "--api-key", "AZUREML_API_KEY", True, "the web service's API key")
    flag(parser, "--subscription-key", "AZUREML_SUBSCRIPTION_KEY", False, "the gateway's subscription key")
    flag(parser, "--storage", "AZURE_STORAGE_CONNECTION_STRING", True, "storage account's connection string")
    parser.add_argument("--container", default="azureml", help="container; created when missing (default: azureml)")
    parser.add_argument("--input-blob", help="name of the uploaded blob (default: a new one)")
    parser.add_argument("--output-blob", help="name of the result's blob (default: a new one)")
    parser.add_argument("--input", required=True, help="CSV file to send")
    parser.add_argument("--output", required=True, help="file to write the result to")
    parser.add_argument("--poll-seconds", type=float, default=1, help="first pause between two status calls")
    parser.add_argument("--max-poll-seconds", type=float, default=15, help="longest pause chosen by this client")
    parser.add_argument("--timeout", type=float, default=600, help="seconds to wait for the job's end")
    return parser.parse_args()


def retry_after(headers):
    """The seconds which Retry-After asks to wait, given as a number or a date; None without the header."""
    value = headers.get("Retry-After")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


class WebService:
    """The job addresses of one web service."""

    def __init__(self, options):
        self.jobs = "{}/workspaces/{}/services/{}/jobs".format(
            options.url.rstrip("/"),
            urllib.parse.quote(options.workspace, safe=""),
            urllib.parse.quote(options.service, safe=""),
        )
        self.headers = {"Authorization": "Bearer " + options.api_key}
        if options.subscription_key:
            self.headers["Ocp-Apim-Subscription-Key"] = options.subscription_key
        self.deadline = time.monotonic() + options.timeout
        self.pause = options.poll_seconds
        self.longest_pause = options.max_poll_seconds

    def call(self, what, method, path="", body=None):
        """One call, repeated while the answer is transient and the time allows."""
        url = f"{self.jobs}{path}?api-version=2.0"
        headers = dict(self.headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        pause = self.pause
        while True:
            request = urllib.request.Request(url, body, headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=60) as response:
                    return response.read(), retry_after(response.headers)
            except urllib.error.HTTPError as error:
                text = error.read().decode("utf-8", "replace")
                # Submitting twice would make two jobs, so only a refusal before the work, 429, repeats a POST.
                if error.code not in TRANSIENT or (method == "POST" and error.code != 429):
                    raise Problem(f"{what} failed with status code {error.code}\n{error.headers}{text}") from None
                asked = retry_after(error.headers)
                reason = f"{what} was answered with status code {error.code}"
            except OSError as error:
                raise Problem(f"{what} failed: {url}: {error}") from None
            self.wait(pause if asked is None else asked, reason)
            pause = min(pause * 2, self.longest_pause)

    def wait(self, seconds, reason):
        if time.monotonic() + seconds > self.deadline:
            raise Problem(f"{reason}; waiting {seconds:.0f} seconds more would exceed --timeout")
        if seconds >= 1:
            print(f"{reason}; waiting {seconds:.0f} seconds...")
        # A service may ask for 0 seconds; a short pause keeps that from becoming a busy loop.
        time.sleep(max(seconds, 0.1))


def upload(options, blob_name):
    print("Uploading the input to blob storage...")
    try:
        with BlobServiceClient.from_connection_string(options.storage) as storage:
            container = storage.get_container_client(options.container)
            try:
                container.create_container()
            except ResourceExistsError:
                pass
            with open(options.input, "rb") as file:
                container.upload_blob(blob_name, file, overwrite=True)
    except (AzureError, ValueError) as error:
        raise Problem(f"The upload failed: {error}") from None


def download(results, path):
    for name, location in results.items():
        print(f"The results for {name} are available at the following Azure Storage location:")
        print("BaseLocation: " + location["BaseLocation"])
        print("RelativeLocation: " + location["RelativeLocation"])
    if "output1" not in results:
        raise Problem("The job has no output named output1")
    location = results["output1"]
    url = location["BaseLocation"] + location["RelativeLocation"] + location["SasBlobToken"]
    try:
        with urllib.request.urlopen(url, timeout=60) as response, open(path, "wb") as file:
            while block := response.read(1 << 16):
                file.write(block)
    except urllib.error.HTTPError as error:
        text = error.read().decode("utf-8", "replace")
        raise Problem(f"The result's download failed with status code {error.code}\n{error.headers}{text}") from None
    print(f"The results for output1 have been written to the file {path}")


def run(options):
    unique = uuid.uuid4().hex
    input_blob = options.input_blob or f"{unique}/mydatablob.csv"
    output_blob = options.output_blob or f"{unique}/myresultsblob.csv"
    upload(options, input_blob)

    service = WebService(options)
    print("Submitting the job...")
    submission = {
        "Input": {
            "ConnectionString": options.storage,
            "RelativeLocation": f"/{options.container}/{input_blob}",
        },
        "Outputs": {
            "output1": {
                "ConnectionString": options.storage,
                "RelativeLocation": f"/{options.container}/{output_blob}",
            }
        },
        "GlobalParameters": {},
    }
    answer, _ = service.call("Submitting the job", "POST", body=json.dumps(submission).encode())
    job_id = json.loads(answer)
    print("Job ID: " + job_id)
    path = "/" + urllib.parse.quote(job_id, safe="")

    print("Starting the job...")
    service.call("Starting the job", "POST", path + "/start", body=b"")

    pause = options.poll_seconds
    while True:
        print("Checking the job status...")
        answer, asked = service.call("Checking the job status", "GET", path)
        result = json.loads(answer)
        status = result["StatusCode"]
        if isinstance(status, int) and 0 <= status < len(STATUS_NAMES):
            status = STATUS_NAMES[status]
        if status == "Failed":
            raise Problem(f"Job {job_id} failed!\nError details: {result.get('Details')}")
        if status == "Cancelled":
            raise Problem(f"Job {job_id} cancelled!")
        if status == "Finished":
            print(f"Job {job_id} finished!")
            download(result["Results"], options.output)
            return
        if status not in ("NotStarted", "Running"):
            raise Problem(f"Job {job_id} has the unknown status {status!r}")
        print(f"Job {job_id} " + ("not yet started..." if status == "NotStarted" else "running..."))
        service.wait(pause if asked is None else asked, f"Job {job_id} has not ended")
        pause = min(pause * 1.5, options.max_poll_seconds)


def main():
    options = arguments()
    try:
        run(options)
    except (Problem, OSError, ValueError, KeyError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
