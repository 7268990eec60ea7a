"""What Slurm would refuse or never start: one function per setting, against what the cluster reports."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from paceline.config.build import build
from paceline.config.schema import ClusterSpec
from paceline.errors import nearest
from paceline.launch.elements import Element
from paceline.slurm.site import Limit, Partition, Site, asked_for
from paceline.store.files import canonical

# sbatch's variables that win over the text it is given. The first have a setting of their own here.
_SETTINGS = ("ACCOUNT", "QOS", "PARTITION", "CONSTRAINT")
_FORBIDDEN = (
    *("TIMELIMIT", "JOB_NAME", "ARRAY_INX", "GRES", "SIGNAL", "OUTPUT", "NO_REQUEUE", "WCKEY"),
    *("MEM_PER_NODE", "MEM_PER_CPU", "MEM_PER_GPU"),
)


@dataclass(frozen=True)
class Finding:
    """What one check found. ``ok`` is None where it can't be known from here."""

    name: str
    ok: bool | None
    text: str


@dataclass(frozen=True)
class AskedResources:
    """A distinct set of resources."""

    cluster: ClusterSpec
    nodes: int
    ranks: int

    @property
    def gpus(self) -> int:
        return self.cluster.gpus * self.nodes * self.ranks


def asked_resources(elements: Sequence[Element]) -> list[AskedResources]:
    """The distinct sets of resources of elements."""
    # Elements share the mapping, so it is read once for each.
    placements = {id(e.placement): e.placement for e in elements}.values()
    distinct = {canonical([p["cluster"], p["placement"]["nodes"], p["placement"]["ranks"]]): p for p in placements}
    return [
        AskedResources(
            build(ClusterSpec, p["cluster"], "cluster"), int(p["placement"]["nodes"]), int(p["placement"]["ranks"])
        )
        for p in distinct.values()
    ]


def merged_finding(name: str, outcomes: Iterable[tuple[bool | None, str]]) -> Finding:
    """One finding of a check that looked at several sets of resources: the worst of the outcomes."""
    distinct = list(dict.fromkeys(outcomes))
    worst: bool | None = True
    for ok in (None, False):
        if any(o is ok for o, _ in distinct):
            worst = ok
    return Finding(name, worst, "; ".join(dict.fromkeys(text for ok, text in distinct if ok is worst)))


def check_environment(resources: AskedResources) -> tuple[bool | None, str]:
    """sbatch's own variables silently win over the script that it is given."""
    wrong = []
    for name in _SETTINGS:
        setting, set_here = str(getattr(resources.cluster, name.lower())), os.environ.get(f"SBATCH_{name}", "")
        if setting and set_here and setting != set_here:
            key = f"cluster.{name.lower()}"
            wrong.append(
                f"SBATCH_{name}={set_here} is set here and wins over {key}={setting}; unset it, or give "
                f"{key}={set_here}"
            )
    wrong += [
        f"SBATCH_{n} is set here and wins over what is asked; unset it"
        for n in _FORBIDDEN
        if f"SBATCH_{n}" in os.environ
    ]
    return (False, "; ".join(wrong)) if wrong else (True, "no variable of sbatch stands against the settings")


def unknown(site: Site, *questions: str) -> str:
    """Why something is not known."""
    why = next((site.unanswered[q] for q in ("scontrol", *questions) if q in site.unanswered), "")
    return f"not known here: {why}" if why else "not known here"


def check_account(cluster: ClusterSpec, site: Site) -> tuple[bool | None, str]:
    name = site.account_of(cluster)
    if site.accounting is False:
        return True, "this cluster keeps no accounts"
    accounts = sorted({a.account for a in site.associations or ()})
    enforced = bool({"associations", "limits", "safe", "qos"} & set(site.enforced))
    where = site.name or cluster.name or "this cluster"
    if cluster.needs_account and not asked_for(cluster, "account"):
        yours = f" (yours: {', '.join(accounts)})" if accounts else ""
        return False, f"{where} takes no job without an account: give cluster.account={_closest('', accounts)}{yours}"
    if not accounts:
        return None, unknown(site, "associations", "config")
    if not name and site.rewrites:
        return None, f"left to the site's plugin ({site.rewrites}); yours are {', '.join(accounts)}"
    if not name and enforced:
        return False, (
            f"{where} charges jobs to an account and you have no default one: give cluster.account="
            f"{_closest('', accounts)} (yours: {', '.join(accounts)})"
        )
    if name not in accounts and enforced:
        return False, (
            f"you may not charge account '{name}' on {where}: {nearest(name, accounts)} "
            f"(cluster.account={_closest(name, accounts)})"
        )
    return True, name + ("" if asked_for(cluster, "account") else ", your default")


def check_partition(cluster: ClusterSpec, site: Site) -> tuple[bool | None, str]:
    if site.partitions is None:
        return None, unknown(site, "partitions")
    names = site.partitions_of(cluster)
    if not names:
        if site.rewrites:
            return None, f"left to the site's plugin ({site.rewrites})"
        return False, f"the cluster has no default partition: give cluster.partition=… ({', '.join(site.partitions)})"
    account, qos = site.account_of(cluster), site.qos_of(cluster)
    for name in names:
        partition = site.partitions.get(name)
        if partition is None:
            return False, (
                f"there is no partition '{name}' on {site.name or 'this cluster'}: {nearest(name, site.partitions)} "
                f"(cluster.partition={_closest(name, site.partitions)})"
            )
        if why := _shut(partition, account, qos):
            open_ones = [p.name for p in site.partitions.values() if not _shut(p, account, qos)]
            return False, f"partition '{name}' {why}; give cluster.partition={' or '.join(open_ones) or '…'}"
    return True, ",".join(names) + ("" if asked_for(cluster, "partition") else ", the cluster's default")


