"""Boxes: truth in the upright picture, overlaps and average precision as libraries have them, and what is shown."""

from __future__ import annotations

import contextlib
import io
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from paceline import tasks
from paceline.config.schema import Config, PromptSpec, TaskSpec
from paceline.data.conversations import lesson, question
from paceline.scoring import judge
from paceline.tasks.answers import Answers
from paceline.tasks.kind import Answer
from paceline.tasks.localisation import box_geometry, fields
from paceline.tasks.panels import CellResult, Interval, PerClass, Pictures, Results, Table

KIND = tasks.load("localisation")
TASK = TaskSpec(name="boxes", kind="localisation", target="[{x0}, {y0}, {x1}, {y1}]", evaluate=["test"])
PROMPT = PromptSpec(name="p", text="Where is {phrase}? The image is {width} x {height}.", boxes="pixels")


def sample(*boxes: Any, name: str = "a", **more: Any) -> dict[str, Any]:
    several = {"several": True} if len(boxes) > 1 else {}
    return {
        "id": name,
        "split": "test",
        "phrase": "the ship",
        "boxes": [list(box) for box in boxes],
        "width": 200,
        "height": 100,
        **several,
        **more,
    }


# -- the truth


@pytest.mark.parametrize(
    "given_fields",
    [
        {"box": [10, 20, 30, 50]},
        {"boxes": [[10, 20, 30, 50]]},
        {"bbox": "[10, 20, 30, 50]"},
        {"box": "10 20 30 50"},
        {"box": "10,20,30,50"},
        {"bbox": [10, 20, 20, 30], "box_format": "xywh"},
        {"bbox": [20, 35, 20, 30], "box_format": "cxcywh"},
        {"box": [20, 10, 50, 30], "box_format": "yxyx"},
        {"x0": "10", "y0": "20", "x1": "30", "y1": "50"},
        {"xmin": 10, "ymin": 20, "xmax": 30, "ymax": 50},
        {"x1": 10, "y1": 20, "x2": 30, "y2": 50},
        {"x": 10, "y": 20, "width": 20, "height": 30},
        {"boxes": [{"xmin": 10, "ymin": 20, "xmax": 30, "ymax": 50}]},
        {"box": {"x": 10, "y": 20, "width": 20, "height": 30}},
        {"box": '{"left": 10, "top": 20, "width": 20, "height": 30}'},
        {"boxes": [{"bbox": [10, 20, 20, 30], "name": "ship"}], "box_format": "xywh"},
        {"box": [0.05, 0.2, 0.15, 0.5], "box_format": "unit"},
        {"box": [0.05, 0.2, 0.1, 0.3], "box_format": "unit_xywh"},
        {"box": [50, 200, 150, 500], "box_format": "thousand_xyxy"},
        {"box": [5, 20, 15, 50], "box_format": "percent"},
    ],
)
def test_a_table_gives_boxes_in_any_usual_form(given_fields: dict[str, Any]) -> None:
    found = KIND.complete({"phrase": "the ship", **given_fields})
    found |= KIND.pictured(found, [Image.new("RGB", (200, 100))])
    assert found["boxes"] == [[10, 20, 30, 50]]
    assert (found["width"], found["height"]) == (200, 100)


@pytest.mark.parametrize(
    ("given_fields", "reason"),
    [
        ({"box": [1, 2, 3, 4]}, fields.NO_PHRASE),
        ({"phrase": " ", "box": [1, 2, 3, 4]}, fields.NO_PHRASE),
        ({"phrase": "a"}, fields.NO_BOX),
        ({"phrase": "a", "box": ""}, fields.NO_BOX),
        ({"phrase": "a", "boxes": []}, fields.NO_BOX),
        ({"phrase": "a", "box": [1, 2, 3]}, fields.BAD_BOX),
        ({"phrase": "a", "box": "left"}, fields.BAD_BOX),
        ({"phrase": "a", "box": [1, 2, 3, None]}, fields.BAD_BOX),
        ({"phrase": "a", "box": [1, 2, float("nan"), 4]}, fields.BAD_BOX),
        ({"phrase": "a", "box": {"q": 1}}, fields.NO_BOX),
        ({"phrase": "a", "box": 3}, fields.BAD_BOX),
        ({"phrase": "a", "box": [5, 5, 5, 9]}, fields.EMPTY_BOX),
        ({"phrase": "a", "box": [9, 9, 5, 5]}, fields.EMPTY_BOX),
    ],
)
def test_a_record_without_a_phrase_or_with_no_box_is_skipped_for_a_countable_reason(
    given_fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        KIND.complete(given_fields)


def test_an_unknown_form_of_boxes_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="box_format is none of xyxy, xywh, cxcywh, yxyx"):
        KIND.complete({"phrase": "a", "box": [1, 2, 3, 4], "box_format": "corners"})


