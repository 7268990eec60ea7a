"""What can be known before a sweep is submitted: whether Slurm will take it, run it, and leave it room to write.

Slurm accepts much that it never runs: a walltime over the QOS's limit waits for ever. So that is checked here, against
what the cluster says (:mod:`paceline.slurm.site`) and, where it says nothing, against the YAML.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from paceline.config.build import build, plain
from paceline.config.schema import ClusterSpec
from paceline.errors import Unavailable, UserError, nearest
from paceline.launch import arrays as slurm
from paceline.launch import signal_lead, storage
from paceline.launch.elements import Element
from paceline.slurm import site as site_of
from paceline.slurm.clients import call
from paceline.slurm.remembered import Answers
from paceline.slurm.site import Limit, Partition, Site, asked_for
from paceline.store import code as snapshot
from paceline.store.files import canonical
from paceline.store.root import Store
from paceline.sweep import status
from paceline.sweep.cells import PlannedCell, Sweep

GIB = 2**30
# sbatch's words for "not now"; any other refusal is about the job.
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
# sbatch's variables that win over the text it is given. The first have a setting of their own here.
_SETTINGS = ("ACCOUNT", "QOS", "PARTITION", "CONSTRAINT")
_FORBIDDEN = ("TIMELIMIT", "JOB_NAME", "ARRAY_INX", "GRES", "SIGNAL", "OUTPUT", "MEM_PER_NODE", "NO_REQUEUE", "WCKEY")


@dataclass(frozen=True)
class Finding:
    """What one check found. ``ok`` is None where it can't be known from here."""

    name: str
    ok: bool | None
    text: str


@dataclass(frozen=True)
class _Asked:
    """A distinct set of resources."""

    cluster: ClusterSpec
    nodes: int
    ranks: int

    @property
    def gpus(self) -> int:
        return self.cluster.gpus * self.nodes * self.ranks


def applied(elements: Sequence[Element], site: Site) -> tuple[list[Element], list[str]]:
    """Elements with the limits that the cluster tells in place of the YAML's, and what is to be said of it."""
    placements: dict[int, dict[str, Any]] = {}
    notes: dict[str, None] = {}
    for element in elements:
        if id(element.placement) not in placements:
            cluster, said = site.applied(slurm.cluster_of(element))
            placements[id(element.placement)] = {**element.placement, "cluster": plain(cluster)}
            notes |= dict.fromkeys(said)
    return [replace(e, placement=placements[id(e.placement)]) for e in elements], list(notes)


@dataclass(frozen=True)
class Outlook:
    """What a submit would hand to Slurm.

    Attributes:
        arrays: indices of elements per sbatch call.
        texts: the file of each.
        held: cells that the submit limit holds back.
        reason: why they are held.
        findings: of every check.
        notes: where the cluster says otherwise than its YAML, and what could not be asked.
    """

    arrays: list[list[int]]
    texts: list[str]
    held: list[str]
    reason: str
    findings: list[Finding]
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "arrays": [{"elements": a, "sbatch": t} for a, t in zip(self.arrays, self.texts, strict=True)],
            "held": {"cells": self.held, "reason": self.reason},
            "findings": [asdict(f) for f in self.findings],
            "notes": self.notes,
        }


