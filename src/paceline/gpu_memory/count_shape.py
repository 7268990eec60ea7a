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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from paceline import plugins
from paceline.config.build import build
from paceline.config.joined_parts import is_joined, is_twin, source_name, sources
from paceline.config.schema import ModelSpec
from paceline.errors import PacelineError, UserError
from paceline.gpu_memory.roles import GATES, crosses, role
from paceline.gpu_memory.shapes import SHIPPED, Block, Linear, Shape, file_name, spans
from paceline.models import layers, load_family
from paceline.models.family import Family
from paceline.models.hub_files import folder_of
from paceline.models.registry import says
from paceline.store.files import digest, write_json

# isort: split
# After the families, which define the operators that these imports may want.
import transformers
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.pytorch_utils import Conv1D

CONFIGS = SHIPPED.with_name("configs")
# Positions of a network that counts them relatively: there is no most.
_RELATIVE = 1_000_000


def count(spec: ModelSpec) -> Shape:
    """The shape of a model: of a published config, a folder's or the hub cache's, or a twin's.

    Raises:
        UserError: there is no config, or the family's network is not one that can be built here.
    """
    cls = load_family(spec.family)
    if cls.unplanned:
        raise UserError(f"model {spec.name}: family '{spec.family}' {cls.unplanned}; its memory can't be planned")
    family = cls.__new__(cls)
    family.spec = spec
    family.model = network(spec, cls)
    model = family.model
    quantised = set(_quantised(family))
    adaptable = set(family.linear_layers(list(cls.components)))
    parameters: Counter[str] = Counter()
    idle: Counter[str] = Counter()
    frozen_at = {component: layers.depths(family, component) for component in cls.components}
    numbers = {c: [0] * len(layers.layers_of(family, c)) for c in cls.components}
    for name, p in model.named_parameters():
        component = cls.component_of(name) or ""
        parameters[component] += p.numel()
        idle[component] += p.numel() if family.is_idle(name) else 0
        if (depth := frozen_at.get(component, {}).get(name)) and not family.is_idle(name):
            numbers[component][depth - 1] += p.numel()
    config = model.config
    text = config.get_text_config()
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = any(p is q for p in head.parameters() for q in embedding.parameters())
    return Shape(
        model=source_name(spec) or spec.name,
        family=spec.family,
        parameters=dict(parameters),
        idle={c: n for c, n in idle.items() if n},
        hidden=text.hidden_size,
        vocabulary=_rows(head),
        positions=int(getattr(text, "max_position_embeddings", _RELATIVE)),
        embedding=sum(p.numel() for p in embedding.parameters()),
        head=0 if tied else sum(p.numel() for p in head.parameters()),
        image={**cls.image_shape(config), **_token(config)} if "image" in spec.inputs else {},
        linears=list(_linears(model, cls, quantised, adaptable, frozen_at)),
        blocks=list(_blocks(model, cls)),
        layers={component: each for component, each in numbers.items() if each},
    )


def network(spec: ModelSpec, cls: type[Family], **options: Any) -> Any:
    """The network of a spec on the meta device; ``options`` are those of ``from_config``.

    Raises:
        UserError: as :func:`count`.
    """
    if says(spec.family, "own_call", False):
        raise UserError(
            f"model {spec.name}: its network is code of its own, which is not read here; it can't be planned"
        )
    with torch.device("meta"):
        if is_joined(spec):
            parts = (transformers.AutoConfig.for_model(**published(source)) for source in sources(spec))
            return cls.joined_network(*parts)  # type: ignore[attr-defined]  # of a family that joins parts
        if not spec.weights:
            # Config classes write into the dictionaries that they are given.
            config = copy.deepcopy({k: v for k, v in spec.config.items() if k != "seed"})
            with torch.device("cpu"):
                processor = cls.twin_processor(spec)
            return cls.twin_model(config, processor)
        published_config = transformers.AutoConfig.for_model(**cls.config_of(published(spec)))
        if cls.network_class is not None:
            return cls.network_class._from_config(published_config, **options)
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
        whole = name.rsplit(".", 1)[-1] in family.kept_in_float32
        whole = whole or any(name == k or name.startswith(f"{k}.") for k in kept)
        if type(module) in (torch.nn.Linear, Conv1D) and not whole:
            yield name


def _size(layer: Any) -> tuple[int, int]:
    """Features in and out; GPT-2 has its weights turned."""
    inputs, outputs = layer.weight.shape if isinstance(layer, Conv1D) else reversed(layer.weight.shape)
    return int(inputs), int(outputs)


def _rows(head: Any) -> int:
    return sum(m.out_features for m in head.modules() if isinstance(m, torch.nn.Linear))


