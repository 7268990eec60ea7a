"""Whether a network's output layer shares the weights of its input embeddings, as the files were written."""

from __future__ import annotations

from typing import Any


def as_stored(values: dict[str, Any]) -> dict[str, Any]:
    """A ``config.json`` that says by itself whether the output layer is tied.

    Transformers 4 asked ``text_config`` (tied only where it says so), and some of today's classes tie where their file
    says nothing. Weights of both layers in the files then stay apart, but not in ZeRO-3's partitions, which look alike.
    Transformers 5 always writes the key.
    """
    text = values.get("text_config") or {}
    return {"tie_word_embeddings": bool(text.get("tie_word_embeddings", False)), **values}