def _shut(partition: Partition, account: str, qos: str) -> str:
    """Why a partition takes no job of an account and a QOS; empty where it does, or they are not known."""
    if not partition.up:
        return "takes no jobs now"
    for kind, name, allowed, denied in (
        ("account", account, partition.allow_accounts, partition.deny_accounts),
        ("QOS", qos, partition.allow_qos, partition.deny_qos),
    ):
        if name and allowed is not None and name not in {a.lower() for a in allowed}:
            return f"is not for {kind} '{name}', only for {', '.join(allowed) or 'none'}"
        if name and name in {d.lower() for d in denied}:
            return f"is not for {kind} '{name}'"
    return ""


def check_qos(cluster: ClusterSpec, site: Site) -> tuple[bool | None, str]:
    name = site.qos_of(cluster)
    if site.accounting is False:
        return True, "this cluster keeps no QOS"
    enforced = "qos" in site.enforced
    association = site.association_of(cluster)
    allowed = association.qos if association else ()
    if name and enforced and site.qos is not None and name not in site.qos:
        valid = allowed or site.qos
        return False, (
            f"there is no QOS '{name}' on {site.name or 'this cluster'}: {nearest(name, valid)} "
            f"(cluster.qos={_closest(name, valid)})"
        )
    if association is None or not allowed:
        return None, unknown(site, "associations", "qos", "config")
    if not name:
        return None, f"left to the cluster; account {association.account} may use {', '.join(allowed)}"
    if enforced and name not in allowed:
        return False, (
            f"account {association.account} may not use QOS '{name}': {nearest(name, allowed)} "
            f"(cluster.qos={_closest(name, allowed)})"
        )
    return True, name + ("" if asked_for(cluster, "qos") else ", your default")


def _closest(name: str, valid: Iterable[str]) -> str:
    """The one name to put into a remedy, where there is no doubt; else an ellipsis."""
    names = sorted(set(valid))
    close = [n for n in names if f"'{n}'" in nearest(name, names, most=1)]
    return close[0] if len(close) == 1 else names[0] if len(names) == 1 else "…"


def tighter_limit(site_limit: Limit | None, configured: int, cluster: ClusterSpec) -> Limit | None:
    """The limit that the cluster reports, else the YAML's; 0 there is no limit."""
    return site_limit or (Limit(configured, cluster.name or "the cluster's file") if configured else None)


def check_walltime(cluster: ClusterSpec, site: Site) -> tuple[bool | None, str]:
    limit = tighter_limit(site.limits(cluster).minutes, cluster.max_minutes, cluster)
    if limit is None:
        unknown = site.partitions is None
        return (None if unknown else True), f"{cluster.minutes} minutes; no limit is known"
    if cluster.minutes > limit.value:
        return False, (
            f"cluster.minutes={cluster.minutes} is over the limit of {limit.by}, {limit.value}, and would wait for "
            f"ever; give cluster.minutes={limit.value}: what does not finish is resumed"
        )
    return True, f"{cluster.minutes} minutes, up to {limit.value} ({limit.by})"


def check_memory(resources: AskedResources) -> tuple[bool | None, str]:
    """Slurm takes memory per node or per CPU, not both."""
    cluster = resources.cluster
    if cluster.memory_gib and cluster.memory_per_cpu_gib:
        return False, (
            f"cluster.memory_gib={cluster.memory_gib} is memory per node and cluster.memory_per_cpu_gib="
            f"{cluster.memory_per_cpu_gib:g} per CPU, and Slurm takes one of them; give cluster.memory_gib=0, or "
            "cluster.memory_per_cpu_gib=0"
        )
    gib = cluster.node_memory_gib(resources.ranks)
    per_cpu = f", {cluster.memory_per_cpu_gib:g} a CPU" if cluster.memory_per_cpu_gib else ""
    return True, f"{gib:g} GiB a node{per_cpu}" if gib else "left to the cluster"


def check_gpus(resources: AskedResources, site: Site) -> tuple[bool | None, str]:
    cluster, gpus, limits = resources.cluster, resources.gpus, site.limits(resources.cluster)
    if not gpus:
        if cluster.gpu:
            return None, f"none: cluster.gpu={cluster.gpu} names a type, and cluster.gpus=0 asks for none of it"
        return True, "none"
    if limits.gpus and gpus > limits.gpus.value:
        return False, (
            f"{gpus} GPUs in one job are over the limit of {limits.gpus.by}, {limits.gpus.value}, and would wait for "
            f"ever; give fewer placement.ranks or placement.nodes, or another cluster.qos"
        )
    limit = tighter_limit(limits.gpu_minutes, cluster.max_gpu_hours * 60, cluster)
    hours = gpus * cluster.minutes / 60
    if limit and gpus * cluster.minutes > limit.value:
        return False, (
            f"{gpus} GPUs for {cluster.minutes} minutes are {hours:.0f} GPU-hours, over the limit of {limit.by}, "
            f"{limit.value / 60:g}; give cluster.minutes={limit.value // gpus}"
        )
    up_to = f", up to {limit.value / 60:g} ({limit.by})" if limit else ""
    return True, f"{gpus} for {cluster.minutes} minutes: {hours:.1f} GPU-hours a job{up_to}"
