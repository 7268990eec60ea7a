"""Answers about changes are read as a careful person would: labelled before the reader was run on them."""

from __future__ import annotations

from typing import Any

import pytest

from paceline import tasks
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.tasks.kind import Answer
from paceline.tasks.metrics import Reading

KIND = tasks.load("change_detection")
TASK = TaskSpec(name="changes", kind="change_detection", target="{counts}", evaluate=["test"])
COUNTS = PromptSpec(name="counts", text="How many of each: {classes}? Answer with JSON.")
YES_NO = PromptSpec(name="yes_no", text="Has anything changed? Answer yes or no.")
MADE = ("built", "removed", "damaged")
XVIEW2 = ("no-damage", "minor-damage", "major-damage", "destroyed")


def reading(text: str, classes: tuple[str, ...] = MADE, prompt: PromptSpec = COUNTS) -> Reading:
    sample: dict[str, Any] = {"id": "a", "split": "test", "counts": dict.fromkeys(classes, 0), "classes": list(classes)}
    (part,) = KIND.parts(sample, TASK, prompt)
    return KIND.read(Answer(text), part, TASK, prompt)


def told(text: str, classes: tuple[str, ...] = MADE, prompt: PromptSpec = COUNTS) -> Any:
    """The counts that are read, in the order of the classes; else the outcome."""
    found = reading(text, classes, prompt)
    if found.outcome != "parsed":
        return found.outcome
    return tuple(found.value["counts"].get(name, 0) for name in classes)


