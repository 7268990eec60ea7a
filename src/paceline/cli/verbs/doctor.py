"""Check that this machine and this root can run what they are asked to."""

from __future__ import annotations

import importlib.util
import itertools
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from paceline.cli.options import overrides_argument
from paceline.cli.resolve import compose_words, short, store_of
from paceline.counted import counted

if TYPE_CHECKING:
    from paceline.config.schema import ClusterSpec, ModelSpec
    from paceline.slurm.site import Site
    from paceline.store.cell_folder import CellFolder
    from paceline.store.root import Store
    from paceline.sweep.compose import Composition

Check = tuple[str, bool | None, str]
FREE_GIB = 5
# A file system whose clock is further off than this is reported.
CLOCK_SECONDS = 60
CLIENTS = ("sbatch", "squeue", "scontrol", "scancel", "srun")


@click.command(short_help="check this machine and the root, or a model")
@overrides_argument
@click.option("--deep", is_flag=True, help="models: also read every byte of the weights against the hub's digests")
def command(words: Sequence[str], conf: str | None, deep: bool) -> None:
    """Check that this machine and this root can run what they are asked to. Imports no torch.

    With task=NAME or experiment=NAME it also looks whether their data is prepared. With model=NAME it looks at that
    model instead: whether its weights are whole and what they should be, and whether it loads and describes a picture,
    or answers a question where it reads text alone, in a process of its own, which does import torch and needs the
    model's memory. A model that a service answers for is asked about the picture, which costs what one small request
    costs.

    \b
    paceline doctor
    paceline doctor task=geolocation_exif train.task=geolocation_earth
    srun --gres=gpu:1 paceline doctor model=qwen2_vl_2b
    """
    from paceline.cli.cell_table import mark
    from paceline.errors import Unavailable, UserError

    composition = compose_words(words, conf)
    store = store_of(composition)
    bad = []
    spec = composition.spec("cluster", composition.choices.get("cluster"), {})
    checks: Iterable[Iterator[Check]]
    if any(w.lstrip("+~").startswith(("model=", "model.")) for w in words):
        from paceline.cli.verbs.prepare import models

        checks = (itertools.chain(pinned(m, composition), model(m, store, deep)) for m in models(composition))
    else:
        checks = (
            machine(),
            root(store),
            cluster(spec, store),
            tracking(),
            configs(composition),
            pins(composition),
            own_code(),
            data(composition, words, conf, store),
            damage(store),
        )
    for name, good, text in itertools.chain.from_iterable(checks):
        click.echo(f"{mark(good)} {name}: {text}")
        if good is False:
            bad.append(name)
    if bad:
        kind = Unavailable if {"root", "Slurm's clients", "controller"} & set(bad) else UserError
        raise kind(f"{counted(len(bad), 'check')} failed: {', '.join(bad)}")


def machine() -> Iterator[Check]:
    """Python, packages, cores, GPUs."""
    good = (3, 11) <= sys.version_info[:2] < (3, 13)
    yield "python", good, platform.python_version() + ("" if good else "; paceline needs 3.11 or 3.12")
    packages = [
        "torch",
        "transformers",
        "peft",
        "accelerate",
        "bitsandbytes",
        "deepspeed",
        "datasets",
        "wandb",
        "submitit",
    ]
    missing = [n for n in packages if importlib.util.find_spec(n) is None]
    versions = ", ".join(f"{n} {metadata.version(n)}" for n in packages if n not in missing)
    yield "packages", not missing, versions if not missing else f"missing: {', '.join(missing)}; run: make setup"
    gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
    yield "hardware", True, f"{counted(len(os.sched_getaffinity(0)), 'core')}, {counted(gpus, 'GPU')}"


def root(store: Store) -> Iterator[Check]:
    """Whether the root can be written and has room."""
    from paceline.errors import PacelineError
    from paceline.store.files import write_bytes

    try:
        write_bytes(store.root / ".doctor", b"")
        (store.root / ".doctor").unlink()
    except PacelineError as error:
        yield "root", False, str(error)
        return
    yield "root", True, short(store.root)
    free = shutil.disk_usage(store.root).free / 2**30
    yield "room", free > FREE_GIB, f"{free:,.0f} GiB free"
    yield clock(store.root)


