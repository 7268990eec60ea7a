"""Settings that are each sound and don't work together, in the versions that are pinned or on a card that is named.

Refused when a sweep is composed, with what works instead: on a compute node they would fail with a library's
message, after the queue. Each one is shown to fail by ``tests/models/training/test_failing_combinations.py``, or names
the version.
"""

from __future__ import annotations

from collections.abc import Iterator

from paceline.config import service_settings
from paceline.config.cell_kinds import kind_of
from paceline.config.declared import Kind
from paceline.config.gpus import before_ampere
from paceline.config.identity import as_loaded
from paceline.config.schema import ClusterSpec, Config
from paceline.errors import UserError

# Families that liger-kernel 0.8.5 supports, the last in part.
LIGER = ("llama", "llama_vision", "qwen2_vl", "pixtral")


def check(config: Config, kind: Kind, gpu: bool | None = None) -> None:
    """Refuse what is known not to work.

    Args:
        config: the cell's, with the placement that holds for it.
        kind: the cell's. The number format of a tuned model is checked for its finetune cell.
        gpu: whether every rank has a GPU; None derives it from the cluster's settings, if they show it.

    Raises:
        UserError: the first combination found, with what works.
    """
    service_settings.check(config)
    gpu = _has_gpu(config.cluster) if gpu is None else gpu
    trains = kind_of(kind).trains
    problems = [*_of_training(config, gpu)] if trains else []
    if trains or config.method.trains == "nothing":
        problems += _of_format(config, gpu)
    if problems:
        raise UserError(problems[0])


def _has_gpu(cluster: ClusterSpec) -> bool | None:
    """Slurm gives the GPUs that are asked for and no other; on this machine ranks take what there is."""
    return bool(cluster.gpus) if cluster.executor == "slurm" else None


def _of_training(config: Config, gpu: bool | None) -> Iterator[str]:
    method, dtype = config.method, as_loaded(config).dtype
    stage = config.deepspeed.config.get("zero_optimization", {}).get("stage", 0)
    if method.trains == "all" and method.quantise != "none":
        yield (
            f"method.quantise={method.quantise} with method.trains=all: weights of few bits can't be trained "
            "themselves (transformers 5.23.0); give method=qlora or method=lora_8bit, which train an adapter on them"
        )
    if method.lora.dora and method.quantise == "int8" and gpu is False:
        yield (
            "method.lora.dora=true on method.quantise=int8 needs a GPU: on the CPU peft 0.21.2 loses the scales of the "
            "weights when it looks at them; give cluster.gpus=1 or method.quantise=nf4"
        )
    if method.lora.dora and method.quantise != "none" and stage == 3:
        yield (
            f"method.lora.dora=true on method.quantise={method.quantise} under ZeRO-3: peft 0.21.2 replaces weights "
            "that deepspeed 0.19.8 keeps track of; give deepspeed=zero2, or method.lora.dora=false"
        )
    if config.train.kernels == "liger" and config.model.family not in LIGER:
        yield (
            f"train.kernels=liger: liger-kernel 0.8.5 has none for family '{config.model.family}', only for "
            f"{', '.join(LIGER)}; give train.kernels=torch"
        )
    if config.train.kernels == "liger" and gpu is False:
        yield "train.kernels=liger needs a GPU; give train.kernels=torch, or cluster.gpus=1"
    if dtype == "float16" and config.deepspeed.config and gpu is False:
        yield (
            "number format float16 under DeepSpeed needs a GPU (deepspeed 0.19.8); give method.dtype=float32, or "
            "deepspeed=none"
        )


def _of_format(config: Config, gpu: bool | None) -> Iterator[str]:
    model, card = as_loaded(config), config.cluster.gpu
    if model.dtype == "bfloat16" and before_ampere(card):
        yield (
            f"model {model.name} computes in bfloat16, which a {card} does not have; give method.dtype=float16, or "
            "another cluster.gpu"
        )
    if model.attention != "flash_attention_2":
        return
    if model.dtype == "float32":
        yield (
            f"model {model.name}: FlashAttention-2 computes in 16 bits alone (transformers 5.23.0); give "
            "method.dtype=bfloat16, or model.attention=sdpa"
        )
    if before_ampere(card):
        yield f"model {model.name}: FlashAttention-2 does not run on a {card}; give model.attention=sdpa"
    if gpu is False:
        yield f"model {model.name}: FlashAttention-2 needs a GPU; give model.attention=sdpa, or cluster.gpus=1"
