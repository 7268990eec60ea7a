"""What a user types becomes what Hydra would compose, or an error that leads to what was meant."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from paceline.config.build import build
from paceline.config.schema import GROUPS, SCALARS, Config
from paceline.data import readers
from paceline.errors import UserError
from paceline.models.registry import says
from paceline.store.cell_folder import Cell
from paceline.store.code import shipped
from paceline.sweep.cells import evaluate_cell, expand, finetune_cell, impossible
from paceline.sweep.combinations import unanswered_so
from paceline.sweep.compose import compose
from paceline.sweep.config_files import ConfTree, conf_folders
from paceline.sweep.shot_checks import unshowable
from paceline.sweep.sweep_lines import left_out

TREE = ConfTree(conf_folders(None))
BASE = ["model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare"]


def composed(*overrides: str):
    return compose(overrides, conf_folders(None))


def by_hydra(choices: dict[str, str], values: dict[str, object], experiment: str | None) -> Config:
    """The same point by Hydra's own compose."""
    words = [f"{group}={choice}" for group, choice in choices.items()]
    words += [f"experiment={experiment}"] if experiment else []
    texts = {k: f"'{v}'" if "{" in str(v) and str(v)[0] != "{" else v for k, v in values.items()}
    words += [f"++{key}={value}" for key, value in texts.items()]
    with initialize_config_dir(str(shipped("conf")), version_base="1.3"):
        config = OmegaConf.to_container(hydra_compose("config", words), resolve=True)
    groups = {g: {**config[g], "name": choices.get(g, "")} for g in GROUPS if config.get(g) is not None}
    return build(Config, {**groups, **{s: config[s] for s in SCALARS}}, "hydra")


