"""Answers of a model to a batch of conversations, with every setting stated and nothing left to the weights'
own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from paceline.config.checks import check_generation
from paceline.config.schema import GenerationSpec
from paceline.errors import UserError
from paceline.models.answerer import Answer
from paceline.models.conversation import Conversation

if TYPE_CHECKING:
    from paceline.models.family import Family


class GumbelNoise:
    """Sampling as an argmax, with a random stream of its own for every sample.

    The index of the largest of ``logit + Gumbel noise`` is a draw from the softmax of the logits (Gumbel-max;
    Gumbel 1954, Maddison et al. 2014, arXiv:1411.0030). The library draws a whole batch from one stream, so
    that a sample's answer depends on its neighbours; here it depends on its seed alone, and a resumed cell
    repeats it.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self.streams = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores (samples, vocabulary) with the noise of the next step added."""
        noise = torch.empty(scores.shape, dtype=torch.float32, device=scores.device)
        for row, stream in zip(noise, self.streams, strict=True):
            row.exponential_(generator=stream)
        return scores.float() - noise.log()


class Finite:
    """Notes scores that are no numbers (NaN): the likeliest of them would be a token all the same."""

    def __init__(self, family: Family, asked: Sequence[Conversation]) -> None:
        self.family, self.asked = family, asked
        self.bad: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The scores (samples or beams, vocabulary), unchanged. Nothing waits for the device here."""
        bad = scores.isnan().any(dim=-1)
        self.bad = bad if self.bad is None else self.bad | bad
        return scores

    def require(self) -> None:
        """End a batch in which a score was no number.

        Raises:
            UserError: with the first sample.
        """
        if self.bad is not None and bool(self.bad.any()):
            row = int(self.bad.nonzero()[0, 0]) // (len(self.bad) // len(self.asked))
            raise UserError(
                f"{self.asked[row].called}: of model {self.family.spec.name} ({self.family.model.dtype}) the scores of "
                "tokens are no numbers (NaN): a number format with too small a range (give model.dtype=bfloat16 or "
                "float32), or settings of the processor under which a picture has none"
            )


class AtText:
    """Ends a sample's answer at a text. A row's criterion, so that a batch ends each of its answers by itself."""

    def __init__(self, family: Family, prompt_width: int, least: int) -> None:
        self.family, self.prompt_width, self.least = family, prompt_width, least

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        """Which rows have said one of the texts; shape (rows,), bool."""
        rows = input_ids[:, self.prompt_width :].tolist()
        said = [_cut(self.family, row, self.least) is not None for row in rows]
        return torch.tensor(said, device=input_ids.device)


@torch.inference_mode()
def generate(
    family: Family, conversations: Sequence[Conversation], spec: GenerationSpec, seeds: Sequence[int]
) -> list[Answer]:
    """Answer conversations together, in their order.

    Args:
        family: the loaded model.
        conversations: one batch; splitting into batches is the caller's.
        spec: the settings.
        seeds: one per conversation; used where the temperature is above 0.

    Raises:
        UserError: settings that exclude each other, or more tokens than the model has positions for.
    """
    from transformers import GenerationConfig, LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper
    from transformers.generation import StoppingCriteriaList

    check_generation(spec)
    model = family.model.eval()
    batch = family.to_model(family.batch(conversations))
    begun, mask = family.sequence(batch)
    prompt_width = begun.shape[1]
    if prompt_width + spec.new_tokens > family.longest:
        longest = conversations[int(mask.sum(dim=1).argmax())]
        raise UserError(
            f"{longest.called}: model {family.spec.name} has {family.longest} positions: a prompt of {prompt_width} "
            f"tokens (images counted) and generation.new_tokens={spec.new_tokens} are more; {longest.shorter}, or "
            "lower it"
        )
    finite = Finite(family, conversations)
    processors = LogitsProcessorList([finite])
    if spec.temperature > 0:
        processors.append(TemperatureLogitsWarper(spec.temperature))
        if spec.top_p < 1:
            processors.append(TopPLogitsWarper(spec.top_p))
        processors.append(GumbelNoise(seeds, model.device))
    settings = GenerationConfig(
        max_new_tokens=spec.new_tokens,
        min_new_tokens=spec.min_new_tokens or None,
        do_sample=False,  # the noise above is the sampling
        num_beams=spec.beams,
        repetition_penalty=spec.repetition_penalty,
        eos_token_id=family.end_tokens,
        pad_token_id=family.tokenizer.pad_token_id,
        decoder_start_token_id=family.start_token,
    )
    criteria = StoppingCriteriaList([AtText(family, prompt_width, spec.min_new_tokens)] if family.stops else [])
    output = model.generate(
        **batch, generation_config=settings, logits_processor=processors, stopping_criteria=criteria
    )
    finite.require()
    prompts = family.tokens_read(batch).tolist()
    rows = output[:, prompt_width:].tolist()
    return [_answer(family, row, prompt, spec.min_new_tokens) for row, prompt in zip(rows, prompts, strict=True)]


def _answer(family: Family, ids: list[int], prompt_tokens: int, least: int) -> Answer:
    # Behind its end a row is filled up to the longest of the batch.
    end = next((i for i, token in enumerate(ids) if token in family.end_tokens), None)
    new_tokens = len(ids) if end is None else end + 1
    said = ids[:end]
    text = family.decode(said)
    if (cut := _cut(family, said, least)) is not None:
        # Generation stopped at the first token with which the text was complete.
        new_tokens = next(n for n in range(1, len(ids) + 1) if _cut(family, ids[:n], least) is not None)
        return Answer(text[:cut], prompt_tokens, new_tokens, "stop")
    return Answer(text, prompt_tokens, new_tokens, "length" if end is None else "stop")


def _cut(family: Family, ids: list[int], least: int) -> int | None:
    """Where a stop text begins, behind the first thing said and the first ``least`` tokens; None if nowhere."""
    text = family.decode(ids)
    said = max(len(text) - len(text.lstrip()), len(family.decode(ids[:least])))
    found = [at for stop in family.stops if (at := text.find(stop, said)) >= 0]
    return min(found, default=None)
