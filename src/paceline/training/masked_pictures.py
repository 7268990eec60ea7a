"""Pre-training of a vision encoder on pictures alone: it predicts what is hidden of them (SimMIM, Xie et al. 2022,
arXiv:2111.09886), as a first phase of a tuning.

The network is ``ViTForMaskedImageModeling`` of Transformers: blocks of a picture are replaced by a learned token, a
linear layer predicts their pixels from the encoder's states, and the loss is the mean absolute error over the hidden
pixels, which the image processor has normalised. Labels are not read.

The phase has attempts and checkpoints of its own below the cell's folder, by the same loop and the same rules as the
tuning's. Once it is through, the encoder is published there as a model that stands alone, and every attempt of the
tuning begins with it, so that a kill at any moment changes no number.

    <cell>/pretraining/attempts/<n>/checkpoints/  history.jsonl
                       encoder/                   the encoder, its image processor, pretraining.json
"""

from __future__ import annotations

import copy
import dataclasses
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paceline.attempts import checkpoints, ranks
from paceline.attempts.run import Run
from paceline.config.schema import Config, MethodSpec
from paceline.counted import counted
from paceline.errors import DataError, Interrupted, UserError
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.store.cell_folder import Attempt, CellFolder
from paceline.store.files import SCHEMA, file_digest, read_json, read_jsonl, write_json
from paceline.training.arguments import trainer_arguments
from paceline.training.resume_point import resume_point
from paceline.training.step_loop import Curve, StepLoop
from paceline.training.step_record import StepRecord
from paceline.training.stream import Conversations, order, plan
from paceline.training.trainer import CellTrainer

# isort: split
# After the families, which define the operators that these imports may want.
from transformers import ViTForMaskedImageModeling, ViTModel

FOLDER = "pretraining"
LOSS = "masked_image_loss"
WEIGHTS = "model.safetensors"
TOLD = "pretraining.json"
# SimMIM hides blocks of 32 pixels, 2 × 2 patches of its encoder: a single patch is guessed from those beside it.
BLOCK = 2
# Beside the cell's seed, so that the masks have streams of their own, one for each place of the order.
_STREAM = 2


class MaskedPictures(ViTForMaskedImageModeling):
    """The library's network, called with ``pixel_values`` (samples, 3, height, width) and ``bool_masked_pos`` (samples,
    patches) alone.

    Its own signature would have the trainer count labels, which there are not.
    """

    def forward(self, pixel_values: torch.Tensor, bool_masked_pos: torch.Tensor) -> Any:  # type: ignore[override]
        return super().forward(pixel_values=pixel_values, bool_masked_pos=bool_masked_pos)


class PictureTask:
    """What the trainer and its loop ask of a family, for the network of masked pictures."""

    how = "classifies"  # one loss for a batch, whose samples weigh the same
    labels_ahead = False
    mean_loss = False

    def __init__(self, family: Family, model: MaskedPictures) -> None:
        self.family = family
        self.model = model
        self.spec = family.spec

    def bare_model(self) -> MaskedPictures:
        """The network."""
        return self.model

    def training_batch(self, shown: Sequence[tuple[Conversation, np.ndarray]]) -> dict[str, torch.Tensor]:
        """Pictures as the encoder is shown them, and what is hidden of each."""
        pixels = self.family.batch([conversation for conversation, _ in shown])["pixel_values"]
        return {"pixel_values": pixels, "bool_masked_pos": torch.from_numpy(np.stack([mask for _, mask in shown]))}

    def tokens_read(self, batch: Any) -> torch.Tensor:
        """No tokens are read."""
        return torch.zeros(len(batch["pixel_values"]), dtype=torch.long, device=batch["pixel_values"].device)


class MaskedStream(torch.utils.data.Dataset):
    """Pictures in a given order, each with its mask.

    Args:
        samples: to take them from.
        indices: which, in what order; shape (length,).
        edge: patches along an edge of a picture.
        ratio: share of a picture's blocks that is hidden.
        seed: with the place in the order it decides a mask, so that neither ranks nor a resume change it.
    """

    def __init__(self, samples: Conversations, indices: np.ndarray, edge: int, ratio: float, seed: int) -> None:
        self.samples, self.indices = samples, indices
        self.edge, self.ratio, self.seed = edge, ratio, seed

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> tuple[Conversation, np.ndarray]:
        whole = self.samples[int(self.indices[place])]
        bare = Conversation(prompt="", images=whole.images[:1], sample=whole.sample)
        return bare, mask(self.edge, self.ratio, self.seed, place)


