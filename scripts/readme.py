#!/usr/bin/env python3
"""Runs the README's journey exactly as printed, against a Portico and a sample web service of its own.

    scripts/readme.sh [curl|python|az ..]

Only addresses and places are put in: the README names those of `make run`, here ports are free and folders temporary.
Each part sees what `common` has set. A part fails when its shell or its program does, or when it does not print what the
README promises.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys

import demo

# What a part must print for the README to be right.
PROMISES = {
    "curl": r'"1",\s*"1",\s*"2",\s*"2",\s*"0",\s*"2",\s*"0",\s*"1"\]',
    "python": r"demopython Succeeded http://127\.[\d.]+:\d+\nStarter published\nUnlimited published\n",
    "az": r"azureml-demo",
}


def parts():
    """Language and text of each part of the journey, by name."""
    text = (demo.REPOSITORY / "README.md").read_text("utf-8")
    found = re.findall(r"<!-- journey: (\w+) -->\n```(\w+)\n(.*?)```", text, re.DOTALL)
    return {name: (language, block) for name, language, block in found}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--portico", type=pathlib.Path, required=True)
    parser.add_argument("--azureml", type=pathlib.Path, required=True)
    parser.add_argument("part", nargs="*", help="curl, python, az; all by default")
    options = parser.parse_args()
    blocks = parts()
    demo.check(set(blocks) == {"common", *PROMISES}, f"The README's journey has the parts {sorted(blocks)}")

    folder = demo.temporary_folder()
    processes = demo.Processes(folder, False)
    status = 1
    try:
        subprocess.run([demo.REPOSITORY / "scripts/certificate.sh", folder / "tls"], check=True)
        tls_port, azureml_port, key = demo.free_port(), demo.free_port(), "key-of-the-readme-test"
        (folder / "azureml-key").write_text(key)
        url, _ = demo.start_portico(
            processes, options.portico.resolve(), folder, PORTICO_TLS_LISTEN=f"127.0.0.1:{tls_port}",
            PORTICO_TLS_CERT=str(folder / "tls/server.pem"), PORTICO_TLS_KEY=str(folder / "tls/server-key.pem"),
        )
        web_service = f"http://127.0.0.1:{azureml_port}"
        processes.start("azureml", [
            options.azureml.resolve(), "--listen", f"127.0.0.1:{azureml_port}", "--workspace", demo.WORKSPACE,
            "--service", demo.WEB_SERVICE,
        ], {"AZUREML_API_KEY": key})
        demo.until("the web service", 30, lambda: demo.answers(web_service + "/healthz"))

        def placed(block):
            for printed, here in [
                ("http://127.0.0.1:8080", url), ("https://localhost:8443", f"https://localhost:{tls_port}"),
                ("http://127.0.0.1:8090", web_service), ("$PWD/.portico", str(folder)), (".portico/", f"{folder}/"),
                ("scripts/portico.sh", f"PORTICO_DATA_DIR={folder}/data {options.portico.resolve()}"),
                ("admin@localhost", demo.ADMINISTRATOR),
            ]:
                block = block.replace(printed, here)
            return block

        for name in options.part or PROMISES:
            demo.step(f"README: {name}")
            language, block = blocks[name]
            script = "set -euo pipefail\n" + placed(blocks["common"][1])
            if language == "python":
                (folder / "part.py").write_text(placed(block))
                script += f'"$(scripts/sdk-clients.sh python-5)" {folder}/part.py\n'
            else:
                script += placed(block)
            ran = subprocess.run(
                ["bash", "-c", script], cwd=demo.REPOSITORY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, timeout=600,
            )
            print(ran.stdout[-3000:])
            demo.check(ran.returncode == 0, f"{name} ended with status {ran.returncode}:\n{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}")
            demo.check(re.search(PROMISES[name], ran.stdout), f"{name} did not print {PROMISES[name]!r}")
        print(f"\nThe README's journey works: {len(options.part or PROMISES)} parts.")
        status = 0
    except (demo.Mismatch, OSError, KeyError, ValueError, subprocess.SubprocessError) as problem:
        print(f"\nFAILED: {problem}", file=sys.stderr)
    finally:
        processes.stop()
        if status:
            print(f"\n--- the end of portico's log\n{processes.log('portico')[-5000:]}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