def outlook(sweep: Sweep, elements: Sequence[Element], store: Store, asked: Answers) -> Outlook:
    """What a submit of these elements would do now. Submits and records nothing, and works where there is no Slurm."""
    site = site_of.ask(store.root)
    limited, notes = applied(elements, site)
    limited, leads = signal_lead.applied(limited, sweep.cells, store)
    notes += leads
    made = status.made_by(store, asked)
    try:
        arranged = slurm.arrange(limited, made, asked.queue(), site)
    except Unavailable:
        arranged = slurm.arrange(limited, made, [], site)
        notes.append("the queue can't be asked here: counted as if none of your jobs were in it")
    folder = store.sweep(sweep.name)
    code = folder.read()["code"] if folder.sweep_json.exists() else snapshot.code_digest()
    number = max((int(p.name) for p in folder.submissions()), default=0) + 1
    path, name = folder.path / "submissions" / str(number), f"paceline-{sweep.name}-XXXXXXXX"
    ordered = [*arranged.elements, *arranged.rest]
    places = {e.cells[0]: i for i, e in enumerate(elements)}
    return Outlook(
        [[places[ordered[i].cells[0]] for i in indices] for indices in arranged.arrays],
        texts(ordered, arranged.arrays, name, store, code, path, made),
        arranged.held,
        arranged.reason,
        findings(ordered, arranged.arrays, sweep.cells, store, code, site),
        notes,
    )


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
        site: what the cluster says.
    """
    asked = _asked(elements)
    names = [
        _merged("environment", (_environment(a) for a in asked)),
        _merged("account", (_account(a.cluster, site) for a in asked)),
        _merged("partition", (_partition(a.cluster, site) for a in asked)),
        _merged("qos", (_qos(a.cluster, site) for a in asked)),
    ]
    if any(f.ok is False for f in names):
        test = Finding("sbatch", None, "not asked: it would refuse the above")
    else:
        test = _test(elements, arrays, store, code, site)
    return [
        *names,
        _merged("walltime", (_walltime(a.cluster, site) for a in asked)),
        _merged("GPUs", (_gpus(a, site) for a in asked)),
        *_storage(elements, planned, store),
        test,
    ]


def require(found: Iterable[Finding]) -> None:
    """Refuse what a check says no to, all of it at once.

    Raises:
        UserError: the user can mend it; each check with its remedy.
        Unavailable: only the disk stands in the way, or Slurm gave no answer to the question that decides.
    """
    found = list(found)
    bad = [f for f in found if f.ok is False]
    if not bad:
        unanswered = [f for f in found if f.name == "sbatch" and f.ok is None]
        if unanswered:
            raise Unavailable(unanswered[0].text)
        return
    kind = Unavailable if all(f.name in ("space", "files") for f in bad) else UserError
    if len(bad) == 1:
        raise kind(bad[0].text)
    raise kind(f"{len(bad)} checks failed:\n" + "\n".join(f"  {f.name}: {f.text}" for f in bad))


def _asked(elements: Sequence[Element]) -> list[_Asked]:
    """The distinct sets of resources of elements."""
    # Elements share the mapping, so it is read once for each.
    placements = {id(e.placement): e.placement for e in elements}.values()
    distinct = {canonical([p["cluster"], p["placement"]["nodes"], p["placement"]["ranks"]]): p for p in placements}
    return [
        _Asked(build(ClusterSpec, p["cluster"], "cluster"), int(p["placement"]["nodes"]), int(p["placement"]["ranks"]))
        for p in distinct.values()
    ]


def _merged(name: str, said: Iterable[tuple[bool | None, str]]) -> Finding:
    """One finding of a check that looked at several sets of resources: the worst of what it said."""
    found = list(dict.fromkeys(said))
    worst: bool | None = True
    for ok in (None, False):
        if any(o is ok for o, _ in found):
            worst = ok
    return Finding(name, worst, "; ".join(dict.fromkeys(text for ok, text in found if ok is worst)))


# -- what the job asks for


def _environment(asked: _Asked) -> tuple[bool | None, str]:
    """sbatch's own variables win over the text that it is given, without a word."""
    wrong = []
    for name in _SETTINGS:
        mine, set_here = str(getattr(asked.cluster, name.lower())), os.environ.get(f"SBATCH_{name}", "")
        if mine and set_here and mine != set_here:
            key = f"cluster.{name.lower()}"
            wrong.append(
                f"SBATCH_{name}={set_here} is set here and wins over {key}={mine}; unset it, or give {key}={set_here}"
            )
    wrong += [
        f"SBATCH_{n} is set here and wins over what is asked; unset it"
        for n in _FORBIDDEN
        if f"SBATCH_{n}" in os.environ
    ]
    return (False, "; ".join(wrong)) if wrong else (True, "no variable of sbatch stands against the settings")


def _unknown(site: Site, *questions: str) -> str:
    """Why something is not known."""
    why = next((site.unanswered[q] for q in ("scontrol", *questions) if q in site.unanswered), "")
    return f"not known here: {why}" if why else "not known here"


