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

# Waits for the queue to empty, telling what changes; `wait_for_jobs fail` fails a node once a tuning on it is halfway.
wait_for_jobs() {
    python - "$cluster" "$experiment" "${1:-}" <<'PY'
import json, os, subprocess, sys, time
from pathlib import Path

cluster, sweep, fail = sys.argv[1:]
told = ""

def status():
    done = subprocess.run(["paceline", "status", sweep, "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)

def halfway(cell):
    beat = cell["progress"] or {}
    return cell["kind"] == "finetune" and cell["state"] == "running" and 2 * beat.get("done", 0) >= beat.get("total", 1)

def node_of(cell):
    attempts = Path(os.environ["PACELINE_ROOT"], "cells", cell["id"], "attempts")
    last = max(attempts.iterdir(), key=lambda folder: int(folder.name))
    return json.loads((last / "start.json").read_text())["host"]

while subprocess.run(["squeue", "--me", "--noheader"], capture_output=True, text=True, check=True).stdout:
    found = status()
    line = ", ".join(f"{n} {state}" for state, n in found["counts"].items())
    if line != told:
        print(f"[{time.strftime('%H:%M:%S')}] {line}", flush=True)
        told = line
    if fail and (tuning := next(filter(halfway, found["cells"]), None)):
        node = node_of(tuning)
        print(f"\n-- {tuning['id']} is halfway; the power of its node {node} fails\n", flush=True)
        subprocess.run([cluster, "node", "kill", node], check=True)
        time.sleep(15)
        print(f"-- {node} is back\n", flush=True)
        subprocess.run([cluster, "node", "start", node], check=True)
        fail = ""
    time.sleep(5)
PY
}

words=(experiment="$experiment" cluster=slurm cluster.account=gts-dev cluster.qos=embers cluster.parallel=2)
# One of the demo's five tunings runs sharded over both nodes.
[ "$experiment" != demo ] ||
    words+=('place=[{match: {kind: finetune, model: tiny_pixtral, prompt: geo_bare}, set: {deepspeed: zero2, placement.nodes: 2}}]')
words+=("$@")

say paceline doctor cluster=slurm cluster.account=gts-dev
say paceline prepare experiment="$experiment"
say paceline submit "${words[@]}"
say paceline status "$experiment"
wait_for_jobs fail
say paceline status "$experiment"
say paceline resume "$experiment"
wait_for_jobs
say paceline status "$experiment"
say paceline report "$experiment"
