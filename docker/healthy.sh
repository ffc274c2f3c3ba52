#!/bin/bash
# portico-healthy PORT PATH: succeeds when a GET of PATH on this container answers 200. The image has no curl; bash can
# open a connection itself.
set -eu
exec 3<>"/dev/tcp/127.0.0.1/$1"
printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&3
read -r _ status _ <&3
[ "$status" = 200 ]
