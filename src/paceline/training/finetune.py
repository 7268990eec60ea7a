"""Tune a model's weights, so that a kill at any moment costs minutes and changes no number.

The loop is ``transformers.Trainer``'s. What stands around it here: samples come as one seeded stream that is the same
whatever the ranks (:mod:`paceline.training.stream`); checkpoints are made on a cadence and on request, agreed on by all
ranks at the end of an optimiser step, and marked when whole; a resumed run goes on bit for bit (tested on the CPU in
float32). ``Trainer``'s own answer to signals (``enable_jit_checkpoint``) is not used: under DeepSpeed it saves weights
one step ahead of the step it records.

The curve is ours: ``attempts/<n>/history.jsonl``, one record per optimiser step, written every few steps.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from paceline.attempts import checkpoints, ranks
from paceline.attempts.run import Run
from paceline.config import conflicts
from paceline.config.identity import as_loaded
from paceline.config.schema import Config
from paceline.counted import counted
from paceline.errors import DataError, Interrupted, NonFiniteLoss, UserError
from paceline.models import layers, load_family, local_weights
from paceline.models.family import Family
from paceline.store.cell_folder import CellFolder
from paceline.store.files import read_jsonl
from paceline.training import adapters, audits, batch_probe, output_layer, vision_cache
from paceline.training.arguments import trainer_arguments
from paceline.training.resume_point import resume_point
from paceline.training.save_weights import save_weights
from paceline.training.step_loop import Curve, StepLoop
from paceline.training.step_record import StepRecord
from paceline.training.stream import Conversations, Plan, Stream, order, plan
from paceline.training.trainer import CellTrainer

# isort: split
# After the families, which define the operators that these imports may want.
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.utils import is_liger_kernel_available


def load(run: Run, samples: int) -> Family:
    """The model that a cell tunes, in its method's form and on this rank's device. Every rank calls it.

    Under ZeRO-3 each rank keeps a part of every weight while they are read, so that a model need not fit anywhere
    whole; quantised weights, and those that get another output layer, are read whole and split afterwards (transformers
    5.23.0 offers nothing else).

    Args:
        run: the attempt.
        samples: how many there are to train on.

    Raises:
        UserError: the model can't be loaded so, or the config can't be run as it stands.
    """
    config = run.config
    conflicts.check(config, "finetune", torch.cuda.is_available())
    if config.train.kernels == "liger" and not is_liger_kernel_available():
        raise UserError("train.kernels=liger: the package is not installed here; pip install 'paceline[liger]'")
    family = load_family(config.model.family)
    if (labels := output_layer.labels_of(run)) is not None:
        family = output_layer.over(family, labels)
    unset_hf_deepspeed_config()  # of an earlier cell of this process, which may have been split
    if run.local_rank == 0:
        local_weights.require(config.model, run.root)
    whole = config.method.quantise != "none" or labels is not None
    split = checkpoints.engine(config.deepspeed) == "zero3" and not whole
    # While these arguments live, the library reads weights into parts.
    arguments = trainer_arguments(run, plan(config, run.world, samples)) if split else None
    loaded = family.load(
        as_loaded(config),
        training=True,
        device="cpu" if split else ranks.device(),
        quantise=config.method.quantise,
    )
    if labels is not None:
        output_layer.draw(loaded, config.seed)
    del arguments
    if split:
        # As it reads whole weights the library keeps the renamings that met one, and reverts them on saving. As it
        # splits them it keeps them all (transformers 5.23.0), and would publish under names that nobody else gives.
        model = loaded.model
        model._weight_conversions = [c for c in getattr(model, "_weight_conversions", None) or () if c.was_used()]
    return loaded


def _refuse_mixed_batches(run: Run, family: Family, splits: Mapping[str, Conversations]) -> None:
    """Refuse samples with and without images where ranks would wait for one another's weights for ever."""
    if run.world == 1 or not family.skips_without_images or checkpoints.engine(run.config.deepspeed) != "zero3":
        return
    for name, samples in splits.items():
        bare = [i for i in range(len(samples)) if not samples.pictured(i)]
        if 0 < len(bare) < len(samples):
            raise UserError(
                f"{len(bare)} of the {counted(len(samples), 'sample')} of split '{name}' of task "
                f"'{run.config.task.name}' have no "
                f"image, the first at place {bare[0]}: ZeRO-3 gathers weights on all ranks together, and family "
                f"'{run.config.model.family}' passes over its vision tower without an image; give deepspeed=zero2"
            )