def test_boxes_are_of_the_upright_picture_and_those_of_the_stored_one_are_refused() -> None:
    upright = Image.new("RGB", (100, 200))  # stored as 200 x 100, turned by EXIF
    of_upright = KIND.complete({"phrase": "a", "box": [10, 150, 90, 190]})
    assert KIND.pictured(of_upright, [upright])["boxes"] == [[10, 150, 90, 190]]
    of_stored = KIND.complete({"phrase": "a", "box": [150, 10, 190, 90]})
    with pytest.raises(ValueError, match=fields.BEYOND):
        KIND.pictured(of_stored, [upright])
    told = KIND.complete({"phrase": "a", "box": [10, 10, 20, 20], "width": 200, "height": 100})
    with pytest.raises(ValueError, match=fields.TURNED):
        KIND.pictured(told, [upright])
    with pytest.raises(ValueError, match=fields.OTHER_SIZE):
        KIND.pictured(told, [Image.new("RGB", (400, 200))])


def test_a_true_box_that_reaches_a_pixel_beyond_the_picture_is_cut() -> None:
    record = KIND.complete({"phrase": "a", "box": [-1, 0, 201, 100]})
    assert KIND.pictured(record, [Image.new("RGB", (200, 100))])["boxes"] == [[0, 0, 200, 100]]


def test_samples_on_one_picture_are_tied_and_a_column_of_tiles_ties_more() -> None:
    record = KIND.complete({"phrase": "a", "box": [1, 2, 3, 4]})
    ties = [KIND.pictured(record, [Image.new("RGB", (20, 10), c)])["tile"] for c in ("red", "red", "blue")]
    assert ties[0] == ties[1] != ties[2]
    assert "tile" not in KIND.pictured({**record, "tile": "t"}, [Image.new("RGB", (20, 10))])


def test_all_are_asked_for_in_data_with_several_boxes_unless_a_record_says_otherwise() -> None:
    one, two = (
        KIND.complete({"phrase": "a", "boxes": boxes}) for boxes in ([[1, 2, 3, 4]], [[1, 2, 3, 4], [5, 6, 7, 8]])
    )
    assert KIND.common([one, one]) == {}
    assert KIND.common([one, two]) == {"several": True}
    assert "several" not in two
    told = [KIND.complete({"phrase": "a", "box": [1, 2, 3, 4], "several": v})["several"] for v in (True, "no", 0, "1")]
    assert told == [True, False, False, True]


def test_a_target_may_name_pixels_thousandths_shares_and_tokens() -> None:
    one = sample((20, 10, 100, 50))
    shown = KIND.fields(one, TASK)
    assert lesson(one, PROMPT, TASK).answer == "[20, 10, 100, 50]"
    assert [shown[f"{n}_thousand"] for n in ("x0", "y0", "x1", "y1")] == [100, 100, 500, 500]
    assert (shown["x1_unit"], shown["boxes"], shown["boxes_thousand"]) == (
        0.5,
        "[[20, 10, 100, 50]]",
        "[[100, 100, 500, 500]]",
    )
    assert shown["loc"] == "<loc0102><loc0102><loc0512><loc0512>"
    assert set(shown) == set(fields.FIELDS)
    assert KIND.fields(sample((1, 2, 3, 4), (5, 6, 7, 8)), TASK)["x0"] is None


