"""Stands in for Qwen-VL-Chat: the query names images by their paths, and the network opens them."""

import re

import torch
from PIL import Image

from .standin import StandIn

_SENTINEL = object()


class QWenLMHeadModel(StandIn):
    def chat(
        self,
        tokenizer,
        query: str,
        history: list | None,
        system: str = "You are a helpful assistant.",
        append_history: bool = True,
        stream: bool | None = _SENTINEL,
        stop_words_ids: list | None = None,
        generation_config=None,
        **kwargs,
    ):
        assert stream is _SENTINEL
        assert history is None
        pictures = []
        for path in re.findall("<img>(.*?)</img>", query):
            assert len(path.encode()) <= 256
            with Image.open(path) as opened:
                pictures.append(opened.convert("RGB"))
        self.calls.append({"query": query, "images": pictures, "system": system, "settings": kwargs})
        # The shipped settings hold for what is not given.
        settings = {"do_sample": True, "top_p": 0.3, "top_k": 0, "max_new_tokens": 512, **kwargs}
        if not settings["do_sample"]:
            del settings["top_p"], settings["top_k"]
        # Images are ids among those of the text, which come back with the answer: here one for each.
        ids = tokenizer(system + re.sub("<img>.*?</img>", "", query), return_tensors="pt")["input_ids"]
        shown = [sum(p.tobytes()) % self.config.text_config.vocab_size for p in pictures]
        ids = torch.cat([torch.tensor([shown], dtype=torch.long).view(1, -1), ids], dim=1)
        output = self.llm.generate(ids, pad_token_id=tokenizer.pad_token_id, **settings)
        response = tokenizer.decode(output[0][ids.shape[1] :], skip_special_tokens=True)
        return response, [(query, response)]
