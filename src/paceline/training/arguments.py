"""A config as the arguments of Transformers' trainer."""

from __future__ import annotations

import copy
import math
import os

import torch

from paceline.attempts import ranks
from paceline.attempts.run import Run
from paceline.config.identity import as_loaded
from paceline.config.schema import PlacementSpec
from paceline.training.stream import Plan

# isort: split
# After the families, which define the operators that these imports may want.
from transformers import TrainingArguments

MOST_WORKERS = 4


def trainer_arguments(run: Run, planned: Plan) -> TrainingArguments:
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
        # Saving, validating and logging are decided in StepLoop; these would do it a second time.
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
