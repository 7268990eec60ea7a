"""Boxes as models write them, labelled by hand before the reader saw them: on a picture of 640 × 480 pixels."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline import tasks
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.tasks.kind import Answer

KIND = tasks.load("localisation")
TASK = TaskSpec(name="boxes", kind="localisation", evaluate=["test"])
WIDTH, HEIGHT = 640, 480
BOX = (64, 48, 320, 240)
"""In pixels; 0.1, 0.1, 0.5, 0.5 in shares, 100, 100, 500, 500 in thousandths."""


def reading(text: str, boxes: str = "", several: bool = False, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Any:
    prompt = PromptSpec(name="p", text="Where is {phrase}?", boxes=boxes)
    sample = {"id": "a", "phrase": "the ship", "boxes": [[1, 1, 2, 2]], "several": several}
    sample |= {"width": size[0], "height": size[1]}
    (part,) = KIND.parts(sample, TASK, prompt)
    return KIND.read(Answer(text), part, TASK, prompt)


READ = [
    # plain lists in pixels
    ("[64, 48, 320, 240]", "pixels"),
    ("[64,48,320,240]", "pixels"),
    ("(64, 48, 320, 240)", "pixels"),
    ("64, 48, 320, 240", "pixels"),
    ("64 48 320 240", "pixels"),
    ("  [64.0, 48.0, 320.0, 240.0].\n", "pixels"),
    ("{64, 48, 320, 240}", "pixels"),
    ("<64, 48, 320, 240>", "pixels"),
    ("[64; 48; 320; 240]", "pixels"),
    ("[64px, 48px, 320px, 240px]", "pixels"),
    ("[64 48 320 240]", "pixels"),
    ("The ship is at [64, 48, 320, 240].", "pixels"),
    ("The bounding box of the ship is [64, 48, 320, 240] in pixels.", "pixels"),
    ("Bounding box: [64, 48, 320, 240]", "pixels"),
    ("**[64, 48, 320, 240]**", "pixels"),
    ("`[64, 48, 320, 240]`", "pixels"),
    ("Sure! Here is the box you asked for: [64, 48, 320, 240]. Let me know if you need more.", "pixels"),
    ("1. The ship: [64, 48, 320, 240]", "pixels"),
    ("In this 640x480 image the ship is at [64, 48, 320, 240].", "pixels"),
    ("The image is 640 × 480. Box: (64, 48, 320, 240)", "pixels"),
    ("The red patch appears in the top left, at [64, 48, 320, 240].", "pixels"),
    ("The ship is approximately at [64, 48, 320, 240].", "pixels"),
    ("<answer>[64, 48, 320, 240]</answer>", "pixels"),
    ("<think>Maybe [1, 2, 30, 40]? No.</think>[64, 48, 320, 240]", "pixels"),
    ("\\boxed{[64, 48, 320, 240]}", "pixels"),
    ("[64, 48, 320, 240]<|im_end|>", "pixels"),
    ("Answer: 64, 48, 320, 240", "pixels"),
    ("x_min, y_min, x_max, y_max = 64, 48, 320, 240", "pixels"),
    ("[x0, y0, x1, y1] = [64, 48, 320, 240]", "pixels"),
    # shares
    ("[0.1, 0.1, 0.5, 0.5]", "unit"),
    ("(0.10, 0.10, 0.50, 0.50)", "unit"),
    ("[.1, .1, .5, .5]", "unit"),
    ("The ship is located at [0.100, 0.100, 0.500, 0.500] in normalized coordinates.", "unit"),
    ("0.1 0.1 0.5 0.5", "unit"),
    ("<box>0.1, 0.1, 0.5, 0.5</box>", "unit"),
    ("[10%, 10%, 50%, 50%]", "percent"),
    ("(10 %, 10 %) to (50 %, 50 %)", "percent"),
    ("From 10% to 50% of the width and from 10% to 50% of the height", "percent"),
    # thousandths: one does not fit the picture
    ("[100, 100, 500, 500]", "thousand"),
    ("(100,100),(500,500)", "thousand"),
    ("<box>(100,100),(500,500)</box>", "thousand"),
    ("<ref>the ship</ref><box>(100,100),(500,500)</box>", "thousand"),
    ("<|object_ref_start|>the ship<|object_ref_end|><|box_start|>(100,100),(500,500)<|box_end|>", "thousand"),
    ("<|box_start|>(100, 100), (500, 500)<|box_end|><|im_end|>", "thousand"),
    ("<ref>ship</ref><box>[[100, 100, 500, 500]]</box>", "thousand"),
    ("<box>100 100 500 500</box>", "thousand"),
    ("Box in 0-1000 coordinates: [100, 100, 500, 500]", "thousand"),
    ("On a scale from 0 to 1000: [100, 100, 500, 500]", "thousand"),
    # tokens of models
    ("<loc0102><loc0102><loc0512><loc0512> the ship", "loc_1024"),
    ("<loc0102><loc0102><loc0512><loc0512>", "loc_1024"),
    ("ship<loc_100><loc_100><loc_499><loc_499>", "loc_1000"),
    ("</s><s>the ship<loc_100><loc_100><loc_499><loc_499></s>", "loc_1000"),
    # JSON
    ('{"bbox_2d": [64, 48, 320, 240], "label": "ship"}', "pixels"),
    ('```json\n[\n\t{"bbox_2d": [64, 48, 320, 240], "label": "the ship"}\n]\n```', "pixels"),
    ('{"bbox": [64, 48, 320, 240]}', "pixels"),
    ('{"box": [64, 48, 320, 240]}', "pixels"),
    ("{'box': [64, 48, 320, 240]}", "pixels"),
    ('{"bounding_box": {"x0": 64, "y0": 48, "x1": 320, "y1": 240}}', "pixels"),
    ('{"x1": 64, "y1": 48, "x2": 320, "y2": 240}', "pixels"),
    ('{"xmin": 64, "ymin": 48, "xmax": 320, "ymax": 240}', "pixels"),
    ('{"x_min": 64, "y_min": 48, "x_max": 320, "y_max": 240}', "pixels"),
    ('{"ymin": 48, "xmin": 64, "ymax": 240, "xmax": 320}', "pixels"),
    ('{"left": 64, "top": 48, "right": 320, "bottom": 240}', "pixels"),
    ('{"label": "ship", "bbox": [0.1, 0.1, 0.5, 0.5]}', "unit"),
    ('{"answer": "[64, 48, 320, 240]"}', "pixels"),
    ('{"box": [[64, 48], [320, 240]]}', "pixels"),
    ('{"x": 64, "y": 48, "width": 256, "height": 192}', "pixels_xywh"),
    ('{"x": 64, "y": 48, "w": 256, "h": 192}', "pixels_xywh"),
    ('{"left": 64, "top": 48, "width": 256, "height": 192}', "pixels_xywh"),
    ('{"cx": 192, "cy": 144, "w": 256, "h": 192}', "pixels_cxcywh"),
    ('{"x_center": 0.3, "y_center": 0.3, "width": 0.4, "height": 0.4}', "unit_cxcywh"),
    ('{"bbox_2d": [64, 48, 320, 240], "label": "shi', "pixels"),
    # x-y-w-h by name, or as corners it makes no box
    ("[x, y, w, h] = [64, 48, 256, 192]", "pixels_xywh"),
    ("[x, y, width, height]: [64, 48, 256, 192]", "pixels_xywh"),
    ("The box is [64, 48, 256, 192] in (x, y, width, height) format.", "pixels_xywh"),
    ("xywh: 64, 48, 256, 192", "pixels_xywh"),
    ("x: 64, y: 48, width: 256, height: 192", "pixels_xywh"),
    ("x=64, y=48, w=256, h=192", "pixels_xywh"),
    ("Top-left corner (64, 48), width 256, height 192", "pixels_xywh"),
    ("[cx, cy, w, h] = [192, 144, 256, 192]", "pixels_cxcywh"),
    ("(x_center, y_center, width, height) = (0.3, 0.3, 0.4, 0.4)", "unit_cxcywh"),
    ("Center: (192, 144), width: 256, height: 192", "pixels_cxcywh"),
    # words and labels
    ("from (64, 48) to (320, 240)", "pixels"),
    ("The ship reaches from (64, 48) to (320, 240).", "pixels"),
    ("(64, 48) - (320, 240)", "pixels"),
    ("(64, 48), (320, 240)", "pixels"),
    ("[[64, 48], [320, 240]]", "pixels"),
    ("Top left: (64, 48), bottom right: (320, 240)", "pixels"),
    ("The top-left corner is at (64, 48) and the bottom-right corner is at (320, 240).", "pixels"),
    ("Bottom right corner: (320, 240)\nTop left corner: (64, 48)", "pixels"),
    ("upper left (64, 48), lower right (320, 240)", "pixels"),
    ("top-right (320, 48), bottom-left (64, 240)", "pixels"),
    ("- Top-left: (64, 48)\n- Top-right: (320, 48)\n- Bottom-left: (64, 240)\n- Bottom-right: (320, 240)", "pixels"),
    ("The upper left corner is 64, 48 and the lower right corner is 320, 240", "pixels"),
    ("left: 64, top: 48, right: 320, bottom: 240", "pixels"),
    ("Top: 48\nBottom: 240\nLeft: 64\nRight: 320", "pixels"),
    ("left=64 top=48 right=320 bottom=240", "pixels"),
    ("x1=64, y1=48, x2=320, y2=240", "pixels"),
    ("xmin: 64, xmax: 320, ymin: 48, ymax: 240", "pixels"),
    ("x_min = 0.1, y_min = 0.1, x_max = 0.5, y_max = 0.5", "unit"),
    ("left 10%, top 10%, right 50%, bottom 50%", "percent"),
    ("x from 64 to 320 and y from 48 to 240", "pixels"),
    ("x: 64-320, y: 48-240", "pixels"),
    # a polygon is the box around it
    ("[[64, 48], [320, 48], [320, 240], [64, 240]]", "pixels"),
    ("[(64, 48), (320, 60), (300, 240)]", "pixels"),
    # y first, by name
    ("[ymin, xmin, ymax, xmax] = [48, 64, 240, 320]", "pixels_yxyx"),
    ("The box in [y_min, x_min, y_max, x_max] is [48, 64, 240, 320].", "pixels_yxyx"),
    # the same twice, and a plain last word
    ("[64, 48, 320, 240]\n[64, 48, 320, 240]", "pixels"),
    ("The ship is at [64, 48, 320, 240]. So the box is [64, 48, 320, 240].", "pixels"),
    ("[64, 48, 320, 240], that is [0.1, 0.1, 0.5, 0.5]", "pixels"),
    ("The dock is at [10, 10, 50, 50]. The final answer is [64, 48, 320, 240].", "pixels"),
    ("The dock is at [10, 10, 50, 50]. Therefore, the ship is at [64, 48, 320, 240].", "pixels"),
    ("Bounding box: [64, 48, 320, 240] (confidence: 0.9)", "pixels"),
    ('{"bbox_2d": [64, 48, 320, 240], "label": "ship", "confidence": 0.93}', "pixels"),
]


@pytest.mark.parametrize(("text", "form"), READ, ids=[text[:60] for text, _ in READ])
def test_a_box_is_read_as_a_careful_person_reads_it(text: str, form: str) -> None:
    found = reading(text)
    assert (found.outcome, found.data.get("format")) == ("parsed", form), found
    assert found.value[0] == pytest.approx(BOX, abs=1.5)
    assert len(found.value) == 1


UNREAD = [
    # no box
    ("", "malformed"),
    ("The ship is in the upper left.", "malformed"),
    ("[64, 48, 320]", "malformed"),
    ("[64, 48, 320, 240, 12, 99]", "malformed"),
    ("64", "malformed"),
    ("(64, 48)", "malformed"),
    ("The picture was taken on 12 03 2024 at 10:30.", "malformed"),
    ("[x0, y0, x1, y1]", "malformed"),
    ("[]", "malformed"),
    ("None", "malformed"),
    ("There is no ship in the image.", "malformed"),
    ("x: 64, y: 48", "malformed"),
    ("left: 64, right: 320", "malformed"),
    ("The image is 640 x 480 pixels.", "malformed"),
    ("[a, b, c, d]", "malformed"),
    ("[64, 48, 320, 240, 400, 240, 400, 100]", "malformed"),  # a polygon or two boxes
    # of no size
    ("[64, 48, 64, 48]", "malformed"),
    ("[0, 0, 0, 0]", "malformed"),
    ("[64, 48, 320, 48]", "malformed"),
    ("x: 64, y: 48, width: 0, height: 10", "malformed"),
    # two
    ("[64, 48, 320, 240] or [100, 100, 200, 200]", "malformed"),
    ("[64, 48, 320, 240]\n[100, 100, 200, 200]", "malformed"),
    ("Either [64, 48, 320, 240] or [64, 48, 330, 240]", "malformed"),
    ('[{"bbox_2d": [64, 48, 320, 240]}, {"bbox_2d": [100, 100, 200, 200]}]', "malformed"),
    ("[64, 48, 320, 240]. Wait, no, [100, 100, 200, 200].", "malformed"),
    # hedges and negations
    ("Maybe [64, 48, 320, 240]", "malformed"),
    ("It might be at [64, 48, 320, 240].", "malformed"),
    ("I think the ship is at [64, 48, 320, 240].", "malformed"),
    ("I'm not sure, but [64, 48, 320, 240]", "malformed"),
    ("Possibly (64, 48) to (320, 240).", "malformed"),
    ("If the image is 640 x 480, it is [64, 48, 320, 240].", "malformed"),
    ("The ship is not at [64, 48, 320, 240].", "malformed"),
    ("not [64, 48, 320, 240]", "malformed"),
    # refusals
    ("I'm sorry, I can't help with that.", "refused"),
    ("I cannot determine the location of the ship.", "refused"),
    ("I am unable to provide bounding boxes.", "refused"),
    ("As an AI language model, I can't see images.", "refused"),
    ("Unknown", "refused"),
    ("I can't locate the ship in this image.", "refused"),
    ("Sorry, I can't give [x0, y0, x1, y1].", "refused"),
    # beyond the picture in every form
    ("[64, 48, 3200, 2400]", "out_of_range"),
    ("[-200, -100, 320, 240]", "out_of_range"),
    ("[1200, 48, 1300, 240]", "out_of_range"),
    ("[-0.5, 0.1, 0.5, 0.5]", "out_of_range"),
    ("[10%, 10%, 150%, 50%]", "out_of_range"),
    ("<loc_100><loc_100><loc_5000><loc_500>", "out_of_range"),
    ("<box>(100,100),(500,5000)</box>", "out_of_range"),
]


@pytest.mark.parametrize(("text", "outcome"), UNREAD, ids=[text[:60] for text, _ in UNREAD])
def test_no_box_two_boxes_a_hedge_and_a_negation_are_unread(text: str, outcome: str) -> None:
    assert (reading(text).outcome, reading(text).value) == (outcome, None)


ASKED = [
    ("[100, 100, 500, 400]", "thousand", (64, 48, 320, 192), "thousand"),
    ("[100, 100, 500, 400]", "pixels", (100, 100, 500, 400), "pixels"),
    ("(100,100),(500,400)", "thousand", (64, 48, 320, 192), "thousand"),
    ("[100, 100, 400, 500]", "thousand_yx", (64, 48, 320, 192), "thousand_yxyx"),
    ('[{"box_2d": [100, 100, 400, 500], "label": "ship"}]', "thousand_yx", (64, 48, 320, 192), "thousand_yxyx"),
    ("[x0, y0, x1, y1] = [100, 100, 500, 400]", "thousand_yx", (64, 48, 320, 192), "thousand"),
    ("[10, 10, 50, 40]", "percent", (64, 48, 320, 192), "percent"),
    ("[0.1, 0.1, 0.5, 0.4]", "unit", (64, 48, 320, 192), "unit"),
    ("[0.1, 0.1, 0.5, 0.4]", "pixels", (64, 48, 320, 192), "unit"),  # less than a pixel
    ("[0.1, 0.1, 0.5, 0.4]", "thousand", (64, 48, 320, 192), "unit"),
    ("<loc0102><loc0102><loc0409><loc0512>", "pixels", (64, 48, 320, 192), "loc_1024"),
    ("<|box_start|>(100,100),(500,400)<|box_end|>", "pixels", (64, 48, 320, 192), "thousand"),
    ("[0, 0, 1, 1]", "", (0, 0, 640, 480), "unit"),
    ("[0, 0, 640, 480]", "pixels", (0, 0, 640, 480), "pixels"),
    ("[0, 0, 643, 482]", "pixels", (0, 0, 640, 480), "pixels"),  # a hundredth beyond is cut
    ("[-2, 10, 100, 100]", "pixels", (0, 10, 100, 100), "pixels"),
    ("[500, 400, 100, 60]", "", (500, 400, 600, 460), "pixels_xywh"),
    ("[320, 48, 64, 240]", "", (320, 48, 384, 288), "pixels_xywh"),
    ("(320, 240), (64, 48)", "", (64, 48, 320, 240), "pixels"),  # corners in the other order
]


@pytest.mark.parametrize(("text", "boxes", "box", "form"), ASKED)
def test_what_the_prompt_asks_for_settles_the_form_and_a_box_beyond_doubt_keeps_its_own(
    text: str, boxes: str, box: tuple[float, ...], form: str
) -> None:
    found = reading(text, boxes)
    assert (found.outcome, found.data.get("format")) == ("parsed", form), found
    assert found.value[0] == pytest.approx(box, abs=1.5)


@pytest.mark.parametrize("text", ["[100, 100, 700, 900]", "(100,100),(700,900)"])
def test_a_box_in_another_form_than_asked_for_is_not_guessed(text: str) -> None:
    assert reading(text).data["format"] == "thousand"
    assert reading(text, "pixels").outcome == "out_of_range"


SEVERAL = [
    ('[{"bbox_2d": [1, 2, 30, 40], "score": 0.9}, {"bbox_2d": [100, 100, 200, 200], "score": 0.5}]', 2, [0.9, 0.5]),
    ('[{"box": [1, 2, 30, 40], "label": "ship", "confidence": 0.25}]', 1, [0.25]),
    ('```json\n[{"score": 0.7, "box": [1, 2, 30, 40]}, {"score": 0.6, "box": [50, 50, 60, 60]}]\n```', 2, [0.7, 0.6]),
    ("[1, 2, 30, 40], [100, 100, 200, 200], [1, 2, 30, 40]", 3, None),
    ("1. [1, 2, 30, 40] (score: 0.9)\n2. [100, 100, 200, 200] (score: 0.4)", 2, [0.9, 0.4]),
    ("[[1, 2, 30, 40], [100, 100, 200, 200]]", 2, None),
    ("[[1, 2, 30, 40, 0.9], [100, 100, 200, 200, 0.3]]", 2, [0.9, 0.3]),
    ("<box>(1,2),(30,40)</box><box>(100,100),(200,200)</box>", 2, None),
    ("<box>[[1, 2, 30, 40], [100, 100, 200, 200]]</box>", 2, None),
    ("<loc0102><loc0102><loc0512><loc0512> ship ; <loc0602><loc0602><loc0712><loc0812> ship", 2, None),
    ('[{"bbox_2d": [1, 2, 30, 40]}, {"bbox_2d": [100, 100, 200, 200]}, {"bbox_2d": [5, ', 2, None),
    ('[{"x1": 1, "y1": 2, "x2": 30, "y2": 40}, {"x1": 100, "y1": 100, "x2": 200, "y2": 200}]', 2, None),
    ("[]", 0, None),
    ("None", 0, None),
    ("There are no ships in the image.", 0, None),
    ('{"detections": []}', 0, None),
]


@pytest.mark.parametrize(("text", "count", "scores"), SEVERAL)
def test_where_all_are_asked_for_every_box_is_read_with_its_score(
    text: str, count: int, scores: list[float] | None
) -> None:
    found = reading(text, several=True)
    assert (found.outcome, len(found.value or ())) == ("parsed", count), found
    assert found.data.get("scores") == scores


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("There are two ships.", "malformed"),
        ("[1, 2, 30, 40] or [100, 100, 200, 200]", "malformed"),
        ("[1, 2, 30, 40], [100, 100, 2000, 2000]", "out_of_range"),
        ("I'm sorry, I can't detect objects.", "refused"),
        ("", "malformed"),
        ("Maybe [1, 2, 30, 40], [100, 100, 200, 200]", "malformed"),
    ],
)
def test_where_all_are_asked_for_alternatives_and_boxes_beyond_the_picture_are_unread(text: str, outcome: str) -> None:
    assert reading(text, several=True).outcome == outcome


def test_patches_of_a_grid_are_boxes_between_their_middles() -> None:
    found = reading("<phrase>a ship</phrase><object><patch_index_0000><patch_index_0527></object>", size=(320, 320))
    assert found.data["format"] == "patches"
    assert found.value[0] == pytest.approx((5, 5, 155, 165))
    one = reading("<object><patch_index_0033><patch_index_0033></object>", size=(320, 320))
    assert one.value[0] == pytest.approx((10, 10, 20, 20))


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="[](){}<>0123456789.,:;%-= xywhlocbox_\"'\n|", max_size=120), st.booleans())
def test_any_text_is_read_without_an_error(text: str, several: bool) -> None:
    found = reading(text, several=several)
    assert found.outcome in {"parsed", "refused", "malformed", "out_of_range"}
    for x0, y0, x1, y1 in found.value or ():
        assert 0 <= x0 < x1 <= WIDTH and 0 <= y0 < y1 <= HEIGHT


def test_long_answers_that_repeat_themselves_are_read() -> None:
    for text in (
        "[1, " * 8000,
        "(1,2)," * 5000,
        "x: 1, y: 2, " * 3000,
        "<loc0001>" * 3000,
        '{"bbox": [' * 4000,
        "9 " * 9000,
    ):
        reading(text)
        reading(text, several=True)
