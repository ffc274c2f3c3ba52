#!/usr/bin/env python3
"""Calls the request-response service of an Azure ML web service, directly or through an API gateway.

    ./rrs.py --url http://127.0.0.1:8090 --workspace W --service S --api-key K --text "This is a good day"
    ./rrs.py --url http://gateway/azureml-demo --subscription-key P ... --csv rows.csv

Every flag can be given as an environment variable instead (see --help). Needs Python's standard library only.
"""

import argparse
import csv
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request


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
    parser.add_argument("--details", choices=["true", "false"], default="true", help="ask for column types")
    parser.add_argument("--timeout", type=float, default=60, help="seconds to wait for the answer")
    rows = parser.add_mutually_exclusive_group()
    rows.add_argument("--text", help="the one text to hash (default: This is a good day)")
    rows.add_argument("--csv", help="a CSV file whose rows to send, with a header line")
    return parser.parse_args()


def table(options):
    if options.csv is None:
        text = "This is a good day" if options.text is None else options.text
        return {"ColumnNames": ["Col2"], "Values": [[text]]}
    with open(options.csv, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    if not rows:
        sys.exit(f"{options.csv} is empty; it needs a header line")
    return {"ColumnNames": rows[0], "Values": rows[1:]}


def main():
    options = arguments()
    url = "{}/workspaces/{}/services/{}/execute?{}".format(
        options.url.rstrip("/"),
        urllib.parse.quote(options.workspace, safe=""),
        urllib.parse.quote(options.service, safe=""),
        urllib.parse.urlencode({"api-version": "2.0", "details": options.details}),
    )
    body = json.dumps({"Inputs": {"input1": table(options)}, "GlobalParameters": {}}).encode()
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + options.api_key}
    if options.subscription_key:
        headers["Ocp-Apim-Subscription-Key"] = options.subscription_key
    request = urllib.request.Request(url, body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=options.timeout) as response:
            result = json.load(response)
    except urllib.error.HTTPError as error:
        print(f"The request failed with status code {error.code}", file=sys.stderr)
        print(error.headers, file=sys.stderr, end="")
        print(error.read().decode("utf-8", "replace"), file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"The request to {url} failed: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
