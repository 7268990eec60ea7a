"""What can be known before a sweep is submitted: whether Slurm will take it, run it, and leave it room to write.

Slurm accepts much that it never runs: a walltime over the QOS's limit waits for ever. So that is checked here, against
what the cluster reports (:mod:`paceline.slurm.site`) and, where it reports nothing, against the YAML.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from paceline.config.identity import recorded
from paceline.counted import agree, counted
from paceline.errors import Unavailable, UserError
from paceline.launch import arrays as slurm
from paceline.launch import storage
from paceline.launch.elements import Element
from paceline.launch.preflight_checks import (
    Finding,
    asked_resources,
    check_account,
    check_environment,
    check_gpus,
    check_memory,
    check_partition,
    check_qos,
    check_walltime,
    merged_finding,
    unknown,
)
from paceline.slurm.clients import brief, call
from paceline.slurm.site import Site
from paceline.store.files import canonical
from paceline.store.root import Store
from paceline.sweep.cells import PlannedCell

GIB = 2**30
# sbatch's messages for a temporary failure; any other refusal is about the job.
_NO_ANSWER = (
    "gave no answer",
    "is not installed",
    "contact slurm controller",
    "Socket timed out",
    "Zero Bytes were transmitted",
    "in standby mode",
    "configuration source",
    "Unable to process configuration",
    "authentication",
    "Slurm controller not responding",
)


def applied(elements: Sequence[Element], site: Site) -> tuple[list[Element], list[str]]:
    """Elements with the limits that the cluster reports in place of the YAML's, and notes for the user."""
    placements: dict[int, dict[str, Any]] = {}
    notes: dict[str, None] = {}
    for element in elements:
        if id(element.placement) not in placements:
            cluster, cluster_notes = site.applied(slurm.cluster_of(element))
            placements[id(element.placement)] = {**element.placement, "cluster": recorded(cluster)}
            notes |= dict.fromkeys(cluster_notes)
    return [replace(e, placement=placements[id(e.placement)]) for e in elements], list(notes)


def findings(
    elements: Sequence[Element],
    arrays: Sequence[Sequence[int]],
    planned: Sequence[PlannedCell],
    store: Store,
    code: str,
    site: Site,
) -> list[Finding]:
    """Every check of what is to be submitted, one finding each.

    Args:
        elements: all that is to run, as :func:`applied` gives them.
        arrays: those that are submitted now, the answer of :func:`slurm.chunks`.
        planned: the cells of the elements, and perhaps others.
        store: the store.
        code: digest of the frozen code.
        site: what the cluster reports.
    """
    resources = asked_resources(elements)
    # What is not recorded of a cluster stands in the configs alone.
    clusters = {id(c.config.cluster): c.config.cluster for c in planned if c.config.cluster.needs_account}
    names = [
        merged_finding("environment", (check_environment(a) for a in resources)),
        merged_finding(
            "account", (check_account(c, site) for c in [*(a.cluster for a in resources), *clusters.values()])
        ),
        merged_finding("partition", (check_partition(a.cluster, site) for a in resources)),
        merged_finding("qos", (check_qos(a.cluster, site) for a in resources)),
    ]
    if any(f.ok is False for f in names):
        test = Finding("sbatch", None, "not asked: it would refuse the above")
    else:
        test = _test(elements, arrays, store, code, site)
    return [
        *names,
        merged_finding("walltime", (check_walltime(a.cluster, site) for a in resources)),
        merged_finding("GPUs", (check_gpus(a, site) for a in resources)),
        merged_finding("memory", (check_memory(a) for a in resources)),
        *_storage(elements, planned, store),
        test,
    ]


def require(all_findings: Iterable[Finding]) -> None:
    """Raise one error for all checks that failed.

    Raises:
        UserError: the user can mend it; each check with its remedy.
        Unavailable: only the disk stands in the way, or Slurm gave no answer to the question that decides.
    """
    all_findings = list(all_findings)
    bad = [f for f in all_findings if f.ok is False]
    if not bad:
        unanswered = [f for f in all_findings if f.name == "sbatch" and f.ok is None]
        if unanswered:
            raise Unavailable(unanswered[0].text)
        return
    kind = Unavailable if all(f.name in ("space", "files") for f in bad) else UserError
    if len(bad) == 1:
        raise kind(bad[0].text)
    raise kind(f"{counted(len(bad), 'check')} failed:\n" + "\n".join(f"  {f.name}: {f.text}" for f in bad))