def _account(cluster: ClusterSpec, site: Site) -> tuple[bool | None, str]:
    name = site.account_of(cluster)
    if site.accounting is False:
        return True, "this cluster keeps no accounts"
    if not site.associations:
        return None, _unknown(site, "associations", "config")
    mine = sorted({a.account for a in site.associations})
    if not name:
        return None, f"left to the site's plugin ({site.rewrites}); yours are {', '.join(mine)}"
    if name not in mine and {"associations", "limits", "safe", "qos"} & set(site.enforced):
        return False, (
            f"you may not charge account '{name}' on {site.name or 'this cluster'}: {nearest(name, mine)} "
            f"(cluster.account={_closest(name, mine)})"
        )
    return True, name + ("" if asked_for(cluster, "account") else ", your default")


def _partition(cluster: ClusterSpec, site: Site) -> tuple[bool | None, str]:
    if site.partitions is None:
        return None, _unknown(site, "partitions")
    names = site.partitions_of(cluster)
    if not names:
        if site.rewrites:
            return None, f"left to the site's plugin ({site.rewrites})"
        return False, f"the cluster has no default partition: give cluster.partition=… ({', '.join(site.partitions)})"
    account, qos = site.account_of(cluster), site.qos_of(cluster)
    for name in names:
        found = site.partitions.get(name)
        if found is None:
            return False, (
                f"there is no partition '{name}' on {site.name or 'this cluster'}: {nearest(name, site.partitions)} "
                f"(cluster.partition={_closest(name, site.partitions)})"
            )
        if why := _shut(found, account, qos):
            open_ones = [p.name for p in site.partitions.values() if not _shut(p, account, qos)]
            return False, f"partition '{name}' {why}; give cluster.partition={' or '.join(open_ones) or '…'}"
    return True, ",".join(names) + ("" if asked_for(cluster, "partition") else ", the cluster's default")


def _shut(partition: Partition, account: str, qos: str) -> str:
    """Why a partition takes no job of an account and a QOS; empty where it does, or they are not known."""
    if not partition.up:
        return "takes no jobs now"
    for word, name, allowed, denied in (
        ("account", account, partition.allow_accounts, partition.deny_accounts),
        ("QOS", qos, partition.allow_qos, partition.deny_qos),
    ):
        if name and allowed is not None and name not in {a.lower() for a in allowed}:
            return f"is not for {word} '{name}', only for {', '.join(allowed) or 'none'}"
        if name and name in {d.lower() for d in denied}:
            return f"is not for {word} '{name}'"
    return ""


def _qos(cluster: ClusterSpec, site: Site) -> tuple[bool | None, str]:
    name = site.qos_of(cluster)
    if site.accounting is False:
        return True, "this cluster keeps no QOS"
    enforced = "qos" in site.enforced
    association = site.association_of(cluster)
    mine = association.qos if association else ()
    if name and enforced and site.qos is not None and name not in site.qos:
        valid = mine or site.qos
        return False, (
            f"there is no QOS '{name}' on {site.name or 'this cluster'}: {nearest(name, valid)} "
            f"(cluster.qos={_closest(name, valid)})"
        )
    if association is None or not mine:
        return None, _unknown(site, "associations", "qos", "config")
    if not name:
        return None, f"left to the cluster; account {association.account} may use {', '.join(mine)}"
    if enforced and name not in mine:
        return False, (
            f"account {association.account} may not use QOS '{name}': {nearest(name, mine)} "
            f"(cluster.qos={_closest(name, mine)})"
        )
    return True, name + ("" if asked_for(cluster, "qos") else ", your default")


def _closest(name: str, valid: Iterable[str]) -> str:
    """The one name to put into a remedy, where there is no doubt; else an ellipsis."""
    names = sorted(set(valid))
    close = [n for n in names if f"'{n}'" in nearest(name, names, most=1)]
    return close[0] if len(close) == 1 else names[0] if len(names) == 1 else "…"


def _limit(told: Limit | None, mine: int, cluster: ClusterSpec) -> Limit | None:
    """What the cluster tells; where it tells nothing, what the YAML has; 0 is none."""
    return told or (Limit(mine, cluster.name or "the cluster's file") if mine else None)


