"""Peak memory of training steps on one GPU beside the planner's figure, with random weights of the published shapes.

Each setting runs in a process of its own: the network is made from its config on the card (quantised there where the
method says so), the method makes trainable what it trains, and a few steps are taken on pictures of real size. With
``--cap 40`` the allocator gets no more than a 40 GB card reports, so that a larger card shows what trains on a smaller.

    python benchmarks/gpu_memory.py                                   # Llama-11B and Pixtral-12B, every method
    python benchmarks/gpu_memory.py --cap 40 --methods lora,qlora --micro 1,2,4

Without a GPU there is no peak to compare: it takes twins, to show that it runs, and the table says so.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paceline.config.build import build
from paceline.config.identity import as_loaded
from paceline.config.schema import Config, MethodSpec, ModelSpec, PlacementSpec, TrainSpec
from paceline.gpu_memory import assumptions, parts, tuning
from paceline.gpu_memory.parts import Sample
from paceline.gpu_memory.shapes import Shape, shape_of
from paceline.store.code import shipped
from paceline.sweep.config_files import ConfTree

STEPS = 3
CAPS = {40: 39.39, 80: 79.15}
MODELS = "llama32_11b_vision_instruct,pixtral_12b"
METHODS = "full_frozen_vision,lora,dora,dora_8bit_llama_study,lora_8bit,qlora"
# Without a GPU: that the script runs.
TWINS = {"models": "tiny_llama32_vision,tiny_pixtral", "methods": "lora,qlora", "micro": "2", "image": "32x32"}
TREE = ConfTree([shipped("conf")])


def config(model: str, method: str, micro: int, checkpointing: bool, attention: str) -> Config:
    """A cell of one step per optimiser step on one GPU."""
    spec = build(ModelSpec, {**TREE.load("model", model), "name": model, "attention": attention}, model)
    how = build(MethodSpec, {**TREE.load("method", method), "name": method}, method)
    placement = PlacementSpec(micro_batch=micro, activation_checkpointing=checkpointing)
    return Config(model=spec, method=how, train=TrainSpec(batch=micro), placement=placement)


def planned(made: Config, sample: Sample) -> parts.Memory:
    """The planner's figure."""
    return tuning.training(made, shape(made), sample)


def shape(made: Config) -> Shape:
    """The model's shape."""
    found = shape_of(made.model)
    if found is None:
        raise SystemExit(f"no shape of {made.model.name}; python -m paceline.gpu_memory.count_shape --ship")
    return found


# -- one setting, in a process of its own


def measure(words: dict[str, Any]) -> dict[str, Any]:
    """Take the steps; ``peak_gib`` is None where there is no GPU."""
    import torch

    from paceline.models import load_family

    made = config(words["model"], words["method"], words["micro"], words["checkpointing"], words["attention"])
    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    if cuda and words["cap_gib"]:
        total = torch.cuda.get_device_properties(0).total_memory / parts.GIB
        room = words["cap_gib"] - assumptions.CONTEXT_GIB  # the cap is the allocator's, the context comes beside it
        torch.cuda.set_per_process_memory_fraction(min(1.0, room / total))
    torch.manual_seed(0)
    try:
        family = load_family(made.model.family)
        model = _prepare(made, family, device)
        taken = _steps(made, model, _batch(made, words, device))
    except torch.cuda.OutOfMemoryError as error:
        return {
            "trains": False,
            "peak_gib": torch.cuda.max_memory_allocated() / parts.GIB,
            "why": str(error).splitlines()[0],
        }
    peak = torch.cuda.max_memory_allocated() / parts.GIB if cuda else None
    return {"trains": True, "peak_gib": peak, "loss": taken}


def _prepare(made: Config, cls: Any, device: Any) -> Any:
    """The network with random weights on its device, and what the method trains marked, as ``finetune`` does it."""
    import torch

    from paceline.gpu_memory import count_shape
    from paceline.training import adapters

    spec = as_loaded(made)
    dtype = getattr(torch, spec.dtype)
    with tempfile.TemporaryDirectory() as folder:
        family = cls.__new__(cls)
        family.spec = spec
        if made.method.quantise != "none":
            # Read as a cell reads it, because reading is what quantises: from a file of random weights.
            _random(count_shape.network(spec, cls, dtype=dtype), torch.device("cpu")).save_pretrained(folder)
            options = cls.reading(spec, str(device), made.method.quantise)
            family.model = cls.make_model(spec, folder, None, options)
        else:
            network = count_shape.network(
                spec, cls, **({"dtype": dtype, "attn_implementation": spec.attention} if spec.weights else {})
            )
            family.model = _random(network.to(dtype), device)
    family.model.train()
    if made.method.trains == "all" and spec.dtype != "float32":
        for name, p in family.model.named_parameters():
            if cls.component_of(name) not in made.method.frozen and not family.is_idle(name):
                p.data = p.data.float()
    adapters.adapt(family, made.method, 0)
    if made.placement.activation_checkpointing:
        family.model.gradient_checkpointing_enable({"use_reentrant": False})
        family.model.disable_input_require_grads()
    return family.model


