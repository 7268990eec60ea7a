"""Questions about documents: what a prompt shows, how answers are held to the chunks, tables and summary sheets."""

from __future__ import annotations

import collections
import json
import re
import string
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline import tasks
from paceline.config.schema import Config, PromptSpec, TaskSpec
from paceline.data.conversations import asks_together, conversations_of, question
from paceline.errors import UserError
from paceline.inference.evaluate import asks_of
from paceline.report.analysis import differences
from paceline.report.page.charts import by_class
from paceline.sweep.task_checks import TaskChecks
from paceline.tasks.answers import Answers
from paceline.tasks.document_questions import data_checks
from paceline.tasks.document_questions.content_words import carried, content_words, stem, token_f1
from paceline.tasks.kind import Answer, Answered
from paceline.tasks.panels import CellResult, Files, PerClass, Results, Texts

KIND = tasks.load("document_questions")
TASK = TaskSpec(name="papers", kind="document_questions", reader="documents", options={"chunks": "300/100", "top": 2})
ALONE = PromptSpec(name="alone", text="{passage}\n\n{question}")
TOGETHER = PromptSpec(name="together", text="{passages}\n\n{questions}")
CHUNKS = [
    {"index": 4, "from": 0, "to": 40, "page": 1, "text": "Pannellum shows panoramas in the browser."},
    {"index": 7, "from": 900, "to": 930, "page": 3, "text": "It weighs 21 kB and is free."},
    {"index": 9, "from": 990, "to": 1020, "page": 3, "text": "Stereo pictures are not shown yet."},
]
SAMPLE: dict[str, Any] = {
    "id": "a.pdf",
    "split": "test",
    "document": "a.pdf",
    "questions": [
        {"name": "topic", "topic": "Topic", "question": "What is it about?"},
        {"name": "results", "topic": "Results", "question": "What came out?"},
        {"name": "open", "topic": "Open problems", "question": "What is left open?"},
    ],
    "nearest": {
        "topic": [[4, 0.71], [7, 0.5], [9, 0.1]],
        "results": [[7, 0.6], [4, 0.4], [9, 0.2]],
        "open": [[9, 0.8], [7, 0.3], [4, 0.1]],
    },
    "top": 2,
    "chunks": CHUNKS,
    "answers": {"topic": ["a panorama viewer", "Pannellum"]},
}


# --- what is asked ---------------------------------------------------------------------------------------------------


def asked(prompt: PromptSpec) -> list[str]:
    return [question(SAMPLE, prompt, TASK, parts=parts).prompt for parts in conversations_of(SAMPLE, prompt, TASK)]


def test_asked_one_by_one_each_question_has_its_nearest_chunks() -> None:
    first, second, third = asked(ALONE)
    assert first == f"{CHUNKS[0]['text']}\n\n{CHUNKS[1]['text']}\n\nWhat is it about?"
    assert second == f"{CHUNKS[1]['text']}\n\n{CHUNKS[0]['text']}\n\nWhat came out?"
    assert third == f"{CHUNKS[2]['text']}\n\n{CHUNKS[1]['text']}\n\nWhat is left open?"
    assert asked(PromptSpec(name="p", text="{passages}\n\n{question}")) == [first, second, third]


def test_asked_together_a_shared_chunk_is_shown_once_and_each_question_names_its_own() -> None:
    (text,) = asked(TOGETHER)
    assert text == (
        f"[1] {CHUNKS[0]['text']}\n\n[2] {CHUNKS[1]['text']}\n\n[3] {CHUNKS[2]['text']}\n\n"
        "1. What is it about? [1, 2]\n2. What came out? [2, 1]\n3. What is left open? [3, 2]"
    )


