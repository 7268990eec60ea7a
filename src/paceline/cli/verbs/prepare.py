"""Make a task's data, or fetch a model's weights, once, so that cells can be planned and run."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from paceline.cli.options import overrides_argument
from paceline.cli.prepared_findings import leaks, shared_groups, told_of_leakage, told_of_pictures
from paceline.cli.resolve import compose_words, prepare_command, short, store_of
from paceline.config.checks import from_hub, in_folder, locate_weights
from paceline.config.joined_parts import is_twin, sources, with_sources
from paceline.counted import counted
from paceline.errors import Unavailable, UserError

if TYPE_CHECKING:
    from paceline.config.schema import ModelSpec, PromptSpec, TaskSpec
    from paceline.models.revision_pins import Pin, Pins
    from paceline.store.root import Store
    from paceline.sweep.compose import Composition

GIB = 2**30


@click.command(short_help="make a task's data, or fetch a model, once")
@overrides_argument
@click.option(
    "--refresh",
    is_flag=True,
    help="make data anew that is there, pin models at the hub's newest commit; cells of the old keep the old",
)
def command(words: Sequence[str], conf: str | None, refresh: bool) -> None:
    """Make a task's data, or fetch a model's weights, once, so that cells can be planned and run.

    Data is frozen under the root. Weights go to the hub's own cache (HF_HOME), which compute nodes must see too; run it
    where there is a network. What is there already is not fetched again. A hub model whose file gives no revision is
    pinned at the newest commit, in pins.yaml of your own config folder (--conf), or of the root.

    \b
    paceline prepare task=geolocation_earth
    paceline prepare task=geolocation_street task.options.path=/data/street-location-images
    paceline prepare task=geolocation_exif task.options.path=photos train.task=geolocation_earth
    paceline prepare experiment=demo
    paceline prepare task=captioning prompt=four_shots_caption_short
    paceline prepare --refresh task=geolocation_exif task.options.path=/data/photos
    paceline prepare model=qwen2_vl_2b,pixtral_12b
    """
    composition = compose_words(words, conf)
    named = {w.lstrip("+~").partition("=")[0].partition(".")[0] for w in words}
    if not named & {"task", "model", "experiment"}:
        raise UserError(
            f"which task? give task=NAME, or model=NAME to fetch weights; tasks: "
            f"{', '.join(composition.tree.choices('task'))}; models: {', '.join(composition.tree.choices('model'))}"
        )
    if named & {"task", "experiment"}:
        data_tasks = needed_tasks(composition)
        fetch_embedder(data_tasks, store_of(composition), refresh)
        commands = {t.name: prepare_command(t.name, words, conf) for t in data_tasks}
        make_data(data_tasks, store_of(composition), commands, refresh)
        compare(transfers(composition), store_of(composition))
        if named & {"prompt", "experiment"}:
            make_shots(composition, store_of(composition), refresh)
    if "model" in named:
        fetch(composition, refresh)
    elif "experiment" in named:
        chosen = models(composition)
        for model in chosen:
            for source in filter(in_folder, sources(model)):
                read_folder(source, store_of(composition))
        if names := [m.name for m in chosen if not _there(m)]:
            click.echo(f"not fetched: paceline prepare model={','.join(dict.fromkeys(names))}")


def fetch_embedder(tasks: Sequence[TaskSpec], store: Store, refresh: bool) -> None:
    """Fetch all-MiniLM-L6-v2 where a task's reader embeds by it and no package holds it; pinned in the root.

    Raises:
        UserError: it is not there, and can't be fetched.
    """
    from paceline.data import readers
    from paceline.models import embedding
    from paceline.models.revision_pins import Pins

    if not any(getattr(readers.load(task.reader), "EMBEDS", False) for task in tasks) or embedding.found(store.root):
        return
    try:
        _fetched(pin(embedding.embedder(), Pins([store.root]), refresh), store)
    except Unavailable as error:
        raise Unavailable(f"{embedding.MINILM} is not here: {error}; or {embedding.REMEDY}") from error


def make_data(tasks: Sequence[TaskSpec], store: Store, commands: Mapping[str, str], refresh: bool) -> None:
    """Prepare the data of tasks, or look whether its sources are as they were, and print a summary.

    Args:
        tasks: the tasks.
        store: where.
        commands: task -> the command that prepares it.
        refresh: make it anew.

    Raises:
        DataError: data that is there was made of pictures that changed since.
    """
    from paceline.cli.progress import counting
    from paceline.data import prepare, samples, source_files
    from paceline.tasks import load as load_kind

    for task in tasks:
        there = (samples.dataset_folder(store.root, task) / "manifest.json").exists()
        with counting(task.name) as progress:
            manifest = prepare.prepare(store.root, task, progress, refresh)
            note = source_files.renew(store.root, task, commands[task.name]) if there and not refresh else ""
        if note:
            click.echo(f"note: {note}", err=True)
        where = short(samples.dataset_folder(store.root, task))
        splits = ", ".join(f"{n} {split}" for split, n in manifest["splits"].items())
        click.echo(f"{task.name}: {splits} in {where}")
        for reason, count in manifest["skipped"].items():
            click.echo(f"  {count} skipped: {reason} (named in {where}/skipped.jsonl)")
        kind_lines = load_kind(task.kind).data_lines(manifest, task)
        for line in (
            *told_of_pictures(manifest, where),
            *told_of_leakage(manifest, task.train, where),
            *shared_groups(manifest),
            *kind_lines,
        ):
            click.echo(f"  {line}")


def make_shots(composition: Composition, store: Store, refresh: bool) -> None:
    """Make what the examples of prompts need: kept files, pairs that look alike, vectors; and print a summary.

    Raises:
        UserError: settings, a file of examples or an embedder that can't be used, or too few examples.
    """
    from paceline.cli.progress import counting
    from paceline.data.shots import prepared_shots, shot_turns
    from paceline.sweep.built_on import chain

    pins = composition.pins()
    done: list[tuple[TaskSpec, PromptSpec]] = []
    points = composition.points(required=("task", "prompt"))
    asked = ((p.config.task, prompt) for p in points for prompt in chain(p.config.prompt, composition))
    for task, prompt in asked:
        if not prompt.shots.count or (task, prompt) in done:
            continue
        done.append((task, prompt))
        by = None
        if prompt.shots.how == "nearest" and prompt.shots.embedder:
            by = _fetched(pin(prepared_shots.located_embedder(prompt), pins, refresh), store)
        with counting(prompt.name) as progress:
            pinned, told = prepared_shots.prepare(store.root, task, prompt, by, pins.applied, progress)
        made = "; ".join(told) or "as it was prepared"
        click.echo(f"{prompt.name}: {counted(prompt.shots.count, 'example')} for {task.name}: {made}")
        if wrong := shot_turns.problems(store.root, task, pinned, "paceline prepare"):
            raise UserError("; ".join(wrong))


def compare(pairs: Sequence[tuple[TaskSpec, TaskSpec]], store: Store) -> None:
    """Compare the test data of tasks with the training data of the tasks that their weights are tuned on, and tell."""
    from paceline.cli.progress import counting
    from paceline.data import transfer_leakage

    for trained, evaluated in pairs:
        with counting(f"{trained.name} and {evaluated.name}") as progress:
            splits = transfer_leakage.compare(store.root, trained, evaluated, progress)
        click.echo(f"{trained.name} → {evaluated.name}: tuned on the one, evaluated on the other")
        named = short(transfer_leakage.place(store.root, trained, evaluated).with_suffix(".jsonl"))
        for line in leaks(splits, f"{trained.train} of {trained.name}", named):
            click.echo(f"  {line}")


def fetch(composition: Composition, refresh: bool) -> None:
    """Pin and fetch models from the hub, each only if there is room for what is missing of it, and count their shapes.

    Args:
        composition: with the models.
        refresh: pin the newest commits in place of those that are pinned.

    Raises:
        UserError: a model whose code nobody has read yet, a gated model, no such model.
        Unavailable: no network, or no room.
    """
    store = store_of(composition)
    # As their files and the command line have them: what is pinned is looked at one by one.
    own = dataclasses.replace(composition, pinned=False, _specs={})
    seen: set[tuple[tuple[str, str], ...]] = set()
    unread: list[str] = []
    for named in models(own):
        if named.served:
            click.echo(f"{named.name}: answered by a service ({named.endpoint}); nothing to fetch")
            continue
        try:
            places = [pin(source, composition.pins(), refresh) for source in sources(named)]
        except CodeNotReadError as error:
            unread.append(str(error))
            continue
        key = tuple((source.weights, source.revision) for source in places)
        if key in seen:
            continue
        if is_twin(named):
            click.echo(f"{named.name}: a twin, built where it runs; nothing to fetch")
        else:
            seen.add(key)
        read = [_fetched(source, store) for source in places if source.weights]
        count_shape(with_sources(named, read), store)
    if unread:
        raise UserError("\n".join(unread))


def _fetched(model: ModelSpec, store: Store) -> ModelSpec:
    """Fetch one source of weights, or read its folder; the model or part, pinned to what it holds."""
    from paceline.cli.progress import counting
    from paceline.models import hub_download, hub_files

    if in_folder(model):
        return read_folder(model, store)
    if not from_hub(model):
        locate_weights(model)  # a folder that is not there is no hub id to ask for
    listing = hub_download.listing(model)
    size = listing.to_fetch()
    if size:
        click.echo(f"{model.name}: {listing.source} at {listing.revision[:12]}: {_room(size, model)}", err=True)
    with counting(model.name) as progress:
        hub_download.download(model, listing, progress)
    state = "fetched and checked" if size else "was there"
    click.echo(
        f"{model.name}: {listing.source} at {listing.revision[:12]}: {counted(len(listing.files), 'file')}, "
        f"{listing.bytes / GIB:,.1f} GiB {state}, in {short(hub_files.cache())}"
    )
    return model


class CodeNotReadError(UserError):
    """A model whose code would run here is not pinned, and who runs it has to read it first."""


def pin(model: ModelSpec, pins: Pins, refresh: bool) -> ModelSpec:
    """The model with its revision: its file's, the pinned one, or else the hub's newest, which is pinned from now on.

    Raises:
        CodeNotReadError: its code would run here: with the newest commit, and how to pin it.
        UserError: no such model, a file of pins that is none.
        Unavailable: no network; nothing is pinned then.
    """
    from paceline.models import hub_download

    if not from_hub(model):
        return model
    old = pins.find(model.weights)
    if model.revision:
        if refresh and old is not None:
            click.echo(
                f"note: {model.name} has its revision of its own file, or of this command; no pin holds for it",
                err=True,
            )
        return model
    found = pins.applied(model)
    if found.revision and not refresh:
        return found
    revision, day = hub_download.newest(model)
    if old is not None and old.revision == revision and found.revision:
        click.echo(f"{model.name}: {model.weights} is pinned at the hub's newest, {revision[:12]}{day}")
        return found
    if model.remote_code:
        raise CodeNotReadError(_how_to_pin(model, pins, old, revision, day))
    fresh = dataclasses.replace(model, revision=revision)
    hub_download.listing(fresh)  # refused before it is pinned, where it holds no weights
    note = f"pinned {time.strftime('%Y-%m-%d')}, the hub's newest{day}"
    made = pins.add(model.weights, revision, note) if old is None else pins.change(old, revision, note)
    before = f" in place of {old.revision}" if old is not None and made.revision != old.revision else ""
    click.echo(f"{model.name}: pinned {model.weights} at {made.revision}{day}{before}, in {short(made.path)}")
    return dataclasses.replace(model, revision=made.revision)


def _how_to_pin(model: ModelSpec, pins: Pins, old: Pin | None, revision: str, day: str) -> str:
    """What a user of a model with code of its own does to pin it."""
    from paceline.models import hub_download

    path = old.path if old is not None else pins.paths[0]
    place = f"{short(path)} (in place of line {old.line})" if old is not None else short(path)
    return (
        f"model {model.name}: {model.weights} comes with code that would run here, so it is pinned by you alone, and "
        f"nothing of it was fetched. The hub's newest commit is {revision}{day}: read its Python files "
        f"({hub_download.page_of(model)}/tree/{revision}), then write this line into {place}:\n"
        f'{model.weights}: {{revision: "{revision}", code: read}}'
    )


def read_folder(model: ModelSpec, store: Store) -> ModelSpec:
    """Record the content of a folder of weights, which is part of a cell's identity; the model, pinned to it."""
    from paceline.cli.progress import counting
    from paceline.models import local_weights

    with counting(model.name) as progress:
        pinned, read = local_weights.prepare(model, store.root, progress)
    state = "read and recorded" if read else "as recorded"
    click.echo(f"{model.name}: the folder {short(Path(pinned.folder))}, {pinned.weights[:19]}, {state}")
    return pinned


