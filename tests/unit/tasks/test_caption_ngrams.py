"""Captioning: words and characters are counted for whole sets at once, to the same counts as one by one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU
from sacrebleu.metrics.helpers import extract_all_char_ngrams

from paceline import tasks
from paceline.tasks.answers import Answers
from paceline.tasks.captioning import cider, ngrams, overlap, score
from paceline.tasks.captioning.caption_tokens import tokens

Pair = tuple[str, tuple[str, ...]]

WORDS = st.sampled_from(["a", "the", "A", "dog", "dogs,", "3.5", "1,000", "“Go!”", "é", "&amp;", "🙂", "\ud800", "—"])
TEXT = st.lists(WORDS, min_size=1, max_size=9).map(" ".join) | st.just("") | st.text(max_size=12)
SETS = st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=5).map(tuple)), min_size=1, max_size=8)


def slow_bleu(caption: str, references: tuple[str, ...]) -> tuple[int, ...]:
    found = BLEU(effective_order=True).sentence_score(caption, references)
    return found.sys_len, found.ref_len, *found.counts, *found.totals


def slow_chrf(caption: str, references: tuple[str, ...]) -> tuple[int, ...]:
    def counts(text: str) -> list[int]:
        pairs = zip(*(extract_all_char_ngrams(t, overlap.CHARACTERS) for t in (caption, text)), strict=True)
        return [n for own, its in pairs for n in (own.total() if its else 0, its.total(), (own & its).total())]

    found = [counts(text) for text in references]
    return tuple(found[int(np.argmax(overlap.corpus_chrf(np.array(found, dtype=float))))])


def slow_cider(pairs: list[Pair]) -> tuple[dict[Any, float], dict[Any, float], dict[Any, float], set[Any]]:
    """The entries of the matrices by text, order and class; a class is the samples whose references have an n-gram."""

    def grams(text: str) -> Counter[tuple[str, ...]]:
        words = tokens(text)
        return Counter(words[i : i + n] for n in range(1, 5) for i in range(len(words) - n + 1))

    held: dict[tuple[str, ...], set[int]] = {}
    for i, (_, texts) in enumerate(pairs):
        for gram in {gram for text in texts for gram in grams(text)}:
            held.setdefault(gram, set()).add(i)
    members = {gram: tuple(sorted(samples)) for gram, samples in held.items()}
    clipped, reference, captions = Counter[Any](), Counter[Any](), Counter[Any]()
    pair = 0
    for i, (caption, texts) in enumerate(pairs):
        own = grams(caption)
        for gram, count in own.items():
            captions[4 * i + len(gram) - 1, members.get(gram, ())] += count**2
        for text in texts:
            for gram, count in grams(text).items():
                at = 4 * pair + len(gram) - 1, members[gram]
                reference[at] += count**2
                if gram in own:
                    clipped[at] += min(count, own[gram]) * count
            pair += 1
    return dict(clipped), dict(reference), dict(captions), {(i, m) for m in members.values() for i in m}


def counted(pairs: list[Pair]) -> tuple[dict[Any, float], dict[Any, float], dict[Any, float], set[Any]]:
    found = cider.corpus([tokens(c) for c, _ in pairs], [[tokens(text) for text in texts] for _, texts in pairs])
    inside = found.documents.tocsc()
    members = [
        tuple(sorted(inside.indices[inside.indptr[k] : inside.indptr[k + 1]].tolist())) for k in range(inside.shape[1])
    ]

    def entries(matrix: Any) -> dict[Any, float]:
        coo = matrix.tocoo()
        return {
            (int(row), members[column]): value
            for row, column, value in zip(*coo.coords, coo.data.tolist(), strict=True)
        }

    documents = {(i, m) for m in members for i in m}
    return entries(found.clipped), entries(found.references), entries(found.captions), documents


def by_rows(pairs: list[Pair]) -> tuple[np.ndarray, np.ndarray]:
    captions, references = zip(*pairs, strict=True)
    return overlap.bleu_counts(captions, references), overlap.chrf_counts(captions, references)


@given(SETS)
@settings(max_examples=80, deadline=None)
def test_counts_of_a_set_are_those_of_its_captions_one_by_one(pairs: list[Pair]) -> None:
    bleu, chrf = by_rows(pairs)
    assert bleu.tolist() == [list(slow_bleu(*pair)) for pair in pairs]
    assert chrf.tolist() == [list(slow_chrf(*pair)) for pair in pairs]
    assert counted(pairs) == slow_cider(pairs)


@given(SETS, st.integers(1, 3), st.sampled_from([1, 100, 10_000]))
@settings(max_examples=30, deadline=None)
def test_neither_parts_nor_large_numbers_change_a_count(pairs: list[Pair], part: int, largest: int) -> None:
    bleu, chrf = by_rows(pairs)
    held = counted(pairs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "_PART", part)
        patch.setattr(ngrams, "_LARGEST", largest)
        again = by_rows(pairs)
        assert counted(pairs) == held
    np.testing.assert_array_equal(again[0], bleu)
    np.testing.assert_array_equal(again[1], chrf)


def test_a_cells_metrics_count_its_words_once(monkeypatch: pytest.MonkeyPatch) -> None:
    called = Counter[str]()

    def counting(real: Any) -> Any:
        def call(*args: Any) -> Any:
            called[real.__name__] += 1
            return real(*args)

        return call

    for module, name in ((overlap, "bleu_counts"), (overlap, "chrf_counts"), (cider, "corpus")):
        monkeypatch.setattr(module, name, counting(getattr(module, name)))
    n = 2000  # more than one block of resamples
    captions = tuple(f"a red thing {i % 7}" for i in range(n))
    answers = Answers(
        tuple(map(str, range(n))),
        ("parsed",) * n,
        {},
        {"caption": captions, "references": tuple((text, "a blue thing") for text in captions)},
    )
    score._counts.cache_clear()
    tasks.load("captioning").statistics(answers)
    assert called == {"bleu_counts": 1, "chrf_counts": 1, "corpus": 1}
