"""Tune a model's weights, so that a kill at any moment costs minutes and changes no number.

The loop is ``transformers.Trainer``'s. What stands around it here: samples come as one seeded stream that is the same
whatever the ranks (:mod:`paceline.training.stream`); checkpoints are made on a cadence and on request, agreed on by all
ranks at the end of an optimiser step, and marked when whole; a resumed run goes on bit for bit (tested on the CPU in
float32). ``Trainer``'s own answer to signals (``enable_jit_checkpoint``) is not used: under DeepSpeed it saves weights
one step ahead of the step it records.

The curve is ours: ``attempts/<n>/history.jsonl``, one record per optimiser step, written every few steps.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import math
import os
import resource
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from paceline.attempts import checkpoints, ranks
from paceline.attempts.run import Run
from paceline.config import conflicts
from paceline.config.identity import as_loaded
from paceline.config.schema import MethodSpec, PlacementSpec
from paceline.errors import DataError, Interrupted, NonFiniteLoss, UserError
from paceline.models import load_family
from paceline.models.family import Family
from paceline.models.tensors import IGNORED
from paceline.store.causes import CAUSES
from paceline.store.cells import CellFolder
from paceline.store.files import SCHEMA, append_jsonl, read_jsonl
from paceline.training import adapters, audits, batch_probe, vision_cache
from paceline.training.stream import Conversations, Plan, Stream, order, plan

# isort: split
# After the families, which define the operators that these imports may want.
import safetensors.torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.utils import is_liger_kernel_available

LOG_STEPS = 10
LOG_SECONDS = 15.0
MOST_WORKERS = 4
_WEIGHTS = "trained.safetensors"


class Curve(Protocol):
    """Where points of the curve go beside the history; :class:`paceline.tracking.tracker.Tracker` is one."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...
    def supervised(self, rows: Sequence[Mapping[str, str]]) -> None: ...


