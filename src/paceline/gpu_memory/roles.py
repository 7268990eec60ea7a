"""What a linear layer of a transformer's block does, by its name: families name the same parts in many ways."""

from __future__ import annotations

from typing import Literal

Role = Literal["query", "key", "value", "fused", "out", "mlp", "down", ""]

_LAST: dict[str, Role] = {
    **dict.fromkeys(("q_proj", "query", "q"), "query"),
    **dict.fromkeys(("k_proj", "key", "k"), "key"),
    **dict.fromkeys(("v_proj", "value", "v"), "value"),
    **dict.fromkeys(("qkv", "qkv_proj"), "fused"),
    **dict.fromkeys(("o_proj", "out_proj", "proj", "projection", "o"), "out"),
    **dict.fromkeys(("fc1", "linear_fc1", "gate_proj", "up_proj", "gate_up_proj", "wi", "wi_0", "wi_1"), "mlp"),
    **dict.fromkeys(("fc2", "linear_fc2", "down_proj", "wo"), "down"),
}  # type: ignore[assignment]


def role(name: str) -> Role:
    """The role of a linear layer, by its name below the block's; empty where it has none of these."""
    *before, last = name.split(".")
    if last in ("c_attn", "q_attn", "c_fc", "c_proj"):
        return _gpt2(last, before[-1] if before else "")
    if last != "dense":
        return _LAST.get(last, "")
    # BERT calls three layers so: attention.output.dense, intermediate.dense, output.dense.
    if before[-1:] and before[-1].startswith("intermediate"):
        return "mlp"
    if before[-1:] and before[-1].startswith("output"):
        return "out" if len(before) > 1 else "down"
    return ""


def _gpt2(last: str, within: str) -> Role:
    """GPT-2's names: keys and values of what it looks at are of one layer, and two layers are called ``c_proj``."""
    if last == "c_attn":
        return "key" if within == "crossattention" else "fused"
    if last == "c_proj":
        return "down" if within == "mlp" else "out"
    return "query" if last == "q_attn" else "mlp"


def crosses(name: str) -> bool:
    """Whether a layer belongs to an attention over something else than the block's own sequence."""
    return any(part in ("crossattention", "cross_attn", "EncDecAttention") for part in name.split("."))


GATES = ("gate_proj", "gate_up_proj", "wi_0")
"""Layers of an MLP that multiplies two projections."""