def _walltime(cluster: ClusterSpec, site: Site) -> tuple[bool | None, str]:
    limit = _limit(site.limits(cluster).minutes, cluster.max_minutes, cluster)
    if limit is None:
        unknown = site.partitions is None
        return (None if unknown else True), f"{cluster.minutes} minutes; no limit is known"
    if cluster.minutes > limit.value:
        return False, (
            f"cluster.minutes={cluster.minutes} is over the limit of {limit.by}, {limit.value}, and would wait for "
            f"ever; give cluster.minutes={limit.value}: what does not finish is resumed"
        )
    return True, f"{cluster.minutes} minutes, up to {limit.value} ({limit.by})"


def _gpus(asked: _Asked, site: Site) -> tuple[bool | None, str]:
    cluster, gpus, limits = asked.cluster, asked.gpus, site.limits(asked.cluster)
    if not gpus:
        if cluster.gpu:
            return None, f"none: cluster.gpu={cluster.gpu} names a type, and cluster.gpus=0 asks for none of it"
        return True, "none"
    if limits.gpus and gpus > limits.gpus.value:
        return False, (
            f"{gpus} GPUs in one job are over the limit of {limits.gpus.by}, {limits.gpus.value}, and would wait for "
            f"ever; give fewer placement.ranks or placement.nodes, or another cluster.qos"
        )
    limit = _limit(limits.gpu_minutes, cluster.max_gpu_hours * 60, cluster)
    hours = gpus * cluster.minutes / 60
    if limit and gpus * cluster.minutes > limit.value:
        return False, (
            f"{gpus} GPUs for {cluster.minutes} minutes are {hours:.0f} GPU-hours, over the limit of {limit.by}, "
            f"{limit.value / 60:g}; give cluster.minutes={limit.value // gpus}"
        )
    up_to = f", up to {limit.value / 60:g} ({limit.by})" if limit else ""
    return True, f"{gpus} for {cluster.minutes} minutes: {hours:.1f} GPU-hours a job{up_to}"


# -- what the cells will write


def _storage(elements: Sequence[Element], planned: Sequence[PlannedCell], store: Store) -> Iterator[Finding]:
    """Bytes and files against what the file system and the quota leave."""
    needed = storage.need(elements, planned, store)
    try:
        rooms = storage.rooms(store.root)
    except OSError as error:
        yield Finding("space", None, f"not known here: {store.root}: {error.strerror}")
        return
    cells = sum(len(e.cells) for e in elements)
    unknown = "; ".join(f"of {name} not known ({why})" for name, why in needed.unknown.items())
    size = f"at most {needed.bytes / GIB:,.1f} GiB of checkpoints and weights for {needed.finetunes} finetune cells"
    if needed.moving:
        size += f", {needed.moving / GIB:,.1f} of it to put states together for another number of ranks"
    if not needed.finetunes:
        size = "no checkpoints to write"
    elif unknown:
        size = f"{size}, {unknown}" if needed.bytes else f"checkpoints and weights: size {unknown}"
    # A node that finds the disk full stops, but another user's job may fill it too: only a sure no is a no.
    yield _compared("space", needed.bytes, size, [(r.by, r.bytes) for r in rooms], GIB, bool(needed.unknown))
    files = (
        f"about {needed.files:,} files for {cells:,} cells, and {needed.again:,} more where every cell is resumed once"
    )
    yield _compared("files", needed.files, files, [(r.by, r.files) for r in rooms], 1, False)


def _compared(
    name: str, wanted: int, text: str, rooms: Sequence[tuple[str, int | None]], unit: int, partly: bool
) -> Finding:
    known = [(by, free) for by, free in rooms if free is not None]
    unit_name = "GiB" if unit > 1 else "files"
    left = ", ".join(f"{free / unit:,.0f} {unit_name} free ({by})" for by, free in known) or "what is free is not known"
    short = [(by, free) for by, free in known if wanted > free]
    remedies = {
        "space": "give placement.keep_checkpoints=1 or another root=, or make room: paceline clean",
        "files": "give another root=, tracking=disabled, or make room: paceline clean",
    }
    if short:
        return Finding(name, False, f"{text}; {left}; {remedies[name]}")
    return Finding(name, None if partly or not known else True, f"{text}; {left}")


