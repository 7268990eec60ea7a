"""What happens at the end of every optimiser step: the ranks agree, write, save, stop."""

from __future__ import annotations

import contextlib
import math
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from paceline.attempts import checkpoints, ranks
from paceline.attempts.run import Run
from paceline.errors import NonFiniteLoss
from paceline.models.family import Family
from paceline.store.causes import CAUSES
from paceline.store.files import SCHEMA, append_jsonl
from paceline.training import audits
from paceline.training.save_weights import save_weights
from paceline.training.step_record import StepRecord
from paceline.training.stream import Plan

# isort: split
# After the families, which define the operators that these imports may want.
from transformers import TrainerCallback

LOG_STEPS = 10
LOG_SECONDS = 15.0


class Curve(Protocol):
    """Where points of the curve go beside the history; :class:`paceline.tracking.tracker.Tracker` is one."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...
    def supervised(self, rows: Sequence[Mapping[str, str]]) -> None: ...


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


class StepLoop(TrainerCallback):
    """What happens at the end of every optimiser step: agree with the other ranks, write, save, stop."""

    def __init__(
        self, run: Run, family: Family, planned: Plan, engine: str, curve: Curve | None, record: StepRecord
    ) -> None:
        self.run = run
        self.family = family
        self.plan = planned
        self.engine = engine
        self.curve = curve
        self.record = record
        self.cause: str | None = None
        self.loss: float | None = None
        self._rate = 0.0
        self._learning: audits.Learning | None = None
        self._points: list[tuple[int, torch.Tensor, float, Any]] = []
        self._tokens: list[torch.Tensor] = []
        self._saved_at = self._written_at = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """The clocks start when the first step does, not while weights are moved."""
        # To recompute a layer, reentrant checkpoints had to see a gradient at its input, so the library asks for one at
        # every embedding, a frozen tower's too. Ours need none, and the backward pass ends where training does.
        model.disable_input_require_grads()
        to_learn = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._learning = audits.Learning(to_learn, float16=args.fp16)
        self._saved_at = self._written_at = time.monotonic()
        self.run.progress(state.global_step, self.plan.steps, "steps")

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        """The rate that this step is made with; afterwards the scheduler has moved on."""
        self._rate = float(optimizer.param_groups[0]["lr"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Decide, as one, whether to write, to validate, to save and to stop."""
        step = state.global_step
        made = self.record
        assert made.loss is not None and made.tokens is not None, "a step has micro-batches"
        self._points.append((step, made.loss, self._rate, made.norm))
        self._tokens.append(made.tokens)
        made.begin()
        cause, save, write = ranks.agree(self._wishes(step))
        if made.assembled and self.run.rank == 0:  # every rank has made a step, and thus read it
            checkpoints.drop_universal(self.run.folder)
        made.assembled = False
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
            **({"tokens_per_second": round(read / max(seconds, 1e-9), 1)} if read else {}),
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
        self._add_to_curve(records)
        self.measure()
        if broken:
            raise NonFiniteLoss(
                f"the loss of step {broken[0]} is {broken[1]}; lower train.learning_rate, raise train.warmup, or "
                "look at the samples of that step"
            )
        if self._learning is not None:
            self._learning.look((step, rate, norm) for step, _, rate, norm in points)
        self.loss = records[-1]["loss"]

    def _add_to_curve(self, records: list[dict[str, Any]]) -> None:
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

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, model: Any = None, **kwargs: Any
    ) -> None:
        """Write the validation's point, and its weights where they are the best so far."""
        loss = float(metrics["eval_loss"])
        step = state.global_step
        if math.isfinite(loss):
            self._add_to_curve([{"step": step, "validation_loss": loss}])
        if self.run.config.train.keep == "best" and loss < (state.best_metric or math.inf):
            state.best_metric, state.best_global_step = loss, step
            began = time.monotonic()
            folder = self.run.attempt.checkpoints / f"{checkpoints.BEST}-{step}"
            everything = self.run.config.method.trains == "all"
            save_weights(self.family, model, folder, everything=everything, writes=args.should_save)
            self._attest(folder, state, began)
        self._written_at = time.monotonic()  # the next steps' speed is theirs alone

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Mark a checkpoint that every rank has written, and delete those that it replaces."""
        began = self.record.save_began
        self._attest(self.run.attempt.checkpoints / f"{checkpoints.STATE}-{state.global_step}", state, began)
        if self.run.rank == 0:
            checkpoints.keep(self.run.folder, self.run.config.placement.keep_checkpoints)
            self.run.note(f"checkpoint of step {state.global_step} in {time.monotonic() - began:.1f} s")
        ranks.barrier()  # nobody leaves before the marker is there
        self._saved_at = self._written_at = time.monotonic()

    def _attest(self, folder: Path, state: Any, began: float) -> None:
        if self.run.rank == 0:
            checkpoints.complete(
                folder,
                step=state.global_step,
                world=self.run.world,
                micro_batch=self.plan.micro_batch,
                engine=self.engine,
                seconds=time.monotonic() - began,
                best=state.best_global_step,
            )
