"""The config of a tiny model that comes with its own code, as models on the hub do. Made for the tests."""

from transformers import LlamaConfig, PretrainedConfig


class AnswererConfig(PretrainedConfig):
    model_type = "paceline_answerer"

    def __init__(self, text_config=None, pixels=4, **kwargs):
        self.text_config = LlamaConfig(**(text_config or {}))
        self.pixels = pixels
        super().__init__(**kwargs)
