"""What the forward pass keeps for the backward pass, layer by layer, in bytes.

The formulas follow the operators of the library's networks, one tensor after the other (Korthikanti et al. 2022,
arXiv:2205.05198, section 4, did so for GPT), and are held within 10 % of what autograd keeps of the full-size networks
(``tests/models/test_activations.py``). ``c`` stands for the bytes of a number computed with.

What decides: a linear layer keeps its input only to train its own weight; autocast gives each such layer a copy of its
own; RMS norms keep a float32 copy of theirs; SDPA keeps queries, keys, values and output, eager attention the matrices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from paceline.gpu_memory.image_tokens import Seen
from paceline.gpu_memory.roles import role
from paceline.gpu_memory.shapes import Block, Linear, Shape


@dataclass(frozen=True)
class Pass:
    """How the network is run.

    Attributes:
        width: bytes of a number computed with (``c``).
        autocast: the Trainer's mixed precision, where DeepSpeed does not run; then weights that are trained are
            float32, and so are the residual streams that begin at them.
        attention: ``sdpa``, ``eager`` or ``flash_attention_2``.
        batch: samples of a micro-batch.
        tokens: of each in the language model.
        seen: what one image is to the model; all zeros where there is none.
        padded: rows of unequal length, so that attention has a mask and keys and values are repeated for it.
        trained: components whose weights are trained themselves.
        adapted: names of the linear layers that have an adapter.
        rank, dropout, dora: the adapter's.
        quantised: ``none``, ``nf4`` or ``int8``.
        held: component -> first layers in which nothing is trained.
    """

    width: int
    autocast: bool
    attention: str
    batch: int
    tokens: int
    seen: Seen
    padded: bool
    trained: frozenset[str]
    adapted: frozenset[str]
    rank: int = 0
    dropout: bool = False
    dora: bool = False
    quantised: str = "none"
    held: Mapping[str, int] = field(default_factory=dict)

    def reached(self, shape: Shape, component: str) -> bool:
        """Whether gradients run through a component: something in it, or before it, is trained."""
        trained = {n.component for n in shape.linears if n.name in self.adapted} | self.trained
        before = {"vision": {"vision"}, "connector": {"vision", "connector"}}
        return bool(trained & before.get(component, trained))


def kept(shape: Shape, run: Pass, block: Block) -> float:
    """Bytes that one layer of a stack keeps, where gradients run through it."""
    layer = {n: shape.linear(f"{block.layer}.{n}") for n in block.linears}
    rows = _rows(block, run)
    return (
        _inputs(run, block, layer, rows, _keys(block, run))
        + _norms(run, block, rows)
        + _attention(run, block)
        + _mlp(run, block, rows)
    )


def _rows(block: Block, run: Pass) -> int:
    """Vectors of the residual stream."""
    return run.batch * (run.seen.patches if block.component == "vision" else run.tokens)


def _keys(block: Block, run: Pass) -> int:
    """Vectors that keys and values are made of."""
    return run.batch * run.seen.states if block.cross else _rows(block, run)


def residual(run: Pass, block: Block) -> int:
    """Bytes of a number of the residual stream: float32 where autocast meets float32 weights before it."""
    begun = block.component in run.trained or (block.component == "language" and "language" in run.trained)
    return 4 if run.autocast and begun else run.width


def _norms(run: Pass, block: Block, rows: int) -> float:
    """A float32 copy of each norm's input (or the input itself, where it is float32), and what its weight needs.

    RMS norms compute in float32 by their own code, layer norms under autocast.
    """
    trained = block.component in run.trained
    in_float32 = block.norm == "rms" or run.autocast
    each = 4 if in_float32 else run.width
    if trained and block.norm == "rms":
        each += residual(run, block)
    size = float(block.norms * rows * block.width * each)
    if block.head_norms:
        queries, keys = rows * block.heads * block.head, _keys(block, run) * block.kv_heads * block.head
        size += (queries + keys) * (4 + (run.width if trained else 0))
    return size


def _attention(run: Pass, block: Block) -> float:
    """Queries, keys, values and output; eager attention its matrices too, in float32 and in the compute format."""
    c, rows, keys = run.width, _rows(block, run), _keys(block, run)
    queries = rows * block.heads * block.head
    masked = run.seen.masked if block.component == "vision" else run.padded or block.cross
    repeated = block.kv_heads < block.heads and (run.attention == "eager" or (run.attention == "sdpa" and masked))
    key_heads = block.heads if repeated else block.kv_heads
    size = float(c * (2 * queries + 2 * keys * key_heads * block.head))
    if block.fused:  # values are a view, and keep what queries and keys were made with too
        size += c * (queries + keys * block.kv_heads * block.head)
    if run.attention == "eager":
        size += (4 + c) * _matrix(run, block) * block.heads
    else:
        size += 4 * rows * block.heads
        if masked and run.attention == "sdpa" and block.component != "vision" and not block.cross:
            size += c * _matrix(run, block)  # the mask as numbers, made anew by every layer
    return size


def _matrix(run: Pass, block: Block) -> int:
    """Pairs of a query and a key, over the whole batch and one head."""
    if block.component != "vision":
        return run.batch * run.tokens * (run.seen.states if block.cross else run.tokens)
    sequence = run.seen.sequence * (run.batch if run.seen.packed else 1)
    return _rows(block, run) * sequence


def _mlp(run: Pass, block: Block, rows: int) -> float:
    """SwiGLU keeps the gate, its activation and the other projection; a plain MLP the input of its activation."""
    factor = 3 if block.gated else 2 if block.sigmoid else 1
    return float(factor * run.width * rows * block.mlp)


def _inputs(run: Pass, block: Block, layer: dict[str, Linear], rows: int, keys: int) -> float:
    """Inputs of the linear layers, and what their adapters keep."""
    size = 0.0
    groups: dict[str, list[Linear]] = {}
    for name, linear in layer.items():
        does = role(name)
        takes: str = "attention" if does in ("query", "key", "value", "fused") else does or name
        groups.setdefault("states" if block.cross and does in ("key", "value") else takes, []).append(linear)
    for takes, linears in groups.items():
        vectors = keys if takes == "states" else rows
        whole = run.width * vectors * linears[0].inputs
        # What attention keeps anyway is its output; states are shared by all layers.
        kept_anyway = takes in ("out", "states")
        size += whole * _copies(run, linears, kept_anyway, block)
        size += sum(adapter(run, n, vectors) for n in linears if n.name in run.adapted)
    return size


def _copies(run: Pass, linears: Sequence[Linear], kept_anyway: bool, block: Block) -> int:
    """How many tensors of its size an input that several linear layers share is kept in.

    Args:
        there: it is kept by something else.
    """
    c_input = kept_anyway or role(linears[0].name.removeprefix(f"{block.layer}.")) == "down"
    if linears[0].component in run.trained:
        if run.autocast and not c_input:  # a float32 input is cast for each of them
            return len(linears)
        return 0 if kept_anyway else 1
    adapted = [n for n in linears if n.name in run.adapted]
    copies = sum(_own_copy(run, n) for n in adapted)
    shares = len(adapted) > copies or (run.quantised == "int8" and any(n.quantised for n in linears))
    # bitsandbytes' 8-bit product keeps its input, whether it trains or not (MatMul8bitLt.forward, 0.50).
    return copies + (1 if shares and not kept_anyway else 0)


def _own_copy(run: Pass, linear: Linear) -> bool:
    """Whether an adapter has its input to itself: after dropout, or cast to float32 and back (PEFT 0.21).

    PEFT casts a plain layer's input to the adapter's float32, and autocast casts it back for the product; a quantised
    layer's adapter takes it as it is.
    """
    quantised = run.quantised != "none" and linear.quantised
    return run.dropout or (run.autocast and not quantised)


def adapter(run: Pass, linear: Linear, vectors: int) -> float:
    """What one adapter keeps beside its input: the low-rank product, dropout's mask, and DoRA's two outputs.

    With dropout, DoRA multiplies with the weight itself (``DoraLinearVariant``, PEFT 0.21), which autograd then keeps:
    a copy in the compute format, unless the weight is in it already and plain.
    """
    size = float(run.width * vectors * run.rank)
    if run.dropout:
        size += vectors * linear.inputs
    if run.dora:
        size += 2 * run.width * vectors * linear.outputs
        if run.dropout and (run.autocast or (run.quantised != "none" and linear.quantised)):
            size += run.width * linear.inputs * linear.outputs
    return size


def stacks(shape: Shape, run: Pass) -> list[Block]:
    """Stacks that gradients run through and a batch visits."""
    reached = [b for b in shape.blocks if run.reached(shape, b.component) and _rows(b, run)]
    return [b for b in (_passed(shape, run, b) for b in reached) if b.count]


def _passed(shape: Shape, run: Pass, block: Block) -> Block:
    """A stack without its first layers, where no gradient runs through them: nothing in them or before is trained."""
    first = run.held.get(block.component, 0)
    before = block.component == "language" and run.seen.patches and run.reached(shape, "connector")
    if not first or before:
        return block
    left = [shape.linear(f"{block.layer}.{name}").without(first).count for name in block.linears]
    return dataclasses.replace(block, count=min(block.count, *left))


def total(shape: Shape, run: Pass, checkpointing: bool) -> float:
    """Bytes that all layers keep after the forward pass.

    Args:
        checkpointing: layers that can be recomputed keep only their input (Chen et al. 2016, arXiv:1604.06174).
    """
    size = 0.0
    for block in stacks(shape, run):
        if checkpointing and block.checkpointed:
            size += block.count * residual(run, block) * _rows(block, run) * block.width
        else:
            size += block.count * kept(shape, run, block)
    return size + around(shape, run)


def around(shape: Shape, run: Pass) -> float:
    """What lies around the layers: the last norm, the connector, masks, and copies of weights that autocast makes."""
    c = run.width
    rows = run.batch * run.tokens
    size = rows * shape.hidden * 4.0
    if run.reached(shape, "connector") and run.seen.patches:
        vectors = run.batch * (run.seen.states or run.seen.tokens)
        for n in _of(shape, "connector"):
            size += c * vectors * n.count * (n.outputs + (n.inputs if n.component in run.trained else 0))
    if any(b.cross for b in shape.blocks):
        size += c * run.batch * run.seen.states * shape.hidden + c * run.batch * run.tokens * run.seen.states
    if run.seen.masked and run.reached(shape, "vision"):
        packed = run.batch if run.seen.packed else 1
        size += c * run.batch * run.seen.patches * run.seen.sequence * packed
    return size


def _of(shape: Shape, component: str) -> Iterable[Linear]:
    in_blocks = {f"{b.layer}.{n}" for b in shape.blocks for n in b.linears}
    return (n for n in shape.linears if n.component == component and n.name not in in_blocks)


def recomputed(shape: Shape, run: Pass) -> float:
    """Bytes of the largest layer that checkpointing runs again in the backward pass."""
    return max((kept(shape, run, b) for b in stacks(shape, run) if b.checkpointed), default=0.0)


def moment(shape: Shape, run: Pass, component: str) -> float:
    """Bytes that one layer takes for a moment where nothing of it is kept: in a frozen tower, or to read a prompt."""
    most = 0.0
    for block in shape.blocks_of(component):
        rows, c = _rows(block, run), run.width
        if not rows:
            continue
        size = rows * block.width * (4.0 + 2 * c)  # the norm in float32, its output, the residual
        inside = rows * (block.heads + 2 * block.kv_heads) * block.head * 2 * c
        mlp = rows * block.mlp * c * (3 if block.gated else 2)
        if run.attention == "eager":
            inside += _matrix(run, block) * block.heads * (4 + 2 * c)
        elif run.seen.masked and component == "vision":
            inside += _matrix(run, block) * c
        most = max(most, size + max(inside, mlp))
    return most


def gathered(shape: Shape, run: Pass) -> float:
    """Bytes of the layers' outputs that a tower holds until it is through, because it hands out several of them.

    Float32 under autocast: the tower's first norm is computed so, and the residual stream stays in it.
    """
    extra = int(shape.image.get("gathered", 0))
    blocks = shape.blocks_of("vision")
    if not extra or not blocks:
        return 0.0
    each = (4 if run.autocast else run.width) * run.batch * run.seen.patches * blocks[0].width
    return float(each * (extra + sum(b.count for b in blocks)))