def load(run: Run, samples: int) -> Family:
    """The model that a cell tunes, in its method's form and on this rank's device. Every rank calls it.

    Under ZeRO-3 each rank keeps a part of every weight while they are read, so that a model need not fit anywhere
    whole; quantised weights alone are read whole and split afterwards (transformers 5.23.0 offers nothing else).

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
    unset_hf_deepspeed_config()  # of an earlier cell of this process, which may have been split
    split = checkpoints.engine(config.deepspeed) == "zero3" and config.method.quantise == "none"
    # While these arguments live, the library reads weights into parts.
    arguments = _arguments(run, plan(config, run.world, samples)) if split else None
    loaded = family.load(
        as_loaded(config),
        training=True,
        device="cpu" if split else ranks.device(),
        quantise=config.method.quantise,
    )
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
                f"{len(bare)} of the {len(samples)} samples of split '{name}' of task '{run.config.task.name}' have no "
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
    config = run.config
    planned = plan(config, run.world, len(samples))
    if planned.validate and len(validation) == 0:
        raise DataError(f"task '{config.task.name}' has no samples in its split '{config.task.validation}'")
    engine = checkpoints.engine(config.deepspeed)
    _refuse_mixed_batches(run, family, {config.task.train: samples, config.task.validation: validation})
    resume = _resume_point(run, planned)
    # Before the adapter is made: from here on the library knows whether weights are split.
    arguments = _arguments(run, planned)
    # DeepSpeed keeps float32 masters of bfloat16 weights by itself. Without it they have to be the weights: updates
    # of 1e-5 vanish in bfloat16's 8 bits. The memory is the same 16 bytes per parameter either way.
    if family.spec.dtype != "float32" and engine == "torch":
        for parameter in _to_train(family, config.method):
            parameter.data = parameter.data.float()
    if run.rank == 0 and config.method.trains == "adapter":
        run.note(f"adapted/there of the linear layers:\n{adapters.targets(family, config.method.lora).text()}")
    counts = adapters.adapt(family, config.method, config.seed)
    if run.rank == 0:
        parts = ", ".join(f"{k[10:]} {v:,}" for k, v in counts.items() if k.startswith("trainable_"))
        run.note(f"training {counts['trainable']:,} of {counts['parameters']:,} parameters: {parts}")
    indices = order(len(samples), planned.steps * planned.batch, config.seed)
    stream = Stream(samples, indices)
    _audit_labels(run, family, stream, planned, curve)
    if batch_probe.wanted(config, engine):
        planned = batch_probe.settle(run, family, stream, planned)
        arguments = _arguments(run, planned)
    if run.rank == 0:
        run.note(
            f"{planned.steps} steps of {planned.batch} samples = {run.world} ranks × {planned.micro_batch} "
            f"× {planned.accumulation} accumulated" + (f"; going on after step {resume.step}" if resume else "")
        )
    loop = _Loop(run, planned, engine, curve)
    seen, validation = _looked_at(run, family, stream, validation, planned)
    stream = Stream(seen, indices, planned.together)
    trainer = _Trainer(family, arguments, stream, validation, loop)
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
    state = trainer.state
    last = _last_points(run.folder)
    return {
        "steps": state.global_step,
        "samples": state.global_step * planned.batch,
        "epochs": state.global_step * planned.batch / len(samples),
        "micro_batch": planned.micro_batch,
        "accumulation": planned.accumulation,
        "resumed": resume.step if resume else 0,
        "loss": last.get("loss"),
        "validation_loss": last.get("validation_loss") if state.best_metric is None else state.best_metric,
        "best_step": state.best_global_step,
        "seconds": time.monotonic() - began,
        **counts,
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


def _memory() -> dict[str, float]:
    """What this rank's process holds now, in GiB: of the host, and of its GPU, with the most that it ever held."""
    found = {}
    with contextlib.suppress(OSError):  # Linux alone tells it so
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        found["host_gib"] = pages * resource.getpagesize() / 2**30
    if torch.cuda.is_available():
        found["cuda_gib"] = torch.cuda.memory_allocated() / 2**30
        found["cuda_peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return {name: round(value, 3) for name, value in found.items()}


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


def _to_train(family: Family, method: MethodSpec) -> Iterator[torch.nn.Parameter]:
    if method.trains == "all":  # adapters are made in float32 by PEFT, over a base that never changes
        for name, parameter in family.model.named_parameters():
            if family.component_of(name) not in method.frozen and not family.is_idle(name):
                yield parameter


def _resume_point(run: Run, planned: Plan) -> checkpoints.Checkpoint | None:
    """Rank 0's choice, on every rank: a digest is read once, and all go on from the same."""
    found = checkpoints.latest(run.folder, run.note) if run.rank == 0 else None
    found = ranks.from_first(found)
    if found is None:
        return None
    if why := checkpoints.misfit(found, run.config.deepspeed):
        raise UserError(why)
    if found.world != run.world or found.micro_batch != planned.micro_batch:
        run.note("other ranks or micro-batch than at the checkpoint: same samples per step, sums in another order")
    return found


def _arguments(run: Run, planned: Plan) -> TrainingArguments:
    config = run.config
    settings, placement = config.train, config.placement
    dtype = as_loaded(config).dtype
    sharded = config.deepspeed.config.get("zero_optimization", {})
    cpu = not torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(run.attempt.checkpoints),
        max_steps=planned.steps,
        per_device_train_batch_size=planned.micro_batch,
        gradient_accumulation_steps=planned.accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule if settings.schedule != "constant" else "constant_with_warmup",
        warmup_steps=math.ceil(settings.warmup * planned.steps),
        weight_decay=settings.weight_decay,
        adam_beta2=settings.beta2,
        max_grad_norm=settings.max_grad_norm,
        # Fused, it goes through host memory once; under ZeRO alone it stays as published cells were trained.
        optim="adamw_torch_fused" if not sharded or "offload_optimizer" in sharded else "adamw_torch",
        bf16=dtype == "bfloat16",
        fp16=dtype == "float16",
        activation_checkpointing=placement.activation_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if placement.activation_checkpointing else None,
        use_liger_kernel=settings.kernels == "liger",
        # Its fused loss saves the logits of the prompt, which are not made here (`models.tensors.answers_alone`).
        liger_kernel_config={"fused_linear_cross_entropy": False, "cross_entropy": False},
        train_sampling_strategy="sequential",
        ignore_data_skip=False,
        seed=config.seed,
        data_seed=config.seed,
        dataloader_num_workers=_workers(placement, cpu),
        dataloader_pin_memory=not cpu,
        remove_unused_columns=False,
        use_cpu=cpu,
        ddp_backend=ranks.backend(),
        deepspeed=copy.deepcopy(config.deepspeed.config) or None,
        # Saving, validating and logging are decided in _Loop; these would do it a second time.
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        log_level_replica="error",
    )


