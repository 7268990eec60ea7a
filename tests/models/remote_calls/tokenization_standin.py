"""A tokenizer that writes a query as Qwen-VL's does."""

from transformers import PreTrainedTokenizerFast


class ListTokenizer(PreTrainedTokenizerFast):
    def from_list_format(self, list_format):
        text, images = "", 0
        for part in list_format:
            if "image" in part:
                images += 1
                text += f"Picture {images}: <img>{part['image']}</img>\n"
            elif "text" in part:
                text += part["text"]
            else:
                raise ValueError(f"Unsupport element: {part}")
        return text
