"""What fits is known on the login node: counts to the unit, memory that behaves, verdicts that say what they assume."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from activation_cases import CASES, GOLDEN, Case, planned
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.config import gpus
from paceline.config.build import build
from paceline.config.identity import placement_of
from paceline.config.schema import ClusterSpec, Config, LoraSpec, MethodSpec, ModelSpec, PlacementSpec, TrainSpec
from paceline.errors import UserError
from paceline.gpu_memory import assumptions, choose, image_tokens, measured, shapes, tuning
from paceline.gpu_memory.parts import Memory, Sample
from paceline.gpu_memory.shapes import Shape
from paceline.launch import gpu_fit
from paceline.models.registry import says
from paceline.store.cell_folder import Cell
from paceline.store.code import shipped
from paceline.store.files import write_json
from paceline.store.root import Store
from paceline.sweep.compose import compose
from paceline.sweep.config_files import ConfTree

TREE = ConfTree([shipped("conf")])
PRESETS = TREE.presets()
# Published or known counts, component by component.
COUNTS = {
    "llama32_11b_vision_instruct": {"language": 9_775_192_080, "vision": 863_567_379, "connector": 31_461_376},
    "llama32_11b_vision": {"language": 9_775_192_080, "vision": 836_288_019, "connector": 31_461_376},
    "pixtral_12b": {"language": 12_247_782_400, "vision": 403_489_792, "connector": 31_467_520},
    "qwen2_vl_2b": {"language": 1_543_714_304, "vision": 631_183_360, "connector": 34_087_936},
    "phi35_vision": {"language": 3_821_079_552, "vision": 303_507_456, "connector": 22_034_432},
    "idefics_9b": {"language": 6_738_432_000 + 1_434_519_568, "vision": 630_766_080, "connector": 125_961_984},
}
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@cache
def model(name: str) -> ModelSpec:
    return build(ModelSpec, {**TREE.load("model", name), "name": name}, name)


def shape(name: str) -> Shape:
    found = shapes.shape_of(model(name))
    assert found is not None
    return found


def method(name: str) -> MethodSpec:
    return build(MethodSpec, {**TREE.load("method", name), "name": name}, name)


def config(
    name: str, how: str = "lora", preset: str = "none", ranks: int = 1, batch: int = 32, **placed: object
) -> Config:
    placement = PlacementSpec(ranks=ranks, **placed)  # type: ignore[arg-type]
    return Config(
        model=model(name),
        method=method(how),
        train=TrainSpec(batch=batch),
        placement=placement,
        deepspeed=PRESETS[preset],
    )


def states(found: Memory) -> float:
    """Weights, gradients, optimiser and masters in GB, as the literature counts them."""
    step = found.moments["in the optimiser's step"]
    parts = [*found.parts, *(p for p in step if p.name == "gradients")]
    return sum(p.gib for p in parts if "bucket" not in p.name and "gathered" not in p.name) * 2**30 / 1e9


# -- counts


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_are_counted_to_the_unit(name: str) -> None:
    assert shape(name).parameters == COUNTS[name]


def test_text_models_are_counted_too() -> None:
    assert shape("tinyllama_1b_chat").total == 1_100_048_384


@pytest.mark.parametrize(
    ("name", "lora", "numbers"),
    [
        (
            "llama32_11b_vision_instruct",
            LoraSpec(r=8, targets=PROJECTIONS, components=["vision", "language"]),
            29_491_200,
        ),
        (
            "llama32_11b_vision_instruct",
            LoraSpec(r=8, targets=PROJECTIONS, components=["vision", "language"], dora=True),
            31_416_320,
        ),
        (
            "phi35_vision",
            LoraSpec(
                r=16, targets=["q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"], components=["vision", "language"]
            ),
            9_437_184,
        ),
        (
            "idefics_9b",
            LoraSpec(r=16, targets=PROJECTIONS[:3], components=["vision", "connector", "language"]),
            19_750_912,
        ),
    ],
    ids=["llama r=8", "llama r=8 DoRA", "phi r=16", "idefics r=16"],
)
def test_adapters_have_their_published_size(name: str, lora: LoraSpec, numbers: int) -> None:
    assert sum(shapes.trainable(shape(name), MethodSpec(trains="adapter", lora=lora)).values()) == numbers


def test_an_adapters_name_that_matches_nothing_is_refused_with_those_there_are() -> None:
    lora = LoraSpec(targets=["gate_proj"])
    with pytest.raises(UserError, match=r"gate_proj matches no linear layer.*gate_up_proj"):
        shapes.targets(shape("phi35_vision"), lora)


def test_every_twin_that_can_be_planned_has_a_shape_for_its_own_config_alone() -> None:
    twins = [n for n in TREE.choices("model") if n.startswith("tiny_") and not says(model(n).family, "unplanned", "")]
    for name in twins:
        assert shapes.shape_of(model(name)) is not None, f"{name}: python -m paceline.gpu_memory.count_shape --ship"
    other = dataclasses.replace(model(twins[0]), config={**model(twins[0]).config, "seed": 7})
    assert shapes.shape_of(other) is None


def test_a_shape_under_the_root_is_found(tmp_path: Path) -> None:
    mine = dataclasses.replace(model("qwen2_vl_2b"), weights="someone/else", revision="0" * 40)
    assert shapes.shape_of(mine, tmp_path) is None
    write_json(shapes.place(tmp_path, mine), {**dataclasses.asdict(shape("qwen2_vl_2b")), "model": "someone/else"})
    found = shapes.shape_of(mine, tmp_path)
    assert found is not None
    assert found.total == 2_208_985_600


# -- images


@pytest.mark.parametrize(
    ("name", "size", "tokens"),
    [
        ("qwen2_vl_2b", (320, 180), 264), ("qwen2_vl_2b", (1280, 720), 594), ("qwen2_vl_2b", (64, 64), 256),
        ("qwen2_vl_2b", (2000, 500), 600), ("qwen2_vl_2b", (700, 701), 625), ("qwen2_vl_2b", (3000, 2000), 600),
        ("pixtral_12b", (320, 180), 252), ("pixtral_12b", (1280, 720), 2340), ("pixtral_12b", (64, 64), 20),
        ("pixtral_12b", (2000, 500), 1040), ("pixtral_12b", (500, 2000), 1088), ("pixtral_12b", (1024, 1024), 4160),
    ],
)  # fmt: skip
def test_an_image_has_as_many_tokens_as_the_processor_makes(name: str, size: image_tokens.Size, tokens: int) -> None:
    seen = image_tokens.see(shape(name).image, model(name).processor, size)
    marks = 2 if name == "qwen2_vl_2b" else 0
    assert seen.tokens - marks == tokens


def test_llama_pays_for_all_its_tiles_whatever_the_picture() -> None:
    small, large = (
        image_tokens.see(shape("llama32_11b_vision_instruct").image, {}, s) for s in ((10, 10), (4000, 3000))
    )
    assert small == large
    assert (small.tokens, small.states, small.patches) == (1, 4 * 1601, 4 * 1608)
    one = image_tokens.see(shape("llama32_11b_vision").image, {"max_image_tiles": 1}, None)
    assert one.states == 1025


@pytest.mark.parametrize("name", [n for n in COUNTS if n != "idefics_9b"])
@given(width=st.integers(30, 4000), height=st.integers(30, 4000))
@settings(max_examples=40, deadline=None)
def test_no_picture_costs_more_than_the_one_that_is_assumed(name: str, width: int, height: int) -> None:
    most = image_tokens.see(shape(name).image, model(name).processor, None)
    assert image_tokens.see(shape(name).image, model(name).processor, (width, height)).tokens <= most.tokens


# -- memory


@pytest.mark.parametrize(
    ("name", "how", "preset", "ranks", "gigabytes"),
    [
        ("llama32_11b_vision_instruct", "full", "zero2", 4, 58.7),
        ("llama32_11b_vision_instruct", "full", "zero3", 4, 42.7),
        ("llama32_11b_vision_instruct", "full", "zero2", 8, 40.0),
        ("llama32_11b_vision_instruct", "full", "zero3", 8, 21.3),
        ("llama32_11b_vision_instruct", "full", "zero2", 1, 170.7),
        ("pixtral_12b", "full", "zero2", 4, 69.8),
        ("pixtral_12b", "full", "zero3", 4, 50.7),
        ("pixtral_12b", "full", "zero2", 8, 47.6),
        ("pixtral_12b", "full", "zero3", 8, 25.4),
        ("pixtral_12b", "full", "zero2", 1, 202.9),
    ],
)
def test_model_states_are_those_of_the_literature(
    name: str, how: str, preset: str, ranks: int, gigabytes: float
) -> None:
    found = tuning.training(config(name, how, preset, ranks), shape(name), Sample())
    assert states(found) == pytest.approx(gigabytes, abs=0.06)


@pytest.mark.parametrize(("name", "zero2", "zero3", "low", "high"), [
    ("llama32_11b_vision_instruct", 21.3, 5.3, 7.1, 8.4),
    ("pixtral_12b", 25.4, 6.3, 8.5, 9.2),
])  # fmt: skip
def test_frozen_weights_are_those_of_the_literature(
    name: str, zero2: float, zero3: float, low: float, high: float
) -> None:
    whole = assumptions.base_bytes(shape(name), method("lora"), 2) / 1e9
    assert whole == pytest.approx(zero2, abs=0.06)
    assert whole / 4 == pytest.approx(zero3, abs=0.06)
    assert low <= assumptions.base_bytes(shape(name), method("qlora"), 2) / 1e9 <= high


def test_an_offloaded_optimiser_takes_twelve_bytes_of_the_host() -> None:
    for name, gigabytes in (("llama32_11b_vision_instruct", 128), ("pixtral_12b", 152)):
        found = tuning.training(config(name, "full", "zero2_offload"), shape(name), Sample())
        held = {p.name: p.gib * 2**30 for p in found.hosted}
        gradients = 4 * shape(name).total  # a float32 copy of them, where they are added
        assert (held["offloaded"] - gradients) / 1e9 == pytest.approx(gigabytes, abs=0.3)


@pytest.mark.parametrize(
    ("how", "preset", "ranks", "bytes_each"),
    [
        ("full", "none", 1, 4),  # a checkpoint's float32 weights, more than the 16 bits that are published
        ("full", "zero2", 4, 2),
        ("full", "zero3", 4, 2),  # put together on the rank that writes
    ],
)
def test_the_host_holds_a_copy_of_the_weights_that_are_saved(
    how: str, preset: str, ranks: int, bytes_each: int
) -> None:
    name = "llama32_11b_vision_instruct"
    found = tuning.training(config(name, how, preset, ranks), shape(name), Sample())
    held = {p.name: p.gib for p in found.hosted}
    trained = sum(shapes.trainable(shape(name), method(how)).values())
    assert held["weights being saved"] * 2**30 == pytest.approx(trained * bytes_each, rel=0.01)
    assert held["processes"] == ranks * assumptions.HOST_GIB
    assert found.mapped * 2**30 == shape(name).total * 2


def test_ranks_that_read_quantised_weights_hold_them_whole_until_they_are_split() -> None:
    for preset, ranks in (("zero3", 4), ("zero3_offload", 4), ("zero3_offload", 1)):
        made = config("llama32_11b_vision_instruct", "qlora", preset, ranks)
        found = tuning.training(made, shape(made.model.name), Sample())
        whole = assumptions.base_bytes(shape(made.model.name), made.method, 2) / 2**30
        weights = next((p.gib for p in found.parts if p.name == "weights"), 0.0)
        (rest,) = found.moments["while weights are read"]
        assert weights + rest.gib == pytest.approx(whole, rel=0.01), preset


def needed(made: Config, sample: Sample) -> float:
    found = shapes.shape_of(made.model)
    assert found is not None
    return tuning.training(made, found, sample).needed


NAMES = st.sampled_from(sorted(COUNTS))
METHODS = st.sampled_from(["full", "full_frozen_vision", "lora", "dora", "qlora", "lora_8bit"])
ZEROS = st.sampled_from(sorted(PRESETS))


@given(name=NAMES, how=METHODS, preset=ZEROS, micro=st.sampled_from([1, 2, 4, 8]), checkpointing=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_larger_micro_batch_never_takes_less(
    name: str, how: str, preset: str, micro: int, checkpointing: bool
) -> None:
    # The same accumulation in both, because gradients carried over forwards are a part of their own.
    less, more = (
        config(name, how, preset, batch=4 * m, micro_batch=m, activation_checkpointing=checkpointing)
        for m in (micro, 2 * micro)
    )
    assert needed(less, Sample()) <= needed(more, Sample())


@given(name=NAMES, how=METHODS, preset=ZEROS, tokens=st.integers(16, 2000), more=st.integers(1, 2000))
@settings(max_examples=60, deadline=None)
def test_longer_texts_never_take_less(name: str, how: str, preset: str, tokens: int, more: int) -> None:
    made = config(name, how, preset, micro_batch=1)
    assert needed(made, Sample(tokens)) <= needed(made, Sample(tokens + more))


@given(name=NAMES, how=METHODS, ranks=st.sampled_from([2, 4, 8]))
@settings(max_examples=60, deadline=None)
def test_a_higher_stage_never_holds_more_of_the_state(name: str, how: str, ranks: int) -> None:
    none, zero1, zero2, zero3 = (
        states(tuning.training(config(name, how, p, ranks, micro_batch=1), shape(name), Sample()))
        for p in ("none", "zero1", "zero2", "zero3")
    )
    assert zero3 <= zero2 <= zero1 <= none


@given(name=NAMES, how=METHODS, micro=st.sampled_from([1, 2, 4]))
@settings(max_examples=40, deadline=None)
def test_checkpointing_keeps_no_more_activations(name: str, how: str, micro: int) -> None:
    def kept(checkpointing: bool) -> float:
        made = config(name, how, micro_batch=micro, activation_checkpointing=checkpointing)
        parts = tuning.training(made, shape(name), Sample()).moments["after the forward pass"]
        return sum(p.gib for p in parts if p.name == "activations")

    assert kept(True) <= kept(False)


def test_the_parts_are_the_whole() -> None:
    found = tuning.training(config("pixtral_12b"), shape("pixtral_12b"), Sample())
    parts = [*found.parts, *found.moments[found.moment], *found.outside]
    assert found.needed == pytest.approx(sum(p.gib for p in parts))
    assert all(p.gib >= 0 for p in parts)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_formulas_hold_what_autograd_keeps_of_full_size_networks(case: Case) -> None:
    """The figures were measured by ``tests/models/full_size.py``; a test there measures some of them anew."""
    took = json.loads(GOLDEN.read_text())[case.name]
    said = planned(case)
    assert said["kept"] == pytest.approx(took["kept"], rel=0.10)
    assert said["peak"] == pytest.approx(took["peak"], rel=0.10)


# -- cards and choices


def test_a_card_is_found_by_its_own_name_and_by_the_clusters() -> None:
    def named(**values: object) -> list[str]:
        return [c.name for c in gpus.cards_of(ClusterSpec(gpus=1, **values))]  # type: ignore[arg-type]

    assert named(gpu="a100_40") == ["a100_40"]
    assert named(gpu="A100") == ["a100_40", "a100_80"]
    assert named(gpu="A100", constraint="A100-80GB") == ["a100_80"]
    assert named(gpu="H200") == ["h200_141"]
    assert named(gpu="abacus") == []
    assert gpus.cards_of(ClusterSpec(gpu="A100", executor="slurm")) == []
    # On this machine there is nobody to ask for it: it tells which card is there.
    assert gpus.cards_of(ClusterSpec(gpu="a100_40")) == [gpus.by_name("a100_40")]


def test_a_cards_own_name_is_asked_of_slurm_in_the_clusters_words() -> None:
    assert gpus.asked_as(ClusterSpec(gpu="a100_40")) == ("A100", "A100-40GB")
    assert gpus.asked_as(ClusterSpec(gpu="A100", constraint="x")) == ("A100", "x")
    assert gpus.asked_as(ClusterSpec(gpu="h100_80")) == ("H100", "")


def test_the_studys_failing_setting_fits_at_one_sample_and_not_at_four() -> None:
    """DoRA on eight bits with checkpointing on a card of 39.56 GiB, 36.62 of them allocated, 392 MiB more asked for."""
    name = "llama32_11b_vision"
    card = gpus.by_name("a100_40")

    def judged(micro: int, checkpointing: bool = True) -> choose.Verdict:
        made = config(name, "dora_8bit_llama_study", micro_batch=micro, activation_checkpointing=checkpointing)
        return choose.judge(made, "finetune", shape(name), Sample(), card)

    assert judged(1).fits
    assert not judged(4).fits
    assert not judged(4, checkpointing=False).fits
    # Some 11 GiB for each sample, nearly all of it kept by the vision tower, which checkpointing passes over.
    assert 8 < judged(4).needed / 4 < 20
    down = next(n for n in shape(name).linears if n.name.endswith("down_proj") and n.component == "language")
    assert down.inputs**2 * 2 == 392 * 2**20


def test_a_refusal_states_what_it_assumed_and_what_would_fit() -> None:
    made = config("llama32_11b_vision", "full", micro_batch=4)
    text = choose.refusal(made, "finetune", shape("llama32_11b_vision"), Sample(300), gpus.by_name("a100_40"), PRESETS)
    for word in (
        "micro-batch 4",
        "301 tokens",
        "4128 patches",
        "sdpa",
        "a100_40 has 39.4",
        "cheapest that fits: placement.",
        "fit=ignore",
    ):
        assert word in text, text
    half = dataclasses.replace(made, method=dataclasses.replace(made.method, dtype="float16"))
    few = {name: PRESETS[name] for name in ("none", "zero2")}
    text = choose.refusal(half, "finetune", shape("llama32_11b_vision"), Sample(300), gpus.by_name("v100_16"), few)
    assert "cheapest that fits: cluster.gpu=" in text


def test_offloading_asks_for_the_host_memory_that_it_takes() -> None:
    made = config("llama32_11b_vision", "full", "zero3_offload", micro_batch=1)
    card = gpus.by_name("a100_40")
    small = dataclasses.replace(made, cluster=ClusterSpec(gpus=1, gpu="a100_40", memory_gib=64))
    found = choose.judge(small, "finetune", shape("llama32_11b_vision"), Sample(), card)
    assert not found.fits
    assert "cluster.memory_gib=" in found.told()
    per_cpu = dataclasses.replace(made, cluster=ClusterSpec(gpus=1, gpu="a100_40", cpus=4, memory_per_cpu_gib=16))
    told = choose.judge(per_cpu, "finetune", shape("llama32_11b_vision"), Sample(), card).told()
    assert "cluster.memory_per_cpu_gib=" in told and "cluster.memory_gib" not in told
    assert choose.judge(made, "finetune", shape("llama32_11b_vision"), Sample(), card).fits


def test_a_card_without_bfloat16_is_refused_with_the_format_to_name() -> None:
    found = choose.judge(config("qwen2_vl_2b"), "finetune", shape("qwen2_vl_2b"), Sample(), gpus.by_name("v100_32"))
    assert not found.fits
    assert "method.dtype=float16" in found.told()


@given(name=NAMES, how=METHODS, card=st.sampled_from(gpus.CARDS), ranks=st.sampled_from([1, 2, 4]))
@settings(max_examples=20, deadline=None)
def test_what_is_chosen_fits_and_nothing_quicker_does(name: str, how: str, card: gpus.Card, ranks: int) -> None:
    made = config(name, how, ranks=ranks, batch=8)
    found = choose.cheapest(made, "finetune", shape(name), Sample(), card, PRESETS)
    if found is None:
        return
    assert found.fits
    assert found.config.placement.micro_batch * ranks <= 8
    for other in choose.settings(made, "finetune", PRESETS):
        if choose.slowdown(other) < choose.slowdown(found.config):
            assert not choose.judge(other, "finetune", shape(name), Sample(), card).fits


def test_the_largest_micro_batch_fits_and_the_next_does_not() -> None:
    made = config("llama32_11b_vision", "lora", batch=64)
    card = gpus.by_name("a100_40")
    found = choose.largest(made, "finetune", shape("llama32_11b_vision"), Sample(), card)
    assert found is not None
    micro = found.memory.assumed["micro_batch"]
    placement = PlacementSpec(micro_batch=2 * micro)
    larger = dataclasses.replace(made, placement=placement)
    assert not choose.judge(larger, "finetune", shape("llama32_11b_vision"), Sample(), card).fits


# -- measured peaks


def test_measured_peaks_correct_the_plan_upwards_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = dataclasses.replace(config("qwen2_vl_2b", micro_batch=1), cluster=ClusterSpec(gpu="A100", gpus=1))
    planned = tuning.training(made, shape("qwen2_vl_2b"), choose.sample_of(made, None)).allocated
    identity = {
        "model": {k: v for k, v in TREE.load("model", "qwen2_vl_2b").items() if v} | {"name": "qwen2_vl_2b"},
        "method": {"name": "lora", "trains": "adapter"}, "train": {"batch": 32}, "data": "x",
    }  # fmt: skip
    cell = Cell("finetune-qwen2_vl_2b-task-prompt-lora-000000000000", "finetune", identity)
    store.freeze([cell])
    for took, cause in ((planned * 0.9, "finished"), (planned * 1.2, "finished"), (99.0, "CUDA out of memory")):
        attempt = store.cell(cell.id).new_attempt()
        write_json(attempt.start_json, {"placement": placement_of(made), "world": 1})
        write_json(attempt.end_json, {"cause": cause, "peaks": {"cuda_gib": took}})
    found = list(measured.measured(store, {"qwen2_vl_2b"}, lambda c: shape("qwen2_vl_2b")))
    assert [round(m.ratio, 3) for m in found] == [0.9, 1.2]
    assert measured.factor(found, "qwen2_vl_2b", "lora") == pytest.approx(1.2)
    assert measured.factor(found[:1], "qwen2_vl_2b", "lora") == 1.0
    assert measured.factor(found, "qwen2_vl_2b", "full") == 1.0


# -- the command line

Run = Callable[..., tuple[int, str, str]]


def test_fit_answers_with_a_table_and_the_cheapest_setting(command_line: Run) -> None:
    code, out, _ = command_line(
        "fit", "model=llama32_11b_vision,pixtral_12b", "method=lora,qlora", "deepspeed=none", "--gpus", "1"
    )
    assert code == 0
    assert len([line for line in out.splitlines() if line.startswith(("llama32_11b_vision  ", "pixtral_12b  "))]) == 4
    assert out.count("cheapest that fits:") == 4


def test_a_card_that_is_named_is_the_only_one_shown_and_its_rows_part_by_part(command_line: Run) -> None:
    words = ("fit", "model=llama32_11b_vision_instruct", "method=lora", "cluster.gpu=a100_40")
    code, out, _ = command_line(*words)
    assert code == 0
    assert "a100_40 (39.4)" in out and "a100_80" not in out
    assert "6432 patches in 4 tiles" in out and "name it" in out
    code, out, _ = command_line(*words, "deepspeed=zero2", "--gpus", "1,2")
    assert code == 0
    assert "2 × a100_40, at the least: fits:" in out and "GiB of host memory a node (processes 8.0" in out


def test_plan_says_what_fits_a_card_that_is_named_on_this_machine(command_line: Run, tmp_path: Path) -> None:
    """The study's failing setting, as `plan` answers it: micro-batch, tiles, length, and the cheapest that fits."""
    words = ("model=llama32_11b_vision_instruct", "method=dora_8bit_llama_study", "task=geolocation_earth")
    asked = (*words, "prompt=geo_stepwise", "cluster.gpu=a100_40", f"root={tmp_path}")
    code, _, err = command_line("plan", *asked, "placement.micro_batch=4")
    assert code == 2
    refused = next(line for line in err.splitlines() if "(finetune): takes" in line)
    assert "a100_40 has 39.4; assumed: micro-batch 4" in refused and "in 4 tiles" in refused and " tokens" in refused
    assert "cheapest that fits: placement.micro_batch=1 placement.activation_checkpointing=true" in refused
    _, out, _ = command_line("plan", *asked, "placement=auto")
    assert "memory of llama32_11b_vision_instruct dora_8bit_llama_study (finetune): " in out
    assert "assumed: micro-batch 1" in out


