"""What the checks of a table promise: they find what can't be, and leave alone what can."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline import stats
from paceline.config.schema import GROUPS
from paceline.errors import UserError
from paceline.report.consistency import Finding, across, check, row_checks
from paceline.report.consistency.published import read_table
from paceline.sweep.config_files import ConfTree, conf_folders
from paceline.tasks.figures import parse_figure
from paceline.tasks.geolocation import gazetteer
from paceline.tasks.geolocation.figure_checks import HALF_EARTH_KM

PUBLISHED = Path(__file__).parents[3] / "conf" / "published"
Paceline = Callable[..., tuple[int, str, str]]


def findings(folder: Path, content: dict[str, Any]) -> tuple[Finding, ...]:
    path = folder / "table.json"
    path.write_text(json.dumps(content))
    return check(read_table(path))


def row(folder: Path, n: int | None = None, **figures: str) -> list[tuple[str, str]]:
    """(check, severity) of what is found in one row."""
    own: dict[str, Any] = {"model": "m", "figures": figures}
    return [(f.check, f.severity) for f in findings(folder, {"rows": [own | ({"n": str(n)} if n else {})]})]


def test_the_studys_table_has_just_the_contradictions_that_it_is_known_for() -> None:
    found = {(f.check, f.row, f.figure): f for f in check(read_table(PUBLISHED / "geolocator.yaml"))}
    assert set(found) == {
        ("median_against_shares", "pixtral_12b · tuned", "within_1000_km"),
        ("bounds", "qwen2_vl_2b · lora before its change", "max_km"),
        ("cases_beyond", "pixtral_12b · tuned", "max_km"),
        ("swapped_truths", "a photo of the cases", "truth"),
        ("text_against_table", "phi35_vision", "easy image of phi35_vision"),
        ("text_against_table", "phi35_vision", "medium image of phi35_vision"),
        ("improved_or_not", "llama", "method"),
    }
    assert {f.severity for f in found.values()} == {"impossible"}
    numbers = {key[:2]: " ".join(f.numbers.values()) for key, f in found.items()}
    assert numbers["median_against_shares", "pixtral_12b · tuned"] == "53.96 % (+37.79) 2587.077 (−1789)"
    assert numbers["bounds", "qwen2_vl_2b · lora before its change"] == "36592.42 (from 18296.21 (−18296.21))"
    assert "18816.1" in numbers["cases_beyond", "pixtral_12b · tuned"]


def test_counts_that_can_be_are_left_alone() -> None:
    assert check(read_table(PUBLISHED / "sports.yaml")) == ()


def test_the_table_that_the_documentation_shows_is_read_and_has_no_findings(tmp_path: Path) -> None:
    text = (PUBLISHED.parents[1] / "docs" / "review.md").read_text(encoding="utf-8")
    (tmp_path / "table.yaml").write_text(text.split("```yaml\n")[1].split("```")[0])
    table = read_table(tmp_path / "table.yaml")
    assert (len(table.rows), len(table.cases), len(table.truths), len(table.statements)) == (3, 1, 2, 4)
    assert check(table) == ()


def test_every_check_is_explained_where_it_is_listed() -> None:
    text = (PUBLISHED.parents[1] / "docs" / "review.md").read_text(encoding="utf-8")
    for function in (*row_checks.checks(), *across.checks()):
        assert function.__doc__
        assert function is across.within_rows or f"`{function.__name__}`" in text


def test_published_tables_are_no_config_group() -> None:
    assert "published" not in GROUPS
    assert "geolocator" not in [c for g in GROUPS for c in ConfTree(conf_folders(None)).choices(g)]


distances = st.lists(st.floats(0, HALF_EARTH_KM), min_size=1, max_size=60)


def printed(sample: list[float], unread: int, thresholds: list[int], decimals: int, ddof: int) -> dict[str, float]:
    """Figures of a real sample, not yet rounded."""
    x, n = np.array(sample), len(sample) + unread
    figures = {f"within_{km}_km": 100 * int((x <= km).sum()) / n for km in thresholds}
    for name in ("min", "mean", "median", "max"):
        figures[f"{name}_km"] = float(getattr(np, name)(x))
    if len(sample) > ddof:
        figures["std_km"] = float(x.std(ddof=ddof))
    return figures | {"parsed_share": 100 * len(sample) / n}


def unit(name: str) -> str:
    return " %" if name.endswith("share") or name.startswith("within") else ""


@settings(deadline=None, max_examples=300)
@given(
    st.lists(distances, min_size=2, max_size=2),
    st.integers(0, 30),
    st.lists(st.integers(1, 21000), min_size=1, max_size=5, unique=True),
    st.integers(0, 4),
    st.integers(0, 1),
    st.booleans(),
)
def test_no_table_of_a_real_sample_is_called_impossible(
    tmp_path_factory: pytest.TempPathFactory,
    samples: list[list[float]],
    unread: int,
    thresholds: list[int],
    decimals: int,
    ddof: int,
    tells_read: bool,
) -> None:
    before, after = (printed(sample, unread, thresholds, decimals, ddof) for sample in samples)
    figures = {
        name: f"{value:.{decimals}f}{unit(name)} ({value - before[name]:+.{decimals}f})"
        for name, value in after.items()
        if name in before and (tells_read or name != "parsed_share")
    }
    own = {"model": "m", "method": "lora", "n": str(len(samples[1]) + unread), "figures": figures}
    cases = [{"image": f"image {i}", "km": {"m": f"{km:.{decimals}f}"}} for i, km in enumerate(samples[1])]
    found = findings(tmp_path_factory.mktemp("t"), {"rows": [own], "cases": cases})
    # What a table leaves open may look odd: how many were read, and whether a change is more than chance.
    allowed = {"changes_within_chance"} | (set() if tells_read else {"median_against_shares"})
    assert [f for f in found if f.severity == "impossible" or f.check not in allowed] == []


@pytest.mark.parametrize(
    ("figures", "found"),
    [
        ({"within_25_km": "101 %"}, "bounds"),
        ({"mean_km": "20016"}, "bounds"),
        ({"std_km": "14500"}, "bounds"),
        ({"min_km": "0.54 (+5.46)"}, "bounds"),
        ({"min_km": "13", "median_km": "11"}, "order"),
        ({"mean_km": "900", "max_km": "800"}, "order"),
        ({"mean_km": "10", "max_km": "100", "min_km": "5", "std_km": "40"}, "spread"),
        ({"mean_km": "5000", "median_km": "1000", "std_km": "3000"}, "spread"),
        ({"within_25_km": "8.1 %", "within_100_km": "7.9 %"}, "shares_grow"),
        ({"within_1000_km": "53.96 %", "median_km": "2587.077"}, "median_against_shares"),
        ({"within_500_km": "48.5 %", "median_km": "480", "parsed_share": "100 %"}, "median_against_shares"),
        ({"within_25_km": "3 %", "min_km": "30"}, "extremes_against_shares"),
        ({"within_25_km": "80 %", "max_km": "20", "unread_share": "0.0 %"}, "extremes_against_shares"),
        ({"within_100_km": "90 %", "max_km": "1000", "mean_km": "300"}, "mean_against_shares"),
        ({"within_1000_km": "10 %", "parsed_share": "99 %", "mean_km": "500"}, "mean_against_shares"),
        ({"exact_accuracy": "212 of 500 (43.4 %)"}, "counts"),
        ({"exact_accuracy": "512 of 500"}, "bounds"),
    ],
)
def test_figures_that_can_not_stand_side_by_side_are_impossible(
    figures: dict[str, str], found: str, tmp_path: Path
) -> None:
    assert row(tmp_path, **figures) == [(found, "impossible")]


@pytest.mark.parametrize(
    "figures",
    [
        {"within_1000_km": "50.0 %", "median_km": "1000.4"},  # rounding explains it
        {"within_1000_km": "50.04 %", "within_500_km": "50.0 %", "median_km": "500"},
        {"max_km": "20015"},
        {"within_25_km": "8.0 %", "within_100_km": "8.0 %"},
        {"exact_accuracy": "212 of 500 (42.4 %)"},
        {"max_km": "17837 (−~1000)", "mean_km": "2719 (-2,711)"},
        {"within_500_km": "30 %", "median_km": "480", "parsed_share": "60 %"},  # half of the read ones
    ],
)
def test_figures_that_rounding_or_unread_answers_explain_are_left_alone(
    figures: dict[str, str], tmp_path: Path
) -> None:
    assert row(tmp_path, **figures) == []


def test_what_hangs_on_a_denominator_is_only_suspicious(tmp_path: Path) -> None:
    assert row(tmp_path, within_500_km="48.5 %", median_km="480") == [("median_against_shares", "suspicious")]
    # 51 of 2,250 are 2.27 % and 52 are 2.31 %
    assert row(tmp_path, n=2250, within_25_km="2.29 %") == [("counts", "suspicious")]
    assert row(tmp_path, n=2250, within_25_km="2.27 %") == []


def test_a_change_within_chance_is_told_with_its_intervals(tmp_path: Path) -> None:
    own = {"model": "m", "n": "2250", "figures": {"within_25_km": "8.5 % (+0.9)", "within_500_km": "45.5 % (+33.7)"}}
    (found,) = findings(tmp_path, {"rows": [own]})
    assert (found.check, found.figure, found.severity) == ("changes_within_chance", "within_25_km", "suspicious")
    assert found.numbers["interval"] == "7.4–9.7 %"
    assert found.numbers["n"] == "2,250"


def test_a_best_row_that_can_not_be_told_apart_is_no_best_row(tmp_path: Path) -> None:
    rows = [
        {"model": m, "n": "2250", "figures": {"within_25_km": v}}
        for m, v in {"a": "8.5 %", "b": "8.4 %", "c": "3 %"}.items()
    ]
    said = [
        {"says": "a beats b", "better": {"model": "a"}, "than": {"model": "b"}, "metric": "within_25_km"},
        {"says": "a beats c", "better": {"model": "a"}, "than": {"model": "c"}, "metric": "within_25_km"},
        {"says": "c beats b", "better": {"model": "c"}, "than": {"model": "b"}, "metric": "within_25_km"},
    ]
    found = findings(tmp_path, {"rows": rows, "statements": said})
    assert [(f.severity, f.row) for f in found] == [("impossible", "c"), ("suspicious", "a")]


def test_a_model_that_got_worse_has_not_improved(tmp_path: Path) -> None:
    rows = [
        {"model": "a", "method": "untuned", "figures": {"median_km": "900", "min_km": "1"}},
        {"model": "a", "method": "lora", "figures": {"median_km": "950", "min_km": "2"}},
        {"model": "b", "method": "lora", "figures": {"within_25_km": "7 % (+2)"}},
    ]
    (found,) = findings(tmp_path, {"rows": rows, "statements": [{"says": "all improved", "improved": "all"}]})
    assert (found.row, found.figure, found.severity) == ("a · lora", "median_km", "suspicious")


def test_equal_answers_of_other_weights_are_suspicious_and_of_the_same_are_not(tmp_path: Path) -> None:
    rows = [
        {"model": "a", "prompt": "p", "figures": {}, "predictions": "d" * 64},
        {"model": "a", "prompt": "q", "figures": {}, "predictions": "d" * 64},
        {"model": "b", "prompt": "p", "figures": {}, "predictions": "d" * 64},
    ]
    (found,) = findings(tmp_path, {"rows": rows})
    assert (found.check, found.row) == ("same_answers", "b · p")


def test_a_truth_is_swapped_only_where_swapping_brings_it_into_its_country() -> None:
    points = [(18.44396, 47.569883), (47.569883, 18.44396), (47.8, 18.9), (10.0, 120.0), (-33.9, 151.2)]
    countries = ["HU", "HU", "SK", "HU", "AU"]
    assert gazetteer.swapped(points, countries) == [True, False, False, False, False]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(range(144_563)), min_size=1, max_size=20))
def test_no_city_of_the_gazetteer_is_called_swapped(indices: list[int]) -> None:
    cities = [gazetteer.cities()[i] for i in indices]
    assert not any(gazetteer.swapped([(c.latitude, c.longitude) for c in cities], [c.country for c in cities]))


def test_the_interval_of_a_difference_is_newcombes() -> None:
    """The example of his paper's table II: 56 of 70 against 48 of 80."""
    found = stats.newcombe_interval(48, 80, 56, 70)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert stats.newcombe_interval(0, 0, 1, 2).value is None


