"""A tiny model of the kind that newer libraries can't run: one image, one question, a call of its own.

``AutoModelForVision2Seq`` left transformers in version 5, so the import below fails there, as old code does.
"""

import numpy as np
import torch
from transformers import AutoModelForVision2Seq, LlamaForCausalLM, PreTrainedModel

from .configuration_answerer import AnswererConfig


class Answerer(PreTrainedModel):
    config_class = AnswererConfig
    old_class = AutoModelForVision2Seq

    def __init__(self, config):
        super().__init__(config)
        self.text_model = LlamaForCausalLM(config.text_config)
        self.projector = torch.nn.Linear(3 * config.pixels**2, config.text_config.hidden_size)

    def answer_question(self, image, question, tokenizer, **kwargs):
        side = self.config.pixels
        pixels = torch.tensor(np.asarray(image.resize((side, side))), dtype=self.dtype) / 255
        seen = self.projector(pixels.flatten().to(self.device)).view(1, 1, -1)
        ids = tokenizer(question, return_tensors="pt")["input_ids"].to(self.device)
        embeds = torch.cat([seen, self.text_model.get_input_embeddings()(ids)], dim=1)
        mask = torch.ones(embeds.shape[:2], dtype=torch.long, device=self.device)
        output = self.text_model.generate(
            inputs_embeds=embeds, attention_mask=mask, pad_token_id=tokenizer.pad_token_id, **kwargs
        )
        return tokenizer.decode(output[0], skip_special_tokens=True)
