"""The geolocation scorer: what a record holds, which denominators metrics have, and the figures they give."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paceline import stats, tasks
from paceline.config.schema import Config, PromptSpec, TaskSpec
from paceline.errors import UserError
from paceline.scoring.digest import data_files, scorer_digest, scorer_sources
from paceline.scoring.judge import score_predictions
from paceline.tasks.geolocation import score as scorer
from paceline.tasks.geolocation.score import (
    EARTH_RADIUS_KM,
    HEADLINE,
    OUTCOMES,
    THRESHOLDS_KM,
    distances_km,
    geoscore,
)

KIND = tasks.load("geolocation")

EXAMPLE = "48.858844, 2.294351"


def sample(name: str, latitude: float, longitude: float, **more: Any) -> dict[str, Any]:
    return {"id": name, "split": "test", "image": f"{name}.jpg", "latitude": latitude, "longitude": longitude, **more}


SAMPLES = {
    record["id"]: record
    for record in (
        sample("bern", 46.948, 7.4474, country="CH", region="Bern", city="Bern"),
        sample("sydney", -33.8688, 151.2093, country="AU", region="New South Wales", city="Sydney"),
        sample("zero", 0.0, 0.0, country=None, region=None, city=None),
        sample("maastricht", 50.8514, 5.691, country="NL", region="Limburg", city="Maastricht"),
        sample("sea", 30.0, -40.0),
    )
}


def prediction(name: str, text: str) -> dict[str, Any]:
    return {
        "schema": 1, "sample": name, "text": text, "prompt_tokens": 9, "new_tokens": 9, "finish": "stop", "batch": 0,
    }  # fmt: skip


def score(
    predictions: list[dict[str, Any]], samples: dict[str, dict[str, Any]], example: str = ""
) -> list[dict[str, Any]]:
    """The records of ``scores.jsonl``."""
    config = Config(task=TaskSpec(kind="geolocation"), prompt=PromptSpec(example=example))
    return score_predictions(KIND, config, predictions, samples)


def aggregate(records: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return KIND.aggregate(KIND.answers(records))


def judged(*pairs: tuple[str, str], example: str = "") -> list[dict[str, Any]]:
    return score([prediction(name, text) for name, text in pairs], SAMPLES, example)


def test_a_record_holds_reading_truth_and_scores() -> None:
    (record,) = judged(("bern", "latitude: 46.948, longitude: 7.4474, country_name: Switzerland"))
    assert record == {
        "sample": "bern",
        "outcome": "parsed",
        "value": [46.948, 7.4474],
        "truth": {"latitude": 46.948, "longitude": 7.4474, "country": "CH", "region": "Bern", "city": "Bern"},
        "scores": {"distance_km": 0.0, "geoscore": 5000.0, "country": True, "region": True, "swapped": False},
    }


def test_an_unread_answer_is_a_miss_and_stays() -> None:
    records = judged(
        ("bern", "I can't tell."), ("sydney", "Sydney!"), ("sea", "(95.5, 200.5)"), ("zero", EXAMPLE), example=EXAMPLE
    )
    assert [r["outcome"] for r in records] == ["refused", "malformed", "out_of_range", "echoed"]
    assert [r["value"] for r in records] == [None] * 4
    assert records[0]["scores"] == {
        "distance_km": None, "geoscore": 0.0, "country": False, "region": False, "swapped": False,
    }  # fmt: skip
    assert records[2]["scores"]["country"] is None  # nothing known, nothing judged


def test_records_keep_the_order_and_survive_json() -> None:
    names = ["sydney", "bern", "zero", "sea", "bern"]
    records = judged(*((name, "-33.8688, 151.2093") for name in names))
    assert [r["sample"] for r in records] == names
    assert json.loads(json.dumps(records, allow_nan=False)) == records
    metrics = aggregate(records)
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


def test_country_and_region_are_those_of_the_predicted_place() -> None:
    records = judged(
        ("bern", "47.3769, 8.5417"),  # Zurich
        ("maastricht", "50.9307, 5.3325"),  # Hasselt: another country's Limburg
        ("sydney", "-35.2809, 149.1300"),  # Canberra
        ("zero", "46.948, 7.4474"),
    )
    assert [r["scores"]["country"] for r in records] == [True, False, True, None]
    assert [r["scores"]["region"] for r in records] == [False, False, False, None]


def test_names_are_compared_without_case_accents_and_punctuation() -> None:
    truth = {"geneva": sample("geneva", 46.2044, 6.1432, country="ch", region="Genève", city=None)}
    (record,) = score([prediction("geneva", "46.2044, 6.1432")], truth)
    assert record["scores"]["country"] is True
    assert scorer._folded("Île-de-France") == scorer._folded("ile de FRANCE")


def test_a_perfect_answer_at_the_date_line_is_in_the_right_country() -> None:
    # Taveuni: the nearest city lies on the other side of 180 degrees.
    truth = {"fiji": sample("fiji", -16.80, -179.99, country="FJ", region=None, city=None)}
    (record,) = score([prediction("fiji", "-16.80, -179.99")], truth)
    assert record["scores"]["country"] is True


def test_a_swapped_answer_is_counted() -> None:
    records = judged(("sydney", "151.2093, -33.8688"), ("bern", "46.9, 7.4"))
    assert [r["scores"]["swapped"] for r in records] == [True, False]
    assert records[0]["scores"]["distance_km"] == 0.0
    assert aggregate(records)["swapped_share"]["value"] == 0.5


def test_an_unknown_sample_is_named() -> None:
    with pytest.raises(ValueError, match="'nowhere'"):
        judged(("nowhere", "1.5, 2.5"))


def test_no_predictions() -> None:
    assert score([], SAMPLES) == []
    metrics = aggregate([])
    assert metrics["median_km"] == {"value": None, "low": None, "high": None, "n": 0, "unit": "km"}
    assert metrics["within_25_km"]["value"] is None


def test_distances_match_known_ones() -> None:
    quarter = math.pi / 2 * EARTH_RADIUS_KM
    assert distances_km([(0, 0), (0, 0), (90, 0)], [(0, 90), (90, 0), (-90, 0)]) == pytest.approx(
        [quarter, quarter, 2 * quarter]
    )
    # Nothing on Earth is farther than half a great circle, which the reports check printed figures against.
    assert 2 * quarter == pytest.approx(20_015.115, abs=0.01)
    (paris_london,) = distances_km([(48.8566, 2.3522)], [(51.5074, -0.1278)])
    assert paris_london == pytest.approx(343.56, abs=0.05)
    (across,) = distances_km([(0.0, 179.9)], [(0.0, -179.9)])
    assert across == pytest.approx(22.239, abs=0.01)
    assert distances_km([], []) == []


def test_geoscore() -> None:
    assert geoscore(0) == 5000
    assert geoscore(1492.7) == pytest.approx(5000 / math.e)
    assert geoscore(20_015) < 0.01


def records_at(distances: list[float | None], name: str = "", **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "sample": f"{name}{n}",
            "outcome": "malformed" if d is None else "parsed",
            "value": None if d is None else [0.0, 0.0],
            "truth": {},
            "scores": {
                "distance_km": d, "geoscore": 0.0 if d is None else geoscore(d), "country": None, "region": None,
                "swapped": False, **more,
            },
        }
        for n, d in enumerate(distances)
    ]  # fmt: skip


def test_thresholds_include_their_bound_and_count_every_sample() -> None:
    metrics = aggregate(records_at([1.0, 25.0, 25.0001, 100.0, 1000.0, 2500.0, None, None]))
    shares = {name: metrics[f"within_{name}_km"]["value"] * 8 for name in THRESHOLDS_KM}
    assert shares == {1: 1, 25: 2, 100: 4, 200: 4, 500: 4, 750: 4, 1000: 5, 2500: 6}
    assert all(metrics[f"within_{name}_km"]["n"] == 8 for name in THRESHOLDS_KM)
    assert metrics["parsed_share"]["value"] == 0.75
    assert metrics["malformed_share"]["value"] == 0.25


def test_distance_metrics_are_over_read_answers() -> None:
    distances = [3.0, 10.0, 400.0, 8000.0]
    metrics = aggregate(records_at([*distances, None]))
    found = {name: metrics[f"{name}_km"]["value"] for name in ("min", "mean", "median", "max", "std")}
    assert found == pytest.approx(
        {"min": 3.0, "mean": np.mean(distances), "median": 205.0, "max": 8000.0, "std": np.std(distances)}
    )
    assert {metrics[f"{name}_km"]["n"] for name in found} == {4}
    assert metrics["min_km"]["low"] is None and metrics["max_km"]["high"] is None
    assert metrics["mean_km"]["low"] < metrics["mean_km"]["value"] < metrics["mean_km"]["high"]
    assert metrics["std_km"]["low"] is not None
    assert metrics["geoscore"]["n"] == 5
    assert metrics["geoscore"]["value"] == pytest.approx(sum(geoscore(d) for d in distances) / 5)


def test_nothing_read() -> None:
    metrics = aggregate(records_at([None, None]))
    for name in ("min", "mean", "median", "max", "std"):
        assert metrics[f"{name}_km"] == {"value": None, "low": None, "high": None, "n": 0, "unit": "km"}
    assert metrics["geoscore"]["value"] == 0.0
    assert metrics["within_2500_km"]["value"] == 0.0
    assert metrics["within_2500_km"]["high"] > 0.5  # two misses prove little
    assert metrics["country_accuracy"]["value"] is None


def test_country_accuracy_has_known_truths_as_denominator() -> None:
    records = [
        *records_at([1.0, 2.0], country=True),
        *records_at([None], "b", country=False),
        *records_at([5.0], "c", country=None),
    ]
    metric = aggregate(records)["country_accuracy"]
    assert metric["value"] == pytest.approx(2 / 3)
    assert metric["n"] == 3


def test_the_studys_share_has_the_interval_that_the_documents_state() -> None:
    metric = aggregate(records_at([10.0] * 191 + [5000.0] * 2046 + [None] * 13))["within_25_km"]
    assert metric["n"] == 2250
    assert (metric["low"], metric["high"]) == pytest.approx((0.074, 0.097), abs=0.0005)


def test_outcome_shares_sum_to_one() -> None:
    metrics = aggregate(
        judged(("bern", "no"), ("sea", "1.5, 2.5"), ("zero", "I can't say"), ("sydney", "(99.5, 222.5)"))
    )
    assert sum(metrics[f"{outcome}_share"]["value"] for outcome in (o.name for o in OUTCOMES)) == pytest.approx(1.0)


def test_metrics_are_the_same_on_every_run() -> None:
    records = records_at([float(d) for d in np.random.default_rng(3).exponential(1000, 200)])
    assert aggregate(records) == aggregate(records)


def test_names_in_tables_are_metrics() -> None:
    metrics = aggregate([])
    assert set(HEADLINE) <= set(metrics)
    assert list(metrics) == [m.name for m in KIND.metrics]
    assert {m["unit"] for m in metrics.values()} == {"share", "km", "points"}


def test_importing_the_scorer_loads_nothing_heavy() -> None:
    code = (
        "import sys, paceline.tasks.geolocation.score;"
        "print([m for m in ('torch', 'transformers', 'pandas', 'scipy', 'reverse_geocoder') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- when stored metrics count as old


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A kind beside the shipped ones that rests on a package of its own, and a kind that it knows nothing of."""
    (tmp_path / "lab_words").mkdir()
    (tmp_path / "lab_words" / "score.py").write_text("")
    for name, source in {
        "lab_kind.py": KIND_SOURCE,
        "lab_words/__init__.py": "def word():\n    from paceline.tasks.lab_words.deep import word\n    return word\n",
        "lab_words/deep.py": "from paceline.tasks.geolocation.gazetteer import country_name\nword = 'one'\n",
        "lab_other.py": "def score(*_): return 'other'\n",
    }.items():
        (tmp_path / name).write_text(source)
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(tmp_path)])
    yield tmp_path
    tasks.load.cache_clear()
    for name in [n for n in sys.modules if n.startswith("paceline.tasks.lab_")]:
        del sys.modules[name]
        vars(tasks).pop(name.split(".")[2], None)


