"""The demo's handwritten digits: the same everywhere, whole forms tested, and nothing tested that was shown."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from photos import silent
from PIL import Image

from paceline import tasks
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.data import prepare
from paceline.data import samples as prepared
from paceline.data.readers import Complete, Sample, Skipped, digits
from paceline.errors import DataError, UserError
from paceline.tasks.kind import Answer

sklearn_datasets = pytest.importorskip("sklearn.datasets")
KIND = tasks.load("classification")
COMPLETE = Complete(KIND.complete, KIND.group)


def task(**options: Any) -> TaskSpec:
    return TaskSpec(name="digits", kind="classification", reader="digits", target="{label}", options=options)


def read(folder: Path, **options: Any) -> list[Sample | Skipped]:
    return list(digits.read(digits.Options(**options), folder, silent, COMPLETE))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("digits")
    prepare.prepare(path, task(), silent)
    return path


def test_the_forms_begin_where_the_reader_says() -> None:
    labels = "".join(map(str, sklearn_datasets.load_digits().target))
    assert len(labels) == digits.SCANS
    assert all(labels[start:].startswith("01234567890123") for start in digits.FORMS)
    assert labels.count("01234567890123") == len(digits.FORMS) == 14


def test_no_form_stands_in_two_splits(root: Path) -> None:
    splits: dict[str, set[str]] = {}
    for record in prepared.read_samples(root, task(), ("train", "validation", "test"), 0):
        splits.setdefault(record["form"], set()).add(record["split"])
    assert len(splits) == 14
    assert Counter(split for found in splits.values() for split in found) == {"train": 10, "test": 3, "validation": 1}
    assert all(len(found) == 1 for found in splits.values())


def test_nothing_that_is_tested_looks_like_what_is_trained_on(root: Path) -> None:
    manifest = prepared.read_manifest(root, task())
    assert manifest["splits"] == {"train": 832, "validation": 130, "test": 388}
    assert manifest["leaks"] == {"validation": 0, "test": 0}
    assert manifest["skipped"] == {"looks like a scan that is not trained on": 447}
    labels = Counter(r["label"] for r in prepared.read_samples(root, task(), ("train",), 0))
    assert set(labels) == set("0123456789")
    assert min(labels.values()) > 25


def test_source_and_licence_are_kept(root: Path) -> None:
    made = prepared.read_manifest(root, task())["made"]
    assert "scikit-learn" in made["source"]
    assert "CC BY 4.0" in made["licence"]


def test_the_same_options_give_the_same_samples_and_pictures(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    first, second = read(one), read(other)
    told = [[(i.id, i.split, i.fields) if isinstance(i, Sample) else i for i in found] for found in (first, second)]
    assert told[0] == told[1]
    assert all((one / p.name).read_bytes() == p.read_bytes() for p in sorted(other.iterdir()))
    assert [i.id for i in read(tmp_path, seed=1) if isinstance(i, Sample)] != [
        i.id for i in first if isinstance(i, Sample)
    ]


def test_a_scan_is_dark_ink_on_white_of_the_size_asked_for(tmp_path: Path) -> None:
    sample = next(i for i in read(tmp_path, pixels=24) if isinstance(i, Sample))
    assert sample.image is not None
    with Image.open(sample.image) as image:
        assert image.size == (24, 24)
        least, most = image.convert("L").getextrema()
    assert least < 60
    assert most > 240


def test_forms_that_leave_none_to_train_on_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leave none of the 14 to train on"):
        read(tmp_path, test=13)
    assert list(tmp_path.iterdir()) == []


def test_another_data_set_under_the_same_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sklearn_datasets.load_digits()
    monkeypatch.setattr(sklearn_datasets, "load_digits", lambda: type(whole)(images=whole.images[:9], target=[]))
    with pytest.raises(DataError, match=r"holds digits of shape \(9, 8, 8\)"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("7", "7"),
        ("7.", "7"),
        ("seven", "7"),
        ("The digit is a 7", "7"),
        ("It is a seven (7).", "7"),
        ("17", None),
        ("1 or 7", None),
        ("It is not a 7", None),
        ("this one is a seven", None),  # a pronoun or the digit: two are named
    ],
)
def test_a_digit_is_read_as_figure_or_word(root: Path, answer: str, said: str | None) -> None:
    sample = prepared.read_samples(root, task(), ("test",), 1)[0]
    (part,) = KIND.parts(sample, task(), PromptSpec(name="digit", text="Which digit is this?"))
    assert KIND.get("read")(Answer(answer), part, task(), PromptSpec(name="digit", text="")).value == said
