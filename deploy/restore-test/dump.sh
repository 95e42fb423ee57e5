#!/bin/sh
# A logical backup: pg_dump, restored into a scratch database, verified, dropped. Ends as `holdfast ledger verify` does.
#
#   ENVIRONMENT  the environment of Holdfast's configuration
#   SOURCE       the DSN to dump; or DUMP, a file in pg_dump's custom format that your backup made
#   SCRATCH      the DSN of a database of a scratch server, by a role that may create databases
set -eu
: "${ENVIRONMENT:?}" "${SCRATCH:?}" "${DUMP:=}"
work=$(mktemp -d)
scratch=holdfast_restore_$$
server=${SCRATCH%/*}
trap 'rm -rf "$work"; dropdb --if-exists --force --maintenance-db="$SCRATCH" "$scratch"' EXIT

if [ -z "$DUMP" ]; then
    DUMP=$work/dump
    pg_dump --format=custom --file="$DUMP" --dbname="${SOURCE:?}"
fi
createdb --maintenance-db="$SCRATCH" "$scratch"
pg_restore --no-owner --no-privileges --exit-on-error --dbname="$server/$scratch" "$DUMP"
HOLDFAST_VERIFY_AGAINST=$server/$scratch ${HOLDFAST:-holdfast} ledger verify "$ENVIRONMENT"