JSON = [
    ('{"built": 2, "removed": 1, "damaged": 0}', (2, 1, 0)),
    ('  {"built":0,"removed":0,"damaged":0}\n', (0, 0, 0)),
    ('```json\n{"built": 2, "removed": 1, "damaged": 0}\n```', (2, 1, 0)),
    ('```\n{"built": 2, "removed": 1, "damaged": 0}\n```', (2, 1, 0)),
    ('Here it is:\n```json\n{\n  "built": 1,\n  "removed": 0,\n  "damaged": 3\n}\n```\nLet me know!', (1, 0, 3)),
    ('{"built": 2, "removed": 1, "damaged": 0} There are two new buildings.', (2, 1, 0)),
    ('{"built": 2, "removed": 1, "damaged": 0}\n\nNote: the third house may be a shed.', (2, 1, 0)),
    ('I compared the 2 images carefully. {"built": 2, "removed": 1, "damaged": 0}', (2, 1, 0)),
    ("{'built': 2, 'removed': 1, 'damaged': 0}", (2, 1, 0)),
    ("{“built”: 2, “removed”: 1, “damaged”: 0}", (2, 1, 0)),
    ("{built: 2, removed: 1, damaged: 0}", (2, 1, 0)),
    ('{"built": 2, "removed": 1, "damaged": 0,}', (2, 1, 0)),
    ('{"counts": {"built": 2, "removed": 1, "damaged": 0}}', (2, 1, 0)),
    ('{"result": {"counts": {"built": 2, "removed": 1}}}', (2, 1, 0)),
    ('{"answer": {"built": 2, "removed": 1, "damaged": 0}, "confidence": 0.9}', (2, 1, 0)),
    ('{"Built": 2, "REMOVED": 1, "Damaged": 0}', (2, 1, 0)),
    ('{"built_buildings": 2, "removed buildings": 1, "damagedBuildings": 0}', (2, 1, 0)),
    ('{"number of built": 2, "number_of_removed_buildings": 1}', (2, 1, 0)),
    ('{"built": "2", "removed": "1", "damaged": "0"}', (2, 1, 0)),
    ('{"built": "two", "removed": "One", "damaged": "none"}', (2, 1, 0)),
    ('{"built": two, "removed": one, "damaged": zero}', (2, 1, 0)),
    ('{"built": "2 buildings", "removed": "1 house", "damaged": "no buildings"}', (2, 1, 0)),
    ('{"built": 2.0, "removed": 1}', (2, 1, 0)),
    ('{"built": 2}', (2, 0, 0)),
    ('{"removed": 1, "built": 2}', (2, 1, 0)),
    ('{"built": 2, "removed": 1, "damaged": 0, "total": 3}', (2, 1, 0)),
    ('{"built": 2, "removed": 1, "damaged": 0, "explanation": "two new roofs in the north"}', (2, 1, 0)),
    ('{"built": 2, "demolished": 1}', (2, 0, 0)),
    ('{"built": 2 // in the north\n, "removed": 1}', (2, 1, 0)),
    ('[{"class": "built", "count": 2}, {"class": "removed", "count": 1}]', (2, 1, 0)),
    ('{"changes": [{"type": "built", "number": 2}, {"type": "damaged", "number": 1}]}', (2, 0, 1)),
    ('{"built": {"count": 2}, "removed": {"count": 1}}', (2, 1, 0)),
    ('[{"built": 2, "removed": 1, "damaged": 0}]', (2, 1, 0)),
    ('{"built": 2}\n{"removed": 1}\n{"damaged": 0}', (2, 1, 0)),
    ('{"built": 2, "removed": 1}\n{"built": 2, "removed": 1}', (2, 1, 0)),
    ('<think>{"built": 5} no, fewer.</think>{"built": 2, "removed": 1}', (2, 1, 0)),
    ('<answer>{"built": 2, "removed": 1}</answer>', (2, 1, 0)),
    ('\\boxed{{"built": 2, "removed": 1}}', (2, 1, 0)),
    ('**{"built": 2, "removed": 1}**', (2, 1, 0)),
    ('{"built": 2, "removed": 1}<|im_end|>', (2, 1, 0)),
    ('First count: {"built": 3}. On a second look, the final answer is: {"built": 2}', (2, 0, 0)),
    ('{"built": 3, "removed": 0}\nFinal answer: {"built": 2, "removed": 1}', (2, 1, 0)),
    ('{"built": 3} Correction: {"built": 2}', (2, 0, 0)),
    ('The form is {"class": number}. {"built": 2}', (2, 0, 0)),
    ('In the form {"built": N, "removed": N}: {"built": 2, "removed": 1}', (2, 1, 0)),
    ('{"built": 2, "removed": true}', "malformed"),
    ('{"built": 3}\n{"built": 2}', "malformed"),
    ('{"built": 3} or {"built": 2}', "malformed"),
    ('Image 1: {"built": 3}, image 2: {"built": 2}', "malformed"),
    ('{"before": {"built": 3}, "after": {"built": 5}}', "malformed"),
    ('{"built": 2, "built": 3}', "malformed"),
    ('{"built": -1, "removed": 0}', "malformed"),
    ('{"built": 1.5, "removed": 0}', "malformed"),
    ('{"built": "2-3"}', "malformed"),
    ('{"built": "about 2"}', "malformed"),
    ('{"built": "~2"}', "malformed"),
    ('{"built": "2+"}', "malformed"),
    ('{"built": "several"}', "malformed"),
    ('{"built": "unknown", "removed": 1}', "malformed"),
    ('{"built": null, "removed": 1}', "malformed"),
    ('{"built": ["a house", "a shed"]}', "malformed"),
    ('{"built": "50%"}', "malformed"),
    ('{"built": NaN}', "malformed"),
    ('{"built": 1e400}', "malformed"),
    ('{"built": 99999999999}', "malformed"),
    ('{"demolished": 1}', "malformed"),
    ('{"total": 3}', "malformed"),
    ('{"changed": true}', "malformed"),
    ("{}", "malformed"),
    ('{"counts": {}}', "malformed"),
    ('{"built": 2, "remov', "malformed"),
    ('{"built": 2, "removed": ', "malformed"),
    ('Maybe {"built": 2}', "malformed"),
    ('I am not sure, but {"built": 2, "removed": 0}', "malformed"),
    ('It is not {"built": 2}', "malformed"),
    ('For example: {"built": 2, "removed": 1}', "malformed"),
    ('The format is {"built": N, "removed": N}', "malformed"),
    ('I\'m sorry, I can\'t see the images. {"built": 0, "removed": 0}', "refused"),
    ('I cannot determine this from the images. {"built": 0, "removed": 0, "damaged": 0}', "refused"),
]  # fmt: skip

