"""The config of the stand-ins: a small Llama, and how many pixels of an image it is shown. Made for the tests."""

from transformers import LlamaConfig, PretrainedConfig


class StandInConfig(PretrainedConfig):
    model_type = "standin"

    def __init__(self, text_config=None, pixels=4, **kwargs):
        self.text_config = LlamaConfig(**(text_config or {}))
        self.pixels = pixels
        super().__init__(**kwargs)
