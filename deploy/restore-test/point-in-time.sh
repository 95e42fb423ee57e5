#!/bin/sh
# A physical backup: restored to a moment on a scratch server that only its owner reaches, verified, removed. The server
# stays in recovery, so it changes nothing and archives nothing. Run it as a user that is not root.
#
#   ENVIRONMENT      the environment of Holdfast's configuration
#   DATABASE         the database that it watches
#   AS_OF            the moment, such as 2026-11-22T03:00:00+00:00
#   STANZA           pgBackRest's stanza; or else, of a base backup by pg_basebackup:
#   BACKUP           its folder, and
#   RESTORE_COMMAND  how a file of WAL comes from the archive, such as `cp /archive/%f %p`
#   SET              a backup of pgBackRest, where it is not the last before AS_OF
#   CONFIG           the server's postgresql.conf, where that is not among its data, as on Debian
#   WITHIN           the longest that the server may take to start, in seconds; 3600 without it
#   HOLDFAST         the command, where `holdfast` is not in PATH, such as /opt/holdfast/bin/holdfast
#   HOLDFAST_CONFIG  the configuration, where it is neither ./holdfast.yaml nor /etc/holdfast/holdfast.yaml
#
# Ends as `holdfast ledger verify` does (0, 2, 3, 78), or with 64 where a variable is missing, 127 where a command is,
# 3 where the server cannot be recovered to that moment,
# 1 where another program failed; what failed is said before.
set -eu
needed=
[ -n "${STANZA:=}" ] || needed='BACKUP RESTORE_COMMAND'
for name in ENVIRONMENT DATABASE AS_OF $needed; do
    eval "[ -n \"\${$name:-}\" ]" || { echo "$0: the variable $name is not set" >&2; exit 64; }
done
work=$(mktemp -d)
data=$work/data
trap 'pg_ctl --pgdata="$data" --mode=immediate stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

if [ -n "$STANZA" ]; then
    mkdir -m 700 "$data"
    target=$(echo "$AS_OF" | tr T ' ')
    pgbackrest --stanza="$STANZA" --pg1-path="$data" --archive-mode=off \
        --type=time --target="$target" --target-action=pause ${SET:+--set="$SET"} restore
else
    cp -R "$BACKUP" "$data"
    chmod 700 "$data"
    rm -f "$data/standby.signal"
    touch "$data/recovery.signal"
    cat >>"$data/postgresql.auto.conf" <<END
archive_mode = 'off'
restore_command = '$RESTORE_COMMAND'
recovery_target_time = '$AS_OF'
recovery_target_action = 'pause'
END
fi
# Debian keeps postgresql.conf elsewhere; what a standby needs of it is told by the server's log.
if [ ! -e "$data/postgresql.conf" ]; then
    [ -n "${CONFIG:-}" ] || { echo "$0: CONFIG must name the postgresql.conf of the server" >&2; exit 64; }
    cp "$CONFIG" "$data/postgresql.conf"
fi
echo "local all all trust" >"$data/pg_hba.conf"
pg_ctl --pgdata="$data" --wait --timeout="${WITHIN:-3600}" --log="$work/log" start >/dev/null \
    --options="-c listen_addresses= -c unix_socket_directories=$work -c port=5432 -c hba_file=$data/pg_hba.conf" ||
    { tail -n 20 "$work/log" >&2; exit 3; }
paused=f
until [ "$paused" = t ]; do
    paused=$(psql -XAtq --host="$work" --port=5432 --username=postgres --dbname="$DATABASE" \
        --command="SELECT pg_is_wal_replay_paused()") || { tail -n 20 "$work/log" >&2; exit 3; }
    sleep 0.2
done
HOLDFAST_VERIFY_AGAINST="postgresql:///$DATABASE?host=$work&port=5432&user=postgres" \
    ${HOLDFAST:-holdfast} ledger verify "$ENVIRONMENT" --as-of "$AS_OF"