def count_shape(model: ModelSpec, store: Store) -> None:
    """Put a model's shape under the root, so that `paceline fit` and `plan` know its memory; done once.

    Counted by a process of its own, because that needs torch. A model that can't be counted can still be run.
    """
    from paceline.errors import PacelineError
    from paceline.gpu_memory import shapes
    from paceline.launch import environments, gpu_fit
    from paceline.models.registry import says
    from paceline.store.files import write_json

    if shapes.shape_of(model, store.root) is not None:
        return
    if says(model.family, "own_call", False):
        click.echo(gpu_fit.uncounted(model), err=True)
        return
    try:
        shape = environments.ask_module("paceline.gpu_memory.count_shape", model)
    except PacelineError as error:
        click.echo(f"{model.name}: its memory can't be planned: {error}", err=True)
        return
    path = shapes.place(store.root, model)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, shape)
    click.echo(
        f"{model.name}: {sum(shape['parameters'].values()):,} parameters counted; see: paceline fit model={model.name}"
    )


def _there(model: ModelSpec) -> bool:
    from paceline.models import hub_files

    try:
        return not hub_files.lacking(model)
    except UserError:
        return False


def _room(size: int, model: ModelSpec) -> str:
    """What is to be fetched and what is free, in one line.

    Raises:
        Unavailable: it does not fit.
    """
    from paceline.errors import Unavailable
    from paceline.launch import storage
    from paceline.models import hub_files

    folder = hub_files.cache()
    free = [(r.by, r.bytes) for r in storage.rooms(folder) if r.bytes is not None]
    free_text = ", ".join(f"{left / GIB:,.1f} GiB free ({by})" for by, left in free) or "what is free is not known"
    line = f"{size / GIB:,.1f} GiB to fetch into {folder}; {free_text}"
    if any(size >= left for _, left in free):
        raise Unavailable(f"model {model.name}: {line}: no room; set HF_HOME to a folder on a larger disk")
    return line


