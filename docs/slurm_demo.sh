#!/usr/bin/env bash
# A sweep through a real Slurm on this machine (root, Debian): submitted as job arrays, a node dies halfway, and resume
# completes it. EXPERIMENT is the demo where it is not given; options for `paceline submit` may follow; PACELINE_ROOT says
# where, by default runs/slurm/.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }
export PACELINE_ROOT=${PACELINE_ROOT:-runs/slurm}
experiment=${EXPERIMENT:-demo}
cluster=slurm/dev/cluster.py

[ -n "$(command -v slurmctld)" ] || say $cluster install
say $cluster up
eval "$($cluster env)"
trap 'say $cluster down' EXIT

# Waits for the queue to empty, telling what changes; `wait_for_jobs node` fails node2 once a tuning there is halfway.
wait_for_jobs() {
    python - "$cluster" "$experiment" "${1:-}" <<'PY'
import json, subprocess, sys, time

cluster, sweep, fail = sys.argv[1:]
told = ""

def status():
    done = subprocess.run(["paceline", "status", sweep, "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)

def halfway(cell):
    beat = cell["progress"] or {}
    return cell["kind"] == "finetune" and cell["state"] == "running" and 2 * beat.get("done", 0) >= beat.get("total", 1)

while subprocess.run(["squeue", "--me", "--noheader"], capture_output=True, text=True, check=True).stdout:
    found = status()
    line = ", ".join(f"{n} {state}" for state, n in found["counts"].items())
    if line != told:
        print(f"[{time.strftime('%H:%M:%S')}] {line}", flush=True)
        told = line
    if fail and any(map(halfway, found["cells"])):
        print(f"\n-- a tuning is halfway; the power of {fail} fails\n", flush=True)
        subprocess.run([cluster, "node", "kill", fail], check=True)
        time.sleep(15)
        print(f"-- {fail} is back\n", flush=True)
        subprocess.run([cluster, "node", "start", fail], check=True)
        fail = ""
    time.sleep(5)
PY
}

words=(experiment="$experiment" cluster=slurm cluster.account=gts-dev cluster.qos=embers cluster.parallel=2)
# One of the demo's four tunings runs sharded over both nodes.
[ "$experiment" != demo ] ||
    words+=('place=[{match: {kind: finetune, model: tiny_pixtral, prompt: geo_bare}, set: {deepspeed: zero2, placement.nodes: 2}}]')
words+=("$@")

say paceline doctor cluster=slurm cluster.account=gts-dev
say paceline prepare experiment="$experiment"
say paceline submit "${words[@]}"
say paceline status "$experiment"
wait_for_jobs node2
say paceline status "$experiment"
say paceline resume "$experiment"
wait_for_jobs
say paceline status "$experiment"
say paceline report "$experiment"
