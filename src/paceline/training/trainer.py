"""The library's trainer, with our checkpoints and our validation."""

from __future__ import annotations

import errno
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paceline.attempts import checkpoints, ranks
from paceline.attempts.run import Run
from paceline.errors import UserError
from paceline.models.family import Family
from paceline.models.tensors import IGNORED
from paceline.training.step_record import StepRecord
from paceline.training.stream import Conversations, Stream

# isort: split
# After the families, which define the operators that these imports may want.
import safetensors.torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

_WEIGHTS = "trained.safetensors"


class CellTrainer(Trainer):
    """The library's loop, with every step's loss kept and validation that does not depend on the ranks."""

    def __init__(
        self,
        run: Run,
        family: Family,
        args: TrainingArguments,
        stream: Stream,
        validation: Conversations,
        record: StepRecord,
        callbacks: Sequence[TrainerCallback],
    ) -> None:
        super().__init__(
            model=family.model,
            args=args,
            data_collator=family.training_batch,
            train_dataset=stream,
            callbacks=list(callbacks),
        )
        self.remove_callback(PrinterCallback)
        self.run = run
        self.family = family
        self.validation = validation
        self.record = record
        # The library guesses it by the network's class, and counts labels by it.
        self._loss_shifts_labels = not family.labels_ahead
        if family.how == "generates":
            # Classes of Qwen2.5-VL and Qwen3-VL say that they do not take the number of a step's labels. They do, and
            # without it the loss of a step is a mean of its micro-batches' means, whatever they hold.
            self.model_accepts_loss_kwargs = True

    def readable(self, found: checkpoints.Checkpoint) -> str:
        """The folder that this many ranks can read a checkpoint from. Every rank calls it.

        Raises:
            UserError: DeepSpeed can't share it out anew.
        """
        run = self.run
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
        self.record.assembled = True
        settings: Any = self.args.hf_deepspeed_config
        settings.config.setdefault("checkpoint", {})["load_universal"] = True
        return str(made)

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """The library's, and a word where nothing that is trained has a part in it: torch only says that it can't.

        The loss of a network that takes the mean over its micro-batch is made its share of the step's.
        """
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        if self.family.mean_loss and (items := kwargs.get("num_items_in_batch")) is not None:
            loss = loss * inputs["labels"].ne(IGNORED).sum() / items
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
        self.record.add(loss, self.family.tokens_read(inputs).sum(dtype=torch.float64))
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        self.record.norm = super()._get_grad_norm(model, grad_norm)
        return self.record.norm

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Mean loss per answer token over the validation split, the same whatever the ranks."""
        size, world, rank = self.args.per_device_train_batch_size, self.run.world, self.run.rank
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
        self.record.save_began = time.monotonic()
        folder = Path(str(self.args.output_dir)) / f"{checkpoints.STATE}-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
        except Exception as error:
            shutil.rmtree(folder, ignore_errors=True)  # half a state is of no use, and the disk may be full
            if _is_write_failure(error):
                raise OSError(errno.ENOSPC, f"can't save the checkpoint: {error}", str(folder)) from error
            raise
        ranks.barrier()  # the library's next event, on_save, marks the checkpoint as complete


def _is_write_failure(error: Exception) -> bool:
    """Whether a library says in its own words that the disk took no more; torch and safetensors raise no OSError."""
    text = str(error)
    return any(words in text for words in ("inline_container", "PytorchStreamWriter", "os error 28", "os error 122"))