def tasks(composition: Composition) -> list[TaskSpec]:
    """The distinct tasks of the points that rules leave, else of the axes; UserError where none is named."""
    if not composition.only and not composition.exclude:
        return _distinct(composition, "task")
    asked = (point.config.task for point in composition.points(required=("task",)))
    return list({repr((t.name, t.kind, t.reader, t.options, t.pictures)): t for t in asked}.values())


def needed_tasks(composition: Composition) -> list[TaskSpec]:
    """The distinct tasks whose data is needed: those that are evaluated, and those that are only trained on."""
    needed = tasks(composition)
    for trained, _ in transfers(composition):
        if trained not in needed:
            needed.append(trained)
    return needed


def transfers(composition: Composition) -> list[tuple[TaskSpec, TaskSpec]]:
    """Each task that weights are tuned on, with another that they are evaluated on (``train.task``)."""
    pairs: list[tuple[TaskSpec, TaskSpec]] = []
    named = any(w.lstrip("+~").startswith(("train", "adjust")) for w in composition.overrides)
    if not named and not composition.experiment:
        return pairs
    for point in composition.points(required=("task",)):
        if point.tuned and (pair := (point.tuned.task, point.config.task)) not in pairs:
            pairs.append(pair)
    return pairs


def models(composition: Composition) -> list[ModelSpec]:
    """The distinct models of a composition, likewise."""
    return _distinct(composition, "model")


def _distinct(composition: Composition, group: str) -> list[Any]:
    specs: list[Any] = []
    for spec in _specs(composition, group):
        if spec not in specs:
            specs.append(spec)
    return specs


def _specs(composition: Composition, group: str) -> Iterator[Any]:
    if composition.adjust:
        yield from (getattr(point.config, group) for point in composition.points(required=(group,)))
        return
    axes = [a for a in composition.axes if a.key.partition(".")[0] == group]
    for combination in itertools.product(*(a.values for a in axes)):
        values = dict(zip((a.key for a in axes), combination, strict=True))
        name = values.pop(group, composition.choices.get(group))
        if name is None:
            raise UserError(f"which {group}? give {group}=NAME; names: {', '.join(composition.tree.choices(group))}")
        yield composition.spec(group, name, values)