def test_the_topic_alone_may_be_asked_about_one_by_one_and_together() -> None:
    assert asked(PromptSpec(name="p", text="{topic}:")) == ["Topic:", "Results:", "Open problems:"]
    (text,) = asked(PromptSpec(name="p", text="{topics}"))
    assert text == "1. Topic [1, 2]\n2. Results [2, 1]\n3. Open problems [3, 2]"
    assert asks_together(PromptSpec(name="p", text="{topics}"), TASK)
    assert not asks_together(PromptSpec(name="p", text="{topic} {passages}"), TASK)


def test_a_prompt_that_asks_one_by_one_and_together_is_refused() -> None:
    for text in ("{question} {questions}", "{topic} {questions}", "{passage} {topics}"):
        with pytest.raises(UserError, match="one by one"):
            asks_together(PromptSpec(name="p", text=text), TASK)


def test_answers_are_known_by_the_same_names_however_they_are_asked() -> None:
    for prompt in (ALONE, TOGETHER):
        asks = asks_of(SAMPLE, Config(task=TASK, prompt=prompt))
        assert [key for ask in asks for key in ask.keys] == [("a.pdf", name) for name in ("topic", "results", "open")]


def test_what_no_prompt_can_name_is_told_when_planning() -> None:
    checks = TaskChecks()
    bad = PromptSpec(name="p", text="{passge} {question} {answers}")
    (first, second) = checks.problems(Config(task=TASK, prompt=bad), bad, "evaluate")
    assert "passge" in first and "passage" in first and "answers" in second
    for name in ("passage", "topic", "document", "question"):
        fine = PromptSpec(name="p", text=f"{{{name}}} {{question}}")
        assert not list(TaskChecks().problems(Config(task=TASK, prompt=fine), fine, "evaluate"))


# --- scores ----------------------------------------------------------------------------------------------------------


def judged(texts: Mapping[str, str], prompt: PromptSpec = ALONE, sample: Mapping[str, Any] = SAMPLE) -> dict[str, Any]:
    answers = [
        Answered(sample, part, KIND.read(Answer(texts[part.name]), part, TASK, prompt))
        for part in KIND.parts(sample, TASK, prompt)
        if part.name in texts
    ]
    return {a.part.name: one for a, one in zip(answers, KIND.score(answers, TASK, prompt), strict=True)}


def test_an_answer_is_carried_by_the_chunk_with_most_of_its_words() -> None:
    found = judged(
        {"topic": "A browser shows panoramas.", "results": "Pannellum shows panoramas.", "open": "Cats purr"}
    )
    topic, results, cats = found["topic"], found["results"], found["open"]
    assert topic.scores["supported"] is True and topic.scores["first_support"] is True
    assert topic.details == {"shown": [4, 7], "chunk": 4, "rank": 1, "share": 1.0}
    assert topic.scores["faithfulness"] == 1.0
    assert results.details["chunk"] == 4 and results.details["rank"] == 2
    assert results.scores["first_support"] is False
    assert cats.scores["supported"] is False and cats.scores["faithfulness"] == 0.0
    assert "chunk" not in cats.details


def test_asked_together_a_chunk_of_another_question_may_carry_an_answer() -> None:
    alone = judged({"open": "Pannellum shows panoramas in browsers"}, ALONE)["open"]
    together = judged({"open": "Pannellum shows panoramas in browsers"}, TOGETHER)["open"]
    assert alone.scores["supported"] is False  # chunk 4 was not shown
    assert together.scores["supported"] is True
    assert together.details["chunk"] == 4 and together.details["rank"] == 0


def test_an_unread_answer_is_carried_by_nothing_and_is_no_hit() -> None:
    found = judged({"topic": "The passage does not say.", "results": ""})
    assert found["topic"].scores == {"token_f1": 0.0} and found["results"].scores == {}
    assert found["topic"].details == {"shown": [4, 7]}


def test_token_f1_is_that_of_the_nearest_right_answer() -> None:
    assert judged({"topic": "The Pannellum."})["topic"].scores["token_f1"] == 1.0
    assert judged({"topic": "A viewer of panorama pictures"})["topic"].scores["token_f1"] == pytest.approx(2 * 2 / 6)
    assert "token_f1" not in judged({"results": "21 kB"})["results"].scores