@pytest.mark.parametrize(
    ("text", "value", "slack", "change"),
    [
        ("7.6 % (+3.7)", 0.076, 0.0005, 0.037),
        ("2308.44 (−5305.96)", 2308.44, 0.005, -5305.96),
        ("~1000", 1000, 500, None),
        ("~1250 km", 1250, 5, None),
        ("1,232 km", 1232, 0.5, None),
        ("1.2e3", 1200, 50, None),
    ],
)
def test_a_figure_is_trusted_to_half_of_its_last_digit(
    text: str, value: float, slack: float, change: float | None
) -> None:
    found = parse_figure(text, "within_25_km" if "%" in text else "mean_km")
    assert (found.value, found.slack) == pytest.approx((value, slack), rel=1e-3)
    assert found.change == (None if change is None else pytest.approx(change))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rows: []", "rows: none is given"),
        ("[1]", "expected a mapping"),
        ("a: [", "no YAML"),
        ("title: a\ntitle: b", "'title' stands twice"),
        ("row: []", "unknown key 'row': did you mean 'rows'"),
        ("rows: [{model: a}]", "rows[0]: 'figures' is not given"),
        ("rows: [{model: a, figure: {}}]", "rows[0]: unknown key 'figure': did you mean 'figures'"),
        ("rows: [{model: a, figures: {mean_km: fast}}]", "rows[0].figures.mean_km: 'fast' is no figure"),
        ("rows: [{model: a, figures: {mean_km: 5 m}}]", "mean_km is in km, not m"),
        ("rows: [{model: a, figures: {within_25_km: 53.96}}]", "write 53.96 % or a number from 0 to 1"),
        ("rows: [{model: a, figures: {mean_km: '2308,44'}}]", "write decimals with a point"),
        ("rows: [{model: a, figures: {}}, {model: a, figures: {}}]", "'a' stands twice"),
        ("rows: [{model: a, figures: {}}]\ncases: [{image: i, km: {b: 3}}]", "cases[0].km: no row of a model 'b'"),
        (
            "rows: [{model: a, figures: {}}]\nplaces: [{name: x, latitude: 1, longitude: 2, country: Hungry}]",
            "places[0].country: no country 'Hungry': did you mean 'Hungary'",
        ),
        ("rows: [{model: a, figures: {}}]\nstatements: [{says: x}]", "statements[0]: says nothing to check"),
        (
            "rows: [{model: a, figures: {mean_km: 3}}]\nstatements: [{says: x, model: a, metric: men_km, value: 3}]",
            "statements[0].metric: a has no 'men_km': did you mean 'mean_km'",
        ),
        (
            "rows: [{model: a, prompt: p, figures: {}}, {model: a, prompt: q, figures: {}}]\n"
            "statements: [{says: x, model: a, metric: mean_km, value: 3}]",
            "say which by model, method, prompt, test",
        ),
    ],
)
def test_a_malformed_table_exits_2_with_place_and_remedy(
    text: str, said: str, tmp_path: Path, command_line: Paceline
) -> None:
    (tmp_path / "table.yaml").write_text(text)
    code, _, err = command_line("check", str(tmp_path / "table.yaml"))
    assert code == 2
    assert said in err and "table.yaml" in err
    assert "Traceback" not in err
    with pytest.raises(UserError):
        read_table(tmp_path / "table.yaml")


