"""What a method makes trainable: adapters on the linear layers that its names match, or the weights themselves.

A list of layer names that was made for another model tunes next to nothing, and nothing fails: Phi-3.5 fuses its
projections, so that a published list of six names met the output projections of its language model, and otherwise
its vision tower. So what matched is shown, and most of the language model left out is refused unless it is meant.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from paceline.config.frozen_layers import NAMED
from paceline.config.schema import LoraSpec, MethodSpec
from paceline.errors import UserError, nearest
from paceline.models.family import Family
from paceline.models.layers import frozen as frozen_in

# isort: split
# After the families, which define the operators that these imports may want.
import peft
from transformers import set_seed


@dataclass(frozen=True)
class Targets:
    """The linear layers that an adapter is put on, among those that there are.

    Attributes:
        names: full module names of the layers adapted.
        table: component -> last part of a layer's name -> (layers adapted, layers there).
    """

    names: list[str]
    table: dict[str, dict[str, tuple[int, int]]]

    def share(self, component: str) -> float:
        """Share of a component's linear layers that is adapted, counted by layers; 1 where it has none."""
        counts = self.table.get(component, {}).values()
        there = sum(n for _, n in counts)
        return sum(n for n, _ in counts) / there if there else 1.0

    def text(self) -> str:
        """The table, a line per component."""
        lines = []
        for component, layers in self.table.items():
            adapted, there = (sum(counts[i] for counts in layers.values()) for i in (0, 1))
            each = ", ".join(f"{name} {n}/{of}" for name, (n, of) in layers.items())
            lines.append(f"  {component} {adapted}/{there}: {each or 'no linear layer'}")
        return "\n".join(lines)


def targets(family: Family, lora: LoraSpec, frozen_layers: Mapping[str, int] | None = None) -> Targets:
    """Match an adapter's names with the model's linear layers, and leave those of frozen layers out.

    Raises:
        UserError: no such component, a name that matches nothing, most linear layers of the language model are left
            out and ``allow_partial_targets`` does not say that they may be, or every layer is frozen.
    """
    unknown = [c for c in lora.components if c not in family.components]
    if unknown or not lora.components:
        raise UserError(f"method.lora.components: no component {unknown}: {nearest(str(unknown), family.components)}")
    layers = family.linear_layers(lora.components)
    matched = [n for n in layers if not lora.targets or any(_matches(n, t) for t in lora.targets)]
    if not layers:
        raise UserError(
            f"method.lora.components: model {family.spec.name} has no linear layers in {', '.join(lora.components)}, "
            "so there is nothing to put an adapter on; give a method that trains weights, such as head or full"
        )
    missing = [t for t in lora.targets if not any(_matches(n, t) for n in layers)]
    if missing or not matched:
        counts = Counter(name.rsplit(".", 1)[-1] for name in layers)
        valid = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
        raise UserError(
            f"method.lora.targets: {', '.join(missing) or 'nothing'} matches no linear layer of "
            f"{', '.join(lora.components)} in {family.spec.name}; there are: {valid}"
        )
    found = _tabled(family, matched)
    if "language" in lora.components and not lora.allow_partial_targets and found.share("language") < 0.5:
        raise UserError(
            f"method.lora.targets leaves out {1 - found.share('language'):.0%} of the linear layers of the language "
            f"model of {family.spec.name}, so the list looks made for another model (adapted/there):\n{found.text()}\n"
            "leave method.lora.targets empty to take them all, name more of them, or say that it is meant: "
            "method.lora.allow_partial_targets=true"
        )
    held = frozen_in(family, frozen_layers or {})
    if not held:
        return found
    left = [name for name in matched if f"{name}.weight" not in held]
    if not left:
        raise UserError(f"{NAMED} freezes every layer that an adapter would be put on; freeze fewer")
    return _tabled(family, left)


def _tabled(family: Family, names: list[str]) -> Targets:
    return Targets(names, {c: _counted(family.linear_layers([c]), set(names)) for c in family.components})


def _matches(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _counted(layers: Sequence[str], adapted: set[str]) -> dict[str, tuple[int, int]]:
    """Last part of a name -> (layers adapted, layers there); a number is a place in a list, and no name."""
    counts: dict[str, tuple[int, int]] = {}
    for name in layers:
        last = next((part for part in reversed(name.split(".")) if not part.isdigit()), name)
        n, there = counts.get(last, (0, 0))
        counts[last] = n + (name in adapted), there + 1
    return dict(sorted(counts.items()))


def adapt(family: Family, method: MethodSpec, seed: int) -> dict[str, int]:
    """Make trainable what the method trains, in place, and nothing else.

    Of what PEFT offers to prepare a quantised base, nothing is needed: its weights are frozen by the adapter, the rest
    stays in the number format that was asked for (PEFT would make it float32, a gibibyte of embeddings and vision
    tower), and checkpointing here needs no gradient of the inputs, which would run back through a frozen tower.

    Returns:
        Counts: ``parameters``, ``trainable``, and ``trainable_<component>`` for each component that has any.

    Raises:
        UserError: a component or target that the model does not have, or nothing is left to train.
    """
    if method.trains == "adapter":
        _add_adapter(family, method, seed)
    else:
        if unknown := [c for c in method.frozen if c not in family.components]:
            raise UserError(f"method.frozen: no component '{unknown[0]}': {nearest(unknown[0], family.components)}")
        trained = set(weights_trained(family, method))
        for name, parameter in family.model.named_parameters():
            parameter.requires_grad_(name in trained)
    counts: Counter[str] = Counter()
    for name, parameter in family.bare_model().named_parameters():
        size = numbers(parameter)
        counts["parameters"] += size
        if parameter.requires_grad:
            counts["trainable"] += size
            counts[f"trainable_{family.component_of(name) or 'other'}"] += size
    if not counts["trainable"]:
        raise UserError(f"method '{method.name}' leaves nothing to train; freeze less")
    return dict(counts)


def weights_trained(family: Family, method: MethodSpec) -> list[str]:
    """Names of the weights that a method trains themselves, before an adapter is put on; none where it trains one.

    Raises:
        UserError: more first layers are to be frozen than there are.
    """
    if method.trains != "all":
        return []
    held = frozen_in(family, method.frozen_layers)
    return [
        name
        for name, _ in family.model.named_parameters()
        if family.component_of(name) not in method.frozen and not family.is_idle(name) and name not in held
    ]


def _add_adapter(family: Family, method: MethodSpec, seed: int) -> None:
    lora = method.lora
    set_seed(seed)
    settings = peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # only ever divided by r
        lora_dropout=lora.dropout,
        target_modules=targets(family, lora, method.frozen_layers).names,
        use_dora=lora.dora,
        init_lora_weights="gaussian" if lora.init == "gaussian" else True,
        modules_to_save=list(family.saved_whole) or None,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT asks Transformers by names about to go
        family.model = peft.get_peft_model(family.model, settings)


def numbers(parameter: torch.nn.Parameter) -> int:
    """How many numbers a parameter stands for: also where ZeRO-3 holds a part of them, or two share a byte."""
    whole = getattr(parameter, "ds_numel", None) or parameter.numel()
    state = getattr(parameter, "quant_state", None)
    return int(state.shape.numel()) if state is not None else int(whole)
