"""A model whose code runs only on another transformers is fetched, and answers, in an environment of its own.

The environment is really made: a venv with an older transformers, which takes everything else from the one that runs
these tests. It needs a package index; where none can be reached, the tests that need it say so and are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import transformers
import yaml
from hub_server import Hub
from PIL import Image
from safetensors.torch import save_file

from paceline.config.schema import GenerationSpec, ModelSpec
from paceline.errors import UserError
from paceline.models import load_family
from paceline.models.conversation import Conversation
from paceline.models.families.remote import Remote
from paceline.models.twins import twin_tokenizer
from paceline.store.files import read_json, read_jsonl

CODE = Path(__file__).parents[1] / "remote_model"
OLD = ("transformers==4.48.3", "tokenizers==0.21.4", "huggingface_hub==0.36.0")
RANGE = ">=4.45,<4.49"
SOURCE = "lab/answerer"


def written(folder: Path) -> Path:
    """The tiny model as a repository holds it: config, code, weights, tokenizer."""
    folder.mkdir(parents=True)
    for path in CODE.glob("*.py"):
        shutil.copy(path, folder)
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    tokenizer = twin_tokenizer(("<pad>", "</s>", "<s>"), pad="<pad>", eos="</s>", bos="<s>", chat_template=template)
    tokenizer.save_pretrained(folder)
    # As the library of that day wrote it: today's would be another class, with a list for a mapping.
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**told, "clean_up_tokenization_spaces": False}))
    hidden, inner, heads, vocabulary, pixels = 32, 64, 2, len(tokenizer), 4
    text = {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": 1,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "vocab_size": vocabulary,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = {
        "model_type": "paceline_answerer",
        "architectures": ["Answerer"],
        "auto_map": {
            "AutoConfig": "configuration_answerer.AnswererConfig",
            "AutoModelForCausalLM": "modeling_answerer.Answerer",
        },
        "text_config": text,
        "pixels": pixels,
    }
    (folder / "config.json").write_text(json.dumps(config))
    shapes: dict[str, tuple[int, ...]] = {
        "projector.weight": (hidden, 3 * pixels**2),
        "projector.bias": (hidden,),
        "text_model.lm_head.weight": (vocabulary, hidden),
        "text_model.model.embed_tokens.weight": (vocabulary, hidden),
        "text_model.model.norm.weight": (hidden,),
    }
    layer = "text_model.model.layers.0."
    shapes |= {f"{layer}self_attn.{n}_proj.weight": (hidden, hidden) for n in "qkvo"}
    shapes |= {f"{layer}mlp.{n}_proj.weight": (inner, hidden) for n in ("gate", "up")}
    shapes |= {f"{layer}mlp.down_proj.weight": (hidden, inner)}
    shapes |= {f"{layer}{n}_layernorm.weight": (hidden,) for n in ("input", "post_attention")}
    random = torch.Generator().manual_seed(0)
    tensors = {n: torch.randn(s, generator=random) * 0.3 for n, s in shapes.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("repository") / "answerer")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv with an older transformers before everything that is here."""
    folder = tmp_path_factory.mktemp("environments") / "old"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--target", str(packages), *OLD]
    done = subprocess.run(pip, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"no package index that has {OLD[0]}: {done.stderr.strip().splitlines()[-1:]}")
    here = Path(torch.__file__).parents[1]
    (packages / "zz_the_rest.pth").write_text(f"{here}\n")
    return folder


@dataclass
class Lab:
    """A root, a cache, a folder of configs, and the shell that knows them."""

    path: Path
    variables: dict[str, str]

    def paceline(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "paceline", *words, "--conf", str(self.path / "conf")]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=300, env={**os.environ, **self.variables}
        )