def test_check_exits_1_with_findings_and_0_without(command_line: Paceline, tmp_path: Path) -> None:
    code, out, _ = command_line("check", "published/geolocator.yaml")
    assert code == 1
    assert "53.96 %" in out and "7 findings" in out
    code, out, _ = command_line("check", str(PUBLISHED / "sports.yaml"))
    assert code == 0
    assert "no findings" in out
    code, out, _ = command_line("check", "published/geolocator.yaml", "--json")
    told = json.loads(out)
    assert code == 1
    assert {f["severity"] for f in told["findings"]} == {"impossible"}
    assert all({"check", "row", "figure", "numbers", "why"} <= set(f) for f in told["findings"])


def test_a_file_that_there_is_not_is_told_with_where_it_was_looked_for(command_line: Paceline) -> None:
    code, _, err = command_line("check", "published/geolocater.yaml")
    assert code == 2
    assert "no file published/geolocater.yaml" in err


def test_an_export_in_long_form_is_checked_like_a_table(tmp_path: Path) -> None:
    lines = [
        "sweep,cell,model,task,split,prompt,method,variant,trained_on,state,metric,value,low,high,n,unit",
        "s,c1,m,t,far,p,lora,r=8,p,done,within_1000_km,0.5396,,,1000,share",
        "s,c1,m,t,far,p,lora,r=8,p,done,median_km,2587.077,,,990,km",
        "s,c1,m,t,near,p,lora,r=8,p,done,median_km,500.0,,,990,km",
        "s,c2,m,t,far,p,lora,r=16,p,failed,,,,,,",
    ]
    (tmp_path / "out.csv").write_text("\n".join(lines))
    found = check(read_table(tmp_path / "out.csv"))
    assert [(f.check, f.row) for f in found if f.severity == "impossible"] == [
        ("median_against_shares", "m · lora (r=8) · p · t · far")
    ]
    metrics = {"far/within_1000_km": {"value": 0.54, "n": 1000, "unit": "share"}}
    metrics["far/median_km"] = {"value": 2587.077, "n": 990, "unit": "km"}
    content = {"rows": [{"id": "c", "model": "m", "method": "lora", "prompt": "p", "task": "t", "metrics": metrics}]}
    (tmp_path / "out.json").write_text(json.dumps(content))
    assert [f.check for f in check(read_table(tmp_path / "out.json"))] == ["median_against_shares"]


