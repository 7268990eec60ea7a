"""Captioning: what an answer is read as, how it is judged and shown, and the data."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from test_caption_figures import CONFIG, GOLDEN, KIND, by_sacrebleu, sample

from paceline import report, tasks
from paceline.config.identity import identity_of
from paceline.config.schema import Config, MethodSpec, ModelSpec, PromptSpec, TaskSpec
from paceline.data import prepare
from paceline.data import samples as prepared
from paceline.errors import DataError
from paceline.report import wording
from paceline.report.analysis import differences
from paceline.report.consistency.sweeps import findings
from paceline.report.page import page
from paceline.report.read.sweep_results import Report
from paceline.report.text import export, latex, terminal
from paceline.scoring.digest import scorer_sources
from paceline.scoring.judge import judge, score_predictions
from paceline.store.cell_folder import Cell
from paceline.store.files import SCHEMA, digest, write_json, write_jsonl
from paceline.store.root import Store
from paceline.tasks.captioning import data_checks
from paceline.tasks.captioning.caption_tokens import read_caption, tokens
from paceline.tasks.metrics import Unit
from paceline.tasks.panels import CellResult, Results, exports

# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "caption"),
    [
        ("  A red\n bus. ", "A red bus."),
        ('"A red bus."', "A red bus."),
        ("**Caption:** A red bus.", "A red bus."),
        ("Answer: A red bus", "A red bus"),
        ("<think>I can't see it well.</think>\nA red bus", "A red bus"),
        ("An unknown man who can't see the bus.", "An unknown man who can't see the bus."),
        ("Sorry, we're closed", "Sorry, we're closed"),
        ("A sign: no pictures", "A sign: no pictures"),
        ("I can't believe it is butter", "I can't believe it is butter"),
    ],
)
def test_a_caption_is_the_whole_answer_without_its_wrapping(text: str, caption: str) -> None:
    outcome, value, span = read_caption(text)
    assert (outcome, value) == ("parsed", caption)
    assert span is not None
    assert " ".join(text[slice(*span)].split()) == caption


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't see the image.",
        "I am unable to view images.",
        "I’m not able to identify the person in this picture.",
        "Sorry, I cannot provide a caption.",
        "As an AI language model, I do not see pictures.",
        "Unfortunately, I don't have the ability to look at photos.",
        "There is no image attached.",
        "No image was provided",
        "Unknown.",
        "N/A",
    ],
)
def test_a_refusal_is_told_by_its_beginning(text: str) -> None:
    assert read_caption(text) == ("refused", None, None)


@pytest.mark.parametrize("text", ["", " \n", "...", '""', "Caption:", "<think>A bus</think>", "///---///"])
def test_an_answer_without_a_word_is_malformed(text: str) -> None:
    assert read_caption(text) == ("malformed", None, None)


@pytest.mark.parametrize(
    ("cell", "references"),
    [
        ("""['a dog', "a dog's bone"]""", ["a dog", "a dog's bone"]),
        ('["a dog", "ein \\u00d6"]', ["a dog", "ein Ö"]),
        (" ['a dog'] ", ["a dog"]),
        ("[untitled]", ["[untitled]"]),
        ("['a' or 'b']", ["['a' or 'b']"]),
        ("[1, 2]", ["[1, 2]"]),
        ("['a', 2, 'b']", ["['a', 2, 'b']"]),
    ],
)
def test_a_cell_that_holds_a_list_of_captions_is_several_captions(cell: str, references: list[str]) -> None:
    assert KIND.complete({"references": cell})["references"] == references


@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=1).filter(lambda texts: any(t.split() for t in texts)))
def test_a_list_of_captions_comes_back_from_a_cell_as_json_or_python_wrote_it(texts: list[str]) -> None:
    expected = KIND.complete({"references": texts})
    assert KIND.complete({"references": json.dumps(texts)}) == KIND.complete({"references": repr(texts)}) == expected


@given(st.text(alphabet="[]'\", ab1\\\n", max_size=60).filter(str.strip))
def test_no_caption_with_brackets_ends_the_reading(cell: str) -> None:
    with contextlib.suppress(ValueError):
        assert KIND.complete({"references": cell})["references"]


def test_an_empty_list_in_a_cell_is_no_caption() -> None:
    with pytest.raises(ValueError, match="no reference caption"):
        KIND.complete({"references": "[]"})


def test_a_very_long_answer_is_read_in_no_time() -> None:
    for piece in ("a ", "sorry, ", '"', "Caption: ", "I can't ", "</think>", "n't", "a.b-"):
        text = piece * 100_000
        read_caption(text)
        tokens(text[:20_000])


@pytest.mark.parametrize("entry", GOLDEN["tokens"], ids=lambda entry: entry["text"])
def test_words_are_those_of_cocos_tokeniser(entry: dict[str, str]) -> None:
    assert " ".join(tokens(entry["text"])) == entry["coco"]


def test_where_words_differ_from_cocos_tokeniser_is_known() -> None:
    assert tokens("A coin (5 €) of Mr. X!!!") == ("a", "coin", "5", "€", "of", "mr", "x")  # -lrb- 5 $ -rrb-, mr., !!!


# --- records, metrics, report ----------------------------------------------------------------------------------------

SAMPLES = [
    sample("bus", ["A red bus.", "A bus on a street."]),
    sample("dog", ["A dog."]),
    sample("cat", ["The cat sleeps."]),
    sample("hat", ["A hat on a chair."]),
]


def predictions(*texts: str) -> list[dict[str, Any]]:
    return [{"sample": s["id"], "text": text} for s, text in zip(SAMPLES, texts, strict=True)]


def test_an_unread_answer_is_an_empty_caption_not_a_dropped_row() -> None:
    records, content = judge(CONFIG, predictions("A red bus", "", "I cannot see the picture.", "A hat"), SAMPLES)
    assert [r["outcome"] for r in records] == ["parsed", "malformed", "refused", "parsed"]
    assert records[0]["truth"] == ["A red bus.", "A bus on a street."]
    unread = ("cider_d", "words", "invents_name", "invents_number", "invented")
    assert records[2]["scores"] == {"rouge_l": 0.0, **dict.fromkeys(unread)}
    metrics = content["metrics"]
    assert list(metrics) == [m.name for m in KIND.metrics]
    assert metrics["bleu_1"]["n"] == metrics["rouge_l"]["n"] == metrics["cider_d"]["n"] == 4
    assert metrics["words"]["n"] == 2
    assert metrics["parsed_share"]["value"] == 0.5
    empty = by_sacrebleu([(r["value"] or "", tuple(r["truth"])) for r in records])
    assert metrics["bleu_1"]["value"] == pytest.approx(empty["bleu_1"], abs=1e-9)
    assert all(m["low"] <= m["value"] <= m["high"] for m in metrics.values())


def test_each_split_has_its_own_document_frequencies() -> None:
    near = [dict(s, id=f"{s['id']}-near", split="near") for s in SAMPLES]
    both = Config(task=TaskSpec(name="c", kind="captioning", evaluate=["test", "near"]), prompt=PromptSpec())
    texts = ("A red bus", "A dog", "The cat", "A hat")
    answers = predictions(*texts)
    answers += [dict(p, sample=f"{p['sample']}-near") for p in answers]
    records, content = judge(both, answers, [*SAMPLES, *near])
    assert content["metrics"]["test/cider_d"]["value"] == content["metrics"]["near/cider_d"]["value"]
    mean = np.mean([r["scores"]["cider_d"] for r in records[:4]])
    assert content["metrics"]["test/cider_d"]["value"] == pytest.approx(mean, abs=1e-12)


def test_samples_of_one_picture_are_resampled_together() -> None:
    names = [f"s{i}" for i in range(40)]
    tied = [sample(name, [f"A thing {i // 4}."], sha256=f"{i // 4}") for i, name in enumerate(names)]
    texts = [f"A thing {i // 4 if i % 8 < 4 else 'else'}" for i in range(40)]
    answers = [{"sample": name, "text": text} for name, text in zip(names, texts, strict=True)]
    grouped = judge(CONFIG, answers, tied)[1]["metrics"]["bleu_1"]
    alone = judge(CONFIG, answers, [dict(s, sha256=s["id"]) for s in tied])[1]["metrics"]["bleu_1"]
    assert grouped["value"] == alone["value"]
    assert grouped["high"] - grouped["low"] > 1.5 * (alone["high"] - alone["low"])


def test_a_sample_without_a_reference_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="'bus' has no reference"):
        score_predictions(KIND, CONFIG, [{"sample": "bus", "text": "A bus"}], {"bus": sample("bus", [])})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"references": ["A  bus. ", "", "A bus."]}, ["A bus.", "A bus."]),
        ({"references": "A bus."}, ["A bus."]),
        ({"reference": "A bus."}, ["A bus."]),
        ({"reference": ["A bus.", "A car."]}, ["A bus.", "A car."]),
    ],
)
def test_a_record_of_any_table_is_completed(given: dict[str, Any], kept: list[str]) -> None:
    assert KIND.complete({"topic": "x", **given}) == {"topic": "x", "references": kept}
    assert KIND.fields(sample("a", kept), CONFIG.task) == {"reference": kept[0], "references": "\n".join(kept)}


@pytest.mark.parametrize("given", [{}, {"references": []}, {"references": " "}, {"references": [3]}, {"reference": 3}])
def test_a_record_without_a_reference_can_not_be_used(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no reference caption|a reference is no text"):
        KIND.complete(given)


def test_captions_that_are_also_trained_on_are_counted() -> None:
    records = [sample("a", ["A bus."], split="train"), sample("b", ["a Bus.", "A car."]), sample("c", ["A dog."])]
    manifest = {"splits": {"train": 1, "test": 2}, **KIND.data_checks(records, "train")}
    assert manifest["trained_captions"] == {"test": 1}
    assert next(KIND.data_notes(manifest, CONFIG.task)).endswith("word for word: test 1 of 2.")
    assert list(KIND.data_lines(manifest, CONFIG.task)) == [
        "samples with a reference that a sample of train has too: test 1 of 2"
    ]
    assert data_checks.data_checks(records[1:], "train") == {}


def test_panels_do_not_make_scores_old() -> None:
    names = set(scorer_sources(KIND))
    assert {
        f"paceline.tasks.captioning.{part}" for part in ("score", "overlap", "cider", "caption_tokens", "fields")
    } <= names
    assert "paceline.tasks.captioning.results" not in names


def cell(name: str, texts: list[str]) -> CellResult:
    records, _ = judge(CONFIG, predictions(*texts), SAMPLES)
    return CellResult(name, name, lambda: KIND.answers(records))


def test_panels_show_captions_beside_references_and_how_varied_they_are() -> None:
    lead, other = cell("tuned", ["A red bus.", "A dog", "A hat", ""]), cell("untuned", ["A thing."] * 4)
    shown = Results(CONFIG.task, "test", [other, lead], [other, lead], None, {}, lambda metric: ["tuned", "untuned"])
    texts, table = KIND.panels(shown)
    assert [(case.label, case.sample) for case in texts.cases] == [("best", "dog"), ("median", "bus"), ("worst", "cat")]
    assert texts.cases[1].references == ("A red bus.", "A bus on a street.")
    assert [(a.name, a.text) for a in texts.cases[1].answers] == [("tuned", "A red bus."), ("untuned", "A thing.")]
    assert [(a.text, a.outcome) for a in texts.cases[0].answers] == [("A dog", ""), ("A thing.", "")]
    assert [row[:4] for row in table.rows] == [
        ("references", 5, 0.0, 5),
        ("untuned", 4, 0.0, 1),
        ("tuned", 3, 0.25, 3),
    ]
    assert table.rows[2][4:7] == (pytest.approx(7 / 3), 2, 3)
    assert table.rows[2][-2:] == (0.0, 0.0)
    assert len({len(row) for row in table.rows} | {len(table.columns)}) == 1
    silent = Results(CONFIG.task, "test", [lead], [lead], None, {}, lambda metric: ["tuned"])
    assert [name for name, _ in exports([("c", "test", panel) for panel in KIND.panels(silent)])] == [
        "captions",
        "variety",
    ]
    assert KIND.label(["A red bus.", "A bus."]) == "A red bus. / A bus."
    assert (KIND.show("A bus."), KIND.show(None), KIND.brief(["A bus.", "B"])) == ("A bus.", "", "A bus.")
    empty = Results(CONFIG.task, "test", [], [], None, {}, lambda metric: [])
    assert KIND.panels(empty) == []


def test_words_that_are_in_no_reference_are_named_beside_the_caption() -> None:
    lead = cell("m", ["A red bus in Paris", "A dog", "The cat sleeps in 1999.", "A hat"])
    shown = Results(CONFIG.task, "test", [lead], [lead], None, {}, lambda metric: ["m"])
    texts, table = KIND.panels(shown)
    assert texts.headings[-1] == "in no reference"
    named = {case.sample: case.answers[0].scores[-1] for case in texts.cases}
    assert {"Paris", "1999", "–"} >= set(named.values()) != {"–"}
    assert table.rows[1][-2:] == (0.25, 0.25)


def test_people_mark_a_caption_by_what_it_says_and_how_it_says_it() -> None:
    assert [criterion.name for criterion in KIND.marks] == ["accurate", "style"]


def test_what_a_report_says_of_differences_names_no_error_that_only_read_answers_have() -> None:
    assert "both read" not in wording.paired(KIND)
    assert "a distance is compared over samples that both read" in wording.paired(tasks.load("geolocation"))
    for kind in ("classification", "multi_label", "counting"):  # an unread answer has a value in each of their figures
        assert "both read" not in wording.paired(tasks.load(kind))


def sweep(root: Path) -> Report:
    """A cell that describes stamps well, and one that always says the same and once nothing."""
    task = stamps(root / "stamps", more=24)
    manifest = prepare.prepare(root, task, lambda *_: None)
    samples = prepared.read_samples(root, task, task.evaluate, 0)
    store, ids = Store(root), []
    for prompt in ("good", "poor"):
        config = Config(
            model=ModelSpec(name="m"),
            task=task,
            prompt=PromptSpec(name=prompt, text="What is this?"),
            method=MethodSpec(name="untuned"),
        )
        identity = {**identity_of(config, "evaluate"), "data": manifest["digest"]}
        made = Cell(f"evaluate-m-{prompt}-{digest(identity, 12)}", "evaluate", identity, ())
        folder = store.cell(made.id)
        folder.freeze(made)
        said = {
            "good": lambda i, s: s["references"][0] + " It is big."[: i % 12],
            "poor": lambda i, s: "A bus."[: i * 9],
        }
        answers = [{"sample": s["id"], "text": said[prompt](i, s)} for i, s in enumerate(samples)]
        attempt = folder.new_attempt()
        scores, metrics = judge(config, answers, samples)
        write_jsonl(folder.predictions, answers)
        write_jsonl(folder.scores, scores)
        write_json(folder.metrics, metrics)
        folder.publish(attempt, [folder.predictions], {"samples": len(samples)})
        ids.append(made.id)
    content = {"schema": SCHEMA, "name": "c", "experiment": "", "cells": ids, "dropped": [], "code": ""}
    write_json(store.sweep("c").sweep_json, content)
    return report.collect(store, store.sweep("c"))


def test_a_report_shows_captions_and_objects_to_no_figure(tmp_path: Path) -> None:
    found = sweep(tmp_path)
    (group,) = found.groups
    # BLEU and ROUGE-L are shares that count nothing: no whole number of samples rounds to them, and none need.
    assert findings(found) == ()
    assert differences.standing(found, group, "cider_d").best == found.rows[0].id
    shown = page.html(found)
    for text in ("Captions beside their references", "How captions are written", "malformed", "CIDEr-D"):
        assert text in shown
    assert [panel.key for panel in differences.panels(found, group)] == ["captions", "variety"]


def test_a_metric_is_shown_with_the_decimals_that_the_kind_states_in_every_rendering(tmp_path: Path) -> None:
    found = sweep(tmp_path)
    (group,) = found.groups
    measured = group.metric(found.rows[0], "cider_d")
    assert measured is not None and measured.value is not None
    shown = f"{measured.value:.2f}"
    assert wording.with_interval(measured).startswith(f"{shown} [")
    console = Console(width=200, file=io.StringIO())
    terminal.show(found, console, everything=True)
    assert isinstance(console.file, io.StringIO)
    for text in (console.file.getvalue(), export.markdown_text(found), latex.latex_text(found), page.html(found)):
        assert re.search(rf"(?<![\d.]){shown}(?![\d])", text)
    assert repr(measured.value) in export.csv_text(found)
    assert export.as_json(found)["rows"][0]["metrics"]["cider_d"]["value"] == measured.value
    assert wording.number(measured.value, "") != shown or measured.value < 1
    assert wording.number(-0.004, Unit("", 2), signed=True) == "0.00"
    assert wording.number(0.12345, Unit("share", 2)) == "12.35"
    assert wording.value(12.345, Unit("", 0)) == "12"


# --- the stamps ------------------------------------------------------------------------------------------------------


def stamps(folder: Path, more: int = 0) -> TaskSpec:
    """A folder like Tux Paint's, of which two pictures can be used, and more plain ones."""
    for name, text in {
        **{f"numbers/{i}": f"The number {i}, written by hand." for i in range(more)},
        "animals/frog": "A frog.\nde.utf8=Ein Frosch.\n",
        "animals/cow": "A cow.",
        "town/bus": "\n",
        "town/odd": "A",
    }.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGBA", (20, 16), (*hashlib.sha256(name.encode()).digest()[:3], 128)).save(path)
        path.with_suffix(".txt").write_bytes(text.encode() if name != "town/odd" else b"\xff\xfe\xff")
    Image.new("RGB", (9, 9)).save(folder / "animals" / "frog_mirror.png")
    (folder / "animals" / "frog.svg").write_text("<svg/>")
    (folder / "animals" / "fox.svg").write_text("<svg/>")
    options = {"path": str(folder), "shares": {"train": 0.5, "test": 0.5} if more else {"train": 0.8, "test": 0.2}}
    return TaskSpec(name="c", kind="captioning", reader="stamps", options=options, evaluate=["test"])


def test_stamps_are_pictures_with_the_first_line_beside_them(tmp_path: Path) -> None:
    task = stamps(tmp_path / "stamps")
    manifest = prepare.prepare(tmp_path / "root", task, lambda *_: None)
    assert manifest["skipped"] == {
        "a drawing without a PNG": 1,
        "no caption beside the picture": 1,
        "no reference caption": 1,
        "the caption can't be read": 1,
    }
    assert manifest["made"]["licence"].startswith("GPL-2")
    found = prepared.read_samples(tmp_path / "root", task, list(manifest["splits"]), 0)
    assert {s["id"]: s["references"] for s in found} == {"animals/frog": ["A frog."], "animals/cow": ["A cow."]}


def test_missing_stamps_are_told_with_the_command_that_installs_them(tmp_path: Path) -> None:
    task = TaskSpec(name="c", kind="captioning", reader="stamps", options={"path": str(tmp_path / "none")})
    with pytest.raises(DataError, match="apt-get install tuxpaint-stamps-default"):
        prepare.prepare(tmp_path / "root", task, lambda *_: None)