KIND_SOURCE = """
from paceline.tasks import lab_words
from paceline.tasks.metrics import Judged, Metric, Reading
FIELDS = {}
COLOUR = "red"
METRICS = (Metric("right_accuracy", score="right", hits=True),)
def fields(sample, task): return {}
def read(answer, part, task, prompt): return Reading("parsed", answer.text)
def helper(): return lab_words.word()
def score(answers, task, prompt): return [Judged(None, {"right": helper() == "one"}) for _ in answers]
def panels(results): return [COLOUR]
"""


def test_a_kind_that_there_is_not_is_refused_with_the_nearest(lab: Path) -> None:
    assert {"geolocation", "lab_kind"} <= set(tasks.names())
    for helper in ("kind", "panels", "__init__", "geolocatoin"):
        with pytest.raises(UserError, match=f"no task kind '{helper}'"):
            tasks.load(helper)


@pytest.mark.parametrize("name", ["lab_words/__init__.py", "lab_words/deep.py"])
def test_metrics_are_old_once_any_module_that_judging_rests_on_has_changed(lab: Path, name: str) -> None:
    kind = tasks.load("lab_kind")
    digest = scorer_digest(kind)
    assert scorer_digest(kind) == digest
    (lab / "lab_other.py").write_text("def score(*_): return 'changed'\n")
    assert scorer_digest(kind) == digest
    with (lab / name).open("a") as stream:
        stream.write("more = 1\n")
    assert scorer_digest(kind) != digest


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ('"red"', '"blue"', False),
        ("return [COLOUR]", "return []", False),
        ('== "one"', '== "two"', True),
        ("answer.text)", "answer.text.strip())", True),
        ('"right_accuracy"', '"hit_accuracy"', True),
        ("lab_words.word()", "lab_words.word() + ''", True),
    ],
)
def test_of_a_kind_in_one_module_only_what_judges_makes_metrics_old(
    lab: Path, old: str, new: str, counts: bool
) -> None:
    kind = tasks.load("lab_kind")
    digest = scorer_digest(kind)
    path = lab / "lab_kind.py"
    path.write_text(path.read_text().replace(old, new))
    assert (scorer_digest(kind) != digest) == counts


def test_the_digest_of_geolocation_covers_its_reader_the_gazetteer_and_the_statistics_and_no_panel() -> None:
    covered = set(scorer_sources(KIND))
    folder = Path(str(scorer.__file__)).parent
    reader = {p for p in folder.glob("coordinates/*.py") if p.stem != "__init__"}
    own = {
        f"paceline.tasks.geolocation.{n}" for n in ("score", "fields", "coordinates", "gazetteer", "stated_confidence")
    }
    own |= {f"paceline.tasks.geolocation.coordinates.{p.stem}" for p in reader}
    own |= {"geolocation/countries.json", "coordinates/languages.yaml"}
    assert covered == own | {stats.__name__, "paceline.tasks.answers", "paceline.tasks.metrics"}


def test_metrics_are_old_once_a_data_file_that_judging_reads_has_changed(tmp_path: Path) -> None:
    module, data = tmp_path / "words.py", tmp_path / "words.yaml"
    module.write_text("FILE = 'words.yaml'\nOTHER = 'gone.json'\n")
    data.write_text("one")
    assert data_files(module) == {f"{tmp_path.name}/words.yaml": b"one"}
    data.write_text("two")
    assert data_files(module) == {f"{tmp_path.name}/words.yaml": b"two"}
