"""Elements as Slurm job arrays through submitit: as few sbatch calls as the limits allow, and the shell is free again.

Each array has a name of its own, made of the intent that was written before it. So whatever dies in between, a later
command finds the array in the queue by its name, and adopts it instead of repeating it.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import submitit
from submitit.slurm.slurm import _make_sbatch_string

from paceline import snapshot
from paceline.errors import Unavailable, UserError
from paceline.launch.elements import Element, arrays
from paceline.slurm import queue
from paceline.spec import ClusterSpec, build
from paceline.store import SCHEMA, Store, write_json
from paceline.worker import RunElement


def cluster_of(element: Element) -> ClusterSpec:
    """The cluster that an element is placed on."""
    return build(ClusterSpec, element.placement["cluster"], "cluster")


def chunks(elements: Sequence[Element], made: Mapping[str, str], free: int | None) -> list[list[int]]:
    """Elements in arrays of equal resources, cut to the cluster's limits: one list of indices per sbatch call.

    Tuning comes first, and what needs a tuning that found no place is left too.

    Args:
        elements: all that is to run.
        made: cell -> job, of cells that are being made elsewhere.
        free: jobs that may still be submitted; None where there is no limit. What is over stays for the next resume.
    """
    found: list[list[int]] = []
    making = set(made)
    to_make = {c for e in elements for c in e.cells}
    for array in sorted(arrays(elements), key=lambda a: a["kind"] != "finetune"):
        indices = [i for i in array["elements"] if all(n in making or n not in to_make for n in elements[i].needs)]
        most = max(1, cluster_of(elements[array["elements"][0]]).max_array - 1)
        while indices and (free is None or free > 0):
            taken = indices[: min(most, len(indices) if free is None else free)]
            indices = indices[len(taken) :]
            found.append(taken)
            making.update(c for i in taken for c in elements[i].cells)
            free = None if free is None else free - len(taken)
    return found


def free(elements: Sequence[Element]) -> int | None:
    """Jobs that may still be submitted under the cluster's limit, those in the queue subtracted; None: no limit.

    Raises:
        Unavailable: there is a limit, and the queue can't be asked.
    """
    most = min((c.max_submit for e in elements if (c := cluster_of(e)).max_submit), default=0)
    if not most:
        return None
    jobs = queue.ask()
    if jobs is None:
        raise Unavailable("squeue gave no answer, so what may still be submitted is not known; try again in a minute")
    return max(0, most - len(jobs))


def parameters(element: Element, name: str, environment: Mapping[str, str], dependency: str = "") -> dict[str, Any]:
    """What submitit is told of an array whose elements all ask for the same."""
    cluster, placement = cluster_of(element), element.placement["placement"]
    ranks = int(placement["ranks"])
    extra: dict[str, Any] = {"kill-on-invalid-dep": "yes"}
    if cluster.mail:
        extra |= {"mail-user": cluster.mail, "mail-type": "END,FAIL"}
    gpu = f"gpu:{cluster.gpu}:" if cluster.gpu else "gpu:"
    exports = [f"export {key}={shlex.quote(value)}" for key, value in environment.items()]
    asked: dict[str, Any] = {
        "job_name": name,
        "time": cluster.minutes,
        "nodes": int(placement["nodes"]),
        "ntasks_per_node": ranks,
        "cpus_per_task": cluster.cpus,
        "gres": f"{gpu}{cluster.gpus * ranks}" if cluster.gpus else None,
        "mem": f"{cluster.memory_gib}G" if cluster.memory_gib else None,
        "account": cluster.account or None,
        "qos": cluster.qos or None,
        "partition": cluster.partition or None,
        "constraint": cluster.constraint or None,
        "dependency": dependency or None,
        "signal_delay_s": cluster.signal_seconds,
        "setup": [*cluster.setup, *exports],
        "stderr_to_stdout": True,
        "additional_parameters": extra,
        "use_srun": True,
    }
    if cluster.parallel:
        asked["array_parallelism"] = cluster.parallel
    return {key: value for key, value in asked.items() if value is not None}


def environment_of(element: Element, store: Store, code: str) -> dict[str, str]:
    """Variables of an element's processes: the frozen code, and threads as placed. Never a secret."""
    threads = int(element.placement["placement"]["threads"]) or 1
    frozen = {k: v for k, v in snapshot.environment(store, code).items() if k != "PYTHONPATH"}
    return {"PYTHONPATH": str(store.code(code) / "src"), **frozen, "OMP_NUM_THREADS": str(threads)}