def _workers(placement: PlacementSpec, cpu: bool) -> int:
    """Processes that open pictures while the device computes. On a CPU they would take its time."""
    if placement.workers >= 0:
        return placement.workers
    return 0 if cpu else max(0, min(MOST_WORKERS, len(os.sched_getaffinity(0)) - 1))


class _Trainer(Trainer):
    """The library's loop, with every step's loss kept and validation that does not depend on the ranks."""

    def __init__(
        self, family: Family, args: TrainingArguments, stream: Stream, validation: Conversations, loop: _Loop
    ) -> None:
        super().__init__(
            model=family.model,
            args=args,
            data_collator=family.training_batch,
            train_dataset=stream,
            callbacks=[loop],
        )
        self.remove_callback(PrinterCallback)
        self.family = family
        self.validation = validation
        self.loop = loop
        self.step_loss: torch.Tensor | None = None
        self.step_tokens: torch.Tensor | None = None
        self.step_norm: Any = None
        loop.trainer = self

    def readable(self, found: checkpoints.Checkpoint) -> str:
        """The folder that this many ranks can read a checkpoint from. Every rank calls it.

        Raises:
            UserError: DeepSpeed can't share it out anew.
        """
        run = self.loop.run
        if found.engine == "torch" or found.world == run.world:
            return str(found.path)
        made: Path | Exception | None = None
        if run.rank == 0:
            run.note(f"putting the state of {found.world} ranks together for {run.world}")
            try:
                made = checkpoints.universal(found, run.attempt)
            except (UserError, OSError) as error:
                made = error
        made = ranks.from_first(made)
        if isinstance(made, Exception):
            raise made
        self.loop.assembled = True
        settings: Any = self.args.hf_deepspeed_config
        settings.config.setdefault("checkpoint", {})["load_universal"] = True
        return str(made)

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """The library's, and a word where nothing that is trained has a part in it: torch only says that it can't."""
        loss = super().compute_loss(*args, **kwargs)
        if not (loss[0] if isinstance(loss, tuple) else loss).requires_grad:
            raise UserError(
                "the answers of a batch depend on none of the trained weights: no gradient can reach them. Train a "
                "component that every sample uses (method.frozen, method.lora.components), or show it images"
            )
        return loss

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: it walks over every parameter at every forward, and nobody reads the number."""
        return 0

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """One forward and backward; its share of the step's loss and tokens stays on the device, without waiting."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.step_loss = loss.clone() if self.step_loss is None else self.step_loss + loss
        tokens = inputs["attention_mask"].sum(dtype=torch.float64)
        self.step_tokens = tokens if self.step_tokens is None else self.step_tokens + tokens
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        self.step_norm = super()._get_grad_norm(model, grad_norm)
        return self.step_norm

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Mean loss per answer token over the validation split, the same whatever the ranks."""
        size, world, rank = self.args.per_device_train_batch_size, self.loop.run.world, self.loop.run.rank
        count = len(self.validation)
        rounds = math.ceil(count / (size * world))
        # Every rank runs the same number of forwards, or ZeRO-3 would wait for ever; surplus weighs nothing.
        firsts = [(r * world + rank) * size for r in range(rounds)]
        indices = [[i for i in range(f, f + size) if i < count] or [0] for f in firsts]
        loader = torch.utils.data.DataLoader(
            Stream(self.validation, np.arange(count)),
            batch_sampler=indices,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            generator=torch.Generator(),  # its own, or validating would shift the training's dropout
        )
        sums = torch.zeros(2, dtype=torch.float64)
        model: Any = self.model
        model.eval()
        with torch.no_grad():
            for first, batch in zip(firsts, loader, strict=True):
                inputs = self._prepare_inputs(batch)
                loss = model(**inputs)["loss"].detach().double().cpu()
                tokens = inputs["labels"].ne(IGNORED).sum().cpu() * (first < count)
                sums += torch.stack([loss * tokens, tokens.double()]) if first < count else 0
        model.train()
        weighted, tokens = ranks.total(sums).tolist()
        metrics = {"eval_loss": weighted / max(tokens, 1.0)}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _changing(self) -> dict[str, torch.Tensor]:
        """What training changes, by the names in memory: trainable parameters, and buffers that are saved."""
        model: Any = self.model
        buffers = dict(model.named_buffers())
        found = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
        return found | {name: b for name, b in model.state_dict().items() if name in buffers}

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """A checkpoint's weights. Under DeepSpeed its own state holds them, so there is nothing to gather.

        Not by ``save_pretrained``: for some families it renames weights on the way to the disk, and the library's
        resume, which reads the file as it is and not strictly, would pass over every one of them without a word.
        """
        if self.args.should_save and not self.is_deepspeed_enabled:
            folder = Path(str(output_dir))
            folder.mkdir(parents=True, exist_ok=True)
            state = {name: tensor.contiguous() for name, tensor in self._changing().items()}
            safetensors.torch.save_file(state, folder / _WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        saved = safetensors.torch.load_file(Path(resume_from_checkpoint) / _WEIGHTS)
        here = self._changing()
        if odd := saved.keys() ^ here.keys():
            raise UserError(
                f"{resume_from_checkpoint} holds other weights than are trained now, such as {min(odd)}; "
                "delete it to begin again"
            )
        with torch.no_grad():
            for name, tensor in saved.items():
                here[name].copy_(tensor)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        began = time.monotonic()
        folder = Path(str(self.args.output_dir)) / f"{checkpoints.STATE}-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
        except Exception as error:
            shutil.rmtree(folder, ignore_errors=True)  # half a state is of no use, and the disk may be full
            if _is_write_failure(error):
                raise OSError(errno.ENOSPC, f"can't save the checkpoint: {error}", str(folder)) from error
            raise
        ranks.barrier()
        self.loop.saved(folder, began)

    def save_weights(self, folder: Path) -> None:
        """Write the weights as they would be published, in the model's number format. Every rank calls it."""
        model = self.accelerator.unwrap_model(self.model_wrapped)
        state = self._whole_state(model)
        if self.args.should_save:
            folder.mkdir(parents=True, exist_ok=True)
            self.family.save(model, folder, state)
        ranks.barrier()

    def _whole_state(self, model: Any) -> dict[str, torch.Tensor]:
        """What is published, by its names in memory: an adapter's weights, or all. Whole on the rank that saves."""
        everything = self.loop.run.config.method.trains == "all"
        dtype = getattr(torch, self.family.spec.dtype)
        state: dict[str, torch.Tensor] = {}
        # Each tied weight once: a copy is no longer seen to be tied, and would be written twice.
        for name, parameter in model.named_parameters():
            if everything or parameter.requires_grad:
                with _gathered(parameter):
                    if self.args.should_save:
                        # Copied, because DeepSpeed lays weights out in one storage, which the library takes for ties.
                        state[name] = parameter.detach().to("cpu", dtype if everything else None, copy=True)
        if everything:
            buffers = dict(model.named_buffers())
            state |= {name: buffers[name] for name in model.state_dict() if name in buffers}
        return state