def train(
    run: Run,
    family: Family,
    samples: Conversations,
    validation: Conversations,
    *,
    output: Path,
    curve: Curve | None = None,
) -> dict[str, Any]:
    """Tune ``family`` and write the weights to ``output``. Every rank calls it, after ``attempts.ranks.set_up``.

    Args:
        run: the attempt.
        family: loaded for training, the same on every rank; its model is changed in place.
        samples: the train split; ``validation`` the validation split, which may be empty.
        output: folder to write the published weights into, inside the attempt.
        curve: gets every point of the history, on rank 0.

    Returns:
        What was done: ``{steps, samples, epochs, micro_batch, accumulation, resumed, loss, validation_loss,
        best_step, seconds, parameters, trainable, trainable_<component>}``.

    Raises:
        UserError: the config can't be run as it stands.
        NonFiniteLoss: the loss became NaN or infinite; no checkpoint holds the broken weights.
        FailedAudit: more than the answers would be trained on, or the weights do not learn
            (:mod:`paceline.training.audits`).
        Interrupted: asked to stop; the state is saved. Raised on every rank, with one cause.
    """
    config = run.config = _recomputing_where_it_can(run, family)
    planned = plan(config, run.world, len(samples))
    if planned.validate and len(validation) == 0:
        raise DataError(f"task '{config.task.name}' has no samples in its split '{config.task.validation}'")
    engine = checkpoints.engine(config.deepspeed)
    _refuse_mixed_batches(run, family, {config.task.train: samples, config.task.validation: validation})
    resume = resume_point(run, planned)
    # Before the adapter is made: from here on the library knows whether weights are split.
    arguments = trainer_arguments(run, planned)
    # DeepSpeed keeps float32 masters of bfloat16 weights by itself. Without it they have to be the weights: updates
    # of 1e-5 vanish in bfloat16's 8 bits. The memory is the same 16 bytes per parameter either way.
    if family.spec.dtype != "float32" and engine == "torch":
        trained = set(adapters.weights_trained(family, config.method))  # PEFT makes adapters in float32 by itself
        for name, parameter in family.model.named_parameters():
            if name in trained:
                parameter.data = parameter.data.float()
    _tell_what_is_tuned(run, family)
    counts = adapters.adapt(family, config.method, config.seed)
    if run.rank == 0:
        parts = ", ".join(f"{k[10:]} {v:,}" for k, v in counts.items() if k.startswith("trainable_"))
        run.note(f"training {counts['trainable']:,} of {counts['parameters']:,} parameters: {parts}")
    indices = order(len(samples), planned.steps * planned.batch, config.seed)
    stream = Stream(samples, indices)
    _audit_labels(run, family, stream, planned, curve)
    if batch_probe.wanted(config, engine):
        planned = batch_probe.settle(run, family, stream, planned)
        arguments = trainer_arguments(run, planned)
    if run.rank == 0:
        run.note(
            f"{counted(planned.steps, 'step')} of {counted(planned.batch, 'sample')} = "
            f"{counted(run.world, 'rank')} × {planned.micro_batch} "
            f"× {planned.accumulation} accumulated" + (f"; going on after step {resume.step}" if resume else "")
        )
    record = StepRecord()
    loop = StepLoop(run, family, planned, engine, curve, record)
    seen, validation = _looked_at(run, family, stream, validation, planned)
    stream = Stream(seen, indices, planned.together)
    trainer = CellTrainer(run, family, arguments, stream, validation, record, [loop])
    began = time.monotonic()
    try:
        trainer.train(resume_from_checkpoint=trainer.readable(resume) if resume else None)
    except torch.OutOfMemoryError:
        loop.measure()  # how far it came is told with the next rung
        raise
    if loop.cause:
        raise Interrupted(loop.cause)
    _publish(run, trainer, output)
    loop.measure()
    told = {"resumed": resume.step if resume else 0, "seconds": time.monotonic() - began, **counts}
    return {**_outcome(run, trainer, planned, len(samples)), **told}


