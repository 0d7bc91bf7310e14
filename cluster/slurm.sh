#!/bin/bash
# A study on several nodes of a Slurm cluster. Resources only; the science is in the study file.
#
#   sbatch --nodes=4 cluster/slurm.sh STUDY OUT [more arguments of raysweep run]
#
# OUT lies on a filesystem that all nodes share, or is a URI. A job that hits its time limit, is
# preempted or is submitted again goes on where it was.
#
# Nodes with several networks: RAYSWEEP_INTERFACE=ib0 sbatch ... lets Ray use that one.
#SBATCH --job-name=raysweep
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
# For GPUs add for instance: #SBATCH --gpus-per-node=2, and set resources.gpus_per_pack in the study.
set -euo pipefail

if (($# < 2)); then
    echo "usage: sbatch [options] cluster/slurm.sh STUDY OUT [arguments of raysweep run]" >&2
    exit 2
fi
study=$1 out=$2
shift 2

# Everyone on the nodes can reach Ray's ports; only who has this job's token may use them.
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
port=$((20000 + SLURM_JOB_ID % 10000))
cpus=${SLURM_CPUS_PER_TASK:-1}
# Slurm 22.05 to 23.02 does not hand the CPUs of a task on: a step would get one.
step=(srun --nodes=1 --ntasks=1 --cpus-per-task="$cpus")

# The address of a node, on the interface that was chosen or else its first one.
address_of() {
    local found
    if [[ -n ${RAYSWEEP_INTERFACE:-} ]]; then
        found=$("${step[@]}" --nodelist="$1" env PATH="$PATH:/usr/sbin:/sbin" \
            ip -o -4 addr show dev "$RAYSWEEP_INTERFACE" |
            awk 'NR == 1 {sub("/.*", "", $4); print $4}') || found=
    else
        found=$("${step[@]}" --nodelist="$1" hostname -I | awk '{print $1}')
    fi
    if [[ -z $found ]]; then
        echo "$1 has no IPv4 address on ${RAYSWEEP_INTERFACE:-any interface};" \
            "RAYSWEEP_INTERFACE must be one that \`ip -4 addr\` shows there" >&2
        return 1
    fi
    echo "$found"
}
address=$(address_of "$head")

started=()
finish() {
    if ((${#started[@]})); then
        kill "${started[@]}" 2>/dev/null || true
        wait "${started[@]}" 2>/dev/null || true
    fi
}
trap finish EXIT

"${step[@]}" --nodelist="$head" \
    ray start --head --node-ip-address="$address" --port="$port" --num-cpus="$cpus" \
    --include-dashboard=false --block >/dev/null &
started+=($!)

for ((i = 0; i < 60; i++)); do
    ray status --address="$address:$port" >/dev/null 2>&1 && break
    kill -0 "${started[0]}" 2>/dev/null || { echo "Ray did not start on $head" >&2; exit 1; }
    sleep 2
done

for node in "${nodes[@]:1}"; do
    own=()
    if [[ -n ${RAYSWEEP_INTERFACE:-} ]]; then
        at=$(address_of "$node")
        own=(--node-ip-address="$at")
    fi
    "${step[@]}" --nodelist="$node" \
        ray start --address="$address:$port" ${own[@]+"${own[@]}"} --num-cpus="$cpus" --block >/dev/null &
    started+=($!)
done

# Nodes that come later are used, too; those that are late by more than this may never come.
for ((i = 0; i < 30; i++)); do
    (($(ray status --address="$address:$port" 2>/dev/null | grep -c ' node_') >= ${#nodes[@]})) && break
    sleep 2
done

raysweep run "$study" --out "$out" --address "$address:$port" "$@" &
run=$!
# Before the time limit Slurm sends TERM to this shell: the run stops cleanly and can be resumed.
trap 'kill -TERM "$run" 2>/dev/null || true' TERM INT
code=0
wait "$run" || code=$?
# A trapped signal ends the first wait; the second one gets the exit code of the run.
if kill -0 "$run" 2>/dev/null; then
    code=0
    wait "$run" || code=$?
fi
exit "$code"