def test_the_shares_of_outcomes_are_one_together() -> None:
    texts = {"topic": "What is it about?", "results": "The passage does not say.", "open": "Stereo pictures"}
    records = []
    parts = {part.name: part for part in KIND.parts(SAMPLE, TASK, ALONE)}
    for name, text in texts.items():
        reading = KIND.read(Answer(text), parts[name], TASK, ALONE)
        records.append(
            {"sample": "a.pdf", "part": name, "outcome": reading.outcome, "value": reading.value, "scores": {}}
        )
    figures = KIND.aggregate(KIND.answers(records, {"a.pdf": SAMPLE}))
    shares = {n: one["value"] for n, one in figures.items() if n.endswith("_share")}
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["parsed_share"] == shares["refused_share"] == shares["echoed_share"] == pytest.approx(1 / 3)


# --- words -----------------------------------------------------------------------------------------------------------


def test_content_words_leave_grammar_out_and_keep_numbers() -> None:
    assert content_words("The viewer's 1,000 maps weren't shown in 3.5 seconds.") == [
        "viewer", "1000", "map", "shown", "3.5", "second",
    ]  # fmt: skip
    assert content_words("It is what the authors say of this document: a I") == ["say"]
    for one, other in [("maps", "map"), ("studies", "study"), ("rendered", "rendering"), ("boxes", "box"),
                       ("changes", "changed"), ("stopped", "stop"), ("easily", "easi")]:  # fmt: skip
        assert stem(one) == stem(other)
    for word in ("this", "gas", "bus", "sing", "red", "process"):
        assert stem(word) == word
    assert carried("It is", ["a map"]) is None and carried("map", []) is None


def reference_f1(prediction: str, truth: str) -> float:
    """The published definition (SQuAD 2.0's evaluation), written down step by step."""

    def normalised(text: str) -> list[str]:
        text = "".join(c for c in text.lower() if c not in set(string.punctuation))
        return re.sub(r"\b(a|an|the)\b", " ", text).split()

    gold, said = normalised(truth), normalised(prediction)
    common = collections.Counter(gold) & collections.Counter(said)
    same = sum(common.values())
    if len(gold) == 0 or len(said) == 0:
        return int(gold == said)
    if same == 0:
        return 0
    precision, recall = same / len(said), same / len(gold)
    return 2 * precision * recall / (precision + recall)


SQUAD = st.lists(
    st.sampled_from(["The", "a", "An", "maps", "map,", "(of)", "U.S.", "two-way", "—", "…", "An."]), max_size=9
)


@settings(deadline=None, max_examples=300)
@given(SQUAD.map(" ".join), SQUAD.map(" ".join))
def test_token_f1_equals_the_published_definition(said: str, truth: str) -> None:
    assert token_f1(said, truth) == pytest.approx(reference_f1(said, truth), abs=1e-12)
    assert token_f1(said, truth) == pytest.approx(token_f1(truth, said))


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="abc ed1,.'s", max_size=60), st.lists(st.text(alphabet="abc ed1,.'s", max_size=60), max_size=3))
def test_what_carries_an_answer_is_a_share_and_grows_with_chunks(answer: str, chunks: list[str]) -> None:
    found = carried(answer, chunks)
    if found is None:
        assert not chunks or not content_words(answer)
        return
    assert 0 <= found.best <= found.any <= 1
    whole = carried(answer, [*chunks, answer])
    assert whole is not None and whole.best == whole.any == 1


# --- what is shown ---------------------------------------------------------------------------------------------------


def cell(texts: Mapping[str, str], name: str = "m · alone · untuned", prompt: PromptSpec = ALONE) -> CellResult:
    records = []
    for part, one in judged(texts, prompt).items():
        held = next(p for p in KIND.parts(SAMPLE, TASK, prompt) if p.name == part)
        reading = KIND.read(Answer(texts[part]), held, TASK, prompt)
        records.append({
            "sample": "a.pdf", "part": part, "outcome": reading.outcome, "value": reading.value,
            "truth": one.truth, "scores": dict(one.scores), "details": dict(one.details),
        })  # fmt: skip
    answers = KIND.answers(records, {"a.pdf": SAMPLE})
    return CellResult(name, name, lambda: answers)


