#!/bin/sh
# An RDB or AOF file of Redis or Valkey: loaded by a scratch server that only its owner reaches, verified, removed.
#
#   ENVIRONMENT      the environment of Holdfast's configuration
#   FILES            a folder with a copy of dump.rdb, or of appendonlydir (before Redis 7: appendonly.aof)
#   NUMBER           the number of the database in the URL of the configuration; 0 without it
#   HOLDFAST         the command, where `holdfast` is not in PATH, such as /opt/holdfast/bin/holdfast
#   HOLDFAST_CONFIG  the configuration, where it is neither ./holdfast.yaml nor /etc/holdfast/holdfast.yaml
#
# Ends as `holdfast ledger verify` does (0, 2, 3, 78), or with 64 where a variable is missing, 127 where a command is,
# 3 where the server cannot load the files; what failed is said before.
set -eu
: "${NUMBER:=0}"
for name in ENVIRONMENT FILES; do
    eval "[ -n \"\${$name:-}\" ]" || { echo "$0: the variable $name is not set" >&2; exit 64; }
done
work=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" || true; fi; rm -rf "$work"' EXIT

cp -R "$FILES/." "$work"
append=no
if [ -e "$work/appendonlydir" ] || [ -e "$work/appendonly.aof" ]; then append=yes; fi
"$(command -v valkey-server || command -v redis-server)" --dir "$work" --appendonly "$append" --save '' \
    --port 0 --unixsocket "$work/socket" --unixsocketperm 700 --logfile "$work/log" &
server=$!
# Until it has read its files it answers LOADING; where it cannot read them it ends.
cli=$(command -v valkey-cli || command -v redis-cli)
until [ "$("$cli" -s "$work/socket" ping 2>/dev/null)" = PONG ]; do
    kill -0 "$server" 2>/dev/null || { tail -n 20 "$work/log" >&2; exit 3; }
    sleep 0.2
done
HOLDFAST_VERIFY_AGAINST="unix://$work/socket?db=$NUMBER" ${HOLDFAST:-holdfast} ledger verify "$ENVIRONMENT"
