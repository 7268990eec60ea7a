"""What Slurm's clients print on some clusters, for the tests that read it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from paceline.slurm import site
from paceline.slurm.site import Site

# Printed by Slurm 22.05.8, of which lines that don't matter were left out.
CONFIG = """Configuration data as of 2026-11-21T14:37:48
AccountingStorageBackupHost = (null)
AccountingStorageEnforce = associations,limits,qos
AccountingStorageType   = accounting_storage/slurmdbd
CliFilterPlugins        = (null)
ClusterName             = paceline
JobRequeue              = 1
JobSubmitPlugins        = (null)
MaxArraySize            = 1001
PreemptMode             = REQUEUE
PreemptType             = preempt/qos
SchedulerParameters     = batch_sched_delay=0,sched_interval=2,bf_interval=1,sched_min_interval=10000
SLURM_VERSION           = 22.05.8

Slurmctld(primary) at vm is UP
"""
PARTITION = (
    "PartitionName=gpu-a100 AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=YES QoS=N/A "
    "DefaultTime=00:05:00 DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO MaxNodes=UNLIMITED "
    "MaxTime=18:00:00 MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED Nodes=node[1-2] PriorityJobFactor=1 PriorityTier=1 "
    "RootOnly=NO ReqResv=NO OverSubscribe=NO OverTimeLimit=NONE PreemptMode=REQUEUE State=UP TotalCPUs=16 "
    "TotalNodes=2 SelectTypeParameters=NONE JobDefaults=(null) DefMemPerCPU=2000 MaxMemPerNode=UNLIMITED "
    "TRES=cpu=16,mem=32000M,node=2,billing=16,gres/gpu=4,gres/gpu:a100=4\n"
)
PARTITIONS = PARTITION + PARTITION.replace("gpu-a100 ", "cpu-small ").replace("Default=YES", "Default=NO")
QOS = """normal|0|||cluster|00:00:00||||||
embers|1|||cluster|00:00:10|08:00:00|50|50|||
inferno|1000||embers|cluster|00:00:00|21-00:00:00|500||||
"""
USER = """gts-dev|paceline|gts-dev||embers,inferno|inferno|||
gts-dev|paceline|root||normal||||
"""
ANSWERS = {"config": CONFIG, "partition": PARTITIONS, "qos": QOS, "user": USER}
# Phoenix, as far as it is known: an account of the lab's, embers that cancels, inferno, and a plugin in Lua.
PHOENIX = {
    "config": CONFIG.replace("= paceline", "= phoenix")
    .replace("PreemptMode             = REQUEUE", "PreemptMode             = CANCEL")
    .replace("JobSubmitPlugins        = (null)", "JobSubmitPlugins        = lua"),
    "partition": PARTITIONS.replace("gpu-a100 ", "gpu-a100 ").replace("AllowAccounts=ALL", "DenyAccounts=gts-old"),
    "qos": QOS,
    "user": "gts-lab|phoenix|gts-lab||embers,inferno||||\ngts-lab|ice|coc||coc-ice||||\n",
}
# ICE: neither account nor partition is asked for; 16 GPU-hours and 16 hours stand in a QOS.
ICE = {
    "config": CONFIG.replace("= paceline", "= ice"),
    "partition": PARTITIONS.replace("QoS=N/A", "QoS=part"),
    "qos": "coc-ice|0|||cluster|00:00:00|16:00:00|500||||gres/gpu=960,cpu=30720\npart|0|||cluster|00:00:00||||||\n",
    "user": "coc|ice|coc||coc-ice|coc-ice|||\n",
}


def told(answers: Mapping[str, str]) -> Site:
    """A site as its answers tell."""
    config = site.parse_config(answers["config"])
    default, associations = site.parse_associations(answers["user"], config.name)
    return dataclasses.replace(
        config,
        partitions=site.parse_partitions(answers["partition"]),
        qos=site.parse_qos(answers["qos"]),
        associations=associations,
        default_account=default,
    )
