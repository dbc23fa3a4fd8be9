#!/usr/bin/env bash
# Runs the commands of README.md in this folder, with an S3 server of its own on
# the loopback. It first removes ./data, where an earlier run left its database and
# the server's bucket.
set -euo pipefail
cd "$(dirname "$0")"
PATH=$PWD/../../bin:$PWD/../../bin/tools:$PATH
export ROCKSNAP_REPOSITORY_ENDPOINT=http://127.0.0.1:${PORT:-7070}
export AWS_ACCESS_KEY_ID=example AWS_SECRET_ACCESS_KEY=example-secret
rm -rf data
mkdir -p data/server/my-bucket

versitygw --quiet --port "${ROCKSNAP_REPOSITORY_ENDPOINT#http://}" \
  --access "$AWS_ACCESS_KEY_ID" --secret "$AWS_SECRET_ACCESS_KEY" posix data/server >data/server.log 2>&1 &
server=$!
trap 'kill $server; wait $server || true' EXIT
for _ in {1..100}; do
  { : <"/dev/tcp/127.0.0.1/${PORT:-7070}"; } 2>/dev/null && break
  sleep 0.1
done

PS4=$'\n$ '
set -x
rocksnap init
rocksnap db fill --records 1000
rocksnap snapshot
rocksnap snapshot
rocksnap prune
rocksnap verify --level data
rocksnap restore latest --target data/restored

# Nothing was lost.
rocksnap digest --db data/orders
rocksnap digest --db data/restored
{ set +x; } 2>/dev/null