LISTS = [
    ("built: 2\nremoved: 1\ndamaged: 0", (2, 1, 0)),
    ("- built: 2\n- removed: 1\n- damaged: 0", (2, 1, 0)),
    ("* **Built**: 2 buildings\n* **Removed**: 1 building", (2, 1, 0)),
    ("1. Built: 2\n2. Removed: 1\n3. Damaged: 0", (2, 1, 0)),
    ("1) Built: two\n2) Removed: one\n3) Damaged: none", (2, 1, 0)),
    ("built = 2, removed = 1, damaged = 0", (2, 1, 0)),
    ("Built - 2; removed - 1; damaged - 0", (2, 1, 0)),
    ("Built (2), removed (1)", (2, 1, 0)),
    ("2 built, 1 removed, 0 damaged", (2, 1, 0)),
    ("2 built and 1 removed.", (2, 1, 0)),
    ("| class | count |\n|---|---|\n| built | 2 |\n| removed | 1 |\n| damaged | 0 |", (2, 1, 0)),
    ("| built | removed | damaged |\n|:--|--:|---|\n| 2 | 1 | 0 |", (2, 1, 0)),
    ("built | 2\nremoved | 1", (2, 1, 0)),
    ("built,removed,damaged\n2,1,0", "malformed"),
    ("Two buildings were built and one was removed.", (2, 1, 0)),
    ("Two buildings were built, one building was removed, and no buildings were damaged.", (2, 1, 0)),
    ("A building was removed.", (0, 1, 0)),
    ("In the second image, 3 buildings were built.", (3, 0, 0)),
    ("Here are the counts for the 2 images:\nbuilt: 2\nremoved: 1", (2, 1, 0)),
    ("Answer: built: 2, removed: 1", (2, 1, 0)),
    ("built: 2\nremoved: 1\nTotal: 3", (2, 1, 0)),
    ("built: 2, built: 2", (2, 0, 0)),
    ("damaged: 0", (0, 0, 0)),
    ("built: 1,200", (1200, 0, 0)),
    ("built: 2, built: 3", "malformed"),
    ("built: 2-3", "malformed"),
    ("built: 2 or 3", "malformed"),
    ("built: about 2", "malformed"),
    ("built: -1", "malformed"),
    ("built: 1.5", "malformed"),
    ("built: several", "malformed"),
    ("built: ?", "malformed"),
    ("Probably 2 built and 1 removed", "malformed"),
    ("I think two buildings were built.", "malformed"),
    ("Some buildings were built.", "malformed"),
    ("Buildings were built and removed.", "malformed"),
    ("2 buildings were not damaged.", "malformed"),
    ("3", "malformed"),
    ("3 buildings changed.", "malformed"),
    ("Two were torn down, one was built.", "malformed"),
    ("built, removed, damaged", "malformed"),
    ("How many were built? 2", "malformed"),
    ("The images show a residential area with trees.", "malformed"),
    ("", "malformed"),
    ("...", "malformed"),
    ("yes", "malformed"),
    ("No.", "malformed"),
    ("I'm sorry, but I can't compare images.", "refused"),
    ("I cannot see any images.", "refused"),
    ("As an AI language model, I am unable to view images.", "refused"),
    ("There is no image provided.", "refused"),
]

NOTHING = [
    ("No change.", (0, 0, 0)),
    ("no changes", (0, 0, 0)),
    ("No changes detected.", (0, 0, 0)),
    ("There are no changes between the two images.", (0, 0, 0)),
    ("There is no change between the images.", (0, 0, 0)),
    ("I see no changes.", (0, 0, 0)),
    ("Nothing has changed.", (0, 0, 0)),
    ("Nothing changed between the two images.", (0, 0, 0)),
    ("The two images are identical.", (0, 0, 0)),
    ("Both images are the same.", (0, 0, 0)),
    ("No buildings have changed.", (0, 0, 0)),
    ("No buildings changed between the two pictures", (0, 0, 0)),
    ("No visible changes.", (0, 0, 0)),
    ("None", (0, 0, 0)),
    ("0", (0, 0, 0)),
    ("Answer: no changes", (0, 0, 0)),
    ("No buildings were built, removed or damaged.", (0, 0, 0)),
    ("No significant changes.", "malformed"),
    ("There are almost no changes.", "malformed"),
    ("No changes, except for a new building.", "malformed"),
    ("There seem to be no changes.", "malformed"),
    ("I can't see any changes.", "malformed"),
    ("Nothing changed but one roof.", "malformed"),
    ("No change? Yes, two houses.", "malformed"),
    ("The images are not identical.", "malformed"),
    ("Maybe no change", "malformed"),
]

