#!/usr/bin/env python3
"""Writes and checks docs/contract-coverage.md: every operation of the contract with the test that witnesses it.

    scripts/coverage.py --run       runs the tests of the management API, then writes the page
    scripts/coverage.py --write     writes the page from what the last run of the tests noted
    scripts/coverage.py --check     fails when a test that the page claims is gone, or no longer calls the operation

Tests note each request in a file (crates/witness). A test witnesses an operation when it called it and the
reply had a status that the contract's clients take for success. docs/contract-operations.tsv lists the operations.
"""

import argparse
import csv
import os
import pathlib
import re
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
OPERATIONS = REPOSITORY / "docs/contract-operations.tsv"
PAGE = REPOSITORY / "docs/contract-coverage.md"
PROVIDER = "/providers/microsoft.apimanagement"
# At least so many operations must have a witness.
LEAST = 250
NOT_YET = "not yet"


def notes() -> pathlib.Path:
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    return pathlib.Path(os.environ.get("PORTICO_WITNESSES", target / "witnesses.tsv"))


def operations() -> list[dict]:
    with OPERATIONS.open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def key(path: str) -> tuple[str, ...]:
    """The segments of a path below the provider, lower case; a parameter is empty."""
    return tuple(re.sub(r"\{[^}]*\}", "", segment) for segment in path.lower().strip("/").split("/"))


def scope(path: str) -> str:
    head = path.lower().split(PROVIDER)[0]
    return {0: "provider", 2: "subscription"}.get(len(head.strip("/").split("/")) if head else 0, "group")


class Contract:
    """Finds the operation of a request."""

    def __init__(self, listed: list[dict]) -> None:
        self.exact = {}
        for operation in listed:
            place = (operation["method"], operation["scope"], key(operation["path"]))
            self.exact[place] = operation

    def find(self, method: str, path: str) -> dict | None:
        at = path.lower().find(PROVIDER)
        if at < 0:
            return None
        segments = path.lower()[at + len(PROVIDER):].strip("/").split("/")
        last = segments[-1].split("?")
        query = "?" + last[1] if len(last) > 1 else ""
        segments[-1] = last[0]
        # Literal segments win over parameters; types stand at even places.
        best = None
        for mask in range(1 << min(len(segments) // 2 + 1, 6)):
            tried = list(segments)
            for number, position in enumerate(range(1, len(segments), 2)):
                if not mask >> number & 1:
                    tried[position] = ""
            tried[-1] += query
            found = self.exact.get((method, scope(path), tuple(tried)))
            if found:
                best = found
        return best


def witnessed() -> dict[str, list[str]]:
    contract = Contract(operations())
    out: dict[str, set[str]] = {}
    file = notes()
    if not file.exists():
        sys.exit(f"{file} is missing: run the tests (make test, or make coverage)")
    seen: dict[tuple[str, str], dict | None] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        test, method, path, status = line.split("\t")
        if (method, path) not in seen:
            seen[method, path] = contract.find(method, path)
        operation = seen[method, path]
        if operation and status in operation["statuses"].split(","):
            out.setdefault(operation["operation"], set()).add(test)

    def rank(test: str) -> tuple[bool, bool, str]:
        # The test that is about the operation says most; the one that asks everything for permissions says least.
        return ("authorisation::" in test or "permissions::" in test, "conformance::" in test, test)

    return {operation: sorted(tests, key=rank) for operation, tests in out.items()}


def write() -> None:
    found = witnessed()
    listed = operations()
    number = sum(operation["operation"] in found for operation in listed)
    lines = [
        "# Coverage of the contract",
        "",
        f"The contract has {len(listed)} operations; **{number}** of them have a witness: a test that calls the operation and gets a",
        "reply that the contract's clients take for success. A test is named by its program and its path there: `kinds …` is in",
        "`crates/kinds/tests/kinds`, `it …` in `crates/server/tests/it`. This page is generated (`make coverage`); the check of every",
        "submission fails when a claimed witness is gone.",
        "",
        "| operation | method | path | witness |",
        "| --- | --- | --- | --- |",
    ]
    for operation in listed:
        tests = found.get(operation["operation"])
        witness = f"`{tests[0]}`" if tests else NOT_YET
        lines.append(f"| {operation['operation']} | {operation['method']} | `{operation['path']}` | {witness} |")
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{number} of {len(listed)} operations have a witness")


def check() -> int:
    found = witnessed()
    claims = re.findall(r"^\| (\S+) \| \S+ \| `[^`]*` \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    gone = [
        f"{operation}: {witness.strip('`')} no longer calls it with success"
        for operation, witness in claims
        if witness != NOT_YET and witness.strip("`") not in found.get(operation, [])
    ]
    number = sum(witness != NOT_YET for _, witness in claims)
    listed = [operation["operation"] for operation in operations()]
    if [operation for operation, _ in claims] != listed:
        gone.append("the page does not list the operations of docs/contract-operations.tsv in their order")
    if number < LEAST:
        gone.append(f"only {number} operations have a witness, fewer than {LEAST}")
    more = [operation for operation, witness in claims if witness == NOT_YET and operation in found]
    if more:
        print(f"{len(more)} more operations have a witness by now; make coverage writes them: {', '.join(more[:10])}")
    for line in gone:
        print(line, file=sys.stderr)
    print(f"{number} claimed witnesses, {len(gone)} problems")
    return 1 if gone else 0


def run() -> None:
    file = notes().absolute()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("", encoding="utf-8")
    environment = {**os.environ, "PORTICO_WITNESSES": str(file)}
    for arguments in (["-p", "kinds"], ["-p", "server", "--test", "it"]):
        subprocess.run(["cargo", "test", "--locked", "--no-fail-fast", *arguments], cwd=REPOSITORY, env=environment, check=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", action="store_true")
    what.add_argument("--write", action="store_true")
    what.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.check:
        return check()
    if given.run:
        run()
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
