"""Stands in for MiniCPM-Llama3-V-2.5: the call of its later commits, and that of the first."""

from .standin import StandIn

SAMPLED = {"top_p": 0.8, "top_k": 100, "temperature": 0.7, "do_sample": True, "repetition_penalty": 1.05}
SEARCHED = {"num_beams": 3, "repetition_penalty": 1.2}


class EarlyMiniCPMV(StandIn):
    def chat(
        self,
        image,
        msgs,
        tokenizer,
        vision_hidden_states=None,
        max_new_tokens=1024,
        sampling=True,
        max_inp_length=2048,
        **kwargs,
    ):
        # Whatever else is given is passed over, without a word.
        settings = dict(SAMPLED if sampling else SEARCHED)
        settings.update({name: kwargs[name] for name in settings.keys() & kwargs.keys()})
        self.calls.append({"image": image, "msgs": msgs, "settings": settings})
        (message,) = msgs
        assert message["role"] == "user"
        assert max_inp_length == 2048
        text = message["content"]
        return self.written([self.seen(image)], text, tokenizer, max_new_tokens=max_new_tokens, **settings)


class MiniCPMV(EarlyMiniCPMV):
    def chat(
        self,
        image,
        msgs,
        tokenizer,
        processor=None,
        vision_hidden_states=None,
        max_new_tokens=1024,
        sampling=True,
        max_inp_length=2048,
        system_prompt="",
        stream=False,
        **kwargs,
    ):
        assert processor is not None, "it would be read from the hub id, at no pinned commit"
        assert not stream
        answer = super().chat(
            image, msgs, tokenizer, vision_hidden_states, max_new_tokens, sampling, max_inp_length, **kwargs
        )
        self.calls[-1] |= {"processor": processor, "system_prompt": system_prompt}
        return answer
