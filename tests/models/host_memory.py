"""One rank under ZeRO-3 that reads, trains and publishes a model of 100 MB, and tells what it took of the host.

The kernel's own figures: ``anonymous`` pages are a process's, ``file`` pages are those of mapped files, which the
kernel drops where it wants room. Run by ``test_host_memory.py``: a process of its own, because torch keeps what it was
once given.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune_twin import Squares, attempt, config, sharding, twin

from paceline.attempts import ranks
from paceline.config.schema import ModelSpec
from paceline.models import load_family
from paceline.training import finetune

WIDER = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 6, "num_key_value_heads": 4}
EVERY_SECONDS = 0.002


def resident() -> dict[str, int]:
    """Bytes that this process has in memory, by kind."""
    said = Path("/proc/self/status").read_text()
    names = {"anonymous": "RssAnon", "file": "RssFile"}
    return {kind: int(re.findall(rf"{word}:\s+(\d+) kB", said)[0]) * 1024 for kind, word in names.items()}


@contextlib.contextmanager
def grown(found: dict[str, int]) -> Iterator[None]:
    """By how many bytes at the most each kind grew meanwhile."""
    before, over = resident(), threading.Event()

    def watch() -> None:
        while not over.is_set():
            for kind, size in resident().items():
                found[kind] = max(found.get(kind, 0), size - before[kind])
            time.sleep(EVERY_SECONDS)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def wide(folder: Path) -> ModelSpec:
    """A wider twin, as a folder that a model is read from."""
    spec = twin("tiny_pixtral")
    made = dataclasses.replace(spec, config={**spec.config, "text_config": {**spec.config["text_config"], **WIDER}})
    load_family(spec.family).make_twin(made, folder).save_pretrained(folder)
    return dataclasses.replace(spec, weights=str(folder), config={})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(folder: Path) -> dict[str, Any]:
    """``{whole: bytes of the weights, reading, publishing: {anonymous, file}}``."""
    model = wide(folder / "model")
    ranks.set_up(rank=0, local_rank=0, world=1, local_world=1, port=_free_port(), threads=1, deepspeed=True)
    found: dict[str, Any] = {"reading": {}, "publishing": {}}
    run = attempt(folder / "cell", config(model=model, deepspeed=sharding("zero3"), max_steps=1, validations=0))
    publish = finetune._publish

    def watched(*words: Any) -> None:
        with grown(found["publishing"]):
            publish(*words)

    finetune._publish = watched
    import deepspeed  # noqa: F401  (what it takes itself is not the weights')

    with grown(found["reading"]):
        family = finetune.load(run, 4)
    found["whole"] = sum(p.ds_numel * p.element_size() for p in family.model.parameters())
    finetune.train(run, family, Squares(4), Squares(0), output=run.attempt.path / "weights")
    ranks.tear_down()
    return found


if __name__ == "__main__":
    told = main(Path(sys.argv[1]))
    Path(sys.argv[2]).write_text(json.dumps(told))