@pytest.fixture(scope="module")
def lab(environment: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab that fetched the model from a hub on this machine, and has six photos with their places."""
    path = tmp_path_factory.mktemp("lab")
    photos = path / "photos"
    photos.mkdir()
    for n in range(6):
        Image.new("RGB", (16, 16), (40 * n, 100, 200 - 30 * n)).save(photos / f"location_{n:06d}.png")
        record = {"coordinates": [7.0 * n, 8.0], "regions": [["Here_There_HT", "POINT(8.0 7.0)"]]}
        (photos / f"location_{n:06d}.json").write_text(json.dumps(record))
    model = {
        "family": "remote",
        "weights": SOURCE,
        "revision": Hub.commit,
        "remote_code": True,
        "transformers": RANGE,
        "environment": "$OLD_TRANSFORMERS",
        "dtype": "float32",
        "attention": "eager",
    }
    task = {"kind": "geolocation", "reader": "sidecar", "options": {"path": str(photos), "shares": {"test": 1.0}}}
    for group, name, content in (("model", "answerer", model), ("task", "photos", {**task, "evaluate": ["test"]})):
        file = path / "conf" / group / f"{name}.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(f"# Of this test.\n{yaml.safe_dump(content)}")
    hub = Hub()
    hub.add(SOURCE, repository)
    with hub.serving():
        variables = {
            "PACELINE_ROOT": str(path / "root"),
            "HF_HOME": str(path / "hf"),
            "HF_ENDPOINT": hub.url,
            "HF_MODULES_CACHE": str(path / "modules"),
            "OLD_TRANSFORMERS": str(environment),
        }
        found = Lab(path, variables)
        for words in (["task=photos"], ["model=answerer"]):
            done = found.paceline("prepare", *words)
            assert done.returncode == 0, done.stderr
    # From here on there is no hub: what was fetched has to do.
    yield Lab(path, {**variables, "HF_ENDPOINT": "http://127.0.0.1:9"})


SWEEP = (
    "model=answerer",
    "task=photos",
    "prompt=geo_bare",
    "method=untuned",
    "generation.new_tokens=12",
    "generation.temperature=0.3",
    "generation.batch=4",
    "tracking=disabled",
    "cluster=local",
    "name=remote",
)


def test_a_cell_runs_by_its_models_own_interpreter_and_offline(lab: Lab, repository: Path) -> None:
    done = lab.paceline("submit", *SWEEP)
    logs = [p.read_text() for p in lab.path.glob("root/cells/*/attempts/*/log")]
    assert done.returncode == 0, (done.stderr, logs)
    (cell,) = (lab.path / "root" / "cells").iterdir()
    predictions = list(read_jsonl(cell / "predictions.jsonl"))
    assert len(predictions) == 6
    assert all(p["text"] and 0 < p["new_tokens"] <= 12 for p in predictions)
    assert all((p["finish"] == "length") == (p["new_tokens"] == 12) for p in predictions)
    question = read_json(cell / "cell.json")["identity"]["prompt"]["text"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(repository)
    # The image is one token of this model's, counted with the words.
    assert {p["prompt_tokens"] for p in predictions} == {len(tokenizer(question)["input_ids"]) + 1}
    start = read_json(cell / "attempts" / "1" / "start.json")
    assert start["provenance"]["versions"]["transformers"] == "4.48.3"
    assert start["placement"]["model"] == {"environment": "$OLD_TRANSFORMERS"}
    identity = read_json(cell / "cell.json")["identity"]["model"]
    assert identity["transformers"] == RANGE
    assert "environment" not in identity

    # Sampled by a seed of each sample's own, so neighbours change nothing: in batches of one the texts are the same.
    again = lab.paceline("submit", *SWEEP, "generation.batch=1", "name=alone")
    assert again.returncode == 0, again.stderr
    texts = [
        {p["sample"]: p["text"] for p in read_jsonl(folder / "predictions.jsonl")}
        for folder in sorted((lab.path / "root" / "cells").iterdir())
    ]
    assert texts[0] == texts[1]
    assert len(set(texts[0].values())) > 1


def test_a_resume_keeps_the_environment(lab: Lab) -> None:
    assert lab.paceline("submit", *SWEEP).returncode == 0
    (elements,) = {
        json.dumps(json.loads(p.read_text())["placements"][0]["model"])
        for p in lab.path.glob("root/sweeps/remote/submissions/1/elements.json")
    }
    assert json.loads(elements) == {"environment": "$OLD_TRANSFORMERS"}
    (cell,) = {json.loads((lab.path / "root/sweeps/remote/sweep.json").read_text())["cells"][0]}
    for name in ("DONE.json", "predictions.jsonl"):
        (lab.path / "root" / "cells" / cell / name).unlink()
    shutil.rmtree(lab.path / "root" / "cells" / cell / "attempts")
    words = ["resume", "remote"]
    done = subprocess.run(
        [sys.executable, "-m", "paceline", *words],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **lab.variables},
    )
    assert done.returncode == 0, done.stderr
    start = read_json(lab.path / "root" / "cells" / cell / "attempts" / "1" / "start.json")
    assert start["provenance"]["versions"]["transformers"] == "4.48.3"


def test_doctor_loads_the_model_by_its_own_interpreter(lab: Lab) -> None:
    done = lab.paceline("doctor", "model=answerer", "--deep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "transformers 4.48.3" in done.stdout
    assert "every file is what its name in the cache says" in done.stdout


def test_doctor_tells_of_an_environment_that_can_not_run_the_model(lab: Lab) -> None:
    done = lab.paceline("doctor", "model=answerer", "model.environment=")
    assert done.returncode == 2
    assert f"runs on transformers {RANGE}, and this environment has {transformers.__version__}" in done.stdout
    done = lab.paceline("doctor", "model=answerer", "model.environment=/nowhere")
    assert done.returncode == 2
    assert "there is no /nowhere/bin/python" in done.stdout


# -- the family, with no environment


class Answering(torch.nn.Module):
    """Answers as the two kinds of such models do: by text, or by ids."""

    def __init__(self, tokenizer: object, ids: bool) -> None:
        super().__init__()
        self.tokenizer, self.ids = tokenizer, ids
        self.seen: list[dict[str, object]] = []

    def answer_question(self, image: object, question: str, tokenizer: object, **settings: object) -> object:
        self.seen.append({"question": question, **settings})
        text = f" {question} {torch.randint(0, 100, ()).item()}"
        return self.tokenizer(text, return_tensors="pt")["input_ids"] if self.ids else text  # type: ignore[operator]


@pytest.fixture(params=[False, True], ids=["text", "ids"])
def family(request: pytest.FixtureRequest) -> Remote:
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    tokenizer = twin_tokenizer(("<pad>", "</s>"), pad="<pad>", eos="</s>", bos=None, chat_template=template)
    spec = ModelSpec(name="r", family="remote", remote_code=True)
    return Remote(spec, Answering(tokenizer, request.param), tokenizer)


def asked(prompt: str = "Where?") -> Conversation:
    return Conversation(prompt, [Image.new("RGB", (8, 8))])


def test_each_answer_depends_on_its_own_seed_alone(family: Remote) -> None:
    spec = GenerationSpec(temperature=0.3, new_tokens=64)
    together = family.answer([asked(), asked("Why?"), asked()], spec, [1, 2, 3])
    alone = [family.answer([c], spec, [s])[0] for c, s in ((asked(), 1), (asked("Why?"), 2), (asked(), 3))]
    assert together == alone
    assert together[0].text != together[2].text


def test_settings_reach_the_call_and_defaults_are_left_out(family: Remote) -> None:
    family.answer([asked()], GenerationSpec(temperature=0.3, new_tokens=512), [0])
    family.answer([asked()], GenerationSpec(top_p=0.5, temperature=1.0, repetition_penalty=1.1), [0])
    family.answer([asked()], GenerationSpec(beams=3), [0])
    first, second, third = ({k: v for k, v in s.items() if k != "question"} for s in family.model.seen)
    assert first == {"max_new_tokens": 512, "do_sample": True, "temperature": 0.3}
    assert second == {
        "max_new_tokens": 128, "do_sample": True, "temperature": 1.0, "top_p": 0.5, "repetition_penalty": 1.1
    }  # fmt: skip
    assert third == {"max_new_tokens": 128, "do_sample": False, "num_beams": 3}


def test_an_answer_as_long_as_allowed_was_cut(family: Remote) -> None:
    (short,) = family.answer([asked()], GenerationSpec(new_tokens=2), [0])
    (long,) = family.answer([asked()], GenerationSpec(new_tokens=64), [0])
    assert (short.finish, long.finish) == ("length", "stop")


def test_what_the_call_does_not_take_is_refused_by_name(family: Remote) -> None:
    def plain(image: object, question: str, tokenizer: object, max_new_tokens: int) -> str:
        return "here"

    family.model.answer_question = plain
    assert family.answer([asked()], GenerationSpec(), [0])[0].text == "here"
    with pytest.raises(UserError, match="takes no num_beams"):
        family.answer([asked()], GenerationSpec(beams=2), [0])


def test_it_takes_one_image_and_one_question(family: Remote) -> None:
    for wrong in (
        Conversation("Where?"),
        Conversation("Where?", asked().images * 2),
        replace(asked(), shots=[replace(asked(), answer="there")]),
    ):
        with pytest.raises(UserError, match="one image and one question"):
            family.answer([wrong], GenerationSpec(), [0])


def test_code_runs_only_where_it_is_allowed_pinned_and_in_range(repository: Path) -> None:
    spec = ModelSpec(name="r", family="remote", weights=str(repository))
    load = load_family("remote").load
    with pytest.raises(UserError, match="off by default: read it at the pinned revision"):
        load(spec)
    allowed = replace(spec, remote_code=True, transformers=RANGE)
    with pytest.raises(UserError, match=f"its code runs on transformers {RANGE}, this is {transformers.__version__}"):
        load(allowed)
    with pytest.raises(UserError, match="has no revision"):
        load(replace(allowed, weights="owner/name", transformers=""))
    with pytest.raises(UserError, match="can't be tuned"):
        load(allowed, training=True)
