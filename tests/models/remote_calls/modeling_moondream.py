"""Stands in for Moondream 2: revisions up to 2024, the first of them, those from 2025, and 2025-01-09."""

import torch

from .standin import StandIn


class Moondream(StandIn):
    def encode_image(self, image):
        return self.seen(image)

    def answer_question(
        self,
        image_embeds,
        question,
        tokenizer,
        chat_history="",
        result_queue=None,
        max_new_tokens=256,
        **kwargs,
    ):
        self.calls.append({"question": question, "settings": {"max_new_tokens": max_new_tokens, **kwargs}})
        prompt = f"{chat_history}Question: {question}\n\nAnswer:"
        return self.written([image_embeds], prompt, tokenizer, max_new_tokens=max_new_tokens, **kwargs)


class FirstMoondream(Moondream):
    def answer_question(self, image_embeds, question, tokenizer, chat_history="", result_queue=None, **kwargs):
        return super().answer_question(image_embeds, question, tokenizer, max_new_tokens=512, **kwargs)


class HfMoondream(StandIn):
    """Generates without the library, and has no tokenizer to be given."""

    @property
    def query(self):
        return self._query

    def _query(self, image, question, stream=False, settings=None):
        assert not stream
        self.calls.append({"image": image, "question": question, "settings": settings})
        settings = settings or {}
        temperature = settings.get("temperature", 0.5)
        ids = torch.tensor([[ord(c) % self.config.text_config.vocab_size for c in question]])
        embeds = torch.cat([self.seen(image), self.llm.get_input_embeddings()(ids)], dim=1)
        logits = self.llm(inputs_embeds=embeds).logits[0, -1]
        # Letters, drawn one after the other from the same scores.
        letters = logits[:26] / (temperature or 1.0)
        drawn = [
            int(letters.argmax() if temperature == 0 else torch.multinomial(letters.softmax(-1), 1))
            for _ in range(min(3, settings.get("max_tokens", 768)))
        ]
        return {"answer": " " + " ".join(chr(97 + n) for n in drawn)}

    def answer_question(
        self, image_embeds, question, tokenizer=None, chat_history="", result_queue=None, max_new_tokens=256, **kwargs
    ):
        raise AssertionError("it passes over all settings; `query` is there")


class QueryWithoutSettings(HfMoondream):
    @property
    def query(self):
        return self._plain_query

    def _plain_query(self, image, question, stream=False):
        return self._query(image, question, stream)
