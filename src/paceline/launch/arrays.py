"""Elements as Slurm job arrays: as few sbatch calls as the limits allow, and the shell is free again.

Submitit makes the script and runs the ranks; sbatch is called here, because its answer is read more strictly.

Each array has a name of its own, made of the intent that was written before it. So whatever dies in between, a later
command finds the array in the queue by its name, and adopts it instead of repeating it.
"""

from __future__ import annotations

import math
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit.slurm.slurm import _make_sbatch_string

from paceline.config.build import build
from paceline.config.cell_kinds import kind_of
from paceline.config.gpus import asked_as
from paceline.config.schema import ClusterSpec
from paceline.counted import counted
from paceline.errors import Unavailable
from paceline.launch.elements import Element, arrays
from paceline.launch.environments import interpreter, shown
from paceline.slurm import queue, sbatch
from paceline.slurm.queue import Job
from paceline.slurm.site import Site
from paceline.store import code as snapshot
from paceline.store.files import SCHEMA, write_bytes, write_json
from paceline.store.root import Store

CHAIN_MINUTES = 30
CHAIN_GIB = 2


def cluster_of(element: Element) -> ClusterSpec:
    """The cluster that an element is placed on."""
    return build(ClusterSpec, element.placement["cluster"], "cluster")


def chunks(elements: Sequence[Element], job_of_cell: Mapping[str, str], free: int | None) -> list[list[int]]:
    """Elements in arrays of equal resources, cut to the cluster's limits: one list of indices per sbatch call.

    Tuning comes first, and what needs something that is left out is left out too.

    Args:
        elements: all that is to run.
        job_of_cell: cell -> job, of cells that are being made elsewhere.
        free: jobs that may still be submitted; None where there is no limit. What is over stays for the next resume.
    """
    index_lists: list[list[int]] = []
    making = set(job_of_cell)
    to_make = {c for e in elements for c in e.cells}
    # An array stands behind those that it waits for, and stays so: only what waits for nothing is moved.
    for array in sorted(arrays(elements), key=lambda a: not _begins(elements[a["elements"][0]])):
        indices = [i for i in array["elements"] if all(n in making or n not in to_make for n in elements[i].needs)]
        most = max(1, cluster_of(elements[array["elements"][0]]).max_array - 1)
        while indices and (free is None or free > 0):
            chunk = indices[: min(most, len(indices) if free is None else free)]
            indices = indices[len(chunk) :]
            index_lists.append(chunk)
            making.update(c for i in chunk for c in elements[i].cells)
            free = None if free is None else free - len(chunk)
    return index_lists


def _begins(element: Element) -> bool:
    """Whether it is a tuning that waits for nothing."""
    return kind_of(element.kind).trains and not element.needs


def free(elements: Sequence[Element], jobs: Sequence[Job] | None, site: Site) -> tuple[int | None, str]:
    """Jobs that may still be submitted under the cluster's limit, those in the queue subtracted; None: no limit.

    Args:
        elements: all that is to run.
        jobs: the user's queue; None where it could not be asked.
        site: what the cluster says.

    Returns:
        The number, and what stands in the way of more.

    Raises:
        Unavailable: there is a limit, and the queue can't be asked.
    """
    placements = {id(e.placement): e for e in elements}.values()
    limited = [c for e in placements if (c := cluster_of(e)).max_submit]
    if not limited:
        return None, ""
    tightest = min(limited, key=lambda c: c.max_submit)
    if jobs is None:
        raise Unavailable("squeue gave no answer, so what may still be submitted is not known; try again in a minute")
    qos = site.qos_of(tightest)
    queued = len(queue.live(jobs, qos))
    of = f" of {qos}" if qos else ""
    reason = f"{counted(tightest.max_submit, 'job')}{of} may be submitted at a time, {queued} are in the queue"
    return max(0, tightest.max_submit - queued), reason