def mask(edge: int, ratio: float, seed: int, place: int) -> np.ndarray:
    """What is hidden of the picture at a place of the order; bool, shape (edge × edge,), row by row.

    Blocks are of 2 × 2 patches where the edge is even, else of one; their number is rounded up, and one at least stays
    in sight.
    """
    block = BLOCK if edge % BLOCK == 0 and edge > BLOCK else 1
    blocks = (edge // block) ** 2
    hidden = min(max(math.ceil(blocks * ratio), 1), blocks - 1)
    drawn = np.random.RandomState([seed, _STREAM, place]).permutation(blocks)[:hidden]
    found = np.zeros(blocks, dtype=bool)
    found[drawn] = True
    grid = found.reshape(edge // block, edge // block)
    return grid.repeat(block, axis=0).repeat(block, axis=1).reshape(-1)


def pretrain(run: Run, family: Family, samples: Conversations, *, curve: Curve | None = None) -> dict[str, Any]:
    """Pre-train a model's vision encoder on the pictures of samples, in place. Every rank calls it, after the model was
    loaded and before it is tuned.

    Args:
        run: the attempt.
        family: loaded for training; its encoder is changed.
        samples: the train split; of each the first picture is taken, and nothing else.
        curve: gets the last loss at step 0, before the tuning's first point.

    Returns:
        What was done: ``{masked_image: {steps, samples, masked_image_loss}}``; empty where the cell asks for none.

    Raises:
        UserError: the encoder is no ViT.
        DataError: no sample has a picture.
        Interrupted: asked to stop; the state is saved. Raised on every rank, with one cause.
    """
    if not run.config.train.masked_image.epochs:
        return {}
    encoder = encoder_of(family)
    folder = CellFolder(run.folder.path / FOLDER)
    if not ranks.from_first(_published(folder.path / "encoder") if run.rank == 0 else None):
        _train(run, family, encoder, samples, folder)
    ranks.barrier()
    # By the library, which may write weights under other names than they have in memory.
    pooled = encoder.pooler is not None
    saved = ViTModel.from_pretrained(str(folder.path / "encoder"), add_pooling_layer=pooled, dtype=torch.float32)
    there = dict(saved.named_parameters())
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            parameter.copy_(there[name])
    told = read_json(folder.path / "encoder" / TOLD)["told"]
    if run.rank == 0:
        run.note(f"the encoder begins with its pre-training: {counted(told['steps'], 'step')}, {LOSS} {told[LOSS]:.4f}")
        if curve is not None:
            curve.log(0, {LOSS: told[LOSS]})
    return {"masked_image": told}


def encoder_of(family: Family) -> ViTModel:
    """The encoder that is pre-trained.

    Raises:
        UserError: the family has none, or it is no ViT.
    """
    network = family.bare_model()
    found = getattr(network, family.masked_encoder, None) if family.masked_encoder else None
    if isinstance(found, ViTModel) and not isinstance(found.config.image_size, int):
        raise UserError(f"train.masked_image: the ViT of model {family.spec.name} reads no squares")
    if not isinstance(found, ViTModel):
        kind = type(found).__name__ if found is not None else type(network).__name__
        raise UserError(
            f"train.masked_image: the vision encoder of model {family.spec.name} is {kind}, and only a ViT can be "
            "pre-trained so; give train.masked_image.epochs=0"
        )
    return found


def _published(folder: Path) -> bool:
    """Whether the encoder of this cell is there and whole."""
    try:
        return bool(read_json(folder / TOLD)["sha256"] == file_digest(folder / WEIGHTS))
    except (UserError, OSError, KeyError):
        return False


def _train(run: Run, family: Family, encoder: ViTModel, samples: Conversations, folder: CellFolder) -> None:
    config = _config(run.config)
    phase = _phase(run, config, folder)
    pictured = np.array([i for i in range(len(samples)) if samples.pictured(i)], dtype=np.int64)
    if not len(pictured):
        raise DataError(
            f"train.masked_image: split '{config.task.train}' of task '{config.task.name}' shows no picture"
        )
    planned = plan(config, run.world, len(pictured))
    task = PictureTask(family, _network(encoder, config))
    settings = config.train.masked_image
    places = pictured[order(len(pictured), planned.steps * planned.batch, config.seed)]
    size: Any = encoder.config  # one edge each, or `encoder_of` has refused it
    edge = size.image_size // size.patch_size
    stream = MaskedStream(samples, places, edge, settings.ratio, config.seed)
    resume = resume_point(phase, planned)
    if run.rank == 0:
        run.note(
            f"pre-training the encoder by masked pictures: {counted(planned.steps, 'step')} of "
            f"{counted(planned.batch, 'picture')}" + (f"; going on after step {resume.step}" if resume else "")
        )
    record = StepRecord()
    told: Any = task  # of a family the trainer and its loop ask no more than this
    loop = _Loop(phase, told, planned, "torch", None, record)
    trainer = CellTrainer(phase, told, trainer_arguments(phase, planned), stream, samples, record, [loop])  # type: ignore[arg-type]
    try:
        trainer.train(resume_from_checkpoint=trainer.readable(resume) if resume else None)
    except torch.OutOfMemoryError:
        loop.measure()
        raise
    if loop.cause:
        raise Interrupted(loop.cause)
    loop.measure()
    if run.rank == 0:
        done = {"steps": planned.steps, "samples": planned.steps * planned.batch, LOSS: _last_loss(folder)}
        _publish(family, encoder, task.model, phase, folder, done)
        checkpoints.clear(folder)
    trainer.accelerator.free_memory()  # the tuning wants the room of this optimiser


def _last_loss(folder: CellFolder) -> float:
    """That of the last step, whichever attempt made it."""
    points = {
        int(record["step"]): float(record[LOSS])
        for attempt in folder.attempts()
        for record in read_jsonl(attempt.path / "history.jsonl")
        if LOSS in record
    }
    return points[max(points)]


class _Loop(StepLoop):
    """The tuning's loop; its loss has a name of its own."""

    def _add_to_curve(self, records: list[dict[str, Any]]) -> None:
        super()._add_to_curve([{LOSS if key == "loss" else key: v for key, v in r.items()} for r in records])


def _config(config: Config) -> Config:
    """The settings of the phase: the tuning's, with passes and a rate of its own, over the encoder's weights."""
    own = config.train.masked_image
    train = dataclasses.replace(
        config.train, epochs=own.epochs, max_steps=0, learning_rate=own.learning_rate, validations=0, keep="last"
    )
    return dataclasses.replace(config, train=train, method=MethodSpec(name=FOLDER, trains="all"))


def _phase(run: Run, config: Config, folder: CellFolder) -> Run:
    """The attempt as the loop sees it: with a folder of its own for the state, and the same clock and log."""
    attempt = Attempt(folder.path / "attempts" / run.attempt.path.name)
    if run.rank == 0:
        attempt.path.mkdir(parents=True, exist_ok=True)
    ranks.barrier()
    phase = dataclasses.replace(run, folder=folder, attempt=attempt, config=config)

    def progress(done: int, total: int, unit: str, note: str = "") -> None:
        run.progress(done, total, unit, f"masked pictures, {note}" if note else "masked pictures")

    # Of the attempt itself, which alone renews its heartbeat and hears of signals.
    phase.progress = progress  # type: ignore[method-assign]
    phase.stop = run.stop  # type: ignore[method-assign]
    return phase


def _network(encoder: ViTModel, config: Config) -> MaskedPictures:
    """The network around a copy of the encoder, in float32; what is new is drawn from the cell's seed alone."""
    settings: Any = copy.deepcopy(encoder.config)
    settings.encoder_stride = settings.patch_size  # a state predicts the pixels of its own patch
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = MaskedPictures._from_config(settings, attn_implementation=config.model.attention)
    there = dict(encoder.named_parameters())
    with torch.no_grad():
        for name, parameter in network.vit.named_parameters():
            if name in there:
                parameter.copy_(there[name])
    return network.float().to(encoder.device).train()


def _publish(
    family: Family, encoder: ViTModel, network: MaskedPictures, phase: Run, folder: CellFolder, done: dict[str, Any]
) -> None:
    """Put the encoder in place as a model that stands alone, such as for ``parts.vision.weights``."""
    kept = dict(encoder.named_parameters())
    state = {n: p.detach().cpu().contiguous() for n, p in network.vit.named_parameters() if n in kept}
    made = phase.attempt.path / "encoder"
    shutil.rmtree(made, ignore_errors=True)  # half of one, of the same attempt
    # Of the encoder itself, whose pooling layer, where it has one, stays as it came.
    whole = {**{n: p.detach().cpu().float() for n, p in kept.items()}, **state}
    copy.deepcopy(encoder).cpu().float().save_pretrained(made, state_dict=whole)
    getattr(family.processor, "image_processor", family.processor).save_pretrained(made)
    write_json(made / TOLD, {"schema": SCHEMA, "sha256": file_digest(made / WEIGHTS), "told": done})
    folder.publish_folder(made, folder.path / "encoder")
