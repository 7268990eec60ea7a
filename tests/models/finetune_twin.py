"""A finetune cell of a tiny model for the tests of tuning: real classes, eight coloured squares, seconds to train."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState
from deaths import dying
from PIL import Image

from paceline.attempts import ranks as distributed
from paceline.config.build import build
from paceline.config.identity import as_loaded
from paceline.config.schema import (
    Config,
    DeepSpeedSpec,
    LoraSpec,
    MaskedImageSpec,
    MethodSpec,
    ModelSpec,
    PlacementSpec,
    TrackingSpec,
    TrainSpec,
)
from paceline.errors import Interrupted, PacelineError
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.store.cell_folder import Attempt, Cell, CellFolder
from paceline.store.files import read_jsonl
from paceline.sweep.config_files import ConfTree
from paceline.training import finetune, masked_pictures

MODEL: dict[str, Any] = {
    "name": "tiny",
    "family": "qwen2_vl",
    "dtype": "float32",
    "processor": {"min_pixels": 1024, "max_pixels": 1024},
    "config": {
        "seed": 0,
        "tie_word_embeddings": True,
        "text_config": {
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 512,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
        },
        "vision_config": {
            "depth": 1,
            "embed_dim": 32,
            "hidden_size": 64,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 8,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
    },
}
COLOURS = ["red", "green", "blue", "white", "black", "yellow", "cyan", "magenta", "orange", "purple", "brown"]
TREE = ConfTree([Path(__file__).parents[2] / "conf"])
ZERO2: dict[str, Any] = TREE.load("deepspeed", "zero2")["config"]
ZERO3: dict[str, Any] = TREE.load("deepspeed", "zero3")["config"]


class Squares:
    """Coloured squares and their names; made on demand, as real samples are."""

    def __init__(self, count: int, first: int = 0) -> None:
        self.count, self.first = count, first

    def __len__(self) -> int:
        return self.count

    def pictured(self, index: int) -> bool:
        return True

    def extent(self, index: int) -> tuple[int, int]:
        lesson = self[index]
        return len(lesson.prompt) + len(str(lesson.answer)), 32 * 32 * self.pictured(index)

    def worded(self, index: int) -> Conversation:
        return dataclasses.replace(self[index], images=[])

    def __getitem__(self, index: int) -> Conversation:
        colour = COLOURS[(index + self.first) % len(COLOURS)]
        image = Image.new("RGB", (32, 32), colour)
        return Conversation(f"Which color is square {index}?", [image], answer=f"The square is {colour}.")


@dataclasses.dataclass
class ToyRun:
    """An attempt, as the worker would make it."""

    folder: CellFolder
    attempt: Attempt
    cell: Cell
    config: Config
    rank: int = 0
    local_rank: int = 0
    world: int = 1
    sweep: str = "toy"
    stop_after: int = 0
    peaks: dict[str, float] = dataclasses.field(default_factory=dict)
    told: dict[str, Any] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    done: int = 0

    @property
    def root(self) -> Path:
        """Of what nothing is read."""
        return self.folder.path

    def stop(self) -> str | None:
        """Asked to stop once that many steps are done. (The step that ends now is not in `done` yet.)"""
        return "timeout" if self.stop_after and self.done + 1 >= self.stop_after else None

    def progress(self, done: int, total: int, unit: str, note: str = "") -> None:
        self.done = done

    def note(self, text: str) -> None:
        self.notes.append(text)


LORA = MethodSpec(name="lora", trains="adapter", lora=LoraSpec(r=4, alpha=8, dropout=0.1))
# The same in a group's job.
ADAPTED: dict[str, Any] = {"method": "lora", "lora": {"r": 4, "alpha": 8, "dropout": 0.1}}
FULL = MethodSpec(name="full", trains="all")


def method(name: str, **lora: Any) -> MethodSpec:
    """A method of ``conf/method/``, its adapter as told."""
    made: MethodSpec = build(MethodSpec, {"name": name, **TREE.load("method", name)}, name)
    return dataclasses.replace(made, lora=dataclasses.replace(made.lora, **lora))


def twin(name: str) -> ModelSpec:
    """A model of ``conf/model/``."""
    return build(ModelSpec, {"name": name, **TREE.load("model", name)}, name)


def sharding(name: str, **zero: Any) -> dict[str, Any]:
    """What a choice of ``conf/deepspeed/`` tells DeepSpeed; ``zero`` are further words of ``zero_optimization``."""
    found = TREE.load("deepspeed", name).get("config", {})
    return {**found, "zero_optimization": {**found["zero_optimization"], **zero}} if zero else dict(found)


def config(
    method: MethodSpec = FULL,
    *,
    model: ModelSpec | None = None,
    deepspeed: dict[str, Any] | None = None,
    **changes: Any,
) -> Config:
    """A config of the toy cell; ``changes`` are fields of train, placement or tracking, told apart by their names."""

    def pick(cls: type, **values: Any) -> Any:
        names = {f.name for f in dataclasses.fields(cls)}
        if isinstance(changes.get("masked_image"), dict):  # as the jobs of a group have it
            changes["masked_image"] = MaskedImageSpec(**changes["masked_image"])
        return cls(**{**values, **{k: v for k, v in changes.items() if k in names}})

    return Config(
        model=model or build(ModelSpec, MODEL, "toy"),
        method=method,
        train=pick(TrainSpec, batch=4, max_steps=6, learning_rate=1e-3),
        placement=pick(PlacementSpec, checkpoint_minutes=1000.0),
        deepspeed=DeepSpeedSpec(name="toy", config=deepspeed or {}),
        tracking=pick(TrackingSpec),
        seed=3,
    )


def attempt(folder: Path, made: Config, **fields: Any) -> ToyRun:
    """The next attempt of the cell in ``folder``."""
    cell_folder = CellFolder(folder)
    return ToyRun(cell_folder, cell_folder.new_attempt(), Cell(folder.name, "finetune", {"seed": 3}), made, **fields)


class Questions(Squares):
    """Squares that are not shown."""

    def pictured(self, index: int) -> bool:
        return False

    def __getitem__(self, index: int) -> Conversation:
        return dataclasses.replace(super().__getitem__(index), images=[])


def load(made: Config, tuned: Path | None = None) -> Family:
    """The twin, the same weights every time, in the form that its method reads them."""
    return load_family(made.model.family).load(
        as_loaded(made), tuned, training=tuned is None, quantise=made.method.quantise
    )


def simulated_card(family: Family, room: int) -> None:
    """Let a network run out of memory as on a card: a CPU has no limit of its own that torch could tell.

    Args:
        room: rows × tokens that it holds at a time; four times as many where activations are recomputed.
    """
    network = family.bare_model()

    def before(module: Any, args: Any, inputs: dict[str, Any]) -> None:
        taken = inputs["input_ids"].numel() / (4 if network.is_activation_checkpointing else 1)
        if taken > room:
            raise torch.OutOfMemoryError(f"simulated card: {taken:g} tokens, and room for {room}")

    network.register_forward_pre_hook(before, with_kwargs=True)


def tune(run: ToyRun, samples: type[Squares] = Squares, room: int = 0, **options: Any) -> dict[str, Any]:
    """Train the toy cell as a job would, on a :func:`simulated_card` where ``room`` says how small."""
    torch.set_num_threads(1)
    output = run.attempt.path / "weights"
    samples = samples if "image" in run.config.model.inputs else Questions
    family = finetune.load(run, 10)
    if room:
        simulated_card(family, room)
    masked_pictures.pretrain(run, family, samples(10))  # type: ignore[arg-type]
    run.peaks["read"] = sum(p.nbytes for p in family.model.parameters())
    return finetune.train(run, family, samples(10), samples(5, first=3), output=output, **options)


def curve(folder: Path) -> dict[int, dict[str, float]]:
    """Step -> point, over all attempts, without what depends on the clock and the machine."""
    points: dict[int, dict[str, float]] = {}
    for one in CellFolder(folder).attempts():
        for record in read_jsonl(one.path / "history.jsonl"):
            points.setdefault(record["step"], {}).update(record)
    for point in points.values():
        for name in ("samples_per_second", "tokens_per_second", "host_gib"):
            point.pop(name, None)
    return points


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The published tensors of the cell's last attempt."""
    from safetensors.torch import load_file

    path = CellFolder(folder).attempts()[-1].path / "weights"
    return load_file(next(iter(path.glob("*model.safetensors"))))