@dataclass(frozen=True)
class Arrangement:
    """Which elements are submitted now, as which arrays, and what has to wait.

    Attributes:
        elements: those that are submitted now, in order.
        arrays: their indices, one list per sbatch call.
        rest: those that have to wait.
        reason: why.
    """

    elements: list[Element]
    arrays: list[list[int]]
    rest: list[Element]
    reason: str

    @property
    def held(self) -> list[str]:
        """The cells that have to wait."""
        return [cell for element in self.rest for cell in element.cells]


def arrange(
    elements: Sequence[Element], job_of_cell: Mapping[str, str], jobs: Sequence[Job] | None, site: Site, kept: int = 0
) -> Arrangement:
    """Cut elements into arrays under the cluster's limits.

    Args:
        elements: all that is to run.
        job_of_cell: cell -> job, of cells that are being made elsewhere.
        jobs: the user's queue; None where it could not be asked.
        site: what the cluster says.
        kept: places under the submit limit to leave free.
    """
    most, reason = free(elements, jobs, site)
    arrays = chunks(elements, job_of_cell, most if most is None else max(0, most - kept))
    order = [i for indices in arrays for i in indices]
    starts = [sum(map(len, arrays[:k])) for k in range(len(arrays))]
    submitted = set(order)
    rest = [e for i, e in enumerate(elements) if i not in submitted]
    return Arrangement(
        [elements[i] for i in order],
        [list(range(start, start + len(a))) for start, a in zip(starts, arrays, strict=True)],
        rest,
        reason if rest else "",
    )


def parameters(element: Element, name: str, environment: Mapping[str, str], dependency: str = "") -> dict[str, Any]:
    """The parameters of submitit for an array of equal resources."""
    cluster, placement = cluster_of(element), element.placement["placement"]
    ranks = int(placement["ranks"])
    extra: dict[str, Any] = {"kill-on-invalid-dep": "yes"}
    if cluster.mail:
        extra |= {"mail-user": cluster.mail, "mail-type": "END,FAIL"}
    kind, constraint = asked_as(cluster)
    gpu = f"gpu:{kind}:" if kind else "gpu:"
    exports = [f"export {key}={shlex.quote(value)}" for key, value in environment.items()]
    options: dict[str, Any] = {
        "job_name": name,
        "time": cluster.minutes,
        "nodes": int(placement["nodes"]),
        "ntasks_per_node": ranks,
        "cpus_per_task": cluster.cpus,
        "gres": f"{gpu}{cluster.gpus * ranks}" if cluster.gpus else None,
        "mem": f"{cluster.memory_gib}G" if cluster.memory_gib and not cluster.memory_per_cpu_gib else None,
        "mem_per_cpu": f"{mib_per_cpu(cluster)}M" if cluster.memory_per_cpu_gib else None,
        "account": cluster.account or None,
        "qos": cluster.qos or None,
        "partition": cluster.partition or None,
        "constraint": constraint or None,
        "dependency": dependency or None,
        "signal_delay_s": cluster.signal_seconds,
        "setup": [*cluster.setup, *exports],
        "stderr_to_stdout": True,
        "additional_parameters": extra,
        "use_srun": True,
        # A rank that dies leaves the others waiting for it until their own time is up.
        "srun_args": ["--kill-on-bad-exit=1"] if ranks * int(placement["nodes"]) > 1 else None,
    }
    if cluster.parallel:
        options["array_parallelism"] = cluster.parallel
    # submitit's own accounting key, which a site that checks such keys would refuse.
    return {key: value for key, value in options.items() if value is not None} | {"wckey": None}


def mib_per_cpu(cluster: ClusterSpec) -> int:
    """``cluster.memory_per_cpu_gib`` as Slurm takes it, in whole MiB."""
    return max(1, round(cluster.memory_per_cpu_gib * 1024))