def test_fit_prints_json_with_every_part(command_line: Run) -> None:
    code, out, _ = command_line("fit", "model=qwen2_vl_2b", "method=full", "--json", "--gpus", "1,2")
    assert code == 0
    row = json.loads(out)["rows"][0]
    card = row["cards"]["a100_40"]
    assert card["least"]["assumed"]["micro_batch"] == 1
    assert sum(p["gib"] for p in card["least"]["parts"]) == pytest.approx(card["least"]["needed_gib"], abs=0.01)


def test_fit_counts_the_pictures_of_a_task_that_is_named(command_line: Run, tmp_path: Path) -> None:
    def tokens(*task: str) -> int:
        words = ("fit", "model=qwen2_vl_2b", "method=lora", "--json", "--gpus", "1", f"root={tmp_path}")
        _, out, _ = command_line(*words, *task)
        return int(json.loads(out)["rows"][0]["cards"]["a100_80"]["least"]["assumed"]["tokens"])

    one, two = tokens(), tokens("task=xview2")
    assert tokens("task=captioning") == one == 256 + (two - one)
    assert tokens("task=state_of_the_union") == 256


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fit"], "give model=NAME"),
        (["fit", "model=llama31_8b_vision_378", "method=untuned"], "runs by code of its own"),
        (["fit", "model=qwen2_vl_2b", "model.weights=lab/other", "method=lora"], "paceline prepare model=qwen2_vl_2b"),
        (["fit", "model=qwen2_vl_2b", "method=lora", "--image", "big"], "--image 1280x720"),
        (["fit", "model=qwen2_vl_2b", "method=lora", "cluster.gpu=a100-40"], "did you mean 'a100_40'"),
    ],
)
def test_fit_refuses_what_it_can_not_answer(command_line: Run, words: list[str], told: str) -> None:
    code, _, err = command_line(*words)
    assert code == 2
    assert told in err


