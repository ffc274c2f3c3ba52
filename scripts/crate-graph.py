#!/usr/bin/env python3
"""Checks the arrows between the crates of this workspace, which are its design (ARCHITECTURE.md).

    scripts/crate-graph.py            fails where a crate depends on what it must not
    scripts/crate-graph.py --print    prints the arrows as a Mermaid graph

An arrow that is not in ARROWS is an error, and so is a crate that is not listed: a new crate is a decision, to be made
here and in ARCHITECTURE.md. Dev-dependencies are free, except that nothing may need what only tests may have.
"""

import json
import subprocess
import sys

# Our crates, in the order of the arrows: a crate may depend on the listed ones and on nothing else of ours.
ARROWS = {
    "arm-id": [],
    "odata": [],
    "policy": [],
    "description": [],
    "certificate": [],
    "engine-derive": [],
    "secret-box": [],
    "embedded-postgres": [],
    "engine": ["arm-id", "odata", "engine-derive", "secret-box"],
    "jobs": [],
    "mail": ["jobs"],
    "identity": ["engine", "secret-box"],
    "kinds": ["engine", "arm-id", "policy", "description", "certificate", "jobs", "mail", "identity"],
    "snapshot": ["policy"],
    "rollout": ["kinds", "snapshot", "policy", "engine", "jobs"],
    "reports": ["odata", "engine"],
    "gateway": ["snapshot", "policy", "certificate"],
    "server": [
        "arm-id", "engine", "secret-box", "embedded-postgres", "jobs", "mail", "identity", "kinds", "snapshot", "rollout", "reports",
        "gateway", "policy", "description",
    ],
    "witness": [],
    "testkit": ["server", "embedded-postgres", "witness"],
    "azureml": [],
    "bench-control": [],
    "fuzz": ["gateway", "policy", "snapshot"],
}

# What a crate must not reach, directly or through others, and why.
UNREACHABLE = {
    "arm-id": (["tokio", "sqlx", "actix-web", "hyper"], "a parser is a pure function"),
    "odata": (["tokio", "sqlx", "actix-web", "hyper"], "a parser is a pure function"),
    "policy": (["tokio", "sqlx", "actix-web", "hyper"], "compiling a policy is a pure function; the gateway does the effects"),
    "description": (["tokio", "sqlx", "actix-web", "hyper"], "reading and writing a document is a pure function"),
    "certificate": (["tokio", "sqlx", "actix-web", "hyper"], "reading a file is a pure function"),
    "secret-box": (["tokio", "sqlx", "actix-web", "hyper"], "sealing is a pure function"),
    "snapshot": (["tokio", "sqlx", "actix-web", "hyper"], "the gateway's configuration is data"),
    "gateway": (["sqlx", "actix-web", "graphile_worker"], "the gateway serves when Postgres is gone"),
    "engine": (["actix-web", "hyper"], "the engine answers requests of its own type; HTTP is the server's"),
    "jobs": (["actix-web"], "jobs are no business of HTTP"),
    "mail": (["actix-web"], "mail is no business of HTTP"),
}

# What a crate must not name itself, although it reaches it through the engine.
UNNAMED = {
    "kinds": (["actix-web", "hyper"], "a kind states what a resource is; HTTP is the server's business"),
}


def main():
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--all-features"]
    answer = subprocess.run(command, stdout=subprocess.PIPE)
    if answer.returncode:
        return answer.returncode
    metadata = json.loads(answer.stdout)
    names = {package["id"]: package["name"] for package in metadata["packages"]}
    members = {names[member]: member for member in metadata["workspace_members"]}
    # Normal and build dependencies; a kind of null is a normal one.
    direct = {
        node["id"]: {
            dependency["pkg"]
            for dependency in node["deps"]
            if any(kind["kind"] in (None, "build") for kind in dependency["dep_kinds"])
        }
        for node in metadata["resolve"]["nodes"]
    }

    def reached(start):
        found, waiting = {start: None}, [start]
        while waiting:
            current = waiting.pop()
            for following in direct[current]:
                if following not in found:
                    found[following] = current
                    waiting.append(following)
        return found

    if "--print" in sys.argv[1:]:
        print("graph TD")
        for name in ARROWS:
            for following in sorted(names[f] for f in direct[members[name]] if names[f] in members and names[f] != name):
                print(f"    {name} --> {following}")
        return 0

    problems = [f"{name} is not listed in scripts/crate-graph.py" for name in sorted(set(members) - set(ARROWS))]
    problems += [f"{name} is listed in scripts/crate-graph.py but is no crate" for name in sorted(set(ARROWS) - set(members))]
    for name in [name for name in ARROWS if name in members]:
        ours = {names[following] for following in direct[members[name]]} & set(members)
        for extra in sorted(ours - set(ARROWS[name]) - {name}):
            problems.append(f"{name} depends on {extra}, which is not among its arrows")
        found = reached(members[name])
        banned, why = UNREACHABLE.get(name, ([], ""))
        for package in found:
            if names[package] in banned:
                path = [names[package]]
                while (package := found[package]) is not None:
                    path.append(names[package])
                problems.append(f"{' -> '.join(reversed(path))}: {why}")
        banned, why = UNNAMED.get(name, ([], ""))
        for package in direct[members[name]]:
            if names[package] in banned:
                problems.append(f"{name} -> {names[package]}: {why}")
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{len(members)} crates, every arrow as designed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
