"""A word in a YAML file is what it looks like, or it is refused with "quote it"."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.config.build import build
from paceline.config.schema import ModelSpec, TaskSpec
from paceline.data.readers.table import Options
from paceline.data.samples import options_of
from paceline.errors import UserError
from paceline.sweep.cells import expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders, read_yaml

WORDS = [
    "0x_",
    "on",
    "off",
    "yes",
    "No",
    "true",
    "FALSE",
    "null",
    "~",
    "",
    "2024-01-02",
    ".inf",
    "1e3",
    "0x1f",
    "1_0",
    "0b1",
]


def read(text: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        path.write_text(text, encoding="utf-8")
        return read_yaml(path)


@settings(deadline=None)
@given(st.sampled_from(WORDS) | st.text("0123456789abcdefx:_.+-", min_size=1, max_size=42))
def test_a_text_is_taken_as_it_is_written_or_refused(word: str) -> None:
    try:
        spec = build(ModelSpec, read(f"weights: {word}\n"), "model")
    except UserError as error:
        assert "Traceback" not in str(error)
    else:
        assert spec.weights == word


@settings(deadline=None)
@given(st.sampled_from(WORDS) | st.text("0123456789:_", min_size=1, max_size=42))
def test_what_is_quoted_is_always_taken(word: str) -> None:
    assert build(ModelSpec, read(f'weights: "{word}"\n'), "model").weights == word


@settings(deadline=None)
@given(st.integers(0, 10**6 - 1).map(lambda n: f"{n:07d}") | st.from_regex(r"[1-9]\d?(:[0-5]\d){1,2}", fullmatch=True))
def test_a_number_never_becomes_another_by_its_spelling(word: str) -> None:
    try:
        value = read(f"revision: {word}\n")["revision"]
    except UserError as error:
        assert "quote it" in str(error) and word in str(error) and "line 1" in str(error)
    else:
        assert value == word


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("revision: 1234567890123456789012345678901234567890", "it is the number 1234567890"),
        ("revision: 12345e6", "quote it"),
        ("revision: on", "YAML reads true, yes and on without quotes as true: quote it"),
        ("revision: no", "YAML reads false, no and off without quotes as false: quote it"),
        ("revision:", "as nothing (null): quote it"),
        ("inputs: [image, no]", 'quote it: inputs: ["…"] in YAML'),
        ("config: {on: 1}", "a key: text is expected, and YAML reads true, yes and on"),
        ("processor: {min_pixels: 0100}", "line 1: 0100 without quotes is the number 64 to YAML (base 8)"),
        ("config:\n  seed: 1:30", "line 2: 1:30 without quotes is the number 90 to YAML (base 60)"),
    ],
)
def test_an_unquoted_word_that_yaml_reads_otherwise_is_refused_with_quote_it(text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        build(ModelSpec, read(text), "model")
    assert said in str(caught.value)
    assert "quote it" in str(caught.value)


def test_a_shell_gets_the_quotes_that_it_needs() -> None:
    words = ["model=tiny_pixtral", "task=geolocation_earth", "prompt=geo_bare"]
    with pytest.raises(UserError) as caught:
        list(compose([*words, f"model.revision={'1' * 40}"], conf_folders(None)).points())
    assert "'model.revision=\"…\"' in a shell" in str(caught.value)
    quoted = compose([*words, f'model.revision="{"1" * 40}"'], conf_folders(None))
    assert next(quoted.points()).config.model.revision == "1" * 40


def test_options_of_a_reader_are_held_to_it_too() -> None:
    words = ["model=tiny_pixtral", "task=geolocation_earth", "prompt=geo_bare", "task.reader=table"]
    with pytest.raises(UserError, match=r"task\.options\.class_column: .* it is the number 2024: quote it"):
        list(compose([*words, "task.options={class_column: 2024}"], conf_folders(None)).points())


def test_options_that_were_recorded_as_numbers_can_still_be_read() -> None:
    assert options_of(TaskSpec(reader="table", options={"class_column": 2024})) == Options(class_column="2024")


def test_a_name_of_a_sweep_is_no_truth_value() -> None:
    words = ["model=tiny_pixtral", "task=geolocation_earth", "prompt=geo_bare"]
    with pytest.raises(UserError, match=r"name: .*quote it"):
        expand(compose([*words, "name=true"], conf_folders(None)), lambda task: "d" * 64)


def test_text_that_only_mentions_such_numbers_is_text() -> None:
    assert read("text: at 12:30, room 010\nother: |-\n  010\n") == {"text": "at 12:30, room 010", "other": "010"}