def environment_of(element: Element, store: Store, code: str) -> dict[str, str]:
    """Variables of an element's processes: the frozen code, and threads as placed. Never a secret."""
    threads = int(element.placement["placement"]["threads"]) or 1
    frozen = {k: v for k, v in snapshot.environment(store, code).items() if k != "PYTHONPATH"}
    return {
        "PYTHONPATH": str(store.code(code) / "src"),
        **frozen,
        "OMP_NUM_THREADS": str(threads),
        # Since Slurm 22.05 srun no longer takes --cpus-per-task from sbatch, and ranks would get one core.
        "SRUN_CPUS_PER_TASK": str(cluster_of(element).cpus),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # they make logs unreadable
    }


def sbatch_text(
    element: Element,
    count: int,
    name: str,
    environment: Mapping[str, str],
    path: Path,
    array: int = 0,
    dependency: str = "",
) -> str:
    """The file that sbatch is given for an array of the submission at ``path``, for `plan` and for people."""
    many: dict[str, Any] = {"map_count": count} if count > 1 else {}
    return _make_sbatch_string(
        command=_command(shown(element.environment), path, array),
        folder=path / "submitit",
        **many,
        **parameters(element, name, environment, dependency),
    )


def _command(python: str, path: Path, array: int) -> str:
    return shlex.join([python, "-u", "-m", "paceline.rank", str(path), str(array)])


def dependency(indices: Sequence[int], elements: Sequence[Element], jobs: Mapping[str, str]) -> str:
    """What an array waits for: that the jobs which make its weights, or the answers that it builds on, end well.

    What another of its needs waits for itself is not named again.

    Args:
        indices: the array's elements.
        elements: all elements.
        jobs: cell -> job that will make it done.
    """
    needs_of = {cell: element.needs for element in elements for cell in element.cells}
    needed = []
    for i in indices:
        needs = elements[i].needs
        implied = {n for need in needs for n in _behind(need, needs_of)}
        needed.append([jobs[n] for n in needs if n in jobs and n not in implied])
    ids = sorted({job for element_jobs in needed for job in element_jobs})
    if not ids:
        return ""
    base = ids[0].partition("_")[0]
    # Element by element where the arrays match, so that one tuning frees its own evaluation and waits for no other.
    if all(element_jobs == [f"{base}_{k}"] for k, element_jobs in enumerate(needed)) and len(indices) > 1:
        return f"aftercorr:{base}"
    return "afterok:" + ":".join(ids)


