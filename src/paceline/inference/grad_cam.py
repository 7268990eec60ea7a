"""Grad-CAM: where a convolutional classifier looks (Selvaraju et al. 2017, arXiv:1610.02391).

The gradient of the answered label's score, averaged over the places of the last stage, weighs that stage's channels;
their sum is a place's relevance, as far as it speaks for the label. Places are tried by deletion in the pixels: those
of a cell of the map take the picture's mean colour. A cell reads far more of the picture than lies under it, so the
check is of the map as it is drawn.
"""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image

from paceline.errors import UserError
from paceline.inference.explanation import Explained, deletion_of
from paceline.models.classifier import Classifier
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.tensors import grid

METHOD = "Grad-CAM, of the last stage"
_RAMP = 128
"""Pixels of the shorter side of the ramps by which is found what is shown of a picture."""


def explain(family: Family, asked: Conversation, answer: str, part: tuple[int, int] | None = None) -> Explained:
    """The relevance of the cells of the last stage's map for a label that was answered.

    Args:
        family: the loaded model, in evaluation mode.
        asked: the question, with one picture.
        answer: its text, a label of the model's list.
        part: not looked at: a label is explained as a whole.

    Raises:
        UserError: no classifier, no label of the list, or a network without stages of convolutions.
    """
    if not isinstance(family, Classifier):
        raise UserError(
            f"family '{family.spec.family}' has no Grad-CAM, which is drawn of a classifier of images with stages of "
            "convolutions; --method shapley serves all"
        )
    stage = last_stage(family)
    batch = family.to_model(family.batch([asked]))
    caught: list[torch.Tensor] = []

    def catch(module: Any, given: Any, made: torch.Tensor) -> torch.Tensor:
        caught.append(made.detach().requires_grad_(True))
        return caught[0]

    hook = stage.register_forward_hook(catch)
    try:
        logits = family.model(**batch).logits[0].float()
    finally:
        hook.remove()
    label = family.index_of(answer, logits)
    (gradient,) = torch.autograd.grad(logits[label], caught[0])
    weights = gradient.float().mean(dim=(2, 3), keepdim=True)
    relevance = (weights * caught[0].detach().float()).sum(dim=1)[0].clamp(min=0)
    down, across = relevance.shape
    pixels = batch["pixel_values"]

    def score(places: torch.Tensor) -> float:
        return float(
            family.model(pixel_values=levelled(pixels, places, down, across)).logits[0].float().log_softmax(-1)[label]
        )

    flat = relevance.flatten().cpu()
    deleted, without_all, without_these, without_others = deletion_of(torch.arange(len(flat)), flat, score)
    left, top, right, bottom = shown(family, *asked.images[0].size)
    return Explained(
        boxes=grid(down, across, left=left, top=top, right=right, bottom=bottom).flatten(0, 1),
        relevance=flat,
        part=answer,
        tokens=1,
        first=int(label == int(logits.argmax())),
        prompt_tokens=0,
        log_probability=float(logits.detach().log_softmax(-1)[label]),
        without_all=without_all,
        deleted=deleted,
        without_these=without_these,
        without_others=without_others,
        method=METHOD,
        sums=False,
    )


def last_stage(family: Family) -> torch.nn.Module:
    """The last stage of a convolutional network, whose output is a map.

    Raises:
        UserError: the network has none.
    """
    network = family.bare_model()
    encoder = getattr(network.base_model, "encoder", None)
    stages = getattr(encoder, "stages", None)
    if not stages or not any(isinstance(m, torch.nn.Conv2d) for m in stages[-1].modules()):
        raise UserError(
            f"model {family.spec.name}: Grad-CAM is drawn of the last stage of a convolutional network, and "
            f"{type(network).__name__} has no such stages"
        )
    stage: torch.nn.Module = stages[-1]
    return stage


def levelled(pixels: torch.Tensor, places: torch.Tensor, down: int, across: int) -> torch.Tensor:
    """Pixels (1, channels, height, width) with their mean colour in some cells of a grid, by the cells' indices."""
    _, _, height, width = pixels.shape
    gone = torch.zeros(down * across, dtype=torch.bool)
    gone[places] = True
    rows = torch.arange(height) * down // height
    columns = torch.arange(width) * across // width
    hidden = gone.view(down, across)[rows][:, columns].to(pixels.device)
    return torch.where(hidden, pixels.mean(dim=(2, 3), keepdim=True), pixels)


def shown(family: Classifier, width: int, height: int) -> tuple[float, float, float, float]:
    """What the processor shows of a picture: left, top, right and bottom in fractions of it.

    Asked of the processor itself, by pictures of the same aspect that grow brighter from one side to the other.
    """
    scale = _RAMP / min(width, height)
    size = max(_RAMP, round(width * scale)), max(_RAMP, round(height * scale))
    ramp = torch.linspace(0, 255, 256).round().to(torch.uint8).numpy()[None, :]
    across = Image.fromarray(ramp.repeat(2, axis=0)).resize(size, Image.Resampling.BILINEAR)
    down = Image.fromarray(ramp.T.repeat(2, axis=1)).resize(size, Image.Resampling.BILINEAR)
    plain = [Image.new("L", size, colour) for colour in (0, 255)]
    asked = [Conversation("", [image]) for image in (across, down, *plain)]
    seen = family.batch(asked)["pixel_values"][:, 0].float()
    black, white = seen[2], seen[3]
    left, right = _ends(((seen[0] - black) / (white - black)).mean(dim=0))
    top, bottom = _ends(((seen[1] - black) / (white - black)).mean(dim=1))
    return left, top, right, bottom


def _ends(brightness: torch.Tensor) -> tuple[float, float]:
    """Where a line of pixels begins and ends on the picture, by how bright the ramp is at each: a line through most."""
    count = len(brightness)
    margin = count // 8  # filters look beyond the edge, and have nothing there
    kept = brightness[margin : count - margin]
    at = (torch.arange(margin, count - margin) + 0.5) / count
    slope = ((at - at.mean()) * (kept - kept.mean())).sum() / (at - at.mean()).square().sum()
    begin = float(kept.mean() - slope * at.mean())
    return max(0.0, begin), min(1.0, begin + float(slope))