# -- what the cells will write


def _storage(elements: Sequence[Element], planned: Sequence[PlannedCell], store: Store) -> Iterator[Finding]:
    """Bytes and files against what the file system and the quota leave."""
    needed = storage.need(elements, planned, store)
    try:
        rooms = storage.rooms(store.root)
    except OSError as error:
        yield Finding("space", None, f"not known here: {store.root}: {error.strerror}")
        return
    unknown = "; ".join(f"of {name} not known ({why})" for name, why in needed.unknown.items())
    finetunes = counted(needed.finetunes, "finetune cell")
    size = f"at most {needed.bytes / GIB:,.1f} GiB of checkpoints and weights for {finetunes}"
    if needed.moving:
        size += f", {needed.moving / GIB:,.1f} of it to put states together for another number of ranks"
    if not needed.finetunes:
        size = "no checkpoints to write"
    elif unknown:
        size = f"{size}, {unknown}" if needed.bytes else f"checkpoints and weights: size {unknown}"
    # A node that finds the disk full stops, but another user's job may fill it too: only a sure no is a no.
    yield _compared("space", needed.bytes, size, [(r.by, r.bytes) for r in rooms], GIB, bool(needed.unknown))
    files = f"{needed.files_text()}, and {needed.again:,} more where every cell is resumed once"
    yield _compared("files", needed.files, files, [(r.by, r.files) for r in rooms], 1, False)


def _compared(
    name: str, needed: int, text: str, rooms: Sequence[tuple[str, int | None]], unit: int, partly: bool
) -> Finding:
    known = [(by, free) for by, free in rooms if free is not None]
    unit_name = "GiB" if unit > 1 else "files"
    left = ", ".join(f"{free / unit:,.0f} {unit_name} free ({by})" for by, free in known) or "what is free is not known"
    short = [(by, free) for by, free in known if needed > free]
    remedies = {
        "space": "give placement.keep_checkpoints=1 or another root=, or make room: paceline clean, paceline rm",
        "files": "give another root=, tracking=disabled, or make room: paceline clean, paceline rm",
    }
    if short:
        return Finding(name, False, f"{text}; {left}; {remedies[name]}")
    return Finding(name, None if partly or not known else True, f"{text}; {left}")


# -- what Slurm itself reports


def texts(
    elements: Sequence[Element],
    arrays: Sequence[Sequence[int]],
    name: str,
    store: Store,
    code: str,
    path: Path,
    known: Mapping[str, str],
) -> list[str]:
    """The file that sbatch will be given for each array; a job that has no number yet stands as a placeholder.

    Args:
        elements, arrays, store, code: as for :func:`findings`.
        name: the intent's name.
        path: the submission's folder.
        known: cell -> job, of cells that other submissions make.
    """
    making, scripts = dict(known), []
    for k, indices in enumerate(arrays):
        waits = slurm.dependency(indices, elements, making)
        text = _text(elements[indices[0]], len(indices), f"{name}-{k}", store, code, path, k, waits)
        # The placeholder is put in last: quoted for a shell it would not be what sbatch is given.
        dependency = re.sub(r"@(\d+)@", r"<job of array \1>", waits)
        scripts.append(text.replace(f"--dependency={waits}\n", f"--dependency={dependency}\n"))
        for place, i in enumerate(indices):
            job = f"@{k}@" + (f"_{place}" if len(indices) > 1 else "")
            making.update(dict.fromkeys(elements[i].cells, job))
    return scripts


def _text(element: Element, count: int, name: str, store: Store, code: str, path: Path, k: int, waits: str = "") -> str:
    environment = slurm.environment_of(element, store, code)
    return slurm.sbatch_text(element, count, name, environment, path, k, waits)