@pytest.mark.parametrize("experiment", TREE.choices("experiment"))
def test_every_cell_of_every_experiment_equals_hydras_own_compose(
    experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ours makes relative paths absolute, which is no composing.
    monkeypatch.setattr(readers, "with_absolute_paths", lambda reader, options: options)
    composition = composed(f"experiment={experiment}")
    expected: dict[str, Cell] = {}
    points = list(composition.points())
    # Hydra takes its time for each: of a large product every so many are asked, by a step that meets every setting.
    step = len(points) // 97 + 1
    for number, point in enumerate(points):
        config = point.config
        if number % step == 0:
            assert config == by_hydra(point.choices, point.values, experiment)
        if config.prompt.builds_on.prompt:
            continue
        tuned = finetune_cell(point.tuned or config, composition, "data") if config.method.trains != "nothing" else None
        for cell in (tuned, evaluate_cell(config, "data", tuned)):
            if cell is not None and not (impossible(config) or unanswered_so(config) or unshowable(config)):
                expected.setdefault(cell.id, cell)
    cells = expand(composition, lambda task: "data").cells
    # What one prompt builds on is another cell's answers, which no point of Hydra's knows of.
    alone = [one.cell for one in cells if one.config.prompt.scored and not one.config.prompt.builds_on.prompt]
    assert alone == list(expected.values())


@pytest.mark.parametrize(
    "overrides",
    [
        ["method=untuned,lora,full", "method.lora.r=8,16", "seed=1,2"],
        ["prompt=glob(geo_*)", "generation.temperature=choice(0,0.7)"],
        ["seed=range(0,4)", "train.learning_rate=1e-3,2e-5"],
        ["+train.epochs=3", "limit=5", "~train.epochs"],
        ["task.options.pixels=32", "model.config={a: {b: 1}}", "model.processor={max_pixels: 100}"],
        ["generation=glob(*,exclude=beams)", "train.prompt=same,geo_training"],
    ],
)
def test_every_point_of_an_axis_grammar_equals_hydras_own_compose(overrides: list[str]) -> None:
    composition = composed(*BASE[: 2 if any(o.startswith("prompt=") for o in overrides) else 3], *overrides)
    fixed = {
        o.lstrip("+").partition("=")[0]: o.partition("=")[2]
        for o in overrides
        if not o.startswith("~") and all(a.key != o.lstrip("+").partition("=")[0] for a in composition.axes)
    }
    removed = {o[1:] for o in overrides if o.startswith("~")}
    fixed = {k: v for k, v in fixed.items() if k not in removed and k not in GROUPS}
    points = list(composition.points())
    assert points
    for point in points:
        assert point.config == by_hydra(point.choices, {**fixed, **point.values}, None)


def test_the_product_keeps_the_order_of_the_axes_with_the_first_outermost() -> None:
    points = composed(*BASE, "method=untuned,full", "seed=3,1").points()
    assert [(p.choices["method"], p.values["seed"]) for p in points] == list(
        itertools.product(["untuned", "full"], [3, 1])
    )


def test_the_command_line_replaces_an_experiments_axis() -> None:
    methods = {p.choices["method"] for p in composed("experiment=demo", "method=lora").points()}
    assert methods == {"lora"}


def test_a_tilde_removes_an_experiments_axis() -> None:
    methods = {p.choices["method"] for p in composed("experiment=demo", "~method").points()}
    assert methods == {"untuned"}


def test_m_is_accepted_and_means_nothing() -> None:
    assert len(list(composed("-m", *BASE).points())) == 1


def test_filters_leave_out_and_keep_by_pattern_and_by_value() -> None:
    words = ["model=tiny_qwen2_vl,tiny_pixtral", *BASE[1:], "method=untuned,lora", "method.lora.r=8,16"]
    assert len(list(composed(*words).points())) == 8
    assert len(list(composed(*words, "exclude=[{model: tiny_pix*, method: lora}]").points())) == 6
    assert len(list(composed(*words, "exclude=[{method.lora.r: 16}]").points())) == 4
    assert len(list(composed(*words, "only=[{model: tiny_pixtral}]").points())) == 4


def test_points_are_adjusted_by_rule_and_the_command_line_has_the_last_word() -> None:
    rules = [
        "adjust=[{match: {model: tiny_qwen2*}, set: {train.epochs: 6, generation: short}}, "
        "{match: {method: full}, set: {train.epochs: 7}}]",
        "model=tiny_qwen2_vl,tiny_pixtral",
        "method=untuned,full",
    ]

    def settings(*words: str) -> list[tuple[float, str, int]]:
        points = composed(*BASE[1:], *rules, *words).points()
        return [(c.train.epochs, c.generation.name, c.generation.new_tokens) for c in (p.config for p in points)]

    assert settings() == [(6.0, "short", 24), (7.0, "short", 24), (1.0, "greedy", 128), (7.0, "greedy", 128)]
    assert {epochs for epochs, _, _ in settings("train.epochs=2")} == {2.0}
    assert {name for _, name, _ in settings("generation=sampled")} == {"sampled"}


def test_a_model_that_cannot_be_tuned_is_left_out_with_the_reason() -> None:
    words = ["model=tiny_pixtral,llama31_8b_vision_378", "method=untuned,lora", "task=geolocation_earth"]
    found = expand(composed(*words, "prompt=geo_bare,geo_training"), lambda task: "data")
    assert [c.config.model.name for c in found.cells].count("llama31_8b_vision_378") == 2
    (line,) = left_out(found.dropped)
    assert line.startswith("left out: llama31_8b_vision_378 · geolocation_earth · lora (2 points): ")
    assert "can't be tuned" in line


def test_every_model_of_remote_code_says_that_it_cannot_be_tuned() -> None:
    files = {name: TREE.load("model", name) for name in TREE.choices("model")}
    own = [content for content in files.values() if says(content["family"], "own_call", False)]
    assert own
    assert all(content.get("tunable") is False for content in own)


def test_a_lab_adds_files_without_editing_the_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prompt").mkdir()
    (tmp_path / "prompt" / "geo_ours.yaml").write_text("text: Where?\n")
    (tmp_path / "prompt" / "geo_bare.yaml").write_text("text: ours comes first\n")
    found = compose([*BASE[:2], "prompt=geo_ours,geo_bare"], conf_folders(str(tmp_path)))
    assert [p.config.prompt.text for p in found.points()] == ["Where?", "ours comes first"]
    monkeypatch.setenv("PACELINE_CONF", str(tmp_path))
    assert "geo_ours" in ConfTree(conf_folders(None)).choices("prompt")


def test_a_choice_can_inherit_from_another_of_its_group(tmp_path: Path) -> None:
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "lora_small.yaml").write_text("defaults: [lora]\nlora: {r: 2}\n")
    (point,) = compose([*BASE, "method=lora_small"], conf_folders(str(tmp_path))).points()
    assert point.config.method.trains == "adapter"
    assert point.config.method.lora.r == 2
    assert point.config.method.name == "lora_small"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["modle=tiny_qwen2_vl"], "did you mean 'model'"),
        (["model=tiny_qwen2vl"], "did you mean 'tiny_qwen2_vl'"),
        (["train.learning_rat=1"], "did you mean 'train.learning_rate'"),
        (["learning_rate=1"], "did you mean 'train.learning_rate'"),
        (["method.lora.rank=1"], "method.lora.r"),
        (["prompt=geo_steps"], "did you mean 'geo_stepwise"),
        (["prompt=glob(xyz*)"], "matches none"),
        (["train.batch=many"], "expected int"),
        (["train.schedule=fast"], "is not one of cosine, linear, constant"),
        (["model=[tiny_qwen2_vl,tiny_pixtral]"], "for a sweep write model=a,b"),
        (["seed=interval(0,1)"], "an interval has no points"),
        (["deepspeed=none,zero2"], "how cells run, not what they compute"),
        (["exclude=[{model: nonsense}]"], "no model 'nonsense'"),
        (["exclude=[{modle: x}]"], "did you mean 'model'"),
        (["exclude=5"], "expected a list of mappings"),
        (["place=[{match: {kind: finetune}, set: {train.batch: 1}}]"], "train.batch is identity"),
        (["model.name=x"], "it is the file's name"),
        (["hydra.run.dir=x"], "no meaning here"),
        (["seed"], "can't read 'seed'"),
        (["seed=(1"], "can't read"),
        (["experiment=demo,geolocator"], "one experiment at a time"),
        (["model@other=tiny_qwen2_vl"], "packages"),
        (["~model"], "can't be removed"),
        (["~method"], "method can't be removed; give method=…"),
        (["~cluster"], "cluster can't be removed; give cluster=…"),
        (["~deepspeed"], "deepspeed can't be removed; give deepspeed=…"),
        (["root=3"], "root: expected a folder, got 3; write root=./3"),
        (["axes=3"], "axes are an experiment's; here write KEY=a,b"),
        (["exclude=[{model.config.hidden: 3}]"], "can't filter by model.config.hidden"),
        (["exclude=[{model.config.seed.x: 3}]"], "can't filter by model.config.seed.x"),
        (["exclude=[{3: x}]"], "unknown key '3'"),
        (["exclude=[{experiment: demo}]"], "'experiment' can't be filtered by"),
        (["place=[{match: [], set: {}}]"], "place: match: expected a mapping"),
        (["place=[{match: {}, set: 3}]"], "place: set: expected a mapping"),
        (["adjust=[{match: {}}]"], "adjust: expected a list of"),
        (["adjust=[{match: {modle: x}, set: {}}]"], "did you mean 'model'"),
        (["adjust=[{match: {kind: finetune}, set: {}}]"], "unknown key 'kind'"),
        (["adjust=[{match: {}, set: {cluster.gpus: 1}}]"], "put it in `place`"),
        (["adjust=[{match: {}, set: {method: lora}}]"], "choose it by `axes` and `only`"),
        (["adjust=[{match: {}, set: {train: nonsense}}]"], "no train 'nonsense'"),
        (["place=[{match: {}, set: {3: x}}]"], "unknown key '3'"),
    ],
)
def test_a_wrong_word_gets_its_right_one_back(words: list[str], said: str) -> None:
    with pytest.raises(UserError) as caught:
        list(composed(*BASE, *words).points())
    assert said in str(caught.value)


