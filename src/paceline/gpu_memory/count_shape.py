"""Count a model's shape on torch's meta device, where a network has no memory, for the planner of the login node.

``python -m paceline.gpu_memory.count_shape`` reads a model's spec as JSON and prints its shape; ``python -m
paceline.gpu_memory.count_shape --ship`` writes those of the shipped models, from the published configs beside the
planner.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from paceline import plugins
from paceline.config.build import build
from paceline.config.schema import ModelSpec
from paceline.errors import PacelineError, UserError
from paceline.gpu_memory.shapes import SHIPPED, Block, Linear, Shape, file_name
from paceline.models import load_family
from paceline.models.family import Family
from paceline.models.hub_files import folder_of
from paceline.store.files import digest, write_json

# isort: split
# After the families, which define the operators that these imports may want.
import transformers
from transformers.modeling_layers import GradientCheckpointingLayer

CONFIGS = SHIPPED.with_name("configs")
_QUERIES = {"q_proj", "k_proj", "v_proj", "qkv", "qkv_proj"}
_MLP_OUT = {"down_proj", "fc2"}


def count(spec: ModelSpec) -> Shape:
    """The shape of a model: of a published config, a folder's or the hub cache's, or a twin's.

    Raises:
        UserError: there is no config, or the family's network is not one that can be built here.
    """
    cls = load_family(spec.family)
    family = cls.__new__(cls)
    family.spec = spec
    family.model = network(spec, cls)
    model = family.model
    quantised = set(_quantised(family))
    adaptable = set(family.linear_layers(list(cls.components)))
    parameters: Counter[str] = Counter()
    idle: Counter[str] = Counter()
    for name, p in model.named_parameters():
        parameters[cls.component_of(name) or ""] += p.numel()
        idle[cls.component_of(name) or ""] += p.numel() if family.is_idle(name) else 0
    config = model.config
    text = config.get_text_config()
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = any(p is q for p in head.parameters() for q in embedding.parameters())
    return Shape(
        model=spec.weights or spec.name,
        family=spec.family,
        parameters=dict(parameters),
        idle={c: n for c, n in idle.items() if n},
        hidden=text.hidden_size,
        vocabulary=_rows(head),
        positions=int(text.max_position_embeddings),
        embedding=sum(p.numel() for p in embedding.parameters()),
        head=0 if tied else sum(p.numel() for p in head.parameters()),
        image={**cls.image_shape(config), **_token(config)} if "image" in spec.inputs else {},
        linears=list(_linears(model, cls, quantised, adaptable)),
        blocks=list(_blocks(model, cls)),
    )


def network(spec: ModelSpec, cls: type[Family], **options: Any) -> Any:
    """The network of a spec on the meta device; ``options`` are those of ``from_config``.

    Raises:
        UserError: as :func:`count`.
    """
    if spec.family == "remote":
        raise UserError(
            f"model {spec.name}: its network is code of its own, which is not read here; it can't be planned"
        )
    with torch.device("meta"):
        if not spec.weights:
            # Config classes write into the dictionaries that they are given.
            config = copy.deepcopy({k: v for k, v in spec.config.items() if k != "seed"})
            with torch.device("cpu"):
                processor = cls.twin_processor(spec)
            return cls.twin_model(config, processor)
        published_config = transformers.AutoConfig.for_model(**published(spec))
        return getattr(transformers, cls.auto_class).from_config(published_config, **options)


def published(spec: ModelSpec) -> dict[str, Any]:
    """The config of a hub model or a folder: that of its files, else the copy that is shipped.

    Raises:
        UserError: it was not fetched, and none is shipped.
    """
    shipped = CONFIGS / file_name(spec.weights)
    folder = folder_of(spec) if spec.revision or not shipped.exists() else None
    for path in filter(None, (folder and folder / "config.json", shipped)):
        if path.is_file():
            config = dict(json.loads(path.read_bytes()))
            return {k: v for k, v in config.items() if k not in ("auto_map", "transformers_version")}
    raise UserError(f"model {spec.name}: no config.json; fetch it: paceline prepare model={spec.name}")


def _quantised(family: Family) -> Iterator[str]:
    """Linear layers that bitsandbytes replaces: all but those that the family keeps (matched from the beginning)."""
    kept = family.unquantised
    for name, module in family.model.named_modules():
        if type(module) is torch.nn.Linear and not any(name == k or name.startswith(f"{k}.") for k in kept):
            yield name


def _rows(head: Any) -> int:
    return sum(m.out_features for m in head.modules() if isinstance(m, torch.nn.Linear))


def _numberless(name: str) -> str:
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "*", name)


def _linears(model: Any, cls: type[Family], quantised: set[str], adaptable: set[str]) -> Iterator[Linear]:
    counts: Counter[Linear] = Counter()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            key = Linear(
                _numberless(name), cls.component_of(name) or "", module.in_features, module.out_features, 0,
                module.bias is not None, name in quantised, name in adaptable,
            )  # fmt: skip
            counts[key] += 1
    return (dataclasses.replace(key, count=n) for key, n in counts.items())


def _blocks(model: Any, cls: type[Family]) -> Iterator[Block]:
    blocks: dict[tuple[str, str], Block] = {}
    for name, layer in model.named_modules():
        if name.rsplit(".", 1)[-1].isdigit() and cls.component_of(name) and _is_transformer(layer):
            key = (_numberless(name), type(layer).__name__)
            if key in blocks:
                blocks[key] = dataclasses.replace(blocks[key], count=blocks[key].count + 1)
            else:
                blocks[key] = _block(*key, cls.component_of(name) or "", layer)
    return iter(blocks.values())


def _is_transformer(layer: Any) -> bool:
    names = {n.rsplit(".", 1)[-1] for n, m in layer.named_modules() if isinstance(m, torch.nn.Linear)}
    return bool(names & _QUERIES and names & _MLP_OUT)


def _block(name: str, kind: str, component: str, layer: Any) -> Block:
    linears = {n: m for n, m in layer.named_modules() if isinstance(m, torch.nn.Linear)}
    last = {n.rsplit(".", 1)[-1]: m for n, m in linears.items()}
    attention = next(m for m in layer.modules() if _QUERIES & {n for n, _ in m.named_children()})
    attention_config = getattr(attention, "config", None)
    heads = int(getattr(attention, "num_heads", 0) or getattr(attention_config, "num_attention_heads", 0))
    fused = last.get("qkv") or last.get("qkv_proj")
    if fused is not None:
        head = int(getattr(attention, "head_dim", 0) or fused.out_features // (3 * heads))
        kv_heads = (fused.out_features // head - heads) // 2
    else:
        head = last["q_proj"].out_features // heads
        kv_heads = last["k_proj"].out_features // head
    norms = [m for _, m in layer.named_children() if "Norm" in type(m).__name__]
    out = next(m for n, m in last.items() if n in _MLP_OUT)
    return Block(
        layer=name,
        kind=kind,
        component=component,
        count=1,
        width=out.out_features,
        heads=heads,
        kv_heads=kv_heads,
        head=head,
        mlp=out.in_features,
        gated=any("gate" in n for n in last),
        sigmoid=any("QuickGELU" in type(m).__name__ for m in layer.modules()),
        norm="layer" if isinstance(norms[0], torch.nn.LayerNorm) else "rms",
        norms=len(norms),
        head_norms=any("Norm" in type(m).__name__ for m in attention.children()),
        cross="cross_attn" in " ".join(linears),
        fused=fused is not None,
        checkpointed=isinstance(layer, GradientCheckpointingLayer),
        linears=sorted(linears),
    )


def _token(config: Any) -> dict[str, int]:
    """Id of the token that an image stands at, under the names that families give it."""
    named = (getattr(config, name, None) for name in ("image_token_id", "image_token_index"))
    token = next((n for n in named if n is not None), None)
    return {} if token is None else {"token": token}


def ship(models: Sequence[ModelSpec]) -> None:
    """Write the shapes of shipped models: the twins', and those whose config is beside the planner."""
    for spec in models:
        if not spec.weights or (CONFIGS / file_name(spec.weights)).exists():
            name = spec.weights or f"{spec.name}-{digest(spec.config, 8)}"
            write_json(SHIPPED / file_name(name), dataclasses.asdict(count(spec)))


def main(arguments: Sequence[str]) -> int:
    plugins.inherit()
    try:
        if arguments == ["--ship"]:
            ship(list(_every_model()))
        else:
            print(json.dumps(dataclasses.asdict(count(build(ModelSpec, json.load(sys.stdin), "model")))))  # noqa: T201
    except PacelineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _every_model() -> Iterator[ModelSpec]:
    import yaml

    from paceline.store.code import shipped

    for path in sorted((Path(shipped("conf")) / "model").glob("*.yaml")):
        yield build(ModelSpec, {"name": path.stem, **yaml.safe_load(path.read_text())}, str(path))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