def _tell_what_is_tuned(run: Run, family: Family) -> None:
    """For the log: what begins random, what stays as it is, and what an adapter is put on. All ranks look."""
    method = run.config.method
    lines = [family.new_weights] if family.new_weights else []
    lines += layers.told(family, method.frozen_layers)
    if method.trains == "adapter":
        found = adapters.targets(family, method.lora, method.frozen_layers)
        lines.append(f"adapted/there of the linear layers:\n{found.text()}")
    for line in lines if run.rank == 0 else ():
        run.note(line)


def _recomputing_where_it_can(run: Run, family: Family) -> Config:
    """The run's config, without recomputed activations where the network has no such way: no number depends on them."""
    placement = run.config.placement
    if not placement.activation_checkpointing or family.bare_model().supports_gradient_checkpointing:
        return run.config
    if run.rank == 0:
        run.note(f"{type(family.bare_model()).__name__} can't recompute activations: they are kept")
    return dataclasses.replace(run.config, placement=dataclasses.replace(placement, activation_checkpointing=False))


def _outcome(run: Run, trainer: CellTrainer, planned: Plan, samples: int) -> dict[str, Any]:
    """How far the training came, and the losses that it ended with."""
    state = trainer.state
    last = _last_points(run.folder)
    return {
        "steps": state.global_step,
        "samples": state.global_step * planned.batch,
        "epochs": state.global_step * planned.batch / samples,
        "micro_batch": planned.micro_batch,
        "accumulation": planned.accumulation,
        "loss": last.get("loss"),
        "validation_loss": last.get("validation_loss") if state.best_metric is None else state.best_metric,
        "best_step": state.best_global_step,
    }


def _audit_labels(run: Run, family: Family, stream: Stream, planned: Plan, curve: Curve | None) -> None:
    """Hold the first batch's labels to its answers, and show them. All ranks look at the same, and end as one."""
    found = audits.labels(family, [stream[i] for i in range(min(planned.batch, audits.SAMPLES))])
    if run.rank == 0:
        for line in audits.shown(found):
            run.note(line)
        if curve is not None:
            curve.supervised([{"prompt": one.prompt, "supervised": one.text} for one in found])


def _looked_at(
    run: Run, family: Family, stream: Stream, validation: Conversations, planned: Plan
) -> tuple[Conversations, Conversations]:
    """The train and the validation split, their pictures seen beforehand where the run meets them several times."""
    if run.config.train.augment:
        if run.rank == 0:
            run.note(f"pictures are changed at every visit ({', '.join(run.config.train.augment)}): none is kept")
        return stream.samples, validation
    met = sorted(set(stream.indices.tolist()))
    validated = range(len(validation)) if planned.validate else range(0)
    # Before its engine is there, nothing can read weights that ZeRO-3 has parted.
    parted = checkpoints.engine(run.config.deepspeed) == "zero3"
    often = vision_cache.worth(len(stream), len(met), len(planned.validate), len(validated))
    if parted or not often or not run.config.placement.feature_gib or not vision_cache.unchanging(family):
        return stream.samples, validation
    first, second = vision_cache.remember(
        run, family, [(stream.samples, met), (validation, validated)], planned.micro_batch
    )
    return first, second


def _last_points(folder: CellFolder) -> dict[str, float]:
    """The last value of each curve, over all attempts: this one may have begun after the last step."""
    points: dict[int, dict[str, float]] = {}
    for attempt in folder.attempts():
        for record in read_jsonl(attempt.path / "history.jsonl"):
            points.setdefault(record["step"], {}).update(record)
    last: dict[str, float] = {}
    for step in sorted(points):
        last.update(points[step])
    return last


def _publish(run: Run, trainer: CellTrainer, output: Path) -> None:
    """Write the weights that the cell stands for: the last, or those of the best validation."""
    if run.config.train.keep == "last":
        everything = run.config.method.trains == "all"
        save_weights(trainer.family, trainer.model, output, everything=everything, writes=trainer.args.should_save)
        return
    step = trainer.state.best_global_step
    if step is None:
        raise NonFiniteLoss("no validation loss was finite, so there is no best to keep; lower train.learning_rate")
    if run.rank == 0:
        found = checkpoints.best(run.folder, step)
        if found is None:
            raise DataError(f"the weights of step {step}, the best, are damaged; submit again to train from the start")
        output.mkdir(parents=True, exist_ok=True)
        for name in found.files:
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            # Files of a checkpoint are never written again, so sharing them is safe and instant.
            _link(found.path / name, output / name)
    ranks.barrier()


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)
