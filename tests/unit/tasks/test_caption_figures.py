"""Captioning: figures are those of sacrebleu and of COCO's code, also on resamples, and intervals hold."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU, CHRF

from paceline import stats, tasks
from paceline.config.schema import Config, PromptSpec, TaskSpec
from paceline.report.analysis import differences
from paceline.scoring.judge import score_predictions
from paceline.tasks.answers import Answers
from paceline.tasks.captioning import cider, overlap, score
from paceline.tasks.captioning.caption_tokens import tokens

KIND = tasks.load("captioning")
CONFIG = Config(task=TaskSpec(name="captioning", kind="captioning", evaluate=["test"]), prompt=PromptSpec())
GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "captioning.json").read_text())
PAIRS = [(pair["caption"], tuple(pair["references"])) for pair in GOLDEN["pairs"]]

Pair = tuple[str, tuple[str, ...]]


def sample(name: str, references: list[str], **more: Any) -> dict[str, Any]:
    return {"id": name, "split": "test", "image": f"{name}.png", "sha256": name, "references": references, **more}


def columns(pairs: list[Pair]) -> Answers:
    """Answers as the report has them."""
    captions, references = zip(*pairs, strict=True)
    outcomes = tuple("parsed" if text else "malformed" for text in captions)
    return Answers(
        tuple(f"s{i}" for i in range(len(pairs))), outcomes, {}, {"caption": captions, "references": references}
    )


def whole(pairs: list[Pair]) -> dict[str, float]:
    found = score.resample(columns(pairs), np.ones((1, len(pairs))))
    return {name: float(value[0]) for name, value in found.items()}


def by_sacrebleu(pairs: list[Pair]) -> dict[str, float]:
    captions, references = zip(*pairs, strict=True)
    most = max(map(len, references))
    streams = [[texts[k] if k < len(texts) else None for texts in references] for k in range(most)]
    found = {f"bleu_{n}": BLEU(max_ngram_order=n).corpus_score(captions, streams).score / 100 for n in range(1, 5)}
    return {**found, "chrf": CHRF().corpus_score(captions, streams).score / 100}


def plain_cider(pairs: list[Pair]) -> list[float]:
    """CIDEr-D written down once more, dictionary by dictionary, without a thought of speed."""
    texts = [(tokens(caption), [tokens(text) for text in references]) for caption, references in pairs]

    def grams(words: tuple[str, ...], n: int) -> dict[tuple[str, ...], int]:
        listed = [words[i : i + n] for i in range(len(words) - n + 1)]
        return {gram: listed.count(gram) for gram in listed}

    def idf(gram: tuple[str, ...]) -> float:
        documents = sum(any(gram in grams(text, len(gram)) for text in references) for _, references in texts)
        return math.log(len(texts)) - math.log(max(1, documents))

    def cosine(own: tuple[str, ...], other: tuple[str, ...], n: int) -> float:
        a = {g: k * idf(g) for g, k in grams(own, n).items()}
        b = {g: k * idf(g) for g, k in grams(other, n).items()}
        norms = math.hypot(*a.values()) * math.hypot(*b.values())
        return sum(min(v, b.get(g, 0.0)) * b.get(g, 0.0) for g, v in a.items()) / norms if norms else 0.0

    return [
        10
        * float(
            np.mean(
                [
                    np.mean([cosine(own, text, n) for n in range(1, 5)])
                    * math.exp(-((max(len(own), 1) - max(len(text), 1)) ** 2) / (2 * 6.0**2))
                    for text in references
                ]
            )
        )
        for own, references in texts
    ]


# --- the figures are the libraries' ----------------------------------------------------------------------------------


def made_up(seed: int, n: int) -> list[Pair]:
    """Captions that share words with their references, some of them empty, with one to four references."""
    rng = np.random.default_rng(seed)
    words = [
        "a",
        "the",
        "red",
        "Blue",
        "dog,",
        "cat's",
        "bus",
        "house.",
        "runs",
        "sits",
        "isn't",
        "on",
        "3.5",
        "t-shirt",
    ]

    def text(most: int) -> str:
        return " ".join(rng.choice(words, rng.integers(1, most)))

    pairs = []
    for _ in range(n):
        references = tuple(text(14) for _ in range(rng.integers(1, 5)))
        caption = references[0].split()
        kept = " ".join(w for w in caption if rng.random() < 0.8)
        pairs.append((rng.choice([kept, text(10), text(25), ""], p=[0.6, 0.2, 0.1, 0.1]), references))
    return [(str(caption), references) for caption, references in pairs]


@pytest.mark.parametrize("pairs", [PAIRS, made_up(0, 1), made_up(1, 2), made_up(2, 60), [("", ("A bus.",))] * 3])
def test_bleu_and_chrf_are_sacrebleus(pairs: list[Pair]) -> None:
    ours = whole(pairs)
    for name, value in by_sacrebleu(pairs).items():
        assert ours[name] == pytest.approx(value, abs=1e-9), name


WORDS = st.sampled_from(
    ["a", "the", "A", "dog", "dogs,", "cat's", "isn't", "3.5", "1,000", "t-shirt.", "“Go!”", "é", "&", "🙂"]
)
TEXT = st.lists(WORDS, min_size=1, max_size=9).map(" ".join)
CORPUS = st.lists(
    st.tuples(TEXT | st.just("") | st.text(max_size=20), st.lists(TEXT, min_size=1, max_size=5).map(tuple)),
    min_size=1,
    max_size=8,
)


@given(CORPUS, st.data())
@settings(max_examples=60, deadline=None)
def test_bleu_of_each_order_and_chrf_are_sacrebleus_on_any_texts_and_any_resample(
    pairs: list[Pair], data: st.DataObject
) -> None:
    pairs = [(" ".join(caption.split()), references) for caption, references in pairs]
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs)).filter(any))
    found = score.resample(columns(pairs), np.array([[1.0] * len(pairs), counts]))
    drawn = [pair for pair, often in zip(pairs, counts, strict=True) for _ in range(often)]
    for row, whole_set in enumerate((pairs, drawn)):
        wanted = by_sacrebleu(whole_set)
        assert {name: float(found[name][row]) for name in wanted} == pytest.approx(wanted, abs=1e-9)


def test_cider_d_and_rouge_l_are_cocos() -> None:
    assert whole(PAIRS)["cider_d"] == pytest.approx(GOLDEN["cider_d"], abs=1e-9)
    predictions = [{"sample": f"s{i}", "text": caption} for i, (caption, _) in enumerate(PAIRS)]
    samples = {f"s{i}": sample(f"s{i}", list(references)) for i, (_, references) in enumerate(PAIRS)}
    for record, pair in zip(score_predictions(KIND, CONFIG, predictions, samples), GOLDEN["pairs"], strict=True):
        assert record["scores"]["rouge_l"] == pytest.approx(pair["rouge_l"], abs=1e-9)
        if pair["caption"]:
            assert record["scores"]["cider_d"] == pytest.approx(pair["cider_d"], abs=1e-9)
        else:
            assert (record["scores"]["cider_d"], record["scores"]["rouge_l"]) == (None, 0.0)


def test_cocos_own_code_agrees_where_it_is_installed() -> None:
    scorer = pytest.importorskip("pycocoevalcap.cider.cider_scorer")
    rouge = pytest.importorskip("pycocoevalcap.rouge.rouge").Rouge()
    for seed in range(5):
        pairs, theirs = made_up(seed, 40), scorer.CiderScorer()
        words = [(" ".join(tokens(c)), [" ".join(tokens(text)) for text in texts]) for c, texts in pairs]
        for caption, references in words:
            theirs += (caption, references)
            ours = overlap.rouge_l(tuple(caption.split()), [tuple(text.split()) for text in references])
            assert ours == pytest.approx(rouge.calc_score([caption], references), abs=1e-9)
        assert whole(pairs)["cider_d"] == pytest.approx(theirs.compute_score()[0], abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_cider_d_is_what_its_definition_says(seed: int) -> None:
    pairs = made_up(seed, 12)
    corpus = cider.corpus([tokens(c) for c, _ in pairs], [[tokens(text) for text in texts] for _, texts in pairs])
    assert corpus.scores(np.ones((1, 12)))[0] == pytest.approx(plain_cider(pairs), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_a_resample_is_the_corpus_with_samples_as_often_as_drawn(seed: int) -> None:
    pairs = made_up(seed, 25)
    often = np.stack([np.bincount(np.random.default_rng(k).integers(0, 25, 25), minlength=25) for k in range(3)])
    found = score.resample(columns(pairs), often.astype(float))
    for row, counts in enumerate(often):
        drawn = [pair for pair, k in zip(pairs, counts, strict=True) for _ in range(k)]
        wanted = {**by_sacrebleu(drawn), "cider_d": float(np.mean(plain_cider(drawn)))}
        assert {name: float(values[row]) for name, values in found.items()} == pytest.approx(wanted, abs=1e-9)


def test_a_resample_of_cider_d_is_cocos_of_the_drawn_samples() -> None:
    often = np.array([GOLDEN["often"]], dtype=float)
    found = score.resample(columns(PAIRS), often)["cider_d"][0]
    assert found == pytest.approx(GOLDEN["cider_d_resampled"], abs=1e-9)


def test_blocks_of_resamples_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = columns(made_up(5, 30))
    often = next(iter(stats.draws(30)))[:40]
    at_once = score.resample(answers, often)["cider_d"]
    monkeypatch.setattr(cider, "_BLOCK", 1)
    assert score.resample(answers, often)["cider_d"] == pytest.approx(at_once, abs=1e-12)


def test_perfect_captions_reach_the_top_and_foreign_ones_nothing() -> None:
    texts = ["a red bus on the street", "two dogs run in the snow", "the clock tower at night", "a plate of rice"]
    perfect = whole([(text, (text,)) for text in texts])
    assert perfect == pytest.approx({"cider_d": 10.0, **{f"bleu_{n}": 1.0 for n in range(1, 5)}, "chrf": 1.0})
    assert whole([("qqq", (text,)) for text in texts])["cider_d"] == 0.0


# --- intervals -------------------------------------------------------------------------------------------------------


def population(size: int) -> list[tuple[str, str, tuple[str, ...]]]:
    """What two models say and two references, of pictures whose things are as unequally frequent as real ones."""
    rng = np.random.default_rng(7)
    often = 1 / np.arange(1, 61)
    colours, places = ["red", "blue", "old", "small", "wooden"], ["street", "beach", "table", "grass"]

    def text(thing: int, colour: int, place: int, error: float) -> str:
        thing = thing if rng.random() > error else rng.choice(60, p=often / often.sum())
        colour = colour if rng.random() > error else rng.integers(5)
        words = f"a {colours[colour]} thing{thing}"
        return words + f" on the {places[place]}" if rng.random() < 0.6 else words

    found = []
    for _ in range(size):
        picture = (int(rng.choice(60, p=often / often.sum())), int(rng.integers(5)), int(rng.integers(4)))
        one = text(*picture, 0.35) if rng.random() > 0.05 else ""
        found.append((one, text(*picture, 0.45), (text(*picture, 0.2), text(*picture, 0.2))))
    return found


def test_intervals_and_paired_intervals_hold_the_value_of_the_population() -> None:
    """150 corpora of 60 pictures: a share of 95 % has a standard error of 1.8 points.

    docs/captioning.md has the figures of 1,000 corpora of 100 and of 400: 93 to 96 % for every metric.
    """
    everybody, rng, n, corpora = population(3000), np.random.default_rng(11), 60, 150
    often = np.concatenate([np.ones((1, n)), np.concatenate(list(stats.draws(n, resamples=300)))])
    values: dict[str, list[np.ndarray]] = {}
    for _ in range(corpora):
        drawn = [everybody[i] for i in rng.choice(len(everybody), n, replace=False)]
        a = score.resample(columns([(one, texts) for one, _, texts in drawn]), often)
        b = score.resample(columns([(other, texts) for _, other, texts in drawn]), often)
        for name in a:
            values.setdefault(name, []).append(a[name])
            values.setdefault(f"difference of {name}", []).append(b[name] - a[name])
    for name, found in values.items():
        held = np.array(found)
        truth = held[:, 0].mean()  # of corpora of this size: CIDEr-D has a little more on small ones
        low, high = np.percentile(held[:, 1:], [2.5, 97.5], axis=1)
        assert 0.90 <= ((low <= truth) & (truth <= high)).mean() <= 0.99, name


def test_a_difference_of_two_cells_is_computed_draw_by_draw() -> None:
    a, b = columns(made_up(3, 30)), columns([(texts[0], texts) for _, texts in made_up(3, 30)])
    found = differences.measure(KIND, a, b, "cider_d")
    assert found is not None
    assert found.n == 30
    assert found.low <= found.difference <= found.high
    assert found.low > 0
    same = differences.measure(KIND, a, columns(made_up(3, 30)), "bleu_4")
    assert same is not None
    assert (same.low, same.difference, same.high) == (0.0, 0.0, 0.0)