AS_MODELS_WRITE = [
    ("In the images:\n\n- **Built**: 1 (a new house in the north)\n- **Removed**: 0\n- **Damaged**: 2 (two roofs)",
     (1, 0, 2)),
    ("Let's analyze both pictures.\n1. Built: There are 2 new buildings.\n2. Removed: There is 1 building missing.\n"
     "3. Damaged: No buildings are damaged.", (2, 1, 0)),
    ("built: 2 buildings, removed: 1 building, damaged: 0 buildings", (2, 1, 0)),
    ("Built: 2. Removed: 1. Damaged: 0.", (2, 1, 0)),
    ('{"built": 2, "removed": 1, "damaged": 0}\n\nExplanation: it appears that 1 house burnt.', (2, 1, 0)),
    ('{"house_1": "built", "house_2": "removed"}', "malformed"),
    ('{"built": 2, "removed": 1, "damaged": 0}}', (2, 1, 0)),
    ('"built": 2, "removed": 1, "damaged": 0', (2, 1, 0)),
    ("built 2 removed 1 damaged 0", (2, 1, 0)),
    ("built: 2 removed: 1 damaged: 0", (2, 1, 0)),
    ("2 built 1 removed", "malformed"),
    ("2, 1, 0", "malformed"),
    ('{"classes": {"built": 2, "removed": 1, "damaged": 0}}', (2, 1, 0)),
    ('{"built": {"before": 0, "after": 2}}', "malformed"),
    ('{"before": 5, "after": 7}', "malformed"),
    ("There are 3 buildings built, 0 removed, and 1 damaged.", (3, 0, 1)),
    ("The number of built buildings is 2, removed is 1 and damaged is 0.", (2, 1, 0)),
    ("built: 2\nremoved: 1\ndamaged: unknown", "malformed"),
    ("built: 2\nremoved: N/A", "malformed"),
    ("No buildings were built. No buildings were removed. One building was damaged.", (0, 0, 1)),
    ("No building has been built or removed, but two are damaged.", (0, 0, 2)),
    ("**Answer:** `{\"built\": 2}`", (2, 0, 0)),
    ("<output>{\"built\": 2, \"removed\": 1}</output>", (2, 1, 0)),
    ("{'built': 2, 'removed': 1} # two new", (2, 1, 0)),
    ("The first picture has 5 buildings, the second has 7. Built: 2, removed: 0, damaged: 0.", (2, 0, 0)),
    ('{"built": "2 (in the north)", "removed": "0 (none)"}', (2, 0, 0)),
    ('{"built": "2 new buildings", "removed": "0"}', (2, 0, 0)),
    ("The counts are {built: 2, removed: 1, damaged: 0}.", (2, 1, 0)),
    ("{\"built\": 2, \"removed\": 1}. This is incorrect.", "malformed"),
    ("Wait, {\"built\": 2} no, {\"built\": 1}", "malformed"),
    ("There are no built, removed or damaged buildings.", (0, 0, 0)),
    ("No buildings are built, removed, or damaged.", (0, 0, 0)),
    ("The area has changed a lot, with 3 to 5 buildings built.", "malformed"),
    ("Built: 2\nBuilt: 2 in total", (2, 0, 0)),
    ("Les deux images sont identiques.", "malformed"),
    ('{"built": ２}', (2, 0, 0)),  # as a Chinese keyboard writes it
    ("built: ²", "malformed"),
    ("built: 2 (removed: 1)", "malformed"),
    ("built: 2 (1 house and 1 shed), removed: 1 (a barn)", (2, 1, 0)),
    ("The second picture shows 2 new houses. removed: 1", "malformed"),
    ('{"name": "scene 1", "count": 3, "built": 2}', (2, 0, 0)),
    ('{"type": "change report", "value": 3}', "malformed"),
    ('Sorry for the confusion. {"built": 2, "removed": 0}', (2, 0, 0)),
    ('I apologize for the confusion, but I cannot see pictures. {"built": 0}', "refused"),
    ("Total: 3. Built: 2, removed: 1.", (2, 1, 0)),
    ("Comparing both images, 2 built, 1 removed", (2, 1, 0)),
]  # fmt: skip