def group(world: int, deepspeed: dict[str, Any], jobs: list[dict[str, Any]], log: Path) -> None:
    """Run jobs one after the other on ``world`` ranks, each a process, and check that all end well.

    Args:
        jobs: each ``{cell: folder, stop_after: steps or 0, changes: fields of the config}``, and, where it is not
            full tuning of the toy under ``deepspeed``, ``method``, ``model`` and ``deepspeed`` by their names in
            conf/, ``lora`` and ``zero`` where adapter or sharding are told more, and ``frozen_layers``; ``unseen``
            without images; ``unchecked`` runs what would be refused; ``room`` is that of the last rank's simulated
            card. One that does not end well has ``dies`` (a place of :func:`deaths.dying`) or ``raises`` (part of the
            error's text).
        log: folder for what the ranks print.
    """
    for job in jobs:
        job["attempt"] = str(CellFolder(Path(job["cell"])).new_attempt().path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    asked = json.dumps({"world": world, "port": port, "deepspeed": deepspeed, "jobs": jobs})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    logs = [(log / f"rank{rank}.log").open("w+") for rank in range(world)]
    ranks = [
        subprocess.Popen([sys.executable, __file__, str(rank), asked], env=environment, stdout=out, stderr=out)
        for rank, out in enumerate(logs)
    ]
    try:
        codes = [rank.wait(timeout=max(240, 30 * len(jobs))) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    for out in logs:
        out.seek(0)
    assert codes == [0] * world, "\n".join(out.read()[-3000:] for out in logs)


def held(folder: Path, rank: int) -> dict[str, int]:
    """Bytes that a rank of the cell's last attempt held: ``{read}``, whole weights when they had been read, and
    ``{parameters, optimiser}`` after the last step."""
    return json.loads((CellFolder(folder).attempts()[-1].path / f"held{rank}.json").read_text())


def _measured(publish: Any, run: ToyRun, trainer: Any, output: Path) -> None:
    parts = [t for p in trainer.model.parameters() for t in (p.data, getattr(p, "ds_tensor", None)) if t is not None]
    inner = trainer.optimizer.optimizer  # of what Accelerate wraps
    states = getattr(inner, "optimizer", inner).state.values()
    moments = [v for state in states for k, v in state.items() if k.startswith("exp_avg")]
    counted = {
        "read": run.peaks["read"],
        "parameters": sum(t.nbytes for t in parts),
        "optimiser": sum(t.nbytes for t in moments),
    }
    (run.attempt.path / f"held{run.rank}.json").write_text(json.dumps(counted))
    publish(run, trainer, output)


def _do(job: dict[str, Any], rank: int, world: int, deepspeed: dict[str, Any]) -> None:
    """One job of a group, on one rank."""
    how = method(job["method"], **job.get("lora", {})) if "method" in job else FULL
    made = config(
        dataclasses.replace(how, frozen_layers=job.get("frozen_layers", {})),
        model=twin(job["model"]) if "model" in job else None,
        deepspeed=sharding(job["deepspeed"], **job.get("zero", {})) if "deepspeed" in job else deepspeed,
        **job["changes"],
    )
    folder = CellFolder(Path(job["cell"]))
    run = ToyRun(
        folder=folder,
        attempt=Attempt(Path(job["attempt"])),
        cell=Cell(folder.id, "finetune", {"seed": 3}),
        config=made,
        rank=rank,
        local_rank=rank,
        world=world,
        # A signal may reach one rank alone: here the last.
        stop_after=job.get("stop_after", 0) if rank == world - 1 else 0,
    )
    if job.get("unchecked"):
        finetune.conflicts.check = lambda *args: None  # type: ignore[assignment]
    began = time.monotonic()
    try:
        with dying(job.get("dies", "")):
            # Cards need not be alike: here the last is small.
            tune(run, Questions if job.get("unseen") else Squares, job.get("room", 0) if rank == world - 1 else 0)
        assert not job.get("stop_after") and not job.get("raises")
    except Interrupted as error:
        assert job.get("stop_after") and error.cause == "timeout"
    except PacelineError as error:
        assert job.get("raises") and job["raises"] in str(error), error
    sys.stdout.write(f"{folder.id}: {time.monotonic() - began:.2f} s\n")


def main() -> None:
    """One rank of a group."""
    rank, asked = int(sys.argv[1]), json.loads(sys.argv[2])
    world, deepspeed = asked["world"], asked["deepspeed"]
    distributed.set_up(
        rank=rank,
        local_rank=rank,
        world=world,
        local_world=world,
        port=asked["port"],
        threads=1,
        deepspeed=bool(deepspeed),
    )
    finetune._publish = partial(_measured, finetune._publish)
    for job in asked["jobs"]:
        AcceleratorState._reset_state(reset_partial_state=True)  # a process is one cell, but here many
        _do(job, rank, world, deepspeed)
    distributed.tear_down()


if __name__ == "__main__":
    main()