@pytest.mark.parametrize("word", ["~placement.threads", "~deepspeed.config", "~cluster.minutes"])
def test_a_resume_takes_values_and_says_so_of_a_removal(word: str) -> None:
    (point,) = composed(*BASE).points()
    with pytest.raises(UserError, match=f"give a value: {word[1:]}="):
        composed(word).replaced(point.config, "finetune")


def test_a_filter_reaches_below_a_free_mapping_where_the_rule_names_who_has_the_key() -> None:
    words = ["model=tiny_qwen2_vl,tiny_pixtral", *BASE[1:], "model.config.depth=1,2"]
    assert len(list(composed(*words, "exclude=[{model.config.depth: 2}]").points())) == 2
    rule = "exclude=[{model.config.projector_hidden_act: gelu, model: tiny_pixtral}]"
    assert len(list(composed(*words, rule).points())) == 2


def test_an_experiments_axis_of_one_value_can_be_taken_back_to_the_default() -> None:
    assert {p.config.generation.name for p in composed("experiment=demo", "~generation").points()} == {"greedy"}


def test_axes_that_are_no_mapping_name_their_experiment(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "odd.yaml").write_text("# @package _global_\naxes: 3\n")
    with pytest.raises(UserError, match=r"experiment/odd: axes: expected a mapping"):
        compose(["experiment=odd"], conf_folders(str(tmp_path)))


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["task=geolocation_street", "task.options.path=photos"], {"path": "HERE/photos"}),
        (["task=geolocation_exif", "task.options.path=./photos/"], {"path": "HERE/photos"}),
        (["task=geolocation_exif", "task.options.path=/data/photos"], {"path": "/data/photos"}),
        (["task=geolocation_exif", "task.options.path='$PHOTOS/a'"], {"path": "/there/a"}),
        (["task=geolocation_exif"], {"path": ""}),
        (
            ["task=geolocation_yfcc", "+task.options.files={train: [a/*.csv, /b.csv], test: c.csv}"],
            {"files": {"train": ["HERE/a/*.csv", "/b.csv"], "test": "HERE/c.csv"}},
        ),
        (["task=geolocation_yfcc", "+task.options.folder=saved"], {"folder": "HERE/saved"}),
    ],
)
def test_a_relative_path_of_a_reader_is_taken_from_the_working_folder(
    words: list[str], options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHOTOS", "/there")
    (point,) = composed(BASE[0], BASE[2], *words).points()
    found = {k: v for k, v in point.config.task.options.items() if k in options}
    assert repr(found).replace(str(tmp_path), "HERE") == repr(options)


def test_a_missing_choice_is_named_with_what_there_is() -> None:
    with pytest.raises(UserError, match=r"task is not chosen: give task=NAME; valid names: big_earth_net, "):
        list(composed("model=tiny_qwen2_vl", "prompt=geo_bare").points())


@pytest.mark.parametrize("content", ["a: [", "- 1\n- 2\n", "text: ${oc.env:HOME}\n", "text: a\ntext: b\n", "\xff"])
def test_a_broken_config_file_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "prompt").mkdir()
    (tmp_path / "prompt" / "broken.yaml").write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=r"broken\.yaml"):
        compose([*BASE, "prompt=broken"], conf_folders(str(tmp_path)))