def test_a_table_of_something_else_is_refused_with_the_columns_wanted(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no column 'model'"):
        read_table(tmp_path / "out.csv")


def test_a_share_that_counts_no_samples_is_held_to_no_whole_count(tmp_path: Path) -> None:
    def exported(**metrics: float) -> set[str]:
        lines = ["model,task,method,metric,value,n,unit"]
        lines += [f"m,t,full,{name},{value!r},147,share" for name, value in metrics.items()]
        (tmp_path / "out.csv").write_text("\n".join(lines))
        return {f.figure for f in check(read_table(tmp_path / "out.csv"))}

    captions = {"bleu_1": 0.31234, "bleu_4": 0.1234567, "chrf": 0.4567891, "rouge_l": 0.2345671}
    assert exported(**captions, parsed_share=140 / 147) == set()
    assert exported(**captions, parsed_share=0.9321) == {"parsed_share"}
    # A mean of people's agreement in one kind, right or wrong in others: the row's other figures tell which.
    assert exported(accuracy=0.1234567, official_accuracy=0.1234) == set()
    assert exported(accuracy=0.1234567, parsed_share=1.0) == {"accuracy"}
    assert row(tmp_path, n=147, balanced_accuracy="12.34567 %", hits_share="12.34567 %") == [("counts", "suspicious")]
