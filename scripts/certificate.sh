#!/usr/bin/env bash
# Makes a local certificate authority and a certificate of the management API for localhost, unless FOLDER has them and
# they are valid for another week.
#
#   scripts/certificate.sh FOLDER     writes ca.pem (what clients trust), server.pem, server-key.pem
#
# `az` speaks only https, and its Python refuses a certificate that is its own authority, hence the two steps. The
# authority's key is deleted at once: nobody can sign anything else with what clients were told to trust.
set -euo pipefail

folder=${1:?folder}
if [ -s "$folder/server-key.pem" ] && [ -s "$folder/ca.pem" ] &&
    openssl x509 -in "$folder/server.pem" -noout -checkend 604800 >/dev/null 2>&1; then
    exit 0
fi
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 077

elliptic=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
openssl req -x509 "${elliptic[@]}" -keyout "$work/ca-key.pem" -out "$work/ca.pem" -days 825 \
    -subj "/CN=Portico local authority" \
    -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
openssl req "${elliptic[@]}" -keyout "$work/server-key.pem" -out "$work/server.csr" -subj "/CN=localhost" 2>/dev/null
cat >"$work/extensions" <<END
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
authorityKeyIdentifier = keyid
END
openssl x509 -req -in "$work/server.csr" -CA "$work/ca.pem" -CAkey "$work/ca-key.pem" -CAcreateserial -days 820 \
    -extfile "$work/extensions" -out "$work/leaf.pem" 2>/dev/null
cat "$work/leaf.pem" "$work/ca.pem" >"$work/server.pem"
cp "$work/server-key.pem" "$work/server.pem" "$work/ca.pem" "$folder/"
chmod 644 "$folder/ca.pem" "$folder/server.pem"
