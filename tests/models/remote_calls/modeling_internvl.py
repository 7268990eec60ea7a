"""Stands in for Mini-InternVL-Chat-4B-V1-5: the call of its later commits, and that of the first."""

import torch

from .standin import StandIn


class InternVLChatModel(StandIn):
    def generate(self, pixel_values=None, input_ids=None, attention_mask=None, **generate_kwargs):
        # One token for each tile, before the question.
        side = self.config.pixels
        shown = torch.nn.functional.adaptive_avg_pool2d(pixel_values, side)
        tiles = self.projector(shown.flatten(1).to(self.dtype))[None]
        embeds = torch.cat([tiles, self.llm.get_input_embeddings()(input_ids)], dim=1)
        mask = torch.ones(embeds.shape[:2], dtype=torch.long)
        return self.llm.generate(inputs_embeds=embeds, attention_mask=mask, **generate_kwargs)

    def chat(
        self,
        tokenizer,
        pixel_values,
        question,
        generation_config,
        history=None,
        return_history=False,
        num_patches_list=None,
        IMG_START_TOKEN="<img>",
        IMG_END_TOKEN="</img>",
        IMG_CONTEXT_TOKEN="<IMG_CONTEXT>",
        verbose=False,
    ):
        assert history is None
        assert pixel_values.dtype == self.dtype
        self.calls.append({"pixel_values": pixel_values, "question": question, "settings": dict(generation_config)})
        model_inputs = tokenizer(question, return_tensors="pt")
        generation_config["eos_token_id"] = tokenizer.eos_token_id
        generation_config["pad_token_id"] = tokenizer.pad_token_id
        output = self.generate(
            pixel_values=pixel_values,
            input_ids=model_inputs["input_ids"],
            attention_mask=model_inputs["attention_mask"],
            **generation_config,
        )
        response = tokenizer.batch_decode(output, skip_special_tokens=True)[0]
        return (response, [(question, response)]) if return_history else response


class EarlyInternVLChatModel(InternVLChatModel):
    def chat(
        self,
        tokenizer,
        pixel_values,
        question,
        generation_config,
        history=None,
        return_history=False,
        IMG_START_TOKEN="<img>",
        IMG_END_TOKEN="</img>",
        IMG_CONTEXT_TOKEN="<IMG_CONTEXT>",
    ):
        return super().chat(tokenizer, pixel_values, question, generation_config, history, return_history)