def clock(folder: Path) -> Check:
    """How far the clock of the root's file system is from this host's."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        ahead = os.fstat(probe.fileno()).st_mtime - time.time()
    if abs(ahead) < CLOCK_SECONDS:
        return "clock", True, f"that of the root's file system is within {CLOCK_SECONDS} s of this host's"
    direction = "ahead of" if ahead > 0 else "behind"
    message = f"that of the root's file system is {abs(ahead):,.0f} s {direction} this host's"
    return "clock", None, f"{message}; ages of files are taken by the file system's, times in logs by the hosts'"


def cluster(spec: ClusterSpec, store: Store) -> Iterator[Check]:
    """What Slurm is there, whether it answers, and what it lets this user do."""
    from paceline.errors import Unavailable
    from paceline.slurm import site as site_of
    from paceline.slurm.clients import call

    if spec.executor != "slurm":
        return
    missing = [name for name in CLIENTS if not shutil.which(name)]
    if missing:
        yield "Slurm's clients", False, f"not installed here: {', '.join(missing)}; use a login node of {spec.name}"
        return
    try:
        yield "Slurm's clients", True, call(["sbatch", "--version"], site_of.SECONDS).strip()
        message = call(["scontrol", "ping"], site_of.SECONDS).split("\n\n")[0].strip()
        yield "controller", True, message.replace("\n", "; ")
    except Unavailable as error:
        # Where it is down, scontrol's last line is a row of stars.
        message = "scontrol ping: it is down" if "***" in str(error) else str(error)
        yield "controller", False, f"{message}; nothing can be submitted until it answers"
        return
    site = site_of.ask(store.root, fresh=True)
    yield from facts(spec, site)


def facts(spec: ClusterSpec, site: Site) -> Iterator[Check]:
    """The facts that Slurm reports of a cluster, one line each."""
    if site.accounting is False:
        yield "accounting", True, "none: how a job ended is known from the queue for some minutes, then from its files"
    elif lost := [site.unanswered[q] for q in ("qos", "associations") if q in site.unanswered]:
        yield "accounting", None, f"{lost[0]}; limits are taken from conf/cluster/{spec.name}.yaml meanwhile"
    else:
        yield "accounting", True, f"answers; enforced: {', '.join(site.enforced) or 'nothing'}"
    for question in ("config", "partitions"):
        if question in site.unanswered:
            yield question, None, site.unanswered[question]
    if site.associations is not None:
        names = [a.account + (f" on {a.partition}" if a.partition else "") for a in site.associations]
        default = f"; default {site.default_account}" if site.default_account else ""
        yield "accounts", bool(names) or None, (", ".join(names) or "none of yours") + default
    usable = dict.fromkeys(q for a in site.associations or () for q in a.qos)
    for name in usable:
        if site.qos and name in site.qos:
            yield f"QOS {name}", True, qos_line(site, name)
    for partition in (site.partitions or {}).values():
        longest = (
            f"up to {counted(partition.max_minutes, 'minute')}"
            if partition.max_minutes is not None
            else "no walltime limit"
        )
        default = ", the default" if partition.default else ""
        yield (
            f"partition {partition.name}",
            True if partition.up else None,
            (
                f"{counted(partition.nodes, 'node')}, {longest}{default}"
                + ("" if partition.up else "; takes no jobs now")
            ),
        )
    if site.max_array:
        yield "arrays", True, f"up to {counted(site.max_array - 1, 'element')} each (MaxArraySize {site.max_array})"
    if site.requeue is not None:
        requeue_text = (
            "a cell whose time is up (USR2) saves and is requeued"
            if site.requeue
            else "JobRequeue=0: a cell whose time is up saves, and goes on at the next paceline resume"
        )
        yield "requeue", True if site.requeue else None, requeue_text
    if site.rewrites:
        yield "plugins", None, f"{site.rewrites} may change a job while it is submitted; submit reads back what it got"
    for note in site.applied(spec)[1]:
        yield "limits", True, note


def qos_line(site: Site, name: str) -> str:
    """A QOS in one line: limits, and what preemption means."""
    assert site.qos is not None
    qos = site.qos[name]
    parts = [
        f"{counted(qos.max_minutes, 'minute')}" if qos.max_minutes is not None else "",
        f"{counted(qos.max_submit, 'job')} submitted" if qos.max_submit is not None else "",
        f"{qos.max_jobs} running" if qos.max_jobs is not None else "",
        *(f"{n / 60:g} {tres.removeprefix('gres/')} hours a job" for tres, n in qos.max_tres_minutes.items()),
        *(f"{n} {tres.removeprefix('gres/')} a user" for tres, n in qos.max_tres_user.items()),
    ]
    limits = ", ".join(p for p in parts if p)
    cancels = site.cancels(name)
    preempted = {
        None: "not preempted",
        True: "preempted jobs are cancelled: a preempted cell comes back only at the next paceline resume",
        False: f"preempted jobs are requeued after {qos.grace_seconds} s",
    }[cancels]
    return f"{'up to ' + limits if limits else 'no limits'}; priority {qos.priority}; {preempted}"


def tracking() -> Iterator[Check]:
    """Whether W&B's SDK would find a key here."""
    from paceline.tracking.wandb_key import wandb_host, wandb_key

    has_key = wandb_key()
    left = f"none for {wandb_host()}: runs stay offline in their cells; wandb login, then paceline sync"
    yield "W&B key", has_key or None, "there" if has_key else left


