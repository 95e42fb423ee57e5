#!/bin/sh
# Makes up what is secret in deploy/compose.yaml, once: the files stay in the volume /passwords, and are read only there.
set -eu
folder=${1:-/passwords}
cd "$folder"
for name in superuser application redis; do
    [ -s "$name" ] && continue
    head -c 24 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n' > "$name.new"
    mv "$name.new" "$name"
done
# Of `holdfast setup example --print --store redis`: what the probes do, on Holdfast's own keys alone.
cat > redis.acl.new <<ACL
user default off
user holdfast on >$(cat redis) resetkeys ~holdfast:* resetchannels &holdfast:* nocommands +ping +echo +time +info +client|setname +select +get +mget +set +setrange +del +unlink +pexpire +pttl +hset +hgetall +hdel +hexists +hincrby +zadd +zrem +zremrangebyscore +zrange +zcard +watch +multi +exec +discard +eval +scan +publish +subscribe +xadd +xgroup|create +xreadgroup +xack +xpending +xclaim
ACL
mv redis.acl.new redis.acl
# The servers and Holdfast have uids of their own; nobody else mounts this volume.
chmod 0444 superuser application redis redis.acl