def test_every_target_is_read_as_the_box_that_it_is() -> None:
    one = sample((20, 10, 100, 50))
    (part,) = KIND.parts(one, TASK, PROMPT)
    targets = {
        "[{x0}, {y0}, {x1}, {y1}]": "pixels",
        "({x0_thousand},{y0_thousand}),({x1_thousand},{y1_thousand})": "thousand",
        "[{x0_unit:.3f}, {y0_unit:.3f}, {x1_unit:.3f}, {y1_unit:.3f}]": "unit",
        "{loc} {phrase}": "",
        '{"bbox_2d": {boxes}}': "",
        "{detections}": "pixels",
    }
    for target, boxes in targets.items():
        task = TaskSpec(name="t", kind="localisation", target=target)
        text = lesson(one, PROMPT, task).answer
        found = KIND.read(Answer(text), part, task, PromptSpec(name="p", boxes=boxes))  # type: ignore[arg-type]
        assert found.value and found.value[0] == pytest.approx((20, 10, 100, 50), abs=0.3), text


def test_a_prompt_sees_the_phrase_and_the_size_and_no_box() -> None:
    asked = question(sample((20, 10, 100, 50)), PROMPT, TASK).prompt
    assert asked == "Where is the ship? The image is 200 x 100."


@dataclass(frozen=True)
class Changed:
    """A picture of 200 × 100 pixels: cut to a part of the same size, mirrored, or turned upside down."""

    mirrored: bool = False
    turns: int = 0
    shift: float = 0.0
    new_size: tuple[int, int] = (200, 100)

    @property
    def cropped(self) -> bool:
        return self.shift > 0

    def box(self, box: Any) -> tuple[float, float, float, float] | None:
        x0, y0, x1, y1 = box
        x0, x1 = x0 - self.shift, x1 - self.shift
        if self.mirrored:
            x0, x1 = 200 - x1, 200 - x0
        if self.turns == 2:
            x0, y0, x1, y1 = 200 - x1, 100 - y1, 200 - x0, 100 - y0
        return None if x0 < 0 else (x0, y0, x1, y1)


def test_a_mirrored_picture_has_mirrored_boxes_and_its_phrase_the_other_side() -> None:
    one = sample((20, 10, 100, 50), phrase="The leftmost ship at the top, left of the pier on the Right")
    mirrored = fields.augmented(one, Changed(mirrored=True))
    assert mirrored == {
        "boxes": [[100, 10, 180, 50]],
        "width": 200,
        "height": 100,
        "phrase": "The rightmost ship at the top, right of the pier on the Left",
    }
    again = fields.augmented({**one, **mirrored}, Changed(mirrored=True))
    assert {**one, **(again or {})} == one
    bright = fields.augmented({**one, "phrase": "bright, upright ships"}, Changed(mirrored=True))
    assert bright and bright["phrase"] == "bright, upright ships"


@pytest.mark.parametrize(
    ("phrase", "change", "holds"),
    [
        ("the ship", Changed(turns=2), True),
        ("the ship on the left", Changed(turns=2), False),
        ("the ship at the top", Changed(turns=2), False),
        ("the northern ship", Changed(turns=2), False),
        ("the western ship", Changed(mirrored=True), False),
        ("the ship in the south-west", Changed(mirrored=True), False),
        ("at least the lower ship", Changed(mirrored=True), True),
        ("the ship in the middle", Changed(shift=10), False),
        ("the ship on the left", Changed(shift=10), False),
        ("the largest ship", Changed(shift=10), True),
        ("the largest ship", Changed(shift=30), False),  # its box is cut off
    ],
)
def test_a_phrase_that_holds_no_more_gives_up_the_change(phrase: str, change: Changed, holds: bool) -> None:
    assert (fields.augmented(sample((20, 10, 100, 50), phrase=phrase), change) is not None) == holds


# -- scores


def judged(
    *pairs: tuple[dict[str, Any], str], boxes: str = "pixels", example: str = ""
) -> tuple[list[Any], dict[str, Any]]:
    samples = [{**one, "id": f"s{n}"} for n, (one, _) in enumerate(pairs)]
    predictions = [{"sample": f"s{n}", "text": text} for n, (_, text) in enumerate(pairs)]
    prompt = PromptSpec(name="p", text="q", boxes=boxes, example=example)  # type: ignore[arg-type]
    scores, metrics = judge.judge(Config(task=TASK, prompt=prompt), predictions, samples)
    return scores, {name: one["value"] for name, one in metrics["metrics"].items()}