def test_a_model_with_its_own_code_is_told_by_its_weights(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F16", "shape": [2**15, 2**15], "data_offsets": [0, 2**31]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    text = gpu_fit.uncounted(dataclasses.replace(model("llama31_8b_vision_378"), weights=str(tmp_path)))
    assert "its weights alone take 2.0 GiB" in text and "limit=8" in text
    assert "prepare" not in text, "prepare can't count it either"


ON_GPU = ("task=geolocation_earth", "prompt=geo_bare", "cluster=slurm", "cluster.gpus=1")
TWIN = ("model=tiny_qwen2_vl", "method=full")


def test_placement_auto_is_recorded_as_what_it_stands_for() -> None:
    made = compose((*TWIN, *ON_GPU, "cluster.gpu=a100_40", "placement=auto", "train.batch=8"), [shipped("conf")])
    point = next(made.points())
    settled = made.placed(point.config, "finetune")
    assert settled.placement.micro_batch == 8
    assert not settled.placement.auto
    assert settled.placement.name == "auto"


def test_placement_auto_takes_the_quickest_that_fits() -> None:
    words = ("model=llama32_11b_vision", "method=lora", *ON_GPU, "cluster.gpu=a100_40", "placement=auto")
    made = compose(words, [shipped("conf")])
    point = next(made.points())
    settled = made.placed(point.config, "finetune")
    sample = choose.sample_of(settled, None)
    assert choose.judge(settled, "finetune", shape("llama32_11b_vision"), sample, gpus.by_name("a100_40")).fits
    assert settled.placement.micro_batch > 0


def test_placement_auto_without_a_gpu_changes_nothing() -> None:
    made = compose((*TWIN, "task=geolocation_earth", "prompt=geo_bare", "placement=auto"), [shipped("conf")])
    settled = made.placed(next(made.points()).config, "finetune")
    assert dataclasses.replace(settled.placement, name="") == PlacementSpec()


def test_plan_says_what_a_submit_would_refuse_for_its_memory(command_line: Run) -> None:
    words = ("model=llama32_11b_vision", "model.revision=" + "0" * 40, "method=full", *ON_GPU, "cluster.gpu=a100_40")
    _, out, _ = command_line("plan", *words, "--json")
    found = json.loads(out)
    fit = next(f for f in found["memory"] if f["kind"] == "finetune")
    assert fit["fits"] is False
    assert any("cheapest that fits" in p for p in found["problems"])
    _, out, _ = command_line("plan", *words, "placement.fit=ignore", "--json")
    assert not any("cheapest that fits" in p for p in json.loads(out)["problems"])


def test_the_page_about_memory_is_what_the_planner_says() -> None:
    docs = Path(__file__).parents[3] / "docs"
    found = importlib.util.spec_from_file_location("memory_page", docs / "memory.py")
    assert found is not None
    assert found.loader is not None
    page = importlib.util.module_from_spec(found)
    found.loader.exec_module(page)
    assert (docs / "memory.md").read_text() == page.text(), "docs/memory.md is stale: run `make docs`"


def most(memory: Memory, name: str) -> float:
    """GiB of a part at the moment at which it is largest."""
    return max(p.gib for parts in (memory.parts, *memory.moments.values()) for p in parts if p.name == name)


def test_frozen_first_layers_take_fewer_gradients_states_and_activations() -> None:
    made = Config(model=model("vit_gpt2"), method=MethodSpec(trains="all"), train=TrainSpec(batch=4))
    found = shape("vit_gpt2")
    plans = {
        n: tuning.training(
            dataclasses.replace(made, method=MethodSpec(trains="all", frozen_layers={"vision": n})), found, Sample()
        )
        for n in (0, 6, 12)
    }
    for few, more in ((0, 6), (6, 12)):
        before, after = plans[few], plans[more]
        assert after.allocated < before.allocated
        for name in ("gradients", "optimiser"):
            assert most(after, name) < most(before, name)
    # Nothing before the language model's layers is trained, so the backward pass ends at the first that is.
    halves = [
        tuning.training(
            dataclasses.replace(
                made, method=MethodSpec(trains="all", frozen=["vision"], frozen_layers={"language": n} if n else {})
            ),
            found,
            Sample(),
        )
        for n in (0, 6)
    ]
    assert halves[1].allocated < halves[0].allocated


@pytest.mark.parametrize("depths", [[], [1], [1, 2, 3], [1, 1, 2, 2, 3], [1, 3, 5], [4, 9, 14]])
def test_depths_are_written_in_short_and_read_back(depths: list[int]) -> None:
    assert sorted(shapes.unfold(shapes.spans(depths))) == depths


def test_a_shape_that_was_counted_before_layers_could_be_frozen_is_still_read() -> None:
    values = dataclasses.asdict(shape("tiny_qwen2_vl"))
    del values["layers"]
    for linear in values["linears"]:
        del linear["depths"]
    old = shapes.read_shape(values, "old.json")
    how = MethodSpec(trains="all", frozen_layers={"vision": 1})
    assert shapes.trainable(old, how) == shapes.trainable(old, MethodSpec(trains="all"))
