#!/usr/bin/env bash
# The main job as a user lives through it: prepare, submit, lose a job halfway, resume, report.
# Options for `paceline submit` may be given, such as cluster=local; PACELINE_ROOT says where, by default runs/.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; "$@"; }

say paceline prepare experiment=demo "$@"
say paceline plan experiment=demo "$@"

# A node that dies: once the finetune cell is halfway, its process is killed and can't say goodbye.
python - <<'PY' &
import json, os, signal, subprocess, time

def halfway():
    words = ["paceline", "status", "demo", "--json"]
    done = subprocess.run(words, capture_output=True, text=True)
    for cell in json.loads(done.stdout)["cells"] if done.returncode == 0 else []:
        beat = cell["progress"] or {}
        if cell["kind"] == "finetune" and cell["state"] == "running" and beat.get("total"):
            if beat["done"] >= beat["total"] / 2:
                return cell
        if cell["kind"] == "finetune" and cell["attempts"] > 1:
            return None
    return ()

parent = os.getppid()
while os.getppid() == parent:
    found = halfway()
    if found is None:
        break
    if found:
        pid = found["pid"]
        print(f"\n-- killing process {pid}, which is at step {found['progress']['done']} of {found['progress']['total']}"
              f" of {found['id']}", flush=True)
        os.kill(pid, signal.SIGKILL)
        break
    time.sleep(1)
PY
killer=$!

status=0
say paceline submit experiment=demo "$@" || status=$?
kill "$killer" 2>/dev/null || true
wait "$killer" 2>/dev/null || true
if [ "$status" -gt 1 ]; then exit "$status"; fi

say paceline status demo
say paceline resume demo
say paceline report demo