def test_an_unread_answer_is_a_miss_with_no_overlap_and_all_shares_make_the_whole() -> None:
    scores, found = judged(
        (sample((0, 0, 100, 50)), "[0, 0, 100, 50]"),
        (sample((0, 0, 100, 50)), "[0, 0, 60, 50]"),
        (sample((0, 0, 100, 50)), "[100, 50, 200, 100]"),
        (sample((0, 0, 100, 50)), "somewhere"),
        (sample((0, 0, 100, 50)), "I'm sorry, I can't help."),
    )
    assert [s["scores"]["iou"] for s in scores] == pytest.approx([1, 0.6, 0, 0, 0])
    assert (found["precision_50"], found["precision_60"], found["precision_70"]) == (0.4, 0.4, 0.2)
    assert (found["mean_iou"], found["mean_iou_read"]) == pytest.approx((0.32, 1.6 / 3))
    assert found["cum_iou"] == pytest.approx((5000 + 3000) / (5000 + 5000 + 10000 + 5000 + 5000))
    whole = ("precision_50", "wrong_share", "refused_share", "malformed_share", "out_of_range_share", "echoed_share")
    assert sum(found[name] for name in whole) == pytest.approx(1)
    assert "map_50" not in found and "box_f1" not in found


def test_an_answer_that_repeats_the_prompts_example_is_a_miss() -> None:
    scores, found = judged((sample((0, 0, 100, 50)), "[0, 0, 100, 50]"), example="Answer: [0, 0, 100, 50]")
    assert (scores[0]["outcome"], found["precision_50"]) == ("echoed", 0)


def test_the_form_of_each_answer_is_kept_with_its_score() -> None:
    scores, _ = judged((sample((0, 0, 100, 50)), "[0, 0, 0.5, 0.5]"), (sample((0, 0, 100, 50)), "0, 0, 100, 50"))
    assert [s["details"]["format"] for s in scores] == ["unit", "pixels"]


def test_of_several_boxes_those_that_pair_best_count_and_each_one_too_many_lowers_the_overlap() -> None:
    two = sample((0, 0, 50, 50), (100, 0, 150, 50))
    scores, found = judged(
        (two, "[[100, 0, 150, 50], [0, 0, 50, 50]]"),
        (two, "[[0, 0, 50, 50]]"),
        (two, "[[0, 0, 50, 50], [100, 0, 150, 50], [0, 60, 20, 90], [60, 60, 80, 90]]"),
        (two, "[]"),
    )
    assert [s["scores"]["iou"] for s in scores] == pytest.approx([1, 0.5, 0.5, 0])
    assert (found["box_precision"], found["box_recall"]) == pytest.approx((5 / 7, 5 / 8))
    assert found["box_f1"] == pytest.approx(2 * 5 / (7 + 8))
    assert found["map_50"] is None  # answers without scores


def test_overlaps_that_are_all_nothing_or_all_whole_claim_no_certainty() -> None:
    for text, value in (("[150, 60, 200, 100]", 0.0), ("[0, 0, 100, 50]", 1.0)):
        answers = cell("c", *[(sample((0, 0, 100, 50)), text)] * 30)[0].answers
        found = KIND.aggregate(answers)["cum_iou"]
        assert (found["value"], found["low"], found["high"]) == (value, None, None)
    mixed = cell("c", *[(sample((0, 0, 100, 50)), f"[0, 0, {n}, 50]") for n in range(10, 100, 5)])[0].answers
    assert 0 < KIND.aggregate(mixed)["cum_iou"]["low"] < KIND.aggregate(mixed)["cum_iou"]["high"] < 1


def test_average_precision_needs_a_score_for_every_answered_box() -> None:
    scored = '[{"box": [0, 0, 50, 50], "score": 0.9}, {"box": [100, 0, 150, 50], "score": 0.8}]'
    two = sample((0, 0, 50, 50), (100, 0, 150, 50))
    assert judged((two, scored), (two, scored))[1]["map_50"] == pytest.approx(1)
    assert judged((two, scored), (two, "no box here"))[1]["map_50"] == pytest.approx(0.504950495)
    assert judged((two, scored), (two, "[[0, 0, 50, 50]]"))[1]["map_50"] is None
    assert judged((two, scored), (two, "[]"))[1]["map_50"] is not None
    one = sample((0, 0, 50, 50))
    assert judged((one, "[0, 0, 50, 50] (score 0.7)"), (one, "unsure of it all"))[1]["map_50"] == pytest.approx(
        0.504950495
    )