def sbatch_text(element: Element, count: int, name: str, environment: Mapping[str, str], folder: Path) -> str:
    """The file that sbatch is given, for `plan` and for people."""
    command = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(str(folder))}"
    many: dict[str, Any] = {"map_count": count} if count > 1 else {}
    return _make_sbatch_string(command=command, folder=folder, **many, **parameters(element, name, environment))


def check(elements: Sequence[Element]) -> None:
    """Refuse what the cluster's limits forbid; Slurm would let some of it wait for ever.

    Raises:
        UserError: walltime or GPU-hours over the limit, with the setting to change.
    """
    for element in elements:
        cluster, placement = cluster_of(element), element.placement["placement"]
        if cluster.max_minutes and cluster.minutes > cluster.max_minutes:
            raise UserError(
                f"cluster.minutes={cluster.minutes} is over the limit of {cluster.name}, {cluster.max_minutes}; "
                f"give cluster.minutes={cluster.max_minutes}: what does not finish is resumed"
            )
        gpus = cluster.gpus * int(placement["nodes"]) * int(placement["ranks"])
        hours = gpus * cluster.minutes / 60
        if cluster.max_gpu_hours and hours > cluster.max_gpu_hours:
            raise UserError(
                f"{gpus} GPUs for {cluster.minutes} minutes are {hours:.0f} GPU-hours, over the limit of "
                f"{cluster.name}, {cluster.max_gpu_hours}; give cluster.minutes={cluster.max_gpu_hours * 60 // gpus}"
            )


def dependency(indices: Sequence[int], elements: Sequence[Element], jobs: Mapping[str, str]) -> str:
    """What an array waits for: that the jobs which make its weights end well.

    Args:
        indices: the array's elements.
        elements: all elements.
        jobs: cell -> job that will make it done.
    """
    needed = [[jobs[n] for n in elements[i].needs if n in jobs] for i in indices]
    ids = sorted({job for found in needed for job in found})
    if not ids:
        return ""
    base = ids[0].partition("_")[0]
    # Element by element where the arrays match, so that one tuning frees its own evaluation and waits for no other.
    if all(found == [f"{base}_{k}"] for k, found in enumerate(needed)) and len(indices) > 1:
        return f"aftercorr:{base}"
    return "afterok:" + ":".join(ids)


def launch(
    path: Path,
    elements: Sequence[Element],
    submitted: Sequence[Sequence[int]],
    name: str,
    store: Store,
    code: str,
    known: Mapping[str, str],
) -> dict[str, str]:
    """Submit the arrays of a submission, in order.

    Args:
        path: the submission's folder; ``jobs.json`` grows with every array.
        elements: all elements of the submission.
        submitted: indices of elements per array, the answer of :func:`chunks`.
        name: the intent's name; array ``k`` is called ``<name>-<k>``.
        store: the store.
        code: digest of the frozen code.
        known: cell -> job, of cells that other submissions make.

    Returns:
        Index of the element -> job id.

    Raises:
        Unavailable: Slurm refused or gave no answer; what was submitted before stays submitted.
    """
    jobs: dict[str, str] = {}
    making = dict(known)
    for k, indices in enumerate(submitted):
        first = elements[indices[0]]
        try:
            executor = submitit.SlurmExecutor(folder=path / "submitit" / "%j")
            waits = dependency(indices, elements, making)
            executor.update_parameters(**parameters(first, f"{name}-{k}", environment_of(first, store, code), waits))
            with executor.batch():
                made = [executor.submit(RunElement(str(path), i)) for i in indices]
        except (submitit.core.utils.FailedJobError, RuntimeError) as error:
            said = str(error).strip().splitlines()
            raise Unavailable(f"sbatch refused array {k} of {path}: {said[-1] if said else error}") from None
        for index, job in zip(indices, made, strict=True):
            jobs[str(index)] = job.job_id
            making.update(dict.fromkeys(elements[index].cells, job.job_id))
        write_json(path / "jobs.json", {"schema": SCHEMA, "jobs": jobs})
    return jobs
