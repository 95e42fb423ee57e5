#!/bin/sh
# A logical backup: pg_dump, restored into a scratch database, verified, dropped.
#
#   ENVIRONMENT      the environment of Holdfast's configuration
#   SOURCE           the DSN to dump, by a superuser or a role with BYPASSRLS: row-level security binds all others,
#                    and a dump by one of them would not be whole; or else
#   DUMP             a file in pg_dump's custom format that your backup made
#   SCRATCH          the DSN of a database of a scratch server, by a role that may create databases
#   HOLDFAST         the command, where `holdfast` is not in PATH, such as /opt/holdfast/bin/holdfast
#   HOLDFAST_CONFIG  the configuration, where it is neither ./holdfast.yaml nor /etc/holdfast/holdfast.yaml
#
# Ends as `holdfast ledger verify` does (0, 2, 3, 78), or with 64 where a variable is missing, 127 where a command is,
# 1 where a program of PostgreSQL failed; what failed is said before.
set -eu
needed=
[ -n "${DUMP:=}" ] || needed=SOURCE
for name in ENVIRONMENT SCRATCH $needed; do
    eval "[ -n \"\${$name:-}\" ]" || { echo "$0: the variable $name is not set" >&2; exit 64; }
done
work=$(mktemp -d)
scratch=holdfast_restore_$$
server=${SCRATCH%/*}
trap 'rm -rf "$work"; dropdb --if-exists --force --maintenance-db="$SCRATCH" "$scratch"' EXIT

if [ -z "$DUMP" ]; then
    DUMP=$work/dump
    pg_dump --format=custom --file="$DUMP" --dbname="$SOURCE" 2>"$work/said" || {
        cat "$work/said" >&2
        if grep -q row-level "$work/said"; then
            echo "$0: SOURCE must be of a superuser or a role with BYPASSRLS, or the dump is not whole" >&2
        fi
        exit 1
    }
fi
createdb --maintenance-db="$SCRATCH" "$scratch"
pg_restore --no-owner --no-privileges --exit-on-error --dbname="$server/$scratch" "$DUMP"
HOLDFAST_VERIFY_AGAINST=$server/$scratch ${HOLDFAST:-holdfast} ledger verify "$ENVIRONMENT"