# -- what Slurm itself says


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
    making, found = dict(known), []
    for k, indices in enumerate(arrays):
        waits = slurm.dependency(indices, elements, making)
        text = _text(elements[indices[0]], len(indices), f"{name}-{k}", store, code, path, k, waits)
        # The placeholder is put in last: quoted for a shell it would not be what sbatch is given.
        told = re.sub(r"@(\d+)@", r"<job of array \1>", waits)
        found.append(text.replace(f"--dependency={waits}\n", f"--dependency={told}\n"))
        for place, i in enumerate(indices):
            job = f"@{k}@" + (f"_{place}" if len(indices) > 1 else "")
            making.update(dict.fromkeys(elements[i].cells, job))
    return found


def _text(element: Element, count: int, name: str, store: Store, code: str, path: Path, k: int, waits: str = "") -> str:
    environment = slurm.environment_of(element, store, code)
    return slurm.sbatch_text(element, count, name, environment, path, k, waits)


def _test(elements: Sequence[Element], arrays: Sequence[Sequence[int]], store: Store, code: str, site: Site) -> Finding:
    """``sbatch --test-only`` of the longest array of each set of resources: Slurm's own word, and no job."""
    if not shutil.which("sbatch"):
        return Finding("sbatch", None, "not known here: sbatch is not installed; submit from a login node")
    if "config" in site.unanswered:  # the controller gave no answer a moment ago; each question more would wait too
        return Finding("sbatch", None, _unknown(site, "config"))
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
                return Finding("sbatch", None, str(error))
            if _NO_NODE in str(error) and (count := _out_of_service()):
                # Nodes that are drained or down count as not there in a test; the queue itself takes the job.
                return Finding("sbatch", True, f"not known: {count} nodes are out of service; until then it waits")
            refused.append(_refusal(element, len(indices), str(error)))
        except OSError as error:
            return Finding("sbatch", None, f"not known here: {tempfile.gettempdir()}: {error.strerror}")
    if refused:
        return Finding("sbatch", False, "; ".join(refused))
    if not tried:
        return Finding("sbatch", True, "nothing to ask")
    return Finding("sbatch", True, f"Slurm would take {'it' if tried == 1 else f'all {tried} kinds of job'}")


_NO_NODE = "node configuration is not available"
# Slurm's words -> what to change.
_REMEDIES = {
    "Invalid account": "give another cluster.account",
    "Invalid qos": "give another cluster.qos",
    "Invalid partition": "give another cluster.partition",
    "Invalid feature": "give another cluster.constraint",
    "(gres)": "give another cluster.gpu or cluster.gpus",
    _NO_NODE: (
        "no node has as much: lower cluster.memory_gib, cluster.cpus, cluster.gpus or placement.ranks, or give another "
        "cluster.gpu, cluster.constraint or cluster.partition"
    ),
    "More processors requested": "lower cluster.cpus, placement.ranks or placement.nodes",
    "Node count specification": "lower placement.nodes",
    "time limit": "lower cluster.minutes",
    "array specification": "lower cluster.max_array",
    "policy": "wait until jobs of yours have ended, or give another cluster.qos",
}


def _out_of_service() -> int:
    """Nodes that take no jobs now, by one sinfo; 0 where it could not be asked."""
    try:
        states = call(["sinfo", "--noheader", "--Node", "--format=%N %T"]).splitlines()
    except Unavailable:
        return 0
    shut = ("drain", "down", "maint", "fail", "reboot", "unk", "power", "reserved", "no_respond")
    return len({s.split()[0] for s in states if any(word in s.split()[-1].lower() for word in shut)})


def _refusal(element: Element, count: int, said: str) -> str:
    words = said.removeprefix("sbatch: ").removeprefix("error: ").removeprefix("allocation failure: ")
    remedy = next((r for begin, r in _REMEDIES.items() if begin in said), "change the settings of cluster or placement")
    asked = ", ".join(f"{k}={v}" for k, v in element.resources.items() if v and k not in ("cluster", "threads"))
    jobs = f"an array of {count}" if count > 1 else "a job"
    return f"Slurm refuses {jobs} with {asked}: {words}; {remedy}"
