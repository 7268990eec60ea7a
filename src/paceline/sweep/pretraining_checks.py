"""What stands in the way of ``train.masked_image``, found out when a sweep is planned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from paceline.config.joined_parts import is_joined, is_twin, sources
from paceline.config.schema import Config, ModelSpec
from paceline.errors import UserError
from paceline.models.hub_files import folder_of
from paceline.models.registry import says

NAMED = "train.masked_image"


def unpretrainable(config: Config) -> str:
    """Why the encoder of a tuning can't be pre-trained on masked pictures; empty where it can, or is not asked for."""
    if not config.train.masked_image.epochs:
        return ""
    model, method = config.model, config.method
    if not says(model.family, "masked_encoder", ""):
        return (
            f"{NAMED}: family '{model.family}' of model '{model.name}' has no ViT of Transformers as its encoder, and "
            "nothing else can be pre-trained so; take a model of family vision_encoder_decoder or image_classifier"
        )
    if (kind := _encoder_kind(model)) not in ("", "vit"):
        return f"{NAMED}: the encoder of model '{model.name}' is a {kind}, and only a ViT can be pre-trained so"
    if method.trains == "adapter":
        return (
            f"{NAMED}: method '{method.name}' publishes an adapter alone, without the encoder that it was tuned on; "
            "give a method that publishes whole weights, such as full or head"
        )
    if config.deepspeed.config:
        return (
            f"{NAMED} under deepspeed={config.deepspeed.name}: a process can have one engine, and the encoder is "
            "pre-trained without; give deepspeed=none"
        )
    return ""


def _encoder_kind(model: ModelSpec) -> str:
    """``model_type`` of a model's vision encoder; empty where its files are not here."""
    if is_joined(model):
        return str(_config_json(sources(model)[0]).get("model_type", ""))
    if is_twin(model):
        joined = model.config.get("parts", {}).get("vision", {})
        return str({**model.config, **model.config.get("encoder", joined)}.get("model_type", "")) or str(
            model.config.get("architecture", "")
        )
    values = _config_json(model)
    return str(values.get("encoder", values).get("model_type", ""))


def _config_json(model: ModelSpec) -> Mapping[str, Any]:
    try:
        folder = folder_of(model)
        values = json.loads((folder / "config.json").read_bytes()) if folder is not None else {}
    except (UserError, OSError, ValueError):  # told elsewhere, or not fetched yet
        return {}
    return values if isinstance(values, dict) else {}