def configs(composition: Composition) -> Iterator[Check]:
    """Whether every config file of every group reads."""
    from paceline.config.schema import GROUPS
    from paceline.errors import PacelineError

    for group in GROUPS:
        names = composition.tree.choices(group)
        broken = []
        for name in names:
            try:
                composition.spec(group, name, {})
            except PacelineError as error:
                broken.append(f"{name} ({error})")
        yield f"conf/{group}", not broken, "; ".join(broken) or ", ".join(names)


def pins(composition: Composition) -> Iterator[Check]:
    """Whether the files of pinned revisions can be read, and whether each is of a model that there is."""
    from paceline.errors import PacelineError

    try:
        found = composition.pins().all()
    except PacelineError as error:
        yield "pins", False, str(error)
        return
    files = [composition.tree.load("model", name) for name in composition.tree.choices("model")]
    named = repr(files)  # of a model's parts too
    strangers = [pin for pin in found if f"'{pin.source}'" not in named]
    for pin in strangers:
        yield "pins", None, f"{short(pin.path)}, line {pin.line}: no file of conf/model names {pin.source}"
    if kept := [pin for pin in found if pin not in strangers]:
        yield "pins", True, ", ".join(f"{pin.source} at {pin.revision[:12]}" for pin in kept)


def own_code() -> Iterator[Check]:
    """Whether each module of a lab's can be used; nothing where there is none."""
    from paceline import plugins, tasks
    from paceline.errors import PacelineError

    for part in plugins.PACKAGES:
        broken = []
        try:
            names = plugins.names(part)
        except PacelineError as error:
            yield f"own {part}", False, str(error)
            continue
        for name in names:
            try:
                plugins.check(part, name)
                if part == "tasks":
                    tasks.load(name)
            except PacelineError as error:
                broken.append(f"{name} ({error})")
        if names:
            yield f"own {part}", not broken, "; ".join(broken) or ", ".join(names)


def data(composition: Composition, words: Sequence[str], conf: str | None, store: Store) -> Iterator[Check]:
    """Whether the data of the tasks that the words name is prepared, the tasks trained on included, and compared."""
    from paceline.cli.resolve import data_digests, prepare_command
    from paceline.cli.verbs.prepare import needed_tasks, transfers
    from paceline.data import samples, transfer_leakage
    from paceline.errors import DataError

    if not {"task", "experiment"} & {w.lstrip("+~").partition("=")[0].partition(".")[0] for w in words}:
        return
    digest = data_digests(store, words, conf)
    unprepared = []
    for task in needed_tasks(composition):
        try:
            digest(task)
        except DataError as error:
            unprepared.append(task)
            yield f"data of {task.name}", None, str(error)
            continue
        splits = samples.splits(store.root, task) or {}
        yield f"data of {task.name}", True, ", ".join(f"{n} {split}" for split, n in splits.items())
    for trained, evaluated in transfers(composition):
        if trained in unprepared or evaluated in unprepared:
            continue
        compared = transfer_leakage.read(store.root, trained, evaluated) is not None
        remedy = f"not compared yet; run: {prepare_command(evaluated.name, words, conf)}"
        name = f"training data of {trained.name} in {evaluated.name}"
        yield name, compared or None, "compared" if compared else remedy


def pinned(spec: ModelSpec, composition: Composition) -> Iterator[Check]:
    """Where a model's revision is pinned; nothing where its own file gives it, or none is given."""
    from paceline.config.checks import from_hub

    pin = composition.pins().find(spec.weights) if from_hub(spec) else None
    if pin is not None and pin.revision == spec.revision:
        yield "revision", True, f"{pin.revision}, pinned in {short(pin.path)}, line {pin.line}"