@pytest.mark.parametrize("group", list(GROUPS))
def test_every_config_file_builds(group: str) -> None:
    composition = composed(*BASE)
    for choice in TREE.choices(group):
        assert composition.spec(group, choice, {}).name == choice


def test_the_wrong_file_of_many_is_named(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    path = tmp_path / "model" / "mine.yaml"
    path.write_text("familly: qwen2_vl\n")
    words = ["model=tiny_pixtral,mine", *BASE[1:]]
    with pytest.raises(UserError, match=f"^{path}: model: unknown key 'familly': did you mean 'family'"):
        list(compose(words, conf_folders(str(tmp_path))).points())
    with pytest.raises(UserError, match=r"^model\.dtype"):
        list(composed(*BASE, "model.dtype=half").points())
    path.write_text("defaults: tiny_pixtral\n")
    with pytest.raises(UserError, match=r"defaults: expected a list, got 'tiny_pixtral'; write \[tiny_pixtral\]"):
        list(compose(words, conf_folders(str(tmp_path))).points())


def test_the_demo_asks_about_places_with_both_models_and_about_digits_with_one() -> None:
    axes = ("task", "prompt", "model")
    points = {tuple(p.choices[axis] for axis in axes) for p in composed("experiment=demo").points()}
    both = ("tiny_qwen2_vl", "tiny_pixtral")
    tiles = {("geolocation_earth", prompt, model) for prompt in ("geo_bare", "geo_training") for model in both}
    assert points == tiles | {("digits", "digit", "tiny_qwen2_vl")}
