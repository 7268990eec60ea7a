"""How many bytes a training step keeps, counted on full-size networks without their memory.

Under ``FakeTensorMode`` every operator is run on shapes alone. A dispatch mode sees each tensor that an operator makes
and when its storage is let go, so that what autograd keeps, what checkpointing frees and what lives for a moment are
counted alike: the peak is the allocator's, but for its own rounding and what kernels take inside.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveStorages(TorchDispatchMode):
    """Counts the bytes of storages made under it while they live."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.at_peak: dict[str, int] = {}
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()
        self._by: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        # Ids, masks and sizes have content, because networks look at it; what is made of them alone has it too.
        real = bool(given) and not any(isinstance(t, FakeTensor) for t in given)
        with unset_fake_temporarily() if real else contextlib.nullcontext():
            out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage(), f"{func} {tuple(tensor.shape)} {tensor.dtype}")
        return out

    def know(self, tensors: Any) -> None:
        """Leave storages out of the count: weights, and what was there before."""
        for tensor in tensors:
            self._seen.add(tensor.untyped_storage())

    def _count(self, storage: Any, what: str) -> None:
        if storage in self._seen:
            return
        self._seen.add(storage)
        size = storage.nbytes()
        self.live += size
        self._by[what] = self._by.get(what, 0) + size
        weakref.finalize(storage, self._freed, size, what)
        if self.live > self.peak:
            self.peak = self.live

    def _freed(self, size: int, what: str) -> None:
        self.live -= size
        self._by[what] -= size

    def largest(self, most: int = 40) -> list[tuple[str, int]]:
        """What lives now, by operator and shape."""
        return sorted(((w, s) for w, s in self._by.items() if s), key=lambda item: -item[1])[:most]


@contextlib.contextmanager
def as_on_cuda() -> Iterator[None]:
    """Let the network take the ways that it takes on a GPU, where those on the CPU differ.

    Under autocast, layer norms are computed in float32 (CUDA's list of operators has them, the CPU's has not), and
    dropout keeps a mask of one byte.
    """
    functional = torch.nn.functional
    plain = functional.layer_norm, functional.dropout

    def layer_norm(
        x: torch.Tensor, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
    ) -> torch.Tensor:
        if not torch.is_autocast_enabled("cpu"):
            return plain[0](x, shape, weight, bias, eps)
        cast = [None if t is None else t.float() for t in (weight, bias)]
        return plain[0](x.float(), shape, *cast, eps)

    def dropout(x: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
        return x * torch.empty_like(x, dtype=torch.bool) * (1 / (1 - p)) if training and p else x

    functional.layer_norm, functional.dropout = layer_norm, dropout
    try:
        yield
    finally:
        functional.layer_norm, functional.dropout = plain


def without_content(model: torch.nn.Module) -> None:
    """Give a network on the meta device weights of the active fake mode, which say that they are on the CPU."""
    made: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, p in module._parameters.items():
            if p is not None:
                if id(p) not in made:
                    fake = torch.empty(p.shape, dtype=p.dtype, device="cpu")
                    made[id(p)] = torch.nn.Parameter(fake, requires_grad=p.requires_grad)
                module._parameters[name] = made[id(p)]
        for name, b in module._buffers.items():
            if b is not None:
                module._buffers[name] = torch.empty(b.shape, dtype=b.dtype, device="cpu")


def step(
    make: Callable[[], Any], given: Mapping[str, torch.Tensor], *, autocast: bool = True, checkpointing: bool = False
) -> dict[str, Any]:
    """Bytes of one forward and backward.

    Args:
        make: makes the network on the meta device, in training mode, its trainable weights marked.
        given: its inputs, labels among them: ids, masks and sizes real, pixels on the meta device.
        autocast: as ``bf16=True`` of the Trainer without DeepSpeed.
        checkpointing: recompute layers in the backward pass.

    Returns:
        ``kept``: after the forward, logits and loss included; ``peak``: over both passes, gradients included;
        ``gradients``: of the weights; ``largest``: what is kept, by operator.
    """
    with torch.device("meta"):
        model = make()
    with FakeTensorMode(allow_non_fake_inputs=True), as_on_cuda():
        without_content(model)
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
            # The library asks for gradients of every embedding, a frozen tower's too, which would run back through it.
            model.disable_input_require_grads()
        inputs = {n: torch.empty(t.shape, dtype=t.dtype) if t.is_meta else t for n, t in given.items()}
        with LiveStorages() as counter:
            counter.know([*model.parameters(), *model.buffers(), *inputs.values()])
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                loss = model(**inputs, use_cache=False)["loss"]
            kept, largest = counter.live, counter.largest()
            forward_peak = counter.peak
            loss.backward()
            gradients = sum(p.grad.untyped_storage().nbytes() for p in model.parameters() if p.grad is not None)
            return {
                "kept": kept,
                "forward_peak": forward_peak,
                "peak": counter.peak,
                "gradients": gradients,
                "largest": largest,
            }
