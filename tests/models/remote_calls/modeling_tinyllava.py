"""Stands in for TinyLLaVA-OpenELM-450M-SigLIP-0.89B, which opens the image by its path."""

import time

from PIL import Image

from .standin import StandIn


class TinyLlavaForConditionalGeneration(StandIn):
    def chat(
        self,
        prompt: str,
        tokenizer=None,
        image: str | None = None,
        max_new_tokens: int = 512,
        num_beams=1,
        top_p=None,
        temperature=0,
    ):
        assert isinstance(image, str)
        with Image.open(image) as opened:
            picture = opened.convert("RGB")
        self.calls.append({"prompt": prompt, "path": image, "image": picture})
        began = time.time()
        settings = {"do_sample": temperature > 0, "num_beams": num_beams, "max_new_tokens": max_new_tokens}
        if temperature > 0:
            settings |= {"temperature": temperature, "top_p": 1.0 if top_p is None else top_p}
        self.calls[-1]["settings"] = settings
        text = self.written([self.seen(picture)], prompt, tokenizer, **settings)
        return text.strip(), time.time() - began
