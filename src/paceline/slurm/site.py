"""What this cluster allows: queried from Slurm once an hour, and takes precedence over a file of this project.

What Slurm did not report (no accounting, a daemon that is down, no answer in time) is None, "not known": it is
neither a limit nor the absence of one, and no submit is refused for it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from paceline.config.schema import ClusterSpec
from paceline.errors import PacelineError, Unavailable
from paceline.slurm.clients import brief, call
from paceline.slurm.formats import fields, minutes, name_list, names_or_all, number_or_none, seconds, tres
from paceline.store.files import SCHEMA, read_json, write_json

KEPT_SECONDS = 3600.0
# A query that failed is retried soon.
UNANSWERED_SECONDS = 20.0
# Each question; a controller that is well answers in milliseconds.
SECONDS = 10.0

_QOS = (
    "Name,Priority,Flags,Preempt,PreemptMode,GraceTime,MaxWall,MaxSubmitJobsPU,MaxJobsPU,MaxTRES,MaxTRESPU,MaxTRESMins"
)
_USER = "DefaultAccount,Cluster,Account,Partition,QOS,DefaultQOS,MaxSubmitJobs,MaxWall,MaxTRESMins"
# Plugins of Slurm's own that refuse or delay a job and change none. Any other may fill in what a user leaves open, by
# rules that nobody can ask for.
_HARMLESS = {"require_timelimit", "throttle", "logging"}

T = TypeVar("T")


@dataclass(frozen=True)
class Partition:
    """A partition. ``None`` for accounts and QOS means that all may use it.

    Attributes:
        max_minutes: longest walltime; None: no limit.
        qos: the partition's own QOS, whose limits come before those of the job's.
        up: whether it takes jobs.
    """

    name: str
    default: bool = False
    max_minutes: int | None = None
    qos: str = ""
    allow_accounts: tuple[str, ...] | None = None
    deny_accounts: tuple[str, ...] = ()
    allow_qos: tuple[str, ...] | None = None
    deny_qos: tuple[str, ...] = ()
    nodes: int = 0
    up: bool = True


@dataclass(frozen=True)
class Qos:
    """A quality of service. A limit that is None is not set here, and left to the association.

    Attributes:
        max_minutes: longest walltime of a job.
        max_submit: jobs that a user may have submitted, array elements counted.
        max_jobs: jobs of a user that run at a time.
        max_tres: most of each resource in a job, such as ``gres/gpu`` -> 4.
        max_tres_user: most of each resource in all of a user's running jobs.
        max_tres_minutes: most of each resource × minutes in a job.
        preempts: QOS whose jobs make place for these.
        preempt_mode: what happens to a job that makes place; ``cluster`` means as the cluster does.
        grace_seconds: time that a preempted job is left.
    """

    name: str
    priority: int = 0
    flags: tuple[str, ...] = ()
    preempts: tuple[str, ...] = ()
    preempt_mode: str = "cluster"
    grace_seconds: int = 0
    max_minutes: int | None = None
    max_submit: int | None = None
    max_jobs: int | None = None
    max_tres: Mapping[str, int] = field(default_factory=dict)
    max_tres_user: Mapping[str, int] = field(default_factory=dict)
    max_tres_minutes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Association:
    """An account that the user may charge, on one partition or (where it is empty) on all."""

    account: str
    partition: str = ""
    qos: tuple[str, ...] = ()
    default_qos: str = ""
    max_submit: int | None = None
    max_minutes: int | None = None
    max_tres_minutes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Limit:
    """A limit, and what sets it: ``QOS embers``."""

    value: int
    by: str


@dataclass(frozen=True)
class Limits:
    """What holds for a job. None: no limit, or none that is known."""

    submit: Limit | None = None
    minutes: Limit | None = None
    gpu_minutes: Limit | None = None
    gpus: Limit | None = None


@dataclass(frozen=True)
class Site:
    """What a cluster reports of itself and of this user. None, and an empty name, mean "not known".

    Attributes:
        name: the cluster's name.
        version: of the controller.
        max_array: one more than the highest index of an array.
        requeue: whether jobs may be put back into the queue.
        preempt_type: how it is decided who makes place, such as ``preempt/qos``.
        preempt_mode: what happens to a job that makes place.
        accounting: whether there is a database of jobs, accounts and QOS.
        enforced: what of accounting is enforced: ``associations``, ``limits``, ``qos``.
        rewrites: plugins by which the site may change a job while it is submitted.
        partitions: by name.
        qos: by name.
        associations: this user's.
        default_account: this user's.
        unanswered: question -> why there is no answer.
        time: when this was asked, in seconds since the epoch.
    """

    name: str = ""
    version: str = ""
    max_array: int | None = None
    requeue: bool | None = None
    preempt_type: str = ""
    preempt_mode: str = ""
    accounting: bool | None = None
    enforced: tuple[str, ...] = ()
    rewrites: str = ""
    partitions: Mapping[str, Partition] | None = None
    qos: Mapping[str, Qos] | None = None
    associations: tuple[Association, ...] | None = None
    default_account: str = ""
    unanswered: Mapping[str, str] = field(default_factory=dict)
    time: float = 0.0

    # -- which account, QOS and partition a job gets

    def account_of(self, cluster: ClusterSpec) -> str:
        """The account that is charged, lower-case as accounting keeps it; empty where it is not known."""
        return (asked_for(cluster, "account") or ("" if self.rewrites else self.default_account)).lower()

    def partitions_of(self, cluster: ClusterSpec) -> tuple[str, ...]:
        """The partitions that a job may run in; empty where the site chooses, or it is not known."""
        if named := asked_for(cluster, "partition"):
            return tuple(name for name in named.split(",") if name)
        if self.rewrites or self.partitions is None:
            return ()
        return tuple(p.name for p in self.partitions.values() if p.default)

    def association_of(self, cluster: ClusterSpec) -> Association | None:
        """The user's association that counts: with the account on the partition, else with the account anywhere."""
        account, partitions = self.account_of(cluster), self.partitions_of(cluster)
        of_account = [a for a in self.associations or () if a.account == account]
        exact = [a for a in of_account if a.partition and a.partition in partitions]
        return next(iter([*exact, *(a for a in of_account if not a.partition)]), None)

    def qos_of(self, cluster: ClusterSpec) -> str:
        """The QOS of a job, lower-case as accounting keeps it; empty where it is not known."""
        if named := asked_for(cluster, "qos"):
            return named.lower()
        association = None if self.rewrites else self.association_of(cluster)
        if association is None:
            return ""
        return association.default_qos or (association.qos[0] if len(association.qos) == 1 else "")

    # -- what limits it

    def limits(self, cluster: ClusterSpec) -> Limits:
        """What limits a job on this cluster, by Slurm's own order of precedence.

        A limit counts where it is first set: by the partition's QOS, the job's QOS, the association. (So an
        association of 3 jobs does not hold under a QOS of 50.) Only the partition's MaxTime holds beside them.
        """
        partitions = [p for n in self.partitions_of(cluster) if (p := (self.partitions or {}).get(n))]
        job_qos = (self.qos or {}).get(self.qos_of(cluster))
        qos_names = {p.qos for p in partitions}
        partition_qos = (self.qos or {}).get(qos_names.pop()) if len(qos_names) == 1 else None
        chain = [q for q in (partition_qos, job_qos) if q]
        if job_qos and "OverPartQOS" in job_qos.flags:
            chain.reverse()
        # Without `limits` accounting counts usage but enforces nothing.
        enforced = bool({"limits", "safe"} & set(self.enforced))
        sources: list[tuple[str, Qos | Association]] = [(f"QOS {q.name}", q) for q in chain] if enforced else []
        if enforced and (association := self.association_of(cluster)):
            sources.append((f"account {association.account}", association))
        minutes = _first((s.max_minutes, by) for by, s in sources)
        longest = [p.max_minutes for p in partitions]
        if partitions and None not in longest and not (job_qos and "PartitionTimeLimit" in job_qos.flags):
            most = max(m for m in longest if m is not None)
            if minutes is None or most < minutes.value:
                minutes = Limit(most, f"partition {','.join(p.name for p in partitions)}")
        keys = ("gres/gpu", f"gres/gpu:{cluster.gpu.lower()}")
        return Limits(
            submit=_first((s.max_submit, by) for by, s in sources),
            minutes=minutes,
            gpu_minutes=_first((_least(s.max_tres_minutes, keys), by) for by, s in sources),
            gpus=_first(
                (min(maxima, default=None), by)
                for by, s in sources
                if isinstance(s, Qos)
                and (maxima := [n for t in (s.max_tres, s.max_tres_user) if (n := _least(t, keys)) is not None])
            ),
        )

    def applied(self, cluster: ClusterSpec) -> tuple[ClusterSpec, list[str]]:
        """A cluster's settings with the limits that Slurm reports, and a note for each that differs from its YAML.

        Where Slurm reports no limit, the YAML's stays: a site may keep one that accounting does not show.
        """
        limits = self.limits(cluster)
        site_limits: dict[str, Limit | None] = {
            "max_array": Limit(self.max_array, "MaxArraySize") if self.max_array else None,
            "max_submit": limits.submit,
            "max_minutes": limits.minutes,
            # Less than one hour is still a limit; 0 would be none.
            "max_gpu_hours": (g := limits.gpu_minutes) and Limit(max(1, g.value // 60), g.by),
        }
        changed = {k: v for k, v in site_limits.items() if v is not None and v.value != getattr(cluster, k)}
        notes = [
            f"{key}: the cluster says {limit.value} ({limit.by}), cluster={cluster.name} has {getattr(cluster, key)}"
            for key, limit in changed.items()
            if getattr(cluster, key)
        ]
        numbers: dict[str, Any] = {k: v.value for k, v in changed.items()}
        return dataclasses.replace(cluster, **numbers), notes

    def cancels(self, qos: str) -> bool | None:
        """Whether a preempted job of this QOS is cancelled instead of requeued; None where nothing preempts it."""
        record = (self.qos or {}).get(qos)
        if not self.qos or record is None or self.preempt_type in ("", "preempt/none"):
            return None
        if self.preempt_type == "preempt/qos" and not any(qos in q.preempts for q in self.qos.values()):
            return None
        mode = record.preempt_mode if record.preempt_mode.lower() not in ("", "cluster") else self.preempt_mode
        if mode.upper() == "OFF":
            return None
        return "CANCEL" in mode.upper()


def _first(limits: Iterable[tuple[int | None, str]]) -> Limit | None:
    return next((Limit(value, by) for value, by in limits if value is not None), None)


def _least(tres: Mapping[str, int], keys: Iterable[str]) -> int | None:
    return min((tres[key] for key in keys if key in tres), default=None)


def asked_for(cluster: ClusterSpec, name: str) -> str:
    """What is asked for: sbatch's own variable (``SBATCH_QOS``) wins over the text that it is given."""
    return os.environ.get(f"SBATCH_{name.upper()}") or str(getattr(cluster, name))


# -- asking


def ask(root: Path, fresh: bool = False) -> Site:
    """What the cluster reports, queried at most once an hour and cached under the root, if there is one.

    Args:
        root: the storage root; one that can't be written is no error.
        fresh: query again, whatever is cached.
    """
    path, key = root / "asked" / f"site.{os.getuid()}.json", _key()
    if not fresh and (kept := _kept(path, key)):
        return kept
    site = _ask()
    if root.is_dir() and site.time:
        with contextlib.suppress(PacelineError):
            write_json(path, {"schema": SCHEMA, "key": key, "site": dataclasses.asdict(site)})
    return site


def _key() -> dict[str, str]:
    # Where SLURM_CONF is not set, two clusters that share a root are distinguished by their login nodes.
    return {"conf": os.environ.get("SLURM_CONF", ""), "host": socket.gethostname(), "user": user()}


def _kept(path: Path, key: Mapping[str, str]) -> Site | None:
    try:
        content = read_json(path)
        if content["key"] != key:
            return None
        site = _from_json(content["site"])
        age = time.time() - site.time
        return site if 0 <= age < (UNANSWERED_SECONDS if site.unanswered else KEPT_SECONDS) else None
    except (PacelineError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _from_json(value: Mapping[str, Any]) -> Site:
    def tuples(cls: type[T], entry: Mapping[str, Any]) -> T:
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()})

    partitions, qos, associations = value["partitions"], value["qos"], value["associations"]
    return dataclasses.replace(
        tuples(Site, value),
        partitions=None if partitions is None else {k: tuples(Partition, v) for k, v in partitions.items()},
        qos=None if qos is None else {k: tuples(Qos, v) for k, v in qos.items()},
        associations=None if associations is None else tuple(tuples(Association, v) for v in associations),
    )


def user() -> str:
    """This user's name in Slurm."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no entry
        return str(os.getuid())


def _ask() -> Site:
    """The four questions at the same time, so that a controller that hangs costs one time-out."""
    if not shutil.which("scontrol"):
        return Site(unanswered={"scontrol": "scontrol is not installed"})
    questions: dict[str, tuple[list[str], Callable[[str], Any]]] = {
        "config": (["scontrol", "show", "config"], parse_config),
        "partitions": (["scontrol", "--all", "show", "partition", "--oneliner"], parse_partitions),
        "qos": (f"sacctmgr --parsable2 --noheader show qos format={_QOS}".split(), parse_qos),
        "associations": (
            f"sacctmgr --parsable2 --noheader show user where name={user()} withassoc format={_USER}".split(),
            lambda text: text,
        ),
    }
    answers: dict[str, Any] = {}
    unanswered: dict[str, str] = {}
    with ThreadPoolExecutor(len(questions)) as pool:
        futures = {name: pool.submit(call, command_line, SECONDS) for name, (command_line, _) in questions.items()}
        for name, answer in futures.items():
            try:
                answers[name] = questions[name][1](answer.result())
            except Unavailable as error:
                unanswered[name] = brief(error)
    site = dataclasses.replace(answers.get("config", Site()), time=time.time())
    if site.accounting is False:  # then missing answers are no failure
        unanswered = {k: v for k, v in unanswered.items() if k not in ("qos", "associations")}
        return dataclasses.replace(site, partitions=answers.get("partitions"), unanswered=unanswered)
    site = dataclasses.replace(
        site, partitions=answers.get("partitions"), qos=answers.get("qos"), unanswered=unanswered
    )
    if "associations" in answers and site.name:
        default, associations = parse_associations(answers["associations"], site.name)
        site = dataclasses.replace(site, default_account=default, associations=associations)
    return site


# -- reading the answers


def parse_config(text: str) -> Site:
    """``scontrol show config``, as far as it matters here."""
    values = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            values[key.strip()] = "" if value.strip() in ("(null)", "none", "N/A") else value.strip()
    plugins = [p for k in ("JobSubmitPlugins", "CliFilterPlugins") for p in name_list(values.get(k, ""))]
    storage = values.get("AccountingStorageType")
    return Site(
        name=values.get("ClusterName", "").lower(),
        version=values.get("SLURM_VERSION", ""),
        max_array=number_or_none(values.get("MaxArraySize", "")),
        requeue={"0": False, "1": True}.get(values.get("JobRequeue", "")),
        preempt_type=values.get("PreemptType", ""),
        preempt_mode=values.get("PreemptMode", ""),
        # Newer releases name no plugin at all where there is no database.
        accounting=None if storage is None else storage.endswith("slurmdbd"),
        enforced=name_list(values.get("AccountingStorageEnforce", "").lower()),
        rewrites=", ".join(p for p in plugins if p.removeprefix("job_submit/") not in _HARMLESS),
    )


def parse_partitions(text: str) -> dict[str, Partition]:
    """``scontrol show partition --oneliner``."""
    partitions = {}
    for line in text.splitlines():
        values = fields(line)
        if name := values.get("PartitionName"):
            partitions[name] = Partition(
                name=name,
                default=values.get("Default") == "YES",
                max_minutes=minutes(values.get("MaxTime", "")),
                qos="" if values.get("QoS", "N/A") == "N/A" else values["QoS"],
                allow_accounts=names_or_all(values.get("AllowAccounts", "ALL")),
                deny_accounts=name_list(values.get("DenyAccounts", "")),
                allow_qos=names_or_all(values.get("AllowQos", "ALL")),
                deny_qos=name_list(values.get("DenyQos", "")),
                nodes=number_or_none(values.get("TotalNodes", "")) or 0,
                up=values.get("State", "UP") == "UP",
            )
    return partitions


def parse_qos(text: str) -> dict[str, Qos]:
    """``sacctmgr show qos`` with the fields that are asked for."""
    by_name = {}
    for line in text.splitlines():
        values = line.split("|")
        if len(values) != len(_QOS.split(",")):
            continue
        name, priority, flags, preempt, mode, grace, wall, submit, jobs, most, most_user, mins = values
        by_name[name] = Qos(
            name=name,
            priority=number_or_none(priority) or 0,
            flags=name_list(flags),
            preempts=name_list(preempt),
            preempt_mode=mode or "cluster",
            grace_seconds=seconds(grace) or 0,
            max_minutes=minutes(wall),
            max_submit=number_or_none(submit),
            max_jobs=number_or_none(jobs),
            max_tres=tres(most),
            max_tres_user=tres(most_user),
            max_tres_minutes=tres(mins),
        )
    return by_name


def parse_associations(text: str, cluster: str) -> tuple[str, tuple[Association, ...]]:
    """``sacctmgr show user … withassoc``: the default account, and the associations on this cluster.

    Limits of an account stand in its users' rows too, because Slurm hands them down.
    """
    default, associations = "", []
    for line in text.splitlines():
        values = line.split("|")
        if len(values) != len(_USER.split(",")) or values[1].lower() != cluster:
            continue
        default = default or values[0].lower()
        _, _, account, partition, qos, default_qos, submit, wall, mins = values
        associations.append(
            Association(
                account=account.lower(),
                partition=partition,
                qos=name_list(qos),
                default_qos=default_qos,
                max_submit=number_or_none(submit),
                max_minutes=minutes(wall),
                max_tres_minutes=tres(mins),
            )
        )
    return default, tuple(associations)
