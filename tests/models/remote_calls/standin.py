"""What the stand-ins share: a small Llama that sees an image as one token, and remembers what it was called with.

Each has the call of a published model by its published signature, and reads what it is given as that model does: so a
call of ours that would not fit there fails here.
"""

import numpy as np
import torch
from transformers import LlamaForCausalLM, PreTrainedModel

from .configuration_standin import StandInConfig


class StandIn(PreTrainedModel):
    config_class = StandInConfig

    def __init__(self, config):
        super().__init__(config)
        self.llm = LlamaForCausalLM(config.text_config)
        self.projector = torch.nn.Linear(3 * config.pixels**2, config.text_config.hidden_size)
        self.calls = []
        self.post_init()

    def seen(self, image):
        """An image of Pillow's as the embedding of one token: [1, 1, hidden]."""
        side = self.config.pixels
        values = torch.tensor(np.asarray(image.resize((side, side))), dtype=self.dtype) / 255
        return self.projector(values.flatten().to(self.device)).view(1, 1, -1)

    def embedded(self, parts, text, tokenizer):
        """Images, then text: embeddings and their mask."""
        ids = tokenizer(text, return_tensors="pt")["input_ids"].to(self.device)
        embeds = torch.cat([*parts, self.llm.get_input_embeddings()(ids)], dim=1)
        return embeds, torch.ones(embeds.shape[:2], dtype=torch.long, device=self.device)

    def written(self, parts, text, tokenizer, **settings):
        """What the language model generates; a setting that ``generate`` does not know is an error there."""
        embeds, mask = self.embedded(parts, text, tokenizer)
        ids = self.llm.generate(
            inputs_embeds=embeds, attention_mask=mask, pad_token_id=tokenizer.pad_token_id, **settings
        )
        return tokenizer.decode(ids[0], skip_special_tokens=True)