def model(spec: ModelSpec, store: Store, deep: bool) -> Iterator[Check]:
    """Whether a model's weights are whole, its environment fits, and it is and does what it should."""
    from paceline.cli.progress import counting
    from paceline.config.checks import in_folder
    from paceline.config.joined_parts import called, is_joined, is_twin, sources
    from paceline.errors import PacelineError
    from paceline.launch import environments
    from paceline.models import hub_files

    if spec.served:
        yield from service(spec)
        return
    lacks = environments.lacks([spec], store)
    if lacks:
        yield f"model {spec.name}", False, "; ".join(lacks)
        return
    for source in sources(spec):
        folder = hub_files.folder_of(source)
        yield called(source), True, short(folder) if folder else "a twin"
        if in_folder(source):
            yield from folder_content(source, store, deep)
        elif deep and source.weights:
            with counting(spec.name) as progress:
                bad = hub_files.damaged(source, progress)
            remedy = f"is not what the hub says; remove it and run: {environments.prepare_command(spec)}"
            yield "digests", not bad, f"{bad[0]} {remedy}" if bad else "every file is what its name in the cache says"
    click.echo(f"· loading {spec.name} in a process of its own, with torch; it takes its memory, and minutes", err=True)
    try:
        description = describe(spec)
    except PacelineError as error:
        yield "loads", False, str(error)
        return
    versions = ", ".join(f"{n} {v}" for n, v in description["versions"].items())
    yield "loads", True, f"in {description['seconds']['load']:.1f} s on {description['device']} ({versions})"
    known = hub_files.facts(spec)
    for name, title in (("parameters", "parameters"), ("image_tokens", "image tokens")):
        if description[name] is None:
            continue
        published = known.get(name)
        good = (
            None
            if published is None
            else description[name] in (published if isinstance(published, list) else [published])
        )
        comparison = {None: "", True: ", as published", False: f"; {published} are published"}[good]
        yield title, True if good is None else good, f"{description[name]:,}{comparison}"
    text = " ".join(description["text"].split())
    is_text = bool(text) and text.isprintable()
    clock = f"{counted(description['new_tokens'], 'token')} in {description['seconds']['answer']:.1f} s"
    random = is_twin(spec) or is_joined(spec)  # what it says need not be text
    asked = "describes a picture" if "image" in spec.inputs else "answers a question"
    yield asked, is_text or (None if random else False), f"{text[:300]!r} ({clock})"


def service(spec: ModelSpec) -> Iterator[Check]:
    """Whether a service answers for a model: one small request, which costs what the service takes for it."""
    from paceline.config import service_settings
    from paceline.errors import PacelineError
    from paceline.launch import environments

    name = f"model {spec.name}"
    try:
        if lacks := service_settings.lacks(spec):
            yield name, False, "; ".join(lacks)
            return
        yield name, True, f"{spec.weights}, answered by {service_settings.endpoint_url(spec)}; nothing to fetch"
        answer = environments.ask_module("paceline.inference.ask_service", spec)
    except PacelineError as error:
        yield "answers", False, str(error)
        return
    data, text = answer["data"], " ".join(answer["text"].split())
    if answer["finish"] in ("error", "content_filter"):
        yield "answers", False, f"{answer['finish']}: {data.get('reason', text)}"
        return
    served = f" as {data['served']}" if "served" in data else ""
    yield "answers", bool(text) or None, f"{text[:300]!r}{served}, in {data['seconds']:.1f} s"
    read, written = answer["prompt_tokens"], answer["new_tokens"]
    prices = spec.service
    usd = (read * prices.read_usd + written * prices.written_usd) / 1e6
    cost = f"${usd:.6f} at the model's prices" if usd else "no prices are given (model.service.read_usd, written_usd)"
    told = f"the request took {counted(read, 'token')} to read and {written:,} to write: {cost}"
    yield (
        "cost",
        None if data.get("uncounted") else True,
        "not counted by the service" if data.get("uncounted") else told,
    )


def folder_content(spec: ModelSpec, store: Store, deep: bool) -> Iterator[Check]:
    """Whether a folder of weights is what it was when it was prepared."""
    from paceline.errors import PacelineError
    from paceline.models import local_weights

    try:
        pinned = local_weights.pin(spec, store.root)
        if deep:
            local_weights.require(pinned, store.root)
    except PacelineError as error:
        recorded = local_weights.record_path(store.root, local_weights.folder_of(spec)).exists()
        yield "content", False if recorded else None, str(error)
        return
    yield "content", True, f"{pinned.weights[:19]}, {'every byte' if deep else 'sizes and times'} as recorded"


def describe(spec: ModelSpec) -> dict[str, Any]:
    """What :mod:`paceline.inference.describe` finds, run by the model's own interpreter.

    Raises:
        UserError: it failed; the message is its last line on stderr.
    """
    from paceline.launch import environments

    return environments.ask_module("paceline.inference.describe", spec)


def damage(store: Store) -> Iterator[Check]:
    """Whether the artefacts of done cells are still those that were attested."""
    cells = store.root / "cells"
    folders = [store.cell(p.name) for p in sorted(cells.iterdir())] if cells.is_dir() else []
    done = [f for f in folders if f.done_json.exists()]
    broken = [message for f in done if (message := wrong(f))]
    yield "results", not broken, "; ".join(broken) or f"{counted(len(done), 'done cell')}, all as attested"


def wrong(folder: CellFolder) -> str:
    """What is wrong with a done cell; empty where nothing is."""
    from paceline.errors import PacelineError

    try:
        names = folder.verify()
    except PacelineError as error:
        return f"{folder.id}: {error}"
    except (OSError, KeyError, TypeError, AttributeError) as error:
        return f"{folder.id}: {folder.done_json} can't be used ({type(error).__name__}: {error}); move it away"
    return f"{folder.id}: {', '.join(names)}" if names else ""
