"""A processor, as MiniCPM's repository has one; here around the tokenizer alone."""

from transformers import ProcessorMixin


class StandInProcessor(ProcessorMixin):
    attributes = ["tokenizer"]
    tokenizer_class = "AutoTokenizer"

    def __init__(self, tokenizer=None, **kwargs):
        super().__init__(tokenizer, **kwargs)