DAMAGE = [
    ("Destroyed: 2 buildings; major damage: 1 building; minor damage: none; no damage: 3", (3, 0, 1, 2)),
    ("There are 5 buildings with no damage and 2 that were destroyed.", (5, 0, 0, 2)),
    ("All buildings are destroyed.", "malformed"),
    ('{"no damage": 12, "destroyed": 0, "total buildings": 12}', (12, 0, 0, 0)),
    ("No buildings were destroyed.", (0, 0, 0, 0)),
    ("no-damage", "malformed"),
    ('{"no-damage": 3, "minor-damage": 1, "major-damage": 0, "destroyed": 2}', (3, 1, 0, 2)),
    ('{"no_damage": 3, "Minor_Damage": 1, "major damage": 0, "Destroyed": 2}', (3, 1, 0, 2)),
    ('{"NoDamage": 3, "minorDamage": 1, "MAJOR-DAMAGE": 0, "destroyed": 2}', (3, 1, 0, 2)),
    ("No damage: 3\nMinor damage: 1\nMajor damage: 0\nDestroyed: 2", (3, 1, 0, 2)),
    ("- 3 buildings with no damage\n- 1 building with minor damage\n- 2 destroyed buildings", (3, 1, 0, 2)),
    ("| no-damage | 3 |\n| destroyed | 2 |", (3, 0, 0, 2)),
    ("destroyed: 2", (0, 0, 0, 2)),
    ('{"undamaged": 3, "destroyed": 2}', (0, 0, 0, 2)),
    ('{"no-damage": 3, "un-classified": 1}', (3, 0, 0, 0)),
    ('{"damage": 3}', "malformed"),
    ('{"minor": 1, "major": 2}', "malformed"),
    ("No damage.", (0, 0, 0, 0)),
    ("There is no damage.", (0, 0, 0, 0)),
    ("There is severe damage in the image.", "malformed"),
]  # fmt: skip

CHANGED = [
    ("Yes", True),
    ("yes.", True),
    ("No", False),
    ("No, nothing has changed.", False),
    ("Yes, two new buildings.", True),
    ("**Yes**", True),
    ("Answer: yes", True),
    ("The answer is no.", False),
    ('{"answer": "yes"}', True),
    ('{"changed": false}', False),
    ("Yes, a building was removed.", True),
    ("No changes.", False),
    ('{"built": 2, "removed": 0}', True),
    ('{"built": 0, "removed": 0}', False),
    ("Yes and no", None),
    ("Maybe", None),
    ("Yes or no?", None),
    ("I think yes", None),
    ("not sure", None),
    ("The images differ.", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "expected"), [*JSON, *LISTS, *NOTHING, *AS_MODELS_WRITE])
def test_counts_are_read_from_json_lists_tables_and_plain_sentences(text: str, expected: object) -> None:
    assert told(text) == expected


@pytest.mark.parametrize(("text", "expected"), DAMAGE)
def test_names_of_classes_are_read_in_any_spelling_and_no_other_name_is_taken_for_one(
    text: str, expected: object
) -> None:
    assert told(text, XVIEW2) == expected


@pytest.mark.parametrize(("text", "expected"), CHANGED)
def test_yes_and_no_are_read_where_the_prompt_asks_for_no_counts(text: str, expected: bool | None) -> None:
    found = reading(text, prompt=YES_NO)
    if expected is None:
        assert found.outcome != "parsed"
    else:
        assert (found.outcome, found.value["changed"]) == ("parsed", expected)


def test_classes_left_out_and_names_of_none_are_told() -> None:
    found = reading('{"built": 2, "demolished": 1, "total": 3, "why": "roofs", "overall_changes": 3, "wall": 0}')
    assert found.value == {"changed": True, "counts": {"built": 2}}
    assert found.data == {"absent": ["removed", "damaged"], "unknown": ["demolished", "wall"]}


@pytest.mark.parametrize(
    "text",
    ["{" * 20_000, '{"a":' * 4_000, "built 2 " * 2_500, "built: " * 3_000, "|" * 20_000, "no " * 7_000,
     '{"built": 2}' * 1_700, "'" * 20_000, "{'" * 10_000, "- 1. " * 4_000, "1,111" * 4_000, "{}" * 10_000],
)  # fmt: skip
def test_the_longest_answers_are_read_whatever_they_repeat(text: str) -> None:
    assert reading(text).outcome in ("parsed", "malformed", "refused")