def _behind(cell: str, needs_of: Mapping[str, Sequence[str]]) -> set[str]:
    """What a cell waits for, and what that waits for, and so on."""
    return {n for need in needs_of.get(cell, ()) for n in (need, *_behind(need, needs_of))}


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
        UserError: an element's Python environment is not there.
        Unavailable: Slurm refused or gave no answer; the message says what was submitted before, and stays.
    """
    jobs: dict[str, str] = {}
    making = dict(known)
    for indices in submitted:
        interpreter(elements[indices[0]].environment)  # gone since it was checked? then before the first array
    (path / "submitit").mkdir(exist_ok=True)
    for k, indices in enumerate(submitted):
        first = elements[indices[0]]
        environment, waits = environment_of(first, store, code), dependency(indices, elements, making)
        script = path / "submitit" / f"array_{k}.sh"
        text = sbatch_text(first, len(indices), f"{name}-{k}", environment, path, k, waits)
        write_bytes(script, text.encode(errors="surrogateescape"))  # a root may bear any name
        try:
            job = sbatch.submit([str(script)], f"{name}-{k}")
        except Unavailable as error:
            of = f"array {k} of {len(submitted)}" if len(submitted) > 1 else "the job"
            rest = f"; what was not: paceline resume {path.parents[1].name}"
            raise Unavailable(f"{of} was not submitted: {error}{_stays(path, jobs, rest)}") from None
        for place, index in enumerate(indices):
            jobs[str(index)] = f"{job}_{place}" if len(indices) > 1 else job
            making.update(dict.fromkeys(elements[index].cells, jobs[str(index)]))
        write_json(path / "jobs.json", {"schema": SCHEMA, "jobs": jobs})
    return jobs


def _stays(path: Path, jobs: Mapping[str, str], rest: str) -> str:
    """What of a submission that broke off is in the queue all the same, and how to cancel it; on lines of their own."""
    if not jobs:
        return ""
    ids = sorted({queue.base(job) for job in jobs.values()}, key=int)
    number = f"{len(jobs)} element{'' if len(jobs) == 1 else 's'}"
    stay = "stays" if len(jobs) == 1 else "stay"
    return (
        f"\n{number} of this submission {stay} in the queue, as job{'' if len(ids) == 1 else 's'} {', '.join(ids)}; to "
        f"cancel: paceline cancel {path.parents[1].name}{rest}"
    )


def chained(sweep: str, jobs: Sequence[Job] | None) -> str | None:
    """The job that waits to resume a sweep, where there is one: a second one would be of no use."""
    pattern = re.compile(rf"paceline-{re.escape(sweep)}-[0-9a-f]{{8}}-chain")
    return next((job.id for job in jobs or () if job.pending and pattern.fullmatch(job.name)), None)


def chain(
    path: Path,
    element: Element,
    jobs: Mapping[str, str],
    name: str,
    store: Store,
    code: str,
    conf: Sequence[Path],
) -> str:
    """Submit the small job that resumes the sweep when all jobs of this submission are over; its id.

    It takes the same account and quality of service, because a site lets users choose few, and no GPU.

    Args:
        path: the submission's folder.
        element: one of those submitted, for its cluster.
        jobs: index of an element -> job.
        name: the intent's name.
        store: the store.
        code: digest of the frozen code.
        conf: where this submission looked for configs, the shipped ones last.

    Raises:
        Unavailable: Slurm refused or gave no answer; the message says that the other jobs stay submitted.
    """
    cluster = cluster_of(element)
    sweep = path.parents[1].name
    resume = [sys.executable, "-m", "paceline", "resume", sweep, f"root={store.root}", "--chain", "--unattended"]
    conf_folders = [str(folder) for folder in conf[:-1]]
    resume += [argument for folder in conf_folders[:1] for argument in ("--conf", folder)]
    variables = environment_of(element, store, code) | ({"PACELINE_CONF": conf_folders[1]} if conf_folders[1:] else {})
    exports = [f"export {k}={shlex.quote(v)}" for k, v in variables.items()]
    options = {"account": cluster.account, "qos": cluster.qos, "partition": cluster.partition}
    ids = sorted({queue.base(job) for job in jobs.values()}, key=int)
    arguments = [
        f"--job-name={name}-chain",
        f"--output={path / 'chain.log'}",
        f"--dependency=afterany:{':'.join(ids)}",
        f"--time={CHAIN_MINUTES}",
        *_chain_memory(cluster),
        "--ntasks=1",
        *(f"--{key}={value}" for key, value in options.items() if value),
        f"--wrap={'; '.join([*cluster.setup, *exports, shlex.join(resume)])}",
    ]
    try:
        return sbatch.submit(arguments, f"{name}-chain")
    except Unavailable as error:
        rest = f"; what they leave: paceline resume {sweep}"
        raise Unavailable(f"the chained job was not submitted: {error}{_stays(path, jobs, rest)}") from None


def _chain_memory(cluster: ClusterSpec) -> list[str]:
    """The chained job's memory, asked for in the way that the site takes; no CPU gets more than others do."""
    if not cluster.memory_per_cpu_gib:
        return [f"--mem={CHAIN_GIB}G"]
    mib = min(mib_per_cpu(cluster), CHAIN_GIB * 1024)
    return [f"--mem-per-cpu={mib}M", f"--cpus-per-task={math.ceil(CHAIN_GIB * 1024 / mib)}"]