TEXTS = {"topic": "A browser shows panoramas.", "results": "The passage does not say.", "open": "Purring cats"}


def panels(*cells: CellResult, samples: Mapping[str, Mapping[str, Any]] | None = None) -> list[Any]:
    held = {"a.pdf": SAMPLE} if samples is None else samples
    return list(KIND.panels(Results(TASK, "test", cells, cells, None, held, lambda metric: [c.id for c in cells])))


def test_a_sheet_holds_each_answer_with_its_chunks_and_says_what_was_not_read() -> None:
    files = next(panel for panel in panels(cell(TEXTS)) if isinstance(panel, Files))
    sheet = next(one for one in files.cells[0].files if one.name.endswith(".md"))
    assert sheet.name == "a.pdf-sheet.md"
    text = sheet.read()
    assert text.startswith("# a.pdf\n")
    assert "2 of 3 questions answered" in text and "Chunks of 300/100 characters, the nearest 2" in text
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## Topic",
        "## Results",
        "## Open problems",
    ]
    topic, results, left = re.split(r"\n## .*\n", text)[1:]
    assert "A browser shows panoramas." in topic and "Right: a panorama viewer / Pannellum" in topic
    assert "chunk 4, page 1, cosine 0.71; carries the answer:* Pannellum shows" in topic
    assert "chunk 7, page 3, cosine 0.5:* It weighs" in topic
    assert "**No answer was read: refused.**" in results and "carries" not in results
    assert "None of the chunks carries the answer" in left


def test_the_sheets_are_lines_of_json_too() -> None:
    files = next(panel for panel in panels(cell(TEXTS)) if isinstance(panel, Files))
    lines = next(one for one in files.cells[0].files if one.name == "sheets.jsonl").read().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [e["question"] for e in entries] == ["topic", "results", "open"]
    assert entries[0]["chunk"] == 4 and entries[1]["answer"] is None and entries[1]["outcome"] == "refused"
    assert entries[0]["shown"][1] == {**CHUNKS[1], "similarity": 0.5}


def test_a_heading_in_an_answer_is_none_of_the_sheets() -> None:
    files = next(p for p in panels(cell({**TEXTS, "topic": "Panoramas\n## in the browser"})) if isinstance(p, Files))
    assert "\n\\## in the browser" in files.cells[0].files[0].read()


def test_two_documents_with_names_alike_have_sheets_of_their_own() -> None:
    texts = {"topic": "panoramas", "results": "", "open": ""}
    samples = {name: {**SAMPLE, "id": name, "document": name} for name in ("a/b.pdf", "a b.pdf")}
    records = [
        {"sample": name, "part": part, "outcome": "parsed", "value": "panoramas", "scores": {}, "details": {}}
        for name in samples
        for part in texts
    ]
    answers = KIND.answers(records, samples)
    files = next(p for p in panels(CellResult("c", "c", lambda: answers), samples=samples) if isinstance(p, Files))
    names = [one.name for one in files.cells[0].files]
    assert len(set(names)) == 3 and not any("/" in name for name in names)
    assert files.cells[0].entries == 2


def test_tables_are_by_question_and_by_document() -> None:
    by_question, by_document = (p for p in panels(cell(TEXTS)) if isinstance(p, PerClass))
    assert [row.name for row in by_question.cells[0].classes] == ["topic", "results", "open"]
    answered = [row.figures[0].value for row in by_question.cells[0].classes]
    assert answered == [1.0, 0.0, 1.0]
    assert [row.name for row in by_document.cells[0].classes] == ["a.pdf"]
    assert by_document.cells[0].classes[0].figures[0].value == pytest.approx(2 / 3)
    # One document says nothing of others.
    assert {f.low for one in (by_document, by_question) for row in one.cells[0].classes for f in row.figures} == {None}
    (line, *_) = by_class.charts(by_document)[0]["lines"]
    assert len(line["marks"]) == 3 and all(mark["low"] == mark["x"] == mark["high"] for mark in line["marks"])


