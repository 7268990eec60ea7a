"""Answers of several classes as models write them, labelled by hand before the reader saw them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline import tasks
from paceline.config.schema import Config, PromptSpec, TaskSpec
from paceline.scoring import judge
from paceline.tasks.kind import Answer

CLASSES = {
    "U": "Urban fabric",
    "I": "Industrial or commercial units",
    "A": "Arable land",
    "P": "Permanent crops",
    "Pa": "Pastures",
    "C": "Complex cultivation patterns",
    "L": "Land principally occupied by agriculture, with significant areas of natural vegetation",
    "Ag": "Agro-forestry areas",
    "B": "Broad-leaved forest",
    "Co": "Coniferous forest",
    "M": "Mixed forest",
    "N": "Natural grassland and sparsely vegetated areas",
    "H": "Moors, heathland and sclerophyllous vegetation",
    "T": "Transitional woodland, shrub",
    "Be": "Beaches, dunes, sands",
    "IW": "Inland wetlands",
    "CW": "Coastal wetlands",
    "W": "Inland waters",
    "S": "Marine waters",
}
KIND = tasks.load("multi_label")
TASK = TaskSpec(name="cover", kind="multi_label", target="{labels}", evaluate=["test"])
PROMPT = PromptSpec(name="p", text="Which of these land-cover classes does the image show? {classes}")
LETTERED = PromptSpec(name="p", text="Which of these does the image show?\n{choices}")
UNREAD, REFUSED = "unread", "refused"
EVERY = " ".join(CLASSES)

ANSWERS = [
    # one class, as it stands
    ("Mixed forest", "M"),
    ("mixed forest.", "M"),
    ("**Coniferous forest**", "Co"),
    ("Arable land", "A"),
    ("Pasture", "Pa"),
    ("Beaches, dunes, sands", "Be"),
    ("Transitional woodland, shrub", "T"),
    ("transitional woodland-shrub", "T"),
    ("Transitional woodland/shrub", "T"),
    ("Land principally occupied by agriculture, with significant areas of natural vegetation", "L"),
    ("land principally occupied by agriculture with significant areas of natural vegetation", "L"),
    ("Moors, heathland and sclerophyllous vegetation", "H"),
    ("Industrial or commercial units", "I"),
    ("Industrial and commercial units.", "I"),
    ("Answer: Marine waters", "S"),
    ("<answer>Inland waters</answer>", "W"),
    ("The answer is Coastal wetlands.", "CW"),
    ("Agroforestry areas", "Ag"),
    ("Broadleaved forest", "B"),
    ("Broad leaved forests", "B"),
    # lists
    ("Mixed forest; Inland waters", "M W"),
    ("Mixed forest, Inland waters", "M W"),
    ("Mixed forest, coniferous forest, and pastures.", "M Co Pa"),
    ("Urban fabric / Arable land / Pastures", "U A Pa"),
    ("Urban fabric | Pastures", "U Pa"),
    ("Urban fabric\nPastures\nArable land", "U Pa A"),
    ("- Urban fabric\n- Inland waters", "U W"),
    ("* Coniferous forest\n* Transitional woodland, shrub\n* Inland waters", "Co T W"),
    ("1. Arable land\n2. Pastures\n3. Broad-leaved forest", "A Pa B"),
    ("• **Arable land**: brown and green fields\n• **Urban fabric**: a small village in the north", "A U"),
    ("Arable land & pastures", "A Pa"),
    ("Arable land + Pastures + Mixed forest", "A Pa M"),
    ("Labels: Arable land; Complex cultivation patterns", "A C"),
    ("Classes: [Arable land, Pastures]", "A Pa"),
    ("Beaches, dunes, sands, Marine waters", "Be S"),
    ("Marine waters, Beaches, dunes, sands, Urban fabric", "S Be U"),
    ("Moors, heathland and sclerophyllous vegetation, Natural grassland and sparsely vegetated areas", "H N"),
    (
        "Land principally occupied by agriculture, with significant areas of natural vegetation, Mixed forest, "
        "Transitional woodland, shrub",
        "L M T",
    ),
    ("arable land; pastures; arable land", "A Pa"),
    ("Arable land.Pastures.", "A Pa"),
    ("#arable land #pastures", "A Pa"),
    # JSON and the like
    ('["Mixed forest", "Inland waters"]', "M W"),
    ("['Mixed forest', 'Inland waters']", "M W"),
    ('{"labels": ["Arable land", "Pastures"]}', "A Pa"),
    ('```json\n{"labels": ["Arable land", "Beaches, dunes, sands"]}\n```', "A Be"),
    ('{"Arable land": true, "Pastures": false, "Mixed forest": true}', "A M"),
    ('{"Arable land": "yes", "Pastures": "no"}', "A"),
    ('{"Arable land": 1, "Pastures": 0, "Urban fabric": 1}', "A U"),
    ('{"classes": [{"name": "Arable land"}, {"name": "Urban fabric"}]}', "A U"),
    ('{"present": ["Arable land"], "absent": ["Pastures", "Urban fabric"]}', "A"),
    ('{"answer": "Arable land, Pastures"}', "A Pa"),
    ('{"labels": []}', UNREAD),
    ("[]", UNREAD),
    # sentences
    ("The image shows arable land and pastures.", "A Pa"),
    ("This satellite image shows a mixed forest with inland waters in the south.", "M W"),
    ("I can see urban fabric, arable land, and some pastures.", "U A Pa"),
    ("The land cover is mostly arable land, with patches of broad-leaved forest and urban fabric.", "A B U"),
    ("There is a large area of coniferous forest. In the upper left, inland waters are visible.", "Co W"),
    ("The following land-cover classes are present: Arable land, Pastures.", "A Pa"),
    ("Based on the image, the land cover classes are:\n\n1. Urban fabric\n2. Inland waters", "U W"),
    ("The scene contains coniferous and mixed forests.", "Co M"),
    ("Coniferous, mixed and broad-leaved forest", "Co M B"),
    ("Inland and marine waters", "W S"),
    ("Both inland and coastal wetlands are there.", "IW CW"),
    ("Not only arable land but also pastures.", "A Pa"),
    ("Without doubt arable land.", "A"),
    ("Lakes and coniferous forest", "W Co"),
    ("A river runs through pastures.", "W Pa"),
    ("Vineyards and olive groves", "P"),
    ("The sea, a beach and heathland.", "S Be H"),
    ("The image shows a village with residential areas and agroforestry.", "U Ag"),
    ("Peat bogs and natural grassland", "IW N"),
    ("salt marshes next to the ocean", "CW S"),
    ("industrial area, deciduous forest", "I B"),
    ("It is a coniferous forest.", "Co"),
    ("Arable land (about 70 %), pastures (30 %)", "A Pa"),
    ("Arable land is the dominant class, while urban fabric covers a small part.", "A U"),
    ("Arable land covers the north, but there is urban fabric too.", "A U"),
    # negated
    ("Arable land, no water", "A"),
    ("Arable land and no urban fabric", "A"),
    ("There is arable land but no inland waters.", "A"),
    ("This is not coniferous forest but mixed forest.", "M"),
    ("Mixed forest, not coniferous forest", "M"),
    ("Mixed forest rather than coniferous forest.", "M"),
    ("No urban fabric, pastures or arable land; only mixed forest.", "M"),
    ("There are no marine waters or coastal wetlands. Pastures dominate.", "Pa"),
    ("Neither coniferous forest nor mixed forest is visible, only pastures.", "Pa"),
    ("Pastures are visible. Inland waters are not visible.", "Pa"),
    ("Pastures are present. Urban fabric is absent.", "Pa"),
    ("Pastures without inland waters", "Pa"),
    ("Urban fabric: yes\nPastures: no\nArable land: yes", "U A"),
    ("Urban fabric - yes, Pastures - no", "U"),
    ("Urban fabric: Present\nMarine waters: Absent\nInland waters: Not present", "U"),
    ("Urban fabric: 1\nPastures: 0\nArable land: 1", "U A"),
    ("Urban fabric: True\nPastures: False", "U"),
    ("✓ Urban fabric\n✗ Pastures", "U"),
    ("[x] Urban fabric\n[ ] Pastures", "U"),
    ("Present: Urban fabric, Pastures\nAbsent: Inland waters, Marine waters", "U Pa"),
    ("Present:\n- Urban fabric\n- Pastures\n\nNot present:\n- Inland waters\n- Marine waters", "U Pa"),
    ("All classes except marine waters", " ".join(k for k in CLASSES if k != "S")),
    ("Everything but marine waters and coastal wetlands.", " ".join(k for k in CLASSES if k not in ("S", "CW"))),
    ("It doesn't show urban fabric. It shows pastures.", "Pa"),
    ("I don't see inland waters, but I see arable land.", "A"),
    ("Urban fabric, pastures, no inland waters, mixed forest", "U Pa M"),
    ("Coniferous forest (no mixed forest)", "Co"),
    ("Pastures instead of arable land", "Pa"),
    ("The area lacks urban fabric; it is moors and heathland.", "H"),
    ("No water.", UNREAD),
    ("There is no urban fabric.", UNREAD),
    ("not forest", UNREAD),
    # hedged
    ("Mixed forest and possibly inland waters", "M"),
    ("Mixed forest, maybe pastures", "M"),
    ("Mixed forest, possibly pastures, urban fabric", "M U"),
    ("Pastures. There might be inland waters as well.", "Pa"),
    ("Arable land; perhaps also permanent crops", "A"),
    ("Arable land, and what could be permanent crops.", "A"),
    ("Arable land (likely), pastures", "Pa"),
    ("Arable land, pastures (possible)", "A"),
    ("Arable land: yes\nPastures: maybe\nMixed forest: unclear", "A"),
    ("Arable land, pastures?", "A"),
    ("Urban fabric, coniferous or mixed forest", "U"),
    ("Arable land. Also either pastures or natural grassland.", "A"),
    ("Maybe mixed forest", UNREAD),
    ("Possibly mixed forest and pastures", UNREAD),
    ("It could be mixed forest or coniferous forest.", UNREAD),
    ("Mixed forest or coniferous forest", UNREAD),
    ("The image may show arable land and pastures.", UNREAD),
    ("It appears to be mixed forest.", UNREAD),
    ("I think it is pastures", UNREAD),
    ("Mixed forest? Coniferous forest?", UNREAD),
    ("I'm not sure, but there may be pastures.", UNREAD),
    ("Certain: arable land\nUncertain: pastures", "A"),
    ("Pastures are clearly visible; inland waters are possible.", "Pa"),
    # names in others, words that mean several
    ("forest", UNREAD),
    ("water", UNREAD),
    ("wetlands and pastures", "Pa"),
    ("A water tower and a forest fire.", UNREAD),
    ("Natural vegetation", UNREAD),
    ("Agriculture", UNREAD),
    ("Natural grassland", "N"),
    ("sparsely vegetated areas", "N"),
    ("Complex cultivation", "C"),
    ("non-irrigated arable land", "A"),
    # all and none
    ("All of the above", EVERY),
    ("All of these classes are present.", EVERY),
    ("None of the above", UNREAD),
    ("None", UNREAD),
    ("No, none of these classes.", UNREAD),
    ("not all of these classes", UNREAD),
    # as they were met later
    ("| Class | Present |\n|---|---|\n| Urban fabric | Yes |\n| Pastures | No |", "U"),
    ("Pastures: 0.2, Urban fabric: 0.4, Arable land (70 %)", "A"),
    ("None other than pastures.", "Pa"),
    ("Except for a small lake, everything is arable land.", "A"),
    ("As an AI language model, I cannot view images, but it may show forest.", REFUSED),
    ("I'm sorry, there is no mixed forest.", UNREAD),
    ("1. Urban fabric: Yes, houses are visible.\n2. Industrial or commercial units: No, there are none.", "U"),
    ("It primarily consists of arable land. There is no sign of urban fabric or industrial units.", "A"),
    ("Mixed forest is visible, as are pastures.", "M Pa"),
    ("Either arable land or pastures; mixed forest is clearly visible.", "M"),
    ("Nothing but marine waters.", "S"),
    ("Classes present: pastures, urban fabric. Classes absent: arable land, mixed forest.", "Pa U"),
    # restated
    (
        "The options are urban fabric, pastures and arable land. The image shows pastures.",
        "Pa",
    ),
    ("Of the given classes, the image shows urban fabric and pastures.", "U Pa"),
    ("Is there urban fabric? Yes. I also see pastures.", "U Pa"),
    ("Which classes does the image show? Pastures and arable land.", "Pa A"),
    ("<think>Urban fabric? No. Marine waters? No.</think>Pastures; Arable land", "Pa A"),
    # refusals
    ("I'm sorry, but I can't help with that.", REFUSED),
    ("I cannot determine the land cover from this image.", REFUSED),
    ("There is no image provided.", REFUSED),
    ("I am unable to view images.", REFUSED),
    # nothing
    ("", UNREAD),
    ("...", UNREAD),
    ("A beautiful view from above.", UNREAD),
    ("roads and clouds", UNREAD),
    ("yes", UNREAD),
]
LETTERS = [
    ("A, C", "U A"),
    ("A. Urban fabric\nC. Arable land", "U A"),
    ("(A) and (K)", "U M"),
    ("C", "A"),
    ("A, B, C and not D", "U I A"),
    ("The image shows A and C.", "U A"),
    ("K. Mixed forest; A", "M U"),
    ("A forest with a lake", "W"),
    ("A mixed forest", "M"),
    ("T", UNREAD),
    ("A or B", UNREAD),
    ("I see pastures", "Pa"),
    ('["A", "C"]', "U A"),
]


def sample(*labels: str) -> dict[str, Any]:
    return {"id": "s", "split": "test", "labels": list(labels), "classes": list(CLASSES.values())}


def reading(text: str, prompt: PromptSpec = PROMPT) -> Any:
    one = sample("Pastures")
    (part,) = KIND.parts(one, TASK, prompt)
    return KIND.read(Answer(text), part, TASK, prompt)


def check(text: str, expected: str, prompt: PromptSpec) -> None:
    found = reading(text, prompt)
    if expected in (UNREAD, REFUSED):
        assert found.outcome == {UNREAD: "malformed", REFUSED: "refused"}[expected], found
        assert found.value is None
    else:
        keys = {name: key for key, name in CLASSES.items()}
        assert found.outcome == "parsed", found
        assert {keys[name] for name in found.value} == set(expected.split()), found


@pytest.mark.parametrize(("text", "expected"), ANSWERS)
def test_an_answer_claims_the_classes_that_a_careful_person_reads_in_it(text: str, expected: str) -> None:
    check(text, expected, PROMPT)


@pytest.mark.parametrize(("text", "expected"), LETTERS)
def test_letters_count_where_the_prompt_shows_them(text: str, expected: str) -> None:
    check(text, expected, LETTERED)


TEXTS = st.sampled_from([text for text, _ in ANSWERS]) | st.text(max_size=40)


@given(st.lists(st.tuples(st.sets(st.sampled_from(list(CLASSES.values())), min_size=1, max_size=4), TEXTS), min_size=1))
@settings(max_examples=40, deadline=None)
def test_refused_unread_wrong_partly_right_and_right_are_all(pairs: list[tuple[set[str], str]]) -> None:
    samples = [{**sample(*sorted(labels)), "id": str(n)} for n, (labels, _) in enumerate(pairs)]
    records = [{"sample": str(n), "text": text} for n, (_, text) in enumerate(pairs)]
    _, metrics = judge.judge(Config(task=TASK, prompt=PROMPT), records, samples)
    shares = ("exact_match", "partly_share", "wrong_share", "refused_share", "malformed_share")
    assert sum(metrics["metrics"][name]["value"] for name in shares) == pytest.approx(1.0)


def test_reading_takes_time_in_step_with_the_length_of_an_answer() -> None:
    for text in (
        "Mixed forest, " * 5000,
        "no " * 20000,
        "(" * 20000,
        "mixed and " * 5000,
        '{"a":' * 9000,
        "or " * 9000,
    ):
        reading(text)
