"""Promises about templates, and about the prompts that are shipped."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from paceline.config.build import build
from paceline.config.schema import PromptSpec
from paceline.data import prompts
from paceline.errors import DataError, UserError
from paceline.tasks.geolocation.fields import FIELDS

CONF = Path(__file__).parents[3] / "conf" / "prompt"
GEO = ("stepwise", "stepwise_fallback", "narrowing", "confidence", "one_example", "bare", "training", "background")

names = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)


def test_fields_are_filled_in_with_and_without_a_format() -> None:
    values = {"city": "Bern", "latitude": 46.94809}
    assert prompts.render("{city}: {latitude:.2f} {latitude:+09.3f}", values) == "Bern: 46.95 +0046.948"


@pytest.mark.parametrize(
    "text",
    [
        '{"latitude": 1.5, "longitude": null}',
        "{lat, lon}",
        "{latitude: 12.5}",
        "{{latitude}",
        "{}",
        "{0}",
        "{latitude.real}",
        "{latitude[0]}",
        "{latitude!r}",
        "{unknown:.2f}",
        "\\frac{a}{b}",
    ],
)
def test_every_other_brace_stays_as_it_is(text: str) -> None:
    shown = prompts.render(text, {"latitude": 1.0})
    assert shown == ("{1.0" if text == "{{latitude}" else text)


def test_a_value_that_looks_like_a_field_is_not_filled_in_again() -> None:
    assert prompts.render("{a}{b}", {"a": "{b}", "b": "{a}"}) == "{b}{a}"


def test_a_missing_value_is_named_and_only_where_it_is_used() -> None:
    assert prompts.render("{city}", {"city": "Bern", "region": None}) == "Bern"
    with pytest.raises(DataError, match="'region'"):
        prompts.render("{city}, {region}", {"city": "Bern", "region": None})


def test_a_format_that_does_not_fit_is_the_users_error() -> None:
    with pytest.raises(UserError, match=r"\{city:\.2f\} does not fit"):
        prompts.render("{city:.2f}", {"city": "Bern"})


@given(st.text())
def test_a_text_without_fields_is_never_changed(text: str) -> None:
    assert prompts.render(text, {}) == text


@given(st.text(), st.text(), names, st.text())
def test_only_the_field_itself_is_replaced(before: str, after: str, name: str, value: str) -> None:
    before, after = before.replace("{", "["), after.replace("}", "]")
    assert prompts.render(f"{before}{{{name}}}{after}", {name: value}) == f"{before}{value}{after}"


@given(st.text(alphabet="{}:.4fab !_\n"), st.dictionaries(names, st.text() | st.integers() | st.floats()))
def test_no_template_crashes_or_reaches_attributes(template: str, values: dict[str, object]) -> None:
    try:
        prompts.render(template, values)
    except UserError as error:
        assert "template" in str(error)


@given(st.dictionaries(names, st.floats(-180, 180), min_size=1))
def test_numbers_read_back_as_written(values: dict[str, float]) -> None:
    shown = prompts.render("|".join(f"{{{name}:.4f}}" for name in values), values)
    assert [float(v) for v in shown.split("|")] == pytest.approx(list(values.values()), abs=5.1e-5)


def test_the_fields_that_a_template_names_are_told_once() -> None:
    assert prompts.names("{a} {b:.1f} {a} {c} {d.e}", {"a": 1, "b": 2, "d": 3}) == ["a", "b"]


@pytest.mark.parametrize("name", GEO)
def test_each_shipped_prompt_says_its_strategy_and_fits_the_schema(name: str) -> None:
    text = (CONF / f"geo_{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# ")
    spec = build(PromptSpec, yaml.safe_load(text), f"conf/prompt/geo_{name}.yaml")
    assert spec.text.strip() == spec.text
    assert "{" not in spec.text or prompts.names(spec.text, FIELDS) == []
    assert spec.example in spec.text


def test_prompts_differ_and_only_the_worked_example_has_an_answer_in_it() -> None:
    specs = [build(PromptSpec, yaml.safe_load((CONF / f"geo_{n}.yaml").read_text(encoding="utf-8")), n) for n in GEO]
    assert len({s.text for s in specs}) == len(GEO)
    assert [dataclasses.asdict(s)["example"] for s in specs if s.example] == ["48.858844, 2.294351"]