@contextlib.contextmanager
def _gathered(parameter: torch.nn.Parameter) -> Iterator[None]:
    """Make a weight whole for a moment, where ZeRO-3 has split it. Every rank must come here."""
    if not hasattr(parameter, "ds_id"):
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters([parameter]):
        yield


def _is_write_failure(error: Exception) -> bool:
    """Whether a library says in its own words that the disk took no more; torch and safetensors raise no OSError."""
    text = str(error)
    return any(words in text for words in ("inline_container", "PytorchStreamWriter", "os error 28", "os error 122"))


class _Loop(TrainerCallback):
    """What happens at the end of every optimiser step: agree with the other ranks, write, save, stop."""

    def __init__(self, run: Run, planned: Plan, engine: str, curve: Curve | None) -> None:
        self.run = run
        self.plan = planned
        self.engine = engine
        self.curve = curve
        self.trainer: Any = None
        self.cause: str | None = None
        self.assembled = False
        self.loss: float | None = None
        self._rate = 0.0
        self._learning: audits.Learning | None = None
        self._points: list[tuple[int, torch.Tensor, float, Any]] = []
        self._tokens: list[torch.Tensor] = []
        self._saved_at = self._written_at = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The clocks start when the first step does, not while weights are moved."""
        # To recompute a layer, reentrant checkpoints had to see a gradient at its input, so the library asks for one at
        # every embedding, a frozen tower's too. Ours need none, and the backward pass ends where training does.
        self.trainer.model.disable_input_require_grads()
        to_learn = {name: p for name, p in self.trainer.model.named_parameters() if p.requires_grad}
        self._learning = audits.Learning(to_learn, float16=args.fp16)
        self._saved_at = self._written_at = time.monotonic()
        self.run.progress(state.global_step, self.plan.steps, "steps")

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        """The rate that this step is made with; afterwards the scheduler has moved on."""
        self._rate = float(optimizer.param_groups[0]["lr"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Decide, as one, whether to write, to validate, to save and to stop."""
        step = state.global_step
        self._points.append((step, self.trainer.step_loss, self._rate, self.trainer.step_norm))
        self._tokens.append(self.trainer.step_tokens)
        self.trainer.step_loss = self.trainer.step_tokens = None
        cause, save, write = ranks.agree(self._wishes(step))
        if self.assembled and self.run.rank == 0:  # every rank has made a step, and thus read it
            checkpoints.drop_universal(self.run.folder)
        self.assembled = False
        last = step >= self.plan.steps
        if cause and not last:  # at the last step, what is left is to publish
            self.cause = CAUSES[cause - 1]
            control.should_training_stop = True
        control.should_evaluate = step in self.plan.validate
        # Also at the last step, if time is up: publishing may be cut short.
        control.should_save = bool(cause or (save and not last))
        if write or last or control.should_save or control.should_evaluate:
            # Before a save, because the loss is looked at here: no checkpoint holds weights that became NaN.
            self._write()
        note = "" if self.loss is None else f"loss {self.loss:.4f}"
        self.run.progress(step, self.plan.steps, "steps", note)

    def _wishes(self, step: int) -> tuple[int, int, int]:
        """This rank's cause to stop (by its place in CAUSES, from 1), and whether to save and to write."""
        asked = self.run.stop()
        cause = CAUSES.index(asked) + 1 if asked else 0
        if self.run.rank != 0:  # one clock decides
            return cause, 0, 0
        now = time.monotonic()
        placement = self.run.config.placement
        by_time = now - self._saved_at >= placement.checkpoint_minutes * 60
        by_step = placement.checkpoint_steps > 0 and step % placement.checkpoint_steps == 0
        due = len(self._points) >= LOG_STEPS or now - self._written_at >= LOG_SECONDS
        return cause, int(by_time or by_step), int(due)

    def _write(self) -> None:
        """Add the steps since the last time to the curve. The one place that waits for the device."""
        points, self._points = self._points, []
        tokens, self._tokens = self._tokens, []
        seconds = time.monotonic() - self._written_at
        self._written_at = time.monotonic()
        if not points:
            return
        losses = ranks.total(torch.stack([p[1].detach().reshape(()) for p in points])) / self.run.world
        # Those that the language model reads, padding left out; of images as many as the family writes in their place.
        read = float(ranks.total(torch.stack(tokens).sum()))
        each = {
            "samples_per_second": round(len(points) * self.plan.batch / max(seconds, 1e-9), 3),
            "tokens_per_second": round(read / max(seconds, 1e-9), 1),
            **_memory(),
        }
        records, broken = [], None
        for (step, _, rate, norm), loss in zip(points, losses.tolist(), strict=True):
            if not math.isfinite(loss):
                broken = (step, loss)
                break
            values = {"loss": loss, "learning_rate": rate, **each}
            if norm is not None and math.isfinite(norm):  # float16's scaling makes infinite ones, and skips them
                values["grad_norm"] = float(norm)
            records.append({"step": step, **values})
        self._record(records)
        self.measure()
        if broken:
            raise NonFiniteLoss(
                f"the loss of step {broken[0]} is {broken[1]}; lower train.learning_rate, raise train.warmup, or "
                "look at the samples of that step"
            )
        if self._learning is not None:
            self._learning.look((step, rate, norm) for step, _, rate, norm in points)
        self.loss = records[-1]["loss"]

    def _record(self, records: list[dict[str, Any]]) -> None:
        if self.run.rank != 0 or not records:
            return
        append_jsonl(self.run.attempt.path / "history.jsonl", ({"schema": SCHEMA, **r} for r in records))
        if self.curve is not None:
            for record in records:
                self.curve.log(record["step"], {k: v for k, v in record.items() if k != "step"})

    def measure(self) -> None:
        """Keep the peaks up to date, so that an attempt that dies has them too."""
        # Kibibytes on Linux.
        self.run.peaks["host_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        if torch.cuda.is_available():
            self.run.peaks["cuda_gib"] = torch.cuda.max_memory_allocated() / 2**30

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Write the validation's point, and its weights where they are the best so far."""
        loss = float(metrics["eval_loss"])
        step = state.global_step
        if math.isfinite(loss):
            self._record([{"step": step, "validation_loss": loss}])
        if self.run.config.train.keep == "best" and loss < (state.best_metric or math.inf):
            state.best_metric, state.best_global_step = loss, step
            began = time.monotonic()
            folder = self.run.attempt.checkpoints / f"{checkpoints.BEST}-{step}"
            self.trainer.save_weights(folder)
            self._attest(folder, began)
        self._written_at = time.monotonic()  # the next steps' speed is theirs alone

    def saved(self, folder: Path, began: float) -> None:
        """Mark a checkpoint that every rank has written, and delete those that it replaces."""
        self._attest(folder, began)
        if self.run.rank == 0:
            checkpoints.keep(self.run.folder, self.run.config.placement.keep_checkpoints)
            self.run.note(f"checkpoint of step {self.trainer.state.global_step} in {time.monotonic() - began:.1f} s")
        ranks.barrier()  # nobody leaves before the marker is there
        self._saved_at = self._written_at = time.monotonic()

    def _attest(self, folder: Path, began: float) -> None:
        if self.run.rank == 0:
            state = self.trainer.state
            checkpoints.complete(
                folder,
                step=state.global_step,
                world=self.run.world,
                micro_batch=self.plan.micro_batch,
                engine=self.engine,
                seconds=time.monotonic() - began,
                best=state.best_global_step,
            )


def _publish(run: Run, trainer: _Trainer, output: Path) -> None:
    """Write the weights that the cell stands for: the last, or those of the best validation."""
    if run.config.train.keep == "last":
        trainer.save_weights(output)
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
