"""Encoders whose vector of a text is the mean over its tokens, of length 1: all-MiniLM-L6-v2 and its like.

Such repositories say in ``modules.json`` how they pool; the library that reads it is not needed for this one way.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paceline.errors import UserError
from paceline.models.family import Family
from paceline.models.landed import require_whole

# isort: split
import transformers

_TOKENS = 256  # of all-MiniLM-L6-v2, where sentence_bert_config.json is missing
_MODULES = ("Transformer", "Pooling", "Normalize")


class MeanPooled:
    """A loaded encoder, on the CPU, in float32.

    It runs on one thread, and a text at a time: a product of matrices rounds otherwise with another number of threads
    or rows, and a vector would depend on its company. Batches of 16 save an eighth of the time.
    """

    def __init__(self, model: Any, tokenizer: Any, most: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.most = most

    @classmethod
    def load(cls, folder: Path, name: str) -> MeanPooled:
        """Load an encoder from its folder.

        Raises:
            UserError: it pools otherwise, or a tensor is missing.
        """
        torch.set_num_threads(1)
        _require_mean(folder, name)
        options = {"dtype": torch.float32, "attn_implementation": "eager"}
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            model = Family.read_weights(transformers.AutoModel, str(folder), None, **options)
        except (OSError, ValueError) as error:
            raise UserError(f"embedder {name}: {folder} can't be read: {str(error).splitlines()[0]}") from error
        # A pooler of another task comes with some, and is not asked.
        require_whole(model, f"embedder {name}: {folder}", lambda tensor: tensor.startswith("pooler."))
        told = _read(folder / "sentence_bert_config.json")
        most = int(told.get("max_seq_length") or _TOKENS) if isinstance(told, dict) else _TOKENS
        return cls(model.eval(), tokenizer, most)

    @torch.inference_mode()
    def embed(self, text: str) -> tuple[np.ndarray, bool]:
        """The vector of a text, float32 [width], and whether all of the text was read."""
        # The tokenizer's own file pads and cuts to another length.
        read = self.tokenizer(text, truncation=True, max_length=self.most, padding=False, return_tensors="pt")
        states = self.model(**read).last_hidden_state[0]
        vector: np.ndarray = torch.nn.functional.normalize(states.mean(dim=0), dim=0).numpy()
        if read["input_ids"].shape[1] < self.most:
            return vector, True
        return vector, len(self.tokenizer(text, truncation=False, padding=False)["input_ids"]) <= self.most


def _require_mean(folder: Path, name: str) -> None:
    """Refuse an encoder whose repository says that it pools otherwise; one that says nothing is taken as it is.

    Raises:
        UserError: with what it does.
    """
    modules = _read(folder / "modules.json")
    if isinstance(modules, list):
        kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules if isinstance(module, dict)]
        if tuple(kinds) != _MODULES:
            raise UserError(
                f"embedder {name}: modules.json says {' → '.join(kinds)}; here it is {' → '.join(_MODULES)}"
            )
    pooling = _read(folder / "1_Pooling" / "config.json")
    if isinstance(pooling, dict):
        modes = [key for key, value in pooling.items() if key.startswith("pooling_mode") and value is True]
        if modes and modes != ["pooling_mode_mean_tokens"]:
            raise UserError(f"embedder {name}: it pools by {', '.join(modes)}; here it is by the mean of all tokens")


def _read(path: Path) -> Any:
    """The value of a JSON file; None where it is not there or none."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