def _numberless(name: str) -> str:
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "*", name)


def _linears(
    model: Any, cls: type[Family], quantised: set[str], adaptable: set[str], frozen_at: Mapping[str, Mapping[str, int]]
) -> Iterator[Linear]:
    counts: Counter[Linear] = Counter()
    depths: dict[Linear, list[int]] = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear | Conv1D):
            key = Linear(
                _numberless(name), cls.component_of(name) or "", *_size(module), 0,
                module.bias is not None, name in quantised, name in adaptable,
            )  # fmt: skip
            counts[key] += 1
            if depth := frozen_at.get(key.component, {}).get(f"{name}.weight"):
                depths.setdefault(key, []).append(depth)
    return (dataclasses.replace(key, count=n, depths=spans(depths.get(key, ()))) for key, n in counts.items())


def _blocks(model: Any, cls: type[Family]) -> Iterator[Block]:
    blocks: dict[tuple[str, ...], Block] = {}
    for name, layer in model.named_modules():
        if name.rsplit(".", 1)[-1].isdigit() and cls.component_of(name) and _is_transformer(layer):
            for linears in _attentions(layer):
                # Layers of one name may be of several kinds, such as with and without a look at something else.
                key = (_numberless(name), type(layer).__name__, *sorted(linears))
                if key in blocks:
                    blocks[key] = dataclasses.replace(blocks[key], count=blocks[key].count + 1)
                else:
                    blocks[key] = _block(key[0], key[1], cls.component_of(name) or "", layer, linears)
    return iter(blocks.values())


def _is_transformer(layer: Any) -> bool:
    roles = {role(n) for n, m in layer.named_modules() if isinstance(m, torch.nn.Linear | Conv1D)}
    return bool(roles & {"query", "fused"} and "down" in roles)


def _attentions(layer: Any) -> Iterator[dict[str, torch.nn.Module]]:
    """The linear layers of a transformer's layer, by name; those of a second attention, over something else, apart."""
    linears: dict[str, torch.nn.Module] = {
        n: m for n, m in layer.named_modules() if isinstance(m, torch.nn.Linear | Conv1D)
    }
    second = {n: m for n, m in linears.items() if crosses(n)}
    own = {n: m for n, m in linears.items() if n not in second}
    if second and any(role(n) in ("query", "fused") for n in own):
        yield own
        yield second
    else:
        yield linears


def _block(name: str, kind: str, component: str, layer: Any, linears: dict[str, torch.nn.Module]) -> Block:
    last: dict[str, torch.nn.Module] = {role(n): m for n, m in linears.items()}
    first = next(n for n in linears if role(n) in ("query", "fused"))
    attention = layer.get_submodule(first.rpartition(".")[0])
    attention_config = getattr(attention, "config", None)
    named = (getattr(attention, n, 0) for n in ("num_heads", "num_attention_heads", "n_heads"))
    heads = int(next(filter(None, named), 0) or getattr(attention_config, "num_attention_heads", 0))
    fused = last.get("fused")
    if fused is not None:
        head = int(getattr(attention, "head_dim", 0) or _size(fused)[1] // (3 * heads))
        kv_heads = (_size(fused)[1] // head - heads) // 2
    else:
        head = _size(last["query"])[1] // heads
        # GPT-2 makes keys and values of what it looks at by one layer.
        kv_heads = _size(last["key"])[1] // head // (1 if "value" in last else 2)
    inside = set(attention.modules())
    norms = [m for n, m in layer.named_modules() if "Norm" in type(m).__name__ and m not in inside and not crosses(n)]
    down, out = last.get("down"), last.get("down") or last["out"]
    second = down is None
    return Block(
        layer=name,
        kind=kind,
        component=component,
        count=1,
        width=_size(out)[1],
        heads=heads,
        kv_heads=kv_heads,
        head=head,
        mlp=_size(down)[0] if down is not None else 0,
        gated=any(n.rsplit(".", 1)[-1] in GATES for n in linears),
        sigmoid=any("QuickGELU" in type(m).__name__ for m in layer.modules()),
        norm="layer" if isinstance(norms[0], torch.nn.LayerNorm) else "rms",
        norms=1 if second else len(norms),
        head_norms=any("Norm" in type(m).__name__ for m in attention.children()),
        cross=all(crosses(n) for n in linears if role(n) in ("query", "fused")),
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
        if spec.served or load_family(spec.family).unplanned:
            continue
        if is_twin(spec) or all((CONFIGS / file_name(source.weights)).exists() for source in sources(spec)):
            name = source_name(spec) or f"{spec.name}-{digest(spec.config, 8)}"
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