def about(documents: int) -> Answers:
    """Answers to three questions about each of so many documents, of which some are unread."""
    rng = np.random.default_rng(documents)
    names, n = [f"d{at}" for at in range(documents)], 3 * documents
    read = np.arange(n) % 4 > 0
    scores = {score: np.where(read, rng.random(n), np.nan) for score in ("faithfulness", "words", "token_f1")}
    scores |= {name: np.where(read, rng.integers(0, 2, n), np.nan) for name in ("supported", "first_support")}
    outcomes = tuple("parsed" if one else "refused" for one in read)
    return Answers(tuple(map(str, range(n))), outcomes, scores, group_names=tuple(np.repeat(names, 3).tolist()))


def test_figures_of_fewer_than_20_documents_have_no_interval_and_are_not_compared() -> None:
    few, enough = (about(count) for count in (19, 20))
    made = KIND.aggregate(few)
    assert made.keys() == KIND.aggregate(enough).keys() >= {"parsed_share", "supported", "faithfulness", "words"}
    assert all(one["value"] is not None and one["n"] and one["low"] is one["high"] is None for one in made.values())
    assert all(one["low"] <= one["value"] <= one["high"] for one in KIND.aggregate(enough).values())
    assert {differences.measure(KIND, few, few, name) for name in made} == {None}
    assert all(differences.measure(KIND, enough, enough, name) for name in made)
    assert "need 20 of them" in KIND.note
    assert best_of(few) is None
    assert best_of(enough) == "a"


def best_of(answers: Answers) -> str | None:
    """Which of two cells is best answered, where one answers all questions and the other none."""
    cells = {
        "a": replace(answers, outcomes=("parsed",) * len(answers)),
        "b": replace(answers, outcomes=("refused",) * len(answers)),
    }
    rows = [SimpleNamespace(id=name) for name in cells]
    group: Any = SimpleNamespace(
        rank=lambda metric: rows, kind=KIND, split="test", metric=lambda row, name: None, rows=rows, task="t"
    )
    report: Any = SimpleNamespace(chosen=lambda row, split: cells[row.id])
    return differences._standing(report, group, "parsed_share").best


def test_the_page_shows_answers_beside_the_chunks() -> None:
    texts = next(panel for panel in panels(cell(TEXTS), cell(TEXTS, "other")) if isinstance(panel, Texts))
    first = texts.cases[0]
    assert first.question == "What is it about?" and len(first.answers) == 2
    assert any("chunk 4, page 1" in one for one in first.references)
    assert first.answers[0].scores[0] == "4, page 1 (the nearest)"
    assert texts.cases[1].answers[0].outcome == "refused"


def test_sheets_are_written_of_data_that_is_gone() -> None:
    files = next(panel for panel in panels(cell(TEXTS), samples={}) if isinstance(panel, Files))
    assert "A browser shows panoramas." in files.cells[0].files[0].read()


def test_what_became_of_documents_is_told() -> None:
    record = {**SAMPLE, "chunk_count": 12, "chunks_cut": 2, "pages_unread": 1, "encoding": "latin-1", "embedder": "m 1"}
    manifest = {"splits": {"test": 2}, **data_checks.data_checks([record, {**record, "answers": {}}], "train")}
    lines = list(KIND.data_lines(manifest, TASK))
    for told in (
        "24 chunks",
        "4 chunks are longer than the 256 tokens",
        "latin-1 (2)",
        "2 pages",
        "1 document has the",
    ):
        assert any(told in line for line in lines), told
    assert any("token F1 is over the 1 of 2 documents" in line for line in KIND.data_notes(manifest, TASK))
