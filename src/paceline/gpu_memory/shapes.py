"""The shape of a model: what its memory can be computed from, without its weights and without torch.

Shapes are counted by :mod:`paceline.gpu_memory.count_shape` on torch's meta device. Those of the shipped models lie in
``shapes/``, one small file per hub id; ``paceline prepare model=NAME`` puts others under the root.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from paceline.config.build import build
from paceline.config.frozen_layers import active, too_many
from paceline.config.joined_parts import is_joined, source_name, sources
from paceline.config.schema import LoraSpec, MethodSpec, ModelSpec
from paceline.errors import UserError, nearest
from paceline.store.files import digest, read_json

SHIPPED = Path(__file__).with_name("shapes")


@dataclass(frozen=True)
class Linear:
    """Linear layers of one name, over all layers of a model.

    Attributes:
        name: full module name with ``*`` for the numbers in it.
        component: the part of the model that they belong to; empty outside of all.
        inputs, outputs: features.
        count: how many there are.
        bias: whether they add a bias.
        quantised: whether 8- and 4-bit loading replaces them.
        adaptable: whether an adapter may be put on them: the output layer is left out.
        depths: of each that ``method.frozen_layers`` may freeze, how many first layers of the component that takes, as
            :func:`spans` writes it.
    """

    name: str
    component: str
    inputs: int
    outputs: int
    count: int
    bias: bool
    quantised: bool
    adaptable: bool
    depths: str = ""

    def without(self, first: int) -> Linear:
        """Those that are left where so many first layers of the component are frozen."""
        return dataclasses.replace(self, count=self.count - sum(depth <= first for depth in unfold(self.depths)))

    @property
    def weights(self) -> int:
        """Numbers in the matrices, biases not counted."""
        return self.count * self.inputs * self.outputs


@dataclass(frozen=True)
class Block:
    """A stack of equal transformer layers.

    Attributes:
        layer: their module name with ``*`` for the numbers in it; the linear layers are those below it.
        kind: class of the layer.
        component: as of a linear layer.
        count: layers.
        width: of the residual stream.
        heads, kv_heads, head: attention heads, those of keys and values, and the width of each.
        mlp: width inside the MLP.
        gated: whether the MLP multiplies two projections (SwiGLU).
        sigmoid: whether its activation keeps a sigmoid beside its input (quick GELU).
        norm: ``rms`` or ``layer``.
        norms: norms of the residual stream per layer.
        head_norms: whether queries and keys are normalised head by head.
        cross: whether it looks at the image's states instead of its own sequence.
        fused: whether one projection makes queries, keys and values.
        checkpointed: whether the library's activation checkpointing takes it in.
        linears: names of its linear layers below ``layer``.
    """

    layer: str
    kind: str
    component: str
    count: int
    width: int
    heads: int
    kv_heads: int
    head: int
    mlp: int
    gated: bool
    sigmoid: bool
    norm: str
    norms: int
    head_norms: bool
    cross: bool
    fused: bool
    checkpointed: bool
    linears: list[str]


@dataclass(frozen=True)
class Shape:
    """A model as the planner sees it.

    Attributes:
        model: hub id, or the twin's name.
        family: module in ``paceline/models/``.
        parameters: component -> numbers, those outside of all under an empty name; tied weights counted once.
        idle: component -> numbers that no answer depends on, and no method trains.
        hidden: width of the language model.
        vocabulary: rows of the output layer.
        positions: most tokens of a sequence.
        embedding: numbers of the token embedding; ``head``: of the output layer, 0 where it is the embedding.
        image: how an image becomes tokens: ``kind`` and its numbers, see :mod:`paceline.gpu_memory.image_tokens`; empty
            where the model reads text alone.
        linears: every linear layer, by name.
        blocks: every stack of layers.
        layers: component -> numbers that freezing its first layer leaves untrained, then each one more; idle ones not
            counted. Empty in shapes that were counted before layers could be frozen.
    """

    model: str
    family: str
    parameters: dict[str, int]
    idle: dict[str, int]
    hidden: int
    vocabulary: int
    positions: int
    embedding: int
    head: int
    image: dict[str, Any]
    linears: list[Linear]
    blocks: list[Block]
    layers: dict[str, list[int]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All parameters."""
        return sum(self.parameters.values())

    def linear(self, name: str) -> Linear:
        """Linear layers by their name."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Linear]:
        return {n.name: n for n in self.linears}

    def blocks_of(self, component: str) -> list[Block]:
        """Stacks of one component."""
        return [b for b in self.blocks if b.component == component]


def read_shape(values: Mapping[str, Any], where: str) -> Shape:
    """A shape from JSON values.

    Raises:
        UserError: the file is of another make.
    """
    rest = dict(values)
    linears = [build(Linear, v, where) for v in rest.pop("linears", [])]
    blocks = [build(Block, v, where) for v in rest.pop("blocks", [])]
    try:
        return Shape(linears=linears, blocks=blocks, **rest)
    except TypeError as error:
        raise UserError(f"{where}: {error}; delete it and run: paceline prepare model=NAME") from None


def place(root: Path, model: ModelSpec) -> Path:
    """Where ``prepare`` puts a model's shape."""
    known: dict[str, Any] = {"family": model.family, "config": model.config}
    known |= {"weights": model.weights, "revision": model.revision}
    if is_joined(model):
        known["parts"] = [[source.weights, source.revision] for source in sources(model)]
    return root / "shapes" / f"{digest(known, 12)}.json"


