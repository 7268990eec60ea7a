"""What a task and its prompts say wrongly is refused when a sweep is planned, for every kind of task."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from paceline import tasks
from paceline.data import prompts
from paceline.errors import UserError
from paceline.store.root import Store
from paceline.sweep.cells import Sweep, expand, record
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

BASE = ("model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare", "method=full")
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True)
formats = st.sampled_from(["", ":.2f", ":>8", ":d", ":.4"])


def sweep(*overrides: str, conf: Path | None = None, base: tuple[str, ...] = BASE) -> Sweep:
    return expand(compose([*base, *overrides], conf_folders(str(conf) if conf else None)), lambda task: "d" * 64)


def refused(*overrides: str, conf: Path | None = None, base: tuple[str, ...] = BASE) -> list[str]:
    """The problems, and that nothing is frozen with them."""
    found = sweep(*overrides, conf=conf, base=base)
    if found.problems:
        with pytest.raises(UserError):
            record(found, Store(Path("/nowhere")), "code", extend=False)
    return found.problems


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("({latitud:.2f}, {longitude:.2f})", "names {latitud:.2f}, which a model would be trained to say"),
        ("({latitud:.2f}, {longitude:.2f})", "did you mean 'latitude'"),
        ("{Latitude}", "{Latitude}"),
        ("{latitude.2f}", "{latitude.2f} is not filled in; write {latitude}"),
        ("{latitude, longitude}", "is not filled in"),
        ("{ latitude }", "is not filled in"),
        ("{latitude: .2f}", "is not filled in"),
        ("{latitude", "is not filled in"),
        (r"\\boxed{answer}", "names {answer}"),
        ("{reference}", "kind 'geolocation' fills in no 'reference'"),
        ("  ", "target is empty"),
    ],
)
def test_a_target_with_a_brace_that_stays_is_refused_before_anything_runs(target: str, said: str) -> None:
    (problem, *_) = refused(f'task.target="{target}"')
    assert said in problem


@pytest.mark.parametrize(
    "target",
    [
        "{latitude:.2f} {longitude:+.3f} {country_name} {nearest_region}",
        '{\\"latitude\\": {latitude:.4f}}',
        "{latitude: {latitude:.2f}, longitude: {longitude:.2f}}",
        "{{latitude}}",
        "{} {0} { answer }",
    ],
)
def test_a_target_whose_fields_are_all_filled_in_is_planned(target: str) -> None:
    assert refused(f'task.target="{target}"') == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Where is {palce}?", "and kind 'geolocation' fills in nothing"),
        ("Answer as {latitude}", "which the model is to find out, so it is not filled in"),
        ("Answer as {latitude}", "takes a space behind it: { latitude }"),
        ("{question}", "fills in nothing"),
    ],
)
@pytest.mark.parametrize("part", ["text", "system"])
def test_a_prompt_with_an_unknown_field_is_refused_and_the_remedy_holds(text: str, said: str, part: str) -> None:
    (problem, *_) = refused(f'prompt.{part}="{text}"', "method=untuned")
    assert said in problem and f"prompt geo_bare: {part} names" in problem


@pytest.mark.parametrize(
    "text", ["{lat, lon}", '{"a": 1}', r"\\boxed{answer}", "x_{i}", "{ latitude }", "{}", "{a: 1}"]
)
def test_a_prompt_may_show_json_sets_and_latex(text: str) -> None:
    assert refused(f"prompt.text='Answer as {text}'", "method=untuned") == []


def test_an_untuned_cell_does_not_ask_for_a_target() -> None:
    assert refused("task.target='{latitud}'", "method=untuned") == []


def test_the_prompt_that_is_trained_on_is_held_to_it_too(tmp_path: Path) -> None:
    (tmp_path / "prompt").mkdir()
    (tmp_path / "prompt" / "mine.yaml").write_text("text: Where is {palce}?\n")
    (problem,) = refused("train.prompt=mine", conf=tmp_path)
    assert problem.startswith("prompt mine: text names {palce}")
    assert refused("train.prompt=mine", "method=untuned", conf=tmp_path) == []


def test_an_empty_prompt_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "prompt").mkdir()
    (tmp_path / "prompt" / "mine.yaml").write_text("")
    (problem,) = refused("prompt=mine", "method=untuned", conf=tmp_path)
    assert problem == "conf/prompt/mine.yaml asks nothing; give it a text: text: Where is this?"


def test_a_prompt_of_a_captioner_is_held_to_its_prefix_alone(tmp_path: Path) -> None:
    captioner = ("model=tiny_blip", "task=captioning", "method=untuned")
    (tmp_path / "prompt").mkdir()
    (tmp_path / "prompt" / "mine.yaml").write_text("prefix: a drawing of\n")
    assert refused("prompt=mine", conf=tmp_path, base=captioner) == []
    assert refused("prompt=vqa_short", base=captioner) == []  # it names {question}, which is not asked
    (tmp_path / "prompt" / "mine.yaml").write_text("prefix: a {colour} drawing of\n")
    (problem,) = refused("prompt=mine", conf=tmp_path, base=captioner)
    assert problem.startswith("prompt mine: prefix names {colour}")


@pytest.mark.parametrize("kind", tasks.names())
@settings(deadline=None)
@given(name=names, form=formats, before=st.text("abc {}:\n"), after=st.text("abc {}:\n"))
def test_a_target_is_filled_in_whole_or_told(kind: str, name: str, form: str, before: str, after: str) -> None:
    fields = tasks.load(kind).documented_fields
    template = f"{before}{{{name}{form}}}{after}"
    filled = prompts.render(template, dict.fromkeys(fields, 1))
    assert (f"{{{name}{form}}}" in filled) <= bool(prompts.unfilled(template, fields, trained_on=True))


@given(name=names, form=formats)
def test_a_known_field_is_never_refused(name: str, form: str) -> None:
    for trained_on in (True, False):
        assert prompts.unfilled(f"a {{{name}{form}}} b", [name], trained_on=trained_on) == []


@given(typed=names, known=st.lists(names, min_size=1))
def test_an_unknown_field_is_always_told(typed: str, known: list[str]) -> None:
    assume(typed not in known)
    for trained_on in (True, False):
        assert prompts.unfilled(f"a {{{typed}}} b", known, trained_on=trained_on) == [f"{{{typed}}}"]


@settings(deadline=None)
@given(st.text("{}:.4f, ab_\\\n"))
def test_no_template_takes_long_or_crashes(template: str) -> None:
    prompts.unfilled(template * 50, ["a", "ab"], trained_on=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["method=lora", "method.lora.components=[langauge]"], "has no 'langauge': did you mean 'language'?"),
        (["method=lora", "method.lora.components=[]"], "names no part of the model"),
        (["method=lora", "method.lora.targets=[q_prj]"], "q_prj matches no linear layer"),
        (["method=full", "method.frozen=[vison]"], "has no 'vison': did you mean 'vision'?"),
        (["method=full", "method.frozen_layers.vison=1"], "has no component 'vison': did you mean 'vision'?"),
        (
            ["method=full", "method.frozen_layers.vision=3"],
            "'vision' of model tiny_qwen2_vl has 2 layers; give a smaller",
        ),
        (["method=full", "method.frozen_layers.vision=-1"], "expected the number of first layers"),
        (["method=full", "method.frozen_layers.vision=half"], "expected the number of first layers"),
        (["method=lora", "method.frozen_layers.language=2"], "leaves nothing to train; freeze fewer"),
        (
            ["method=full", "train=masked_image"],
            "family 'qwen2_vl' of model 'tiny_qwen2_vl' has no ViT of Transformers",
        ),
        (
            ["method=full", "train=masked_image", "task=digits", "model=tiny_resnet"],
            "is a resnet, and only a ViT can be pre-trained so",
        ),
        (["method=lora", "train=masked_image", "task=digits", "model=tiny_vit_gpt2"], "publishes an adapter alone"),
        (
            ["method=full", "train=masked_image", "task=digits", "model=tiny_joined", "deepspeed=zero2"],
            "give deepspeed=none",
        ),
        (["method=connector", "model=tiny_blip_vqa"], "leaves nothing of model 'tiny_blip_vqa' to train, whose parts"),
    ],
)
def test_parts_and_layers_that_a_model_does_not_have_are_refused_when_planned(words: list[str], said: str) -> None:
    (problem,) = refused(*words)
    assert said in problem


def test_a_model_that_gives_neither_weights_nor_a_twins_shape_is_refused_when_planned(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "bare.yaml").write_text("family: qwen2_vl\n")
    (problem,) = set(refused("model=bare", "method=untuned", conf=tmp_path))
    assert "gives no weights: write weights:" in problem