def _random(model: Any, device: Any) -> Any:
    """Weights drawn small, so that no loss overflows; buffers made again, which the meta device lost."""
    import torch

    model.to_empty(device=device)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(std=0.02)
        for b in model.buffers():
            b.zero_()
    for module in model.modules():
        if hasattr(module, "_init_weights"):
            for _, child in module.named_modules():
                with torch.no_grad():
                    _buffers(module, child)
    return model


def _buffers(model: Any, module: Any) -> None:
    """Fill a module's own buffers as the library does after loading; weights stay as they were drawn."""
    if dict(module.named_buffers(recurse=False)):
        kept = {n: p.detach().clone() for n, p in module.named_parameters(recurse=False)}
        model._init_weights(module)
        for name, p in module.named_parameters(recurse=False):
            p.data.copy_(kept[name])


def _batch(made: Config, words: dict[str, Any], device: Any) -> dict[str, Any]:
    """Text and pictures of one size; the geometry is the planner's, which tests hold to the processors'."""
    import torch

    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "models"))
    from activation_cases import Case
    from full_size import batch_of

    case = Case(made.model.name, batch=words["micro"], text=words["tokens"], image=tuple(words["image"]))
    found = batch_of(case, made, shape(made))
    dtype = getattr(torch, as_loaded(made).dtype)
    real = {}
    for name, value in found.items():
        tensor = torch.ones(value.shape, dtype=value.dtype) if value.is_meta else value
        real[name] = tensor.to(device, dtype if tensor.is_floating_point() else None)
    return real


def _steps(made: Config, model: Any, batch: dict[str, Any]) -> float:
    """Steps of mixed precision and fused AdamW, as the Trainer takes them."""
    import torch

    device = next(iter(batch.values())).device.type
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    dtype = as_loaded(made).dtype
    loss = torch.zeros(())
    for _ in range(STEPS):
        with torch.autocast(
            device, getattr(torch, dtype if dtype != "float32" else "bfloat16"), enabled=dtype != "float32"
        ):
            outputs = model(**batch, use_cache=False)
            loss = outputs["loss"]
            outputs["logits"] = outputs["logits"].float()  # as Accelerate hands them back
        del outputs
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad()
    return float(loss.detach())


# -- the table


def _fill(said: argparse.Namespace) -> None:
    """What was not said: the published models where there is a GPU, else twins."""
    import torch

    full = {"models": MODELS, "methods": METHODS, "micro": "1,2,4", "image": "1280x720"}
    for name, value in (full if torch.cuda.is_available() else TWINS).items():
        setattr(said, name, getattr(said, name) or value)


def run(words: dict[str, Any]) -> dict[str, Any]:
    """One setting in a fresh process: what another left on the card would count."""
    done = subprocess.run(
        [sys.executable, __file__, "--one", json.dumps(words)], capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        return {"trains": False, "peak_gib": None, "why": said[-1] if said else f"ended with {done.returncode}"}
    return dict(json.loads(lines[-1]))


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", help=f"default: {MODELS}; without a GPU, twins")
    parser.add_argument("--methods", help=f"default: {METHODS}")
    parser.add_argument("--micro", help="micro-batches; default: 1,2,4")
    parser.add_argument("--image", help="default: 1280x720")
    parser.add_argument("--attention", default="sdpa")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--cap", type=int, choices=sorted(CAPS), help="GB of the card to be imitated")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    said = parser.parse_args(arguments)
    if said.one:
        print(json.dumps(measure(json.loads(said.one))))
        return
    _fill(said)
    width, height = (int(n) for n in said.image.split("x"))
    cap = CAPS.get(said.cap, 0.0)
    print("| model | method | micro-batch | checkpointing | peak GiB | planned | planned / peak | trains |")
    print("|---|---|---|---|---|---|---|---|")
    axes = (said.models.split(","), said.methods.split(","), map(int, said.micro.split(",")), (False, True))
    for model, method, micro, checkpointing in itertools.product(*axes):
        words = {
            "model": model,
            "method": method,
            "micro": micro,
            "checkpointing": checkpointing,
            "tokens": said.tokens,
        }
        words |= {"image": [width, height], "attention": said.attention, "cap_gib": cap}
        made = config(model, method, micro, checkpointing, said.attention)
        plan = planned(made, Sample(said.tokens, (width, height))).allocated
        found = run(words)
        peak = found["peak_gib"]
        figures = (f"{peak:.2f}", f"{plan:.2f}", f"{plan / peak:.2f}") if peak else ("no GPU", f"{plan:.2f}", "")
        ends = "yes" if found["trains"] else f"no: {found['why']}"
        row = (model, method, str(micro), "yes" if checkpointing else "no", *figures, ends)
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