@cache
def _shipped(name: str) -> Shape:
    path = SHIPPED / name
    return read_shape(json.loads(path.read_bytes()), str(path))


@cache
def _cached_shape(path: Path, _written: int) -> Shape:
    return read_shape(read_json(path), str(path))


def file_name(source: str) -> str:
    """The shipped file of a hub id, of those of a joined model's parts, or of a twin's name."""
    return f"{source.replace('/', '--').replace(' ', '')}.json"


def shape_of(model: ModelSpec, root: Path | None = None) -> Shape | None:
    """The shape of a model: as ``prepare`` counted it, else the shipped one of its hub id; None where there is none.

    A twin's shipped shape holds for its shipped config alone.
    """
    if model.served:
        return None
    if root is not None and (path := place(root, model)).is_file():
        return _cached_shape(path, path.stat().st_mtime_ns)
    name = file_name(source_name(model) or f"{model.name}-{digest(model.config, 8)}")
    return _shipped(name) if (SHIPPED / name).is_file() else None


# -- what a method trains


def targets(shape: Shape, lora: LoraSpec) -> list[Linear]:
    """The linear layers that an adapter is put on; as ``training.adapters.targets`` matches them by full names.

    Raises:
        UserError: a name that matches nothing, with those there are.
    """
    layers = [n for n in shape.linears if n.adaptable and n.component in lora.components]
    missing = [t for t in lora.targets if not any(_matches(n.name, t) for n in layers)]
    if missing or not layers:
        names = sorted({n.name.rsplit(".", 1)[-1] for n in layers})
        raise UserError(
            f"method.lora.targets: {', '.join(missing) or 'nothing'} matches no linear layer of "
            f"{', '.join(lora.components)} in {shape.model}: {nearest(missing[0] if missing else '', names)}"
        )
    return [n for n in layers if not lora.targets or any(_matches(n.name, t) for t in lora.targets)]


def _matches(name: str, target: str) -> bool:
    target = re.sub(r"(?<=\.)\d+(?=\.)", "*", f".{target}.").strip(".")
    return name == target or name.endswith(f".{target}")


def adapter_parameters(layers: Iterable[Linear], lora: LoraSpec) -> dict[str, int]:
    """Component -> numbers of an adapter: ``r (in + out)`` per layer (Hu et al. 2021, section 4.1), and ``out`` more
    with DoRA, the length of each output's weights (Liu et al. 2024, equation 5).
    """
    counts: dict[str, int] = {}
    for layer in layers:
        size = lora.r * (layer.inputs + layer.outputs) + (layer.outputs if lora.dora else 0)
        counts[layer.component] = counts.get(layer.component, 0) + layer.count * size
    return counts


def trainable(shape: Shape, method: MethodSpec) -> dict[str, int]:
    """Component -> numbers that a method trains.

    Raises:
        UserError: an adapter's names match nothing.
    """
    held = frozen(shape, method)
    if method.trains == "adapter":
        return adapter_parameters(adapted(shape, method), method.lora)
    if method.trains == "nothing":
        return {}
    left = {c: n - shape.idle.get(c, 0) - held.get(c, 0) for c, n in shape.parameters.items() if c not in method.frozen}
    return {c: n for c, n in left.items() if n}


def adapted(shape: Shape, method: MethodSpec) -> list[Linear]:
    """The linear layers that a method puts an adapter on: :func:`targets`, those of frozen layers left out.

    Raises:
        UserError: a name that matches nothing.
    """
    first = active(method)
    left = [n.without(first.get(n.component, 0)) for n in targets(shape, method.lora)]
    return [n for n in left if n.count]


def frozen(shape: Shape, method: MethodSpec) -> dict[str, int]:
    """Component -> numbers that a method's ``frozen_layers`` leave as they are; none of a component whose layers were
    not counted.

    Raises:
        UserError: a component has fewer layers than that.
    """
    found: dict[str, int] = {}
    for component, count in active(method).items() if shape.layers else ():
        there = shape.layers.get(component, [])
        if why := too_many(shape.model, component, count, len(there)):
            raise UserError(why)
        found[component] = sum(there[:count])
    return found


def spans(depths: Iterable[int]) -> str:
    """Whole numbers in short: ``1-12`` for one to twelve, a number that occurs twice in two spans."""
    left = sorted(depths)
    found = []
    while left:
        first = last = left.pop(0)
        while last + 1 in left:
            last += 1
            left.remove(last)
        found.append(f"{first}-{last}" if last > first else str(first))
    return ",".join(found)


@cache
def unfold(spans: str) -> tuple[int, ...]:
    """The numbers that :func:`spans` wrote."""
    found: list[int] = []
    for span in spans.split(",") if spans else ():
        first, _, last = span.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)
