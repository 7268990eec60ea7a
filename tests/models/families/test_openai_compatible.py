"""Answers by API are those of the model itself: a real server of chat completions holds the twin that is asked here."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from PIL import Image

from paceline.config.build import build
from paceline.config.schema import GenerationSpec, ModelSpec, ServiceSpec
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family

TESTS = Path(__file__).parents[1]
CONF = TESTS.parents[1] / "conf" / "model"
SETTINGS = GenerationSpec(new_tokens=12)


def twin() -> Family:
    name = "tiny_qwen2_vl"
    spec = build(ModelSpec, {"name": name, **yaml.safe_load((CONF / f"{name}.yaml").read_text())}, name)
    return load_family(spec.family).load(spec)


def picture(size: tuple[int, int], seed: int) -> Image.Image:
    return Image.frombytes("RGB", size, random.Random(seed).randbytes(3 * size[0] * size[1]))


@pytest.fixture(scope="module")
def here() -> Family:
    return twin()


@pytest.fixture(scope="module")
def spec(here: Family, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelSpec]:
    """A model behind `transformers serve`, which loads the twin's saved folder."""
    folder = tmp_path_factory.mktemp("served")
    here.save(here.model, folder / "twin")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with (folder / "log").open("wb") as log:
        words = [sys.executable, str(TESTS / "serving_twin.py"), port, str(folder / "twin")]
        variables = {**os.environ, "HF_HUB_OFFLINE": "1"}
        process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, env=variables)
    yield ModelSpec(
        name="served",
        family="openai_compatible",
        endpoint=f"http://127.0.0.1:{port}/v1",
        weights=str(folder / "twin"),
        inputs=["image", "images", "text"],
        service=ServiceSpec(concurrency=1, patience_minutes=5),
    )
    process.kill()
    process.wait()


CONVERSATIONS = {
    "a picture": Conversation("Where is this?", [picture((40, 30), 1)]),
    "text alone": Conversation("Name three seas."),
    "several pictures and a system's turn": Conversation(
        "Which is farther north?", [picture((32, 32), 2), picture((64, 20), 3)], system="Be brief."
    ),
    "turns before it": Conversation(
        "And this?",
        [picture((50, 50), 4)],
        shots=[Conversation("Where is this?", [picture((20, 60), 5)], answer="(47.4, 8.5)")],
    ),
    "a picture of one pixel": Conversation("Where?", [picture((1, 1), 6)]),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_served_model_answers_as_it_does_here(here: Family, spec: ModelSpec, name: str) -> None:
    """The same words from as many tokens: so the same pixels, prompt and settings arrived."""
    conversation = CONVERSATIONS[name]
    (expected,) = here.answer([conversation], SETTINGS, [0])
    (got,) = load_family(spec.family).load(spec).answer([conversation], SETTINGS, [0])
    assert (got.text.strip(), got.prompt_tokens) == (expected.text.strip(), expected.prompt_tokens)
    assert (got.new_tokens, got.finish) == (expected.new_tokens, expected.finish)


def test_sampling_by_a_service_repeats_with_its_seed(spec: ModelSpec) -> None:
    """One request at a time: this server seeds its one generator, and draws only where it is told so in its words."""
    told = dataclasses.replace(spec, request={"generation_config": '{"do_sample": true}'})
    served = load_family(spec.family).load(told)
    settings = GenerationSpec(new_tokens=12, temperature=1.0, top_p=0.9)
    question = CONVERSATIONS["a picture"]
    first, again, other = (served.answer([question], settings, [seed])[0].text for seed in (7, 7, 8))
    assert first == again != other
    greedy = load_family(spec.family).load(spec)
    drawn = [greedy.answer([question], settings, [seed])[0].text for seed in (7, 8)]
    assert drawn[0] == drawn[1]  # docs/api.md tells of it


def test_a_model_that_the_service_does_not_have_ends_with_its_words(spec: ModelSpec) -> None:
    from paceline.errors import PacelineError

    wrong = dataclasses.replace(spec, weights="nobody/nothing", service=ServiceSpec(patience_minutes=0.05, tries=1))
    with pytest.raises(PacelineError, match=r"HTTP \d{3}"):
        load_family(wrong.family).load(wrong).answer([Conversation("x")], SETTINGS, [0])


def test_doctor_describes_a_picture_by_a_service(spec: ModelSpec) -> None:
    asked = json.dumps(dataclasses.asdict(spec))
    words = [sys.executable, "-m", "paceline.inference.ask_service"]
    done = subprocess.run(words, input=asked, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["text"] and answer["new_tokens"] == 48 and answer["prompt_tokens"] > 5
