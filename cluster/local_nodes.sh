#!/bin/bash
# Several Ray nodes on this machine, to try a cluster without having one.
#
#   cluster/local_nodes.sh NODES CPUS STUDY OUT [more arguments of raysweep run]
set -euo pipefail

if (($# < 4)); then
    echo "usage: cluster/local_nodes.sh NODES CPUS STUDY OUT [arguments of raysweep run]" >&2
    exit 2
fi
count=$1 cpus=$2 study=$3 out=$4
shift 4

export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN
port=${PORT:-$(python -c 'import socket; s = socket.create_server(("", 0)); print(s.getsockname()[1])')}
folder=$(mktemp -d /tmp/raysweep-nodes-XXXXXX)

started=()
finish() {
    if ((${#started[@]})); then
        kill "${started[@]}" 2>/dev/null || true
        wait "${started[@]}" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap finish EXIT

ray start --head --node-ip-address=127.0.0.1 --port="$port" --num-cpus="$cpus" \
    --include-dashboard=false --temp-dir="$folder" --block >/dev/null &
started+=($!)
for ((i = 0; i < 60; i++)); do
    ray status --address="127.0.0.1:$port" >/dev/null 2>&1 && break
    kill -0 "${started[0]}" 2>/dev/null || { echo "Ray did not start" >&2; exit 1; }
    sleep 2
done
for ((i = 1; i < count; i++)); do
    ray start --address="127.0.0.1:$port" --num-cpus="$cpus" --block >/dev/null &
    started+=($!)
done

# Nodes that come later are used, too; those that are late by more than this may never come.
for ((i = 0; i < 30; i++)); do
    (($(ray status --address="127.0.0.1:$port" 2>/dev/null | grep -c ' node_') >= $count)) && break
    sleep 2
done

raysweep run "$study" --out "$out" --address "127.0.0.1:$port" "$@" &
run=$!
trap 'kill -TERM "$run" 2>/dev/null || true' TERM INT
code=0
wait "$run" || code=$?
if kill -0 "$run" 2>/dev/null; then
    code=0
    wait "$run" || code=$?
fi
exit "$code"