BOX = st.tuples(st.integers(0, 150), st.integers(0, 80), st.integers(2, 60), st.integers(2, 60)).map(
    lambda b: (b[0], b[1], min(b[0] + b[2], 200), min(b[1] + b[3], 100))
)


@settings(max_examples=80, deadline=None)
@given(BOX, BOX)
def test_the_iou_is_that_of_pycocotools(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    from pycocotools import mask

    def sides(box: tuple[int, ...]) -> list[float]:
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    expected = mask.iou(np.array([sides(a)], dtype=float), np.array([sides(b)], dtype=float), [0])[0][0]
    assert box_geometry.iou(a, b) == pytest.approx(expected, abs=1e-9)


def coco_figures(truths: list[Any], found: list[Any], classes: list[int]) -> tuple[float, float]:
    """mAP 50 and 50–95 by pycocotools, from boxes by image."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations, detections = [], []
    for image, (boxes, said, category) in enumerate(zip(truths, found, classes, strict=True), 1):
        for x0, y0, x1, y1 in boxes:
            size = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
            annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": category, **size})
        for (x0, y0, x1, y1), score in said:
            one = {"image_id": image, "category_id": category, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score}
            detections.append(one)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": n} for n in range(1, len(truths) + 1)],
            "categories": [{"id": n} for n in sorted(set(classes))],
            "annotations": annotations,
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[1], evaluation.stats[0]


@pytest.mark.parametrize("seed", range(8))
def test_average_precision_of_random_answers_is_that_of_pycocotools(seed: int) -> None:
    rng = random.Random(seed)

    def box() -> list[int]:
        x, y = rng.randrange(150), rng.randrange(80)
        return [x, y, x + rng.randint(5, 50), min(y + rng.randint(5, 20), 100)]

    truths, found, pairs, classes = [], [], [], []
    for _ in range(rng.randint(3, 25)):
        true = [box() for _ in range(rng.randint(1, 5))]
        near = [[max(0, v + rng.randint(-3, 3)) for v in b] for b in true if rng.random() < 0.7]
        said = [
            b for b in [*near, *(box() for _ in range(rng.randint(0, 3)))] if b[0] < b[2] <= 200 and b[1] < b[3] <= 100
        ]
        scored = [(b, round(rng.random(), 2)) for b in said]
        name = rng.choice(["ship", "plane"])
        text = str([{"bbox": b, "score": s} for b, s in scored]).replace("'", '"')
        pairs.append((sample(*true, **{"class": name, "several": True}), text))
        truths.append(true)
        found.append(scored)
        classes.append({"ship": 1, "plane": 2}[name])
    _, figures = judged(*pairs)
    if any(found):
        map_50, map_all = coco_figures(truths, found, classes)
        assert figures["map_50"] == pytest.approx(map_50, abs=1e-12)
        assert figures["map_50_95"] == pytest.approx(map_all, abs=1e-12)


def test_average_precision_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    two = sample((0, 0, 50, 50), (100, 0, 150, 50))
    judged((two, '[{"box": [0, 0, 50, 50], "score": 0.9}]'))
    assert capsys.readouterr().out == ""


# -- what is shown


def cell(name: str, *pairs: tuple[dict[str, Any], str], boxes: str = "") -> tuple[CellResult, dict[str, Any]]:
    scores, _ = judged(*pairs, boxes=boxes)
    samples = {f"s{n}": {**one, "id": f"s{n}", "image": "none.png"} for n, (one, _) in enumerate(pairs)}
    return CellResult(name, name, lambda: KIND.answers(scores)), samples


def panels(*cells: tuple[CellResult, dict[str, Any]]) -> dict[str, Any]:
    shown = [one for one, _ in cells]
    samples = {name: record for _, records in cells for name, record in records.items()}
    results = Results(TASK, "test", shown, shown, None, samples, lambda metric: [c.id for c in shown])
    return {panel.key: panel for panel in KIND.panels(results)}


def test_true_and_answered_boxes_lie_on_the_pictures_from_the_best_to_the_worst() -> None:
    shown = panels(
        cell(
            "untuned",
            (sample((0, 0, 100, 50)), "[0, 0, 60, 50]"),
            (sample((0, 0, 100, 50)), "[0, 0, 100, 50]"),
            (sample((0, 0, 100, 50)), "nowhere"),
        )
    )["boxes"]
    assert isinstance(shown, Pictures)
    cases = shown.cells[0].cases
    assert [(c.sample, c.label, c.answer) for c in cases] == [
        ("s1", "best", "IoU 1.00"),
        ("s0", "", "IoU 0.60"),
        ("s2", "worst", "malformed"),
    ]
    first = cases[1].images[0].marks
    assert [(m.truth, m.right, m.bottom) for m in first] == [(True, 0.5, 0.5), (False, 0.3, 0.5)]
    assert len(cases[2].images[0].marks) == 1


def test_the_forms_of_a_cells_boxes_are_counted_and_a_mixture_is_told() -> None:
    one = sample((0, 0, 100, 50))
    shown = panels(
        cell("mixes", (one, "[0, 0, 100, 50]"), (one, "[0, 0, 0.5, 0.5]"), (one, "[0, 0, 100, 50]"), (one, "?")),
        cell("keeps", (one, "[0, 0, 0.5, 0.5]")),
    )["forms"]
    assert isinstance(shown, Table)
    assert [row[:4] for row in shown.rows] == [
        ("mixes", "pixels", 2, pytest.approx(2 / 3)),
        ("mixes", "0 to 1", 1, pytest.approx(1 / 3)),
        ("keeps", "0 to 1", 1, 1.0),
    ]
    assert shown.caption.endswith("In several forms answered: mixes.")


def test_overlaps_are_told_by_threshold_and_by_the_size_of_the_object() -> None:
    shown = panels(
        cell(
            "c",
            (sample((0, 0, 10, 10)), "[0, 0, 10, 10]"),
            (sample((0, 0, 50, 50)), "[0, 0, 25, 50]"),
            (sample((0, 0, 150, 100)), "?"),
        )
    )
    overlap, sizes = shown["overlap"], shown["sizes"]
    assert isinstance(overlap, Table) and isinstance(sizes, PerClass)
    values = [one.value for one in overlap.rows[0][2:] if isinstance(one, Interval)]
    assert values[:5] == pytest.approx([2 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 3])
    assert [(c.name, c.n, c.figures[1].value) for c in sizes.cells[0].classes] == [
        ("small", 1, 1.0),
        ("medium", 1, 0.5),
        ("large", 1, 0.0),
    ]
    assert "detections" not in shown


def test_a_cell_without_scores_is_told_to_have_no_average_precision() -> None:
    two = sample((0, 0, 50, 50), (100, 0, 150, 50))
    shown = panels(
        cell("plain", (two, "[[0, 0, 50, 50]]")), cell("scored", (two, '[{"box": [0, 0, 50, 50], "score": 0.9}]'))
    )["detections"]
    plain, scored = shown.rows
    assert (plain[6].value, plain[8]) == (None, "left out: no scores")
    assert (scored[6].value, scored[8]) == (pytest.approx(0.50495, abs=1e-4), "")


def test_an_ensembles_box_has_the_median_edges_of_those_that_were_read() -> None:
    one = sample((0, 0, 100, 50))
    members = [
        cell(t, (one, t), boxes="pixels")[0].answers
        for t in ("[0, 0, 100, 50]", "[0, 0, 90, 50]", "[0, 0, 20, 20]", "?")
    ]
    (joint,) = KIND.combine([members]) or []
    assert joint.columns["answered"] == ([[0, 0, 90, 50]],)
    assert joint.scores["iou"][0] == pytest.approx(0.9)
    assert KIND.aggregate(joint)["cum_iou"]["value"] == pytest.approx(0.9)
    (none,) = KIND.combine([members[3:] * 2]) or []
    assert none.outcomes == ("malformed",)


def test_boxes_of_answers_without_columns_are_shown_for_people() -> None:
    assert KIND.show([[1, 2.5, 3, 4]]) == "[[1, 2.5, 3, 4]]"
    assert (KIND.brief([[1, 2, 3, 4]]), KIND.brief([[1, 2, 3, 4]] * 2), KIND.brief(None)) == (
        "[1, 2, 3, 4]",
        "2 boxes",
        "0 boxes",
    )
    assert isinstance(KIND.answers([]), Answers)
    assert KIND.aggregate(KIND.answers([]))["precision_50"]["value"] is None
    assert Path(fields.__file__).exists()
