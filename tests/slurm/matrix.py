#!/usr/bin/env python3
"""Every fault on a real Slurm: harm a sweep, resume it, and hold its bytes against those of an undisturbed one.

    tests/slurm/matrix.py                  # all; writes docs/faults.md
    tests/slurm/matrix.py walltime …       # some, by name; writes nothing

Needs root, as slurm/dev/cluster.py does.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from dev_cluster import DevCluster, running
from faults import FAULTS, SWEEP, TWO_PROMPTS, Fault
from lab import DATA, Lab, causes, here, prepared, results, spans

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
MOST_RESUMES = 3


@dataclass
class Outcome:
    """What came of a fault.

    Attributes:
        causes: what the disturbed attempts were said to have ended with.
        attempts: most attempts of a cell.
        wrong: what is not as promised; empty where all is well.
    """

    fault: Fault
    causes: list[str] = field(default_factory=list)
    attempts: int = 0
    resumes: int = 0
    wrong: list[str] = field(default_factory=list)


def undisturbed(root: Path) -> Path:
    """The cells of all faults on this machine, without Slurm."""
    here(root, "prepare", "task=geolocation_earth", DATA)
    here(root, "submit", *SWEEP, TWO_PROMPTS)
    return root


def run(fault: Fault, cluster: DevCluster, template: Path) -> Outcome:
    """One fault, from a fresh root to its outcome; the root stays where something is wrong."""
    root = cluster.disk / fault.happen.__name__
    root.mkdir()
    lab = Lab(cluster, prepared(root, template), [*SWEEP, *fault.words])
    outcome = Outcome(fault)
    try:
        fault.happen(lab)
        lab.settle()
        cells = lab.cells()
        while outcome.resumes < MOST_RESUMES and any(c["state"] != "done" for c in cells.values()):
            lab.seen += cells.values()
            lab.resume()
            outcome.resumes += 1
            lab.settle()
            cells = lab.cells()
        outcome.attempts = max(c["attempts"] for c in cells.values())
        outcome.causes = _told(lab)
        outcome.wrong = [*_wrong(lab, outcome, template)]
    except Exception as error:  # one red row must not hide the others
        outcome.wrong.append(f"{type(error).__name__}: {error}".strip())
        traceback.print_exc()
    try:
        cluster.attempt("scancel", "--me")
        cluster.mend()  # what the fault, or a failed case, left stopped
        lab.until("the queue is empty", lab.queue_is_empty, 60)
    except AssertionError as error:
        outcome.wrong.append(f"the cluster did not recover: {error} {cluster.attempt('sinfo', '-NR').stdout}")
    if not outcome.wrong:
        shutil.rmtree(root)
    return outcome


def _told(lab: Lab) -> list[str]:
    """The causes that ``status`` showed, or where it was done before anybody looked, those on the disk."""
    shown = [c["cause"] for c in lab.seen if c["cause"]]
    written = [cause for cell in causes(lab.root).values() for cause in cell[:-1] if cause]
    return sorted(set(shown or written))


def _wrong(lab: Lab, outcome: Outcome, template: Path) -> Iterable[str]:
    fault, cells = outcome.fault, lab.cells()
    if left := [f"{c['state']} {i} ({c['cause']} {c['detail']})" for i, c in cells.items() if c["state"] != "done"]:
        yield f"not done: {', '.join(left)}"
    if outcome.resumes > fault.resumes:
        yield f"took {outcome.resumes} resumes, not {fault.resumes}"
    if fault.causes and not set(outcome.causes) & set(fault.causes):
        yield f"the cause is told as {outcome.causes or 'nothing'}, not {' or '.join(fault.causes)}"
    if not fault.causes and outcome.causes:
        yield f"told causes {outcome.causes} where nothing ended"
    if fault.jobs and (count := len(lab.jobs())) != fault.jobs:
        yield f"{count} jobs were submitted for {fault.jobs} elements"
    expected = {k: v for k, v in results(template).items() if k.partition("/")[0] in cells}
    found = results(lab.root)
    if differing := sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k)):
        yield f"other bytes than undisturbed: {', '.join(differing)}"
    for cell in sorted((lab.root / "cells").iterdir()):
        yield from _repeated(cell)
        for before, after in zip(spans(cell), spans(cell)[1:], strict=False):
            if after[0] < before[1]:
                yield f"two attempts of {cell.name} ran at once"
    if stray := [str(p.relative_to(lab.root)) for p in lab.root.rglob("*") if p.name.endswith((".tmp", ".old"))]:
        yield f"left behind: {', '.join(stray)}"
    if (lab.root / "submitting").exists():
        yield "left behind: submitting"


def _repeated(cell: Path) -> Iterable[str]:
    """Samples that are answered twice in the record, and batches that a second attempt answered again."""
    record = cell / "predictions.jsonl"
    if record.exists():
        answers = Counter((str(r["sample"]), str(r.get("part", ""))) for r in _records(record))
        if twice := [" ".join(key).strip() for key, n in answers.items() if n > 1]:
            yield f"answers twice in {cell.name}: {', '.join(twice)}"
        whole = Counter(r["batch"] for r in _records(record))
        whole_batches = set()
        for attempt in sorted(cell.glob("attempts/*/predictions.jsonl"), key=lambda p: int(p.parent.name)):
            counts = Counter(r["batch"] for r in _records(attempt))
            done = {batch for batch, count in counts.items() if count == whole[batch]}
            if again := sorted(whole_batches & counts.keys()):
                yield f"batches {again} of {cell.name} were answered again in attempt {attempt.parent.name}"
            whole_batches |= done


def _records(path: Path) -> list[dict[str, object]]:
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]  # the last has no end where it was cut short


def page(outcomes: list[Outcome], slurm: str) -> str:
    """The table as docs/faults.md holds it."""
    rows = []
    for o in outcomes:
        result = "; ".join(o.wrong).replace("|", "/").replace("\n", " ") or "the same bytes"
        cells = (
            o.fault.name,
            f"`{o.fault.variant}`" if o.fault.variant else "",
            o.fault.what,
            ", ".join(o.causes),
            o.attempts,
            o.resumes,
            f"**{result}**" if o.wrong else result,
        )
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(
        (
            "# Fault matrix",
            "",
            f"Written by `make fault-matrix` on {slurm} with two nodes (`slurm/README.md`). The faults are",
            "functions in `tests/slurm/faults.py`. Each row is a new sweep of one fine-tuning, its evaluation and an",
            "untuned evaluation. After the fault, `paceline resume` ran as often as the row says. Then these",
            "conditions were checked:",
            "",
            "- all cells are done;",
            "- predictions, metrics and tuned weights equal those of an undisturbed sweep, byte for byte;",
            "- no sample was answered twice, and no complete batch was answered again;",
            "- no two attempts of a cell ran at the same time;",
            "- no temporary file is left.",
            "",
            "*Cause*: what `paceline status` reported, or `end.json` where the cell was done before the first look.",
            "*Attempts*: the most of any cell. *Resumes*: those after the ones that the row names. *Variant*:",
            "options of `slurm/dev/cluster.py up`. In most rows the process is held (SIGSTOP) from its first",
            "checkpoint or batch of answers until the fault, so that the fault interrupts work on every machine.",
            "",
            "| fault | variant | what was done | cause | attempts | resumes | result |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
        )
    )


def main() -> int:
    # So that a time limit around this script leaves no cluster behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    names = [word.replace("_", " ") for word in sys.argv[1:]]
    if unknown := set(names) - {f.name for f in FAULTS}:
        sys.exit(f"no fault {', '.join(sorted(unknown))}; there are: {', '.join(f.name for f in FAULTS)}")
    chosen = [f for f in FAULTS if not names or f.name in names]
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="paceline-faults-") as folder:
        template = undisturbed(Path(folder))
        for variant, group in groupby(sorted(chosen, key=lambda f: f.variant), key=lambda f: f.variant):
            with running(shlex.split(variant)) as cluster:
                slurm = cluster.run("sinfo", "--version")
                for fault in group:
                    began = time.monotonic()
                    outcome = run(fault, cluster, template)
                    outcomes.append(outcome)
                    print(
                        f"{time.monotonic() - began:4.0f} s  {fault.name}: {', '.join(outcome.causes)}; "
                        f"{outcome.attempts} attempts, {outcome.resumes} resumes; "
                        f"{'; '.join(outcome.wrong) or 'the same bytes'}",
                        flush=True,
                    )
                    if outcome.wrong and (kept := os.environ.get("PACELINE_KEEP")):
                        shutil.copytree(
                            cluster.disk / fault.happen.__name__, Path(tempfile.mkdtemp(dir=kept)), dirs_exist_ok=True
                        )
    outcomes.sort(key=lambda o: FAULTS.index(o.fault))
    if not names:
        PAGE.write_text(page(outcomes, slurm))
        print(f"wrote {PAGE}")
    return int(any(o.wrong for o in outcomes))


if __name__ == "__main__":
    sys.exit(main())