def _test(elements: Sequence[Element], arrays: Sequence[Sequence[int]], store: Store, code: str, site: Site) -> Finding:
    """``sbatch --test-only`` of the longest array of each set of resources: Slurm's own check, which submits no job."""
    if not shutil.which("sbatch"):
        return Finding("sbatch", None, "not known here: sbatch is not installed; submit from a login node")
    if "config" in site.unanswered:  # the controller gave no answer a moment ago; each question more would wait too
        return Finding("sbatch", None, unknown(site, "config"))
    longest: dict[str, Sequence[int]] = {}
    for indices in arrays:
        key = canonical(elements[indices[0]].resources)
        longest[key] = max(longest.get(key, ()), indices, key=len)
    refused, tried = [], 0
    for indices in longest.values():
        element = elements[indices[0]]
        text = _text(element, len(indices), "paceline-test", store, code, store.root, 0)
        try:
            with tempfile.NamedTemporaryFile("w", prefix="paceline-", suffix=".sh") as script:
                script.write(text)
                script.flush()
                call(["sbatch", "--test-only", script.name])
            tried += 1
        except Unavailable as error:
            if any(words in str(error) for words in _NO_ANSWER):
                return Finding("sbatch", None, brief(error))
            if _NO_NODE in str(error) and (count := _out_of_service()):
                # Nodes that are drained or down count as not there in a test; the queue itself takes the job.
                return Finding(
                    "sbatch",
                    True,
                    f"not known: {counted(count, 'node')} {agree(count, 'is', 'are')} out of service; until "
                    "then it waits",
                )
            refused.append(_refusal(element, len(indices), str(error)))
        except OSError as error:
            return Finding("sbatch", None, f"not known here: {tempfile.gettempdir()}: {error.strerror}")
    if refused:
        return Finding("sbatch", False, "; ".join(refused))
    if not tried:
        return Finding("sbatch", True, "nothing to ask")
    return Finding("sbatch", True, f"Slurm would take {'it' if tried == 1 else f'all {tried} kinds of job'}")


_NO_NODE = "node configuration is not available"
# Slurm's message -> what to change.
_REMEDIES = {
    "Invalid account": "give another cluster.account",
    "Invalid qos": "give another cluster.qos",
    "Invalid partition": "give another cluster.partition",
    "Invalid feature": "give another cluster.constraint",
    "(gres)": "give another cluster.gpu or cluster.gpus",
    _NO_NODE: (
        "no node has as much: lower cluster.memory_gib or cluster.memory_per_cpu_gib, cluster.cpus, cluster.gpus or "
        "placement.ranks, or give another cluster.gpu, cluster.constraint or cluster.partition"
    ),
    "More processors requested": "lower cluster.cpus, placement.ranks or placement.nodes",
    "Node count specification": "lower placement.nodes",
    "time limit": "lower cluster.minutes",
    "Memory specification": "lower cluster.memory_gib or cluster.memory_per_cpu_gib",
    "--mem-per-cpu": "give cluster.memory_per_cpu_gib, and cluster.memory_gib=0",
    "array specification": "lower cluster.max_array",
    "policy": "wait until jobs of yours have ended, or give another cluster.qos",
}


def _out_of_service() -> int:
    """Nodes that take no jobs now, by one sinfo; 0 where sinfo failed."""
    try:
        lines = call(["sinfo", "--noheader", "--Node", "--format=|%N|%T"]).splitlines()
    except Unavailable:
        return 0
    shut = ("drain", "down", "maint", "fail", "reboot", "unk", "power", "reserved", "no_respond")
    nodes = (line.split("|")[1:] for line in lines if line.startswith("|") and line.count("|") == 2)
    return len({name for name, state in nodes if any(word in state.lower() for word in shut)})


def _refusal(element: Element, count: int, message: str) -> str:
    reason = message.removeprefix("sbatch: ").replace("allocation failure: ", "")
    remedy = next(
        (r for begin, r in _REMEDIES.items() if begin in message), "change the settings of cluster or placement"
    )
    resources = ", ".join(f"{k}={v}" for k, v in element.resources.items() if v and k not in ("cluster", "threads"))
    jobs = f"an array of {count}" if count > 1 else "a job"
    remedy = f"; {remedy}" if "\n" not in reason else f"\n{remedy}"
    return f"Slurm refuses {jobs} with {resources}: {reason}{remedy}"
