#!/usr/bin/env bash
# Runs a mail server that delivers nothing and prints each mail it accepts as one line of JSON. For tests and demos.
#
#   scripts/smtp-sink.sh --install    install only, print the path of its Python interpreter
#   scripts/smtp-sink.sh [PORT]       listen on 127.0.0.1:PORT (default: any free port)
#
# The first line is {"port": N}; then {"from": .., "to": [..], "message": ".."} for each mail. Recipients that begin
# with "refused" are refused for good (550), those with "later" for now (451). Ends when its standard input is closed.
# The Python environment lies under $PORTICO_TOOLS_DIR (default: .portico/tools of this repository).
set -euo pipefail

requirements='aiosmtpd==1.4.6'
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${PORTICO_TOOLS_DIR:-$repository/.portico/tools}
folder=$tools/smtp-sink
program=$folder/bin/python

for needed in python3 flock; do
    if ! command -v "$needed" >/dev/null; then
        echo "smtp-sink.sh: '$needed' is missing. On Debian: apt-get install python3 python3-venv util-linux" >&2
        exit 69
    fi
done

mkdir -p "$folder"
(
    # Tests start several copies at once; only the first may install.
    flock 9
    if [ "$(cat "$folder/installed" 2>/dev/null || true)" != "$requirements" ] || ! "$program" -c '' 2>/dev/null; then
        echo "smtp-sink.sh: installing $requirements into $folder" >&2
        python3 -m venv --clear "$folder" >&2
        "$program" -m pip install --quiet --disable-pip-version-check "$requirements" >&2
        echo "$requirements" >"$folder/installed"
    fi
) 9>"$tools/.smtp-sink.lock"

if [ "${1:-}" = --install ]; then
    echo "$program"
    exit 0
fi
exec "$program" -u -c '
import asyncio, json, sys
from aiosmtpd.smtp import SMTP

class Sink:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550 5.1.1 No such mailbox"
        if address.startswith("later"):
            return "451 4.3.0 Try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "message": envelope.content.decode("utf-8", "replace")}))
        return "250 OK"

async def main(port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Sink(), hostname="sink.invalid"), "127.0.0.1", port)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}))
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()

asyncio.run(main(int(sys.argv[1])))
' "${1:-0}"
