"""Training steps of full-size networks, as cells: what ``tests/models`` measures and the unit lane plans. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from paceline.config.build import build
from paceline.config.schema import Config, DeepSpeedSpec, LoraSpec, MethodSpec, ModelSpec, PlacementSpec, TrainSpec
from paceline.gpu_memory import parts as gpu_memory_parts
from paceline.gpu_memory import tuning
from paceline.gpu_memory.parts import Sample
from paceline.gpu_memory.shapes import shape_of

CONF = Path(__file__).parents[1] / "conf"
GOLDEN = Path(__file__).parent / "models" / "golden" / "activations.json"
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
METHODS = {
    "lora": LoraSpec(),
    "lora_dropout": LoraSpec(dropout=0.05),
    "study": LoraSpec(r=8, dropout=0.1, targets=PROJECTIONS, components=["vision", "language"]),
    "dora_study": LoraSpec(r=8, dropout=0.1, dora=True, targets=PROJECTIONS, components=["vision", "language"]),
}


@dataclass(frozen=True)
class Case:
    """A step to measure.

    Attributes:
        method: of ``METHODS``, or ``full``, or ``full_frozen_vision``.
        engine: ``torch`` (mixed precision of the Trainer) or ``deepspeed`` (everything in bfloat16).
    """

    model: str
    method: str = "lora"
    engine: str = "torch"
    batch: int = 1
    text: int = 256
    image: tuple[int, int] = (640, 360)
    attention: str = "sdpa"
    checkpointing: bool = False

    @property
    def name(self) -> str:
        """Its key in the golden file."""
        said = (self.model, self.method, self.engine, f"{self.batch}x{self.text}", f"{self.image[0]}x{self.image[1]}")
        return " ".join([*said, self.attention, *(["checkpointing"] if self.checkpointing else [])])


def config_of(case: Case) -> Config:
    """The cell that the case stands for."""
    values = yaml.safe_load((CONF / "model" / f"{case.model}.yaml").read_text())
    model = build(ModelSpec, {"name": case.model, **values, "attention": case.attention}, case.model)
    frozen = ["vision"] if case.method == "full_frozen_vision" else []
    lora = METHODS.get(case.method)
    method = MethodSpec(trains="adapter", lora=lora) if lora else MethodSpec(trains="all", frozen=frozen)
    zero = (
        DeepSpeedSpec("zero0", {"zero_optimization": {"stage": 0}}) if case.engine == "deepspeed" else DeepSpeedSpec()
    )
    placement = PlacementSpec(micro_batch=case.batch, activation_checkpointing=case.checkpointing)
    return Config(model=model, method=method, deepspeed=zero, placement=placement, train=TrainSpec(batch=case.batch))


def planned(case: Case) -> dict[str, float]:
    """What the planner says of the same: bytes kept, and the peak."""
    config = config_of(case)
    shape = shape_of(config.model)
    assert shape is not None
    found = tuning.training(config, shape, Sample(case.text, case.image))
    after = {p.name: p.gib for p in found.moments["after the forward pass"]}
    # Copies that autocast made are let go with it, unless a layer that keeps its weight holds them.
    copies = 0.0 if case.checkpointing else after.get("copies of weights", 0.0)
    kept = after["activations"] + copies + after["logits and loss"] / 3
    # There is no step here: of that moment, the gradients.
    stepped = [p for p in found.moments["in the optimiser's step"] if p.name == "gradients"]
    moments = {**found.moments, "in the optimiser's step": stepped}
    peak = max(sum(p.gib for p in parts) for parts in moments.values())
    return {"kept": kept * gpu_memory_parts.GIB, "peak": peak * gpu_memory_parts.GIB}


CASES = [
    Case("llama32_11b_vision_instruct"),
    Case("llama32_11b_vision_instruct", "study"),
    Case("llama32_11b_vision_instruct", "dora_study", checkpointing=True),
    Case("llama32_11b_vision", "study", checkpointing=True),
    Case("llama32_11b_vision", "lora_dropout", batch=2, text=600),
    Case("llama32_11b_vision", "full", "deepspeed"),
    Case("llama32_11b_vision", "full_frozen_vision", attention="eager"),
    Case("llama32_11b_vision_instruct", checkpointing=True, batch=4),
    Case("pixtral_12b"),
    Case("pixtral_12b", image=(1024, 1024), checkpointing=True),
    Case("pixtral_12b", "full", "deepspeed", image=(512, 512)),
    Case("pixtral_12b", "lora_dropout", batch=2, image=(512, 512)),
    Case("pixtral_12b", "lora", batch=2, image=(512, 512), attention="eager"),
    Case("qwen2_vl_2b", "full"),
    Case("qwen2_vl_2b", "full", "deepspeed", batch=4, image=(1280, 720)),
    Case("qwen2_vl_2b", "lora", batch=4, image=(1280, 720)),
    Case("qwen2_vl_2b", "lora", "deepspeed", batch=2, checkpointing=True),
    Case("phi35_vision", "lora"),
    Case("phi35_vision", "full", "deepspeed"),
    Case("phi35_vision", "lora_dropout", attention="eager", batch=2),
    Case("phi35_vision", "full_frozen_vision", "deepspeed", checkpointing=True, batch=2),
]
