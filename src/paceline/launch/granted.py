"""What Slurm granted, against what was asked: a site's plugins may change a job while it is submitted, silently.

A job that got other resources still runs, so a difference is reported and stops nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from paceline.errors import Unavailable
from paceline.launch import arrays as slurm
from paceline.launch.elements import Element
from paceline.slurm import queue
from paceline.slurm.clients import call
from paceline.slurm.formats import fields, minutes, tres
from paceline.slurm.site import asked_for
from paceline.store.files import SCHEMA

# scontrol takes one job at a time.
MOST_CALLS = 4
SECONDS = 10.0
# What is written down of each job, by Slurm's own names.
KEPT = (
    "Account",
    "QOS",
    "Partition",
    "TimeLimit",
    "NumNodes",
    "NumCPUs",
    "TRES",
    "MinMemoryNode",
    "MinMemoryCPU",
    "Features",
    "Requeue",
    "Dependency",
    "MailUser",
)


def granted(elements: Sequence[Element], arrays: Sequence[Sequence[int]], jobs: Mapping[str, str]) -> dict[str, Any]:
    """The content of ``granted.json``: what Slurm reports of each array, and where it differs from the request.

    Args:
        elements: all elements of the submission.
        arrays: indices of elements per array.
        jobs: index of an element -> job id, the answer of :func:`slurm.launch`.

    Returns:
        ``{schema, time, jobs: {id: {Account, …}}, differences: [sentences], unanswered: {id: why}}``. Never raises:
        the jobs are submitted, whatever is known of them.
    """
    first = {queue.base(jobs[str(a[0])]): a for a in arrays if str(a[0]) in jobs}
    job_values: dict[str, dict[str, str]] = {}
    unanswered = dict.fromkeys(list(first)[MOST_CALLS:], f"not asked: more than {MOST_CALLS} arrays")
    with ThreadPoolExecutor(MOST_CALLS) as pool:
        futures = {
            job: pool.submit(call, ["scontrol", "--oneliner", "show", "job", job], SECONDS)
            for job in first
            if job not in unanswered
        }
        for job, answer in futures.items():
            try:
                # An array's elements come one by one, all alike, so only the first is read; a banner is passed over.
                lines = [line for line in answer.result().splitlines() if line.startswith("JobId=")]
                if lines:
                    job_values[job] = fields(lines[0])
                else:
                    unanswered[job] = "scontrol named no job"
            except Unavailable as error:
                unanswered[job] = str(error)
    making = {c: jobs[str(i)] for i, e in enumerate(elements) if str(i) in jobs for c in e.cells}
    sentences = [
        f"job {job}: {sentence}"
        for job, values in job_values.items()
        for sentence in differences(elements[first[job][0]], values, slurm.dependency(first[job], elements, making))
    ]
    return {
        "schema": SCHEMA,
        "time": time.time(),
        "jobs": {job: {k: values[k] for k in KEPT if k in values} for job, values in job_values.items()},
        "differences": sentences,
        "unanswered": unanswered,
    }


def differences(element: Element, values: Mapping[str, str], waits: str) -> list[str]:
    """Where a job differs from the request.

    Args:
        element: one of the array's.
        values: ``scontrol show job``.
        waits: the dependency on jobs of the same submission.
    """
    cluster, placement = slurm.cluster_of(element), element.placement["placement"]
    nodes, ranks = int(placement["nodes"]), int(placement["ranks"])
    sentences = []

    def differ(what: str, requested: object, got: object, verb: str = "gets") -> None:
        sentences.append(f"asked for {what}{requested}, {verb} {got}")

    for name, key, verb in (
        ("account", "Account", "is charged to"),
        ("qos", "QOS", "gets"),
        ("partition", "Partition", "runs in"),
    ):
        requested, got = asked_for(cluster, name), values.get(key, "")
        # Of several partitions Slurm takes one.
        if requested and got and not set(got.lower().split(",")) <= set(requested.lower().split(",")):
            differ(f"{'QOS' if name == 'qos' else name} ", requested, got, verb)
    limit = values.get("TimeLimit", "")
    if limit and minutes(limit) != cluster.minutes:
        differ("", f"{cluster.minutes} minutes", limit)
    numbers = {key: match[0] for key in ("NumNodes", "NumCPUs") if (match := re.match(r"\d+", values.get(key, "")))}
    for key, count, unit in (("NumNodes", nodes, "node"), ("NumCPUs", nodes * ranks * cluster.cpus, "CPU")):
        if key in numbers and int(numbers[key]) != count:
            differ("", _counted(count, unit), numbers[key])
    resources = tres(values.get("TRES", ""))
    memory = _memory(values, ranks * cluster.cpus)
    wanted = cluster.node_memory_gib(ranks)
    if cluster.memory_per_cpu_gib:  # Slurm is given whole MiB
        wanted = slurm.mib_per_cpu(cluster) * cluster.cpus * ranks / 1024
    if wanted and memory is not None and memory != wanted * 1024:
        differ("", f"{wanted:g} GiB a node", f"{memory / 1024:g}")
    gpus = _gpus(values, resources, nodes)
    if gpus is not None and gpus != cluster.gpus * nodes * ranks:
        differ("", _counted(cluster.gpus * nodes * ranks, "GPU"), gpus)
    kinds = {k.partition(":")[2] for k in resources if k.startswith("gres/gpu:")}
    if cluster.gpu and kinds and cluster.gpu.lower() not in kinds:
        differ("GPU ", cluster.gpu, ", ".join(sorted(kinds)))
    features = values.get("Features", "(null)")
    if cluster.constraint and features != cluster.constraint:
        differ("constraint ", cluster.constraint, "none" if features in ("", "(null)") else features)
    if cluster.mail and values.get("MailUser", "") != cluster.mail:
        differ("mail to ", cluster.mail, values.get("MailUser") or "none")
    if waits and values.get("Dependency", "(null)") in ("", "(null)") and values.get("JobState") == "PENDING":
        sentences.append(f"asked to wait ({waits}), waits for no job; its cells look for the weights themselves")
    if values.get("Requeue") == "0":
        sentences.append("the site forbids requeueing: a cell whose time is up waits for the next paceline resume")
    return sentences


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _memory(values: Mapping[str, str], cpus: int) -> int | None:
    """MiB a node; None where it is not reported."""
    if memory := tres(f"mem={values.get('MinMemoryNode', '')}"):
        return memory["mem"]
    if memory := tres(f"mem={values.get('MinMemoryCPU', '')}"):
        return memory["mem"] * cpus
    return None


def _gpus(values: Mapping[str, str], resources: Mapping[str, int], nodes: int) -> int | None:
    """GPUs of the whole job; None where the cluster does not count them."""
    if "gres/gpu" in resources:
        return resources["gres/gpu"]
    if typed := [n for k, n in resources.items() if k.startswith("gres/gpu:")]:
        return sum(typed)
    # Accounting may not count GPUs: then there is only what was written into the job, `gres:gpu:a100:1`.
    per_node = re.findall(r"gpu(?::[^:,()=]+)??(?:[:=](\d+))?(?=,|\(|$)", values.get("TresPerNode", ""))
    return nodes * sum(int(n or 1) for n in per_node) if per_node else None
