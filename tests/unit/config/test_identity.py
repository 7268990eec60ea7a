"""A cell's id stands for what it computes: nothing that changes a result is left out, nothing else goes in."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.config import build, identity, schema
from paceline.config.identity import FOLDERS, clear_inactive, identity_of
from paceline.config.schema import Config, MaskedImageSpec, MethodSpec, TrainSpec
from paceline.errors import UserError
from paceline.store.files import canonical, digest
from paceline.sweep.cells import Sweep, expand
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders

GOLDEN = Path(__file__).parents[1] / "golden"
BASE = ("model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare")
DATA = "d" * 64


def sweep(*overrides: str) -> Sweep:
    return expand(compose(overrides, conf_folders(None)), lambda task: DATA)


def ids(*overrides: str) -> list[str]:
    return [c.id for c in sweep(*overrides).cells]


def golden(name: str, found: Any) -> None:
    path = GOLDEN / name
    if os.environ.get("PACELINE_ACCEPT"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n")
    wanted = json.loads(path.read_text())
    changed = {k: (wanted.get(k), found.get(k)) for k in wanted | found if wanted.get(k) != found.get(k)}
    assert not changed, (
        f"{name} changed: {json.dumps(changed, indent=1)}\n"
        "Cells that labs have published would get other ids. Only if that is meant: PACELINE_ACCEPT=1 make test-unit"
    )


def walk(cls: type, prefix: str = "") -> list[tuple[str, dataclasses.Field[Any]]]:
    found = []
    for f in dataclasses.fields(cls):
        found.append((prefix + f.name, f))
        hint = build.field_types(cls)[f.name]
        if dataclasses.is_dataclass(hint):
            found += walk(hint, f"{prefix}{f.name}.")  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(("name", "declared"), walk(schema.Config), ids=[n for n, _ in walk(schema.Config)])
def test_every_field_is_declared_identity_or_placement_and_told_what_it_is(name: str, declared: Any) -> None:
    assert declared.metadata.get("part") in ("identity", "placement"), f"{name} is neither"
    assert declared.metadata.get("doc"), f"{name} has no line for people"
    group = name.partition(".")[0]
    if group in schema.GROUPS:
        # See docs/decisions/0013, 0027, 0039 and 0042.
        placed = group in schema.PLACEMENT_GROUPS or name in ("model.environment", *(f"model.{key}" for key in FOLDERS))
        placed = placed or name.startswith("model.service")
        wanted = "placement" if placed else "identity"
        assert declared.metadata["part"] == wanted


def test_ids_are_those_that_labs_have_published() -> None:
    # On configs of its own: the shipped ones may be tuned, the way from a config to an id may not.
    folders = conf_folders(str(GOLDEN / "conf"))
    base = ("model=m", "task=t", "prompt=p")

    def frozen(*overrides: str) -> list[str]:
        return [c.id for c in expand(compose([*base, *overrides], folders), lambda task: DATA).cells]

    found = {
        "untuned": frozen(),
        "full": frozen("method=full"),
        "lora": frozen("method=lora", "method.lora.r=8"),
        "sampled": frozen("generation.temperature=0.7", "seed=3", "limit=5"),
    }
    golden("ids.json", found)


def test_defaults_are_those_that_published_identities_left_out() -> None:
    plain = build.plain(schema.Config())
    golden("defaults.json", json.loads(canonical({k: v for k, v in plain.items() if k not in schema.PLACEMENT_GROUPS})))


def test_placement_never_changes_an_id() -> None:
    placed = ("deepspeed=zero2", "placement.ranks=2", "placement.micro_batch=4", "cluster=debug", "tracking=disabled")
    placed += ("model.environment=/envs/old",)
    assert ids(*BASE, "method=full") == ids(*BASE, "method=full", *placed)


def test_an_id_keeps_its_readable_names_and_its_hash() -> None:
    (untuned,) = ids(*BASE)
    slug, _, tail = untuned.rpartition("-")
    assert slug == "evaluate-tiny_qwen2_vl-geolocation_earth-geo_bare-untuned"
    assert len(tail) == 12


@pytest.mark.parametrize(
    "override",
    ["prompt.text=Other?", "seed=1", "limit=9", "train.batch=8", "train.learning_rate=1e-3", "model.dtype=float16"],
)
def test_what_may_change_a_result_changes_the_id(override: str) -> None:
    assert set(ids(*BASE, "method=full")).isdisjoint(ids(*BASE, "method=full", override)) or override.startswith(
        "prompt"
    )
    assert ids(*BASE, "method=full")[-1] != ids(*BASE, "method=full", override)[-1]


@pytest.mark.parametrize("words", [["method.quantise=nf4"], ["method.dtype=float16"]])
def test_the_form_of_the_weights_is_told_by_who_reads_them_first(words: list[str]) -> None:
    # An untuned model's evaluation says it; a tuned one's points at the finetune cell that does.
    (plain,), (formed,) = sweep(*BASE).cells, sweep(*BASE, *words).cells
    assert plain.id != formed.id
    key, value = words[0].removeprefix("method.").split("=")
    assert formed.cell.identity["method"] == {"name": "untuned", key: value}
    tuned, answered = sweep(*BASE, "method=lora", *words).cells
    assert tuned.cell.identity["method"][key] == value
    assert answered.cell.identity["method"] == {"name": "lora", "trains": "adapter"}
    assert answered.cell.needs == (tuned.id,)


@pytest.mark.parametrize(
    "words",
    [["method.lora.dora=true"], ["method.lora.init=gaussian"], ["method.lora.allow_partial_targets=true"]],
)
def test_how_an_adapter_is_made_is_its_finetune_cells_alone(words: list[str]) -> None:
    assert ids(*BASE, "method=lora")[0] != ids(*BASE, "method=lora", *words)[0]
    assert ids(*BASE, "method=full") == ids(*BASE, "method=full", *words)
    assert ids(*BASE) == ids(*BASE, *words)


def test_settings_of_an_inactive_branch_fold_away() -> None:
    found = sweep(*BASE, "method=untuned,full,lora", "method.lora.r=8,16", "train.epochs=1,2")
    kinds = [c.cell.kind for c in found.cells]
    # full: 2 epochs; lora: 2 ranks x 2 epochs; untuned: one, whatever the training settings say
    assert kinds.count("finetune") == 6
    assert kinds.count("evaluate") == 7
    assert found.folded == 5


def test_the_order_of_augmenting_words_and_a_word_twice_make_no_other_cell() -> None:
    train = [TrainSpec(augment=words) for words in (["flip", "crop"], ["crop", "flip", "crop"])]  # type: ignore[list-item]
    one, other = (identity_of(clear_inactive(Config(train=each), "finetune"), "finetune") for each in train)
    assert one == other
    assert one["train"] == {"augment": ["crop", "flip"]}


def test_greedy_answers_do_not_depend_on_the_seed_but_tuned_weights_do() -> None:
    assert len(ids(*BASE, "seed=1,2,3")) == 1
    assert len(ids(*BASE, "seed=1,2,3", "generation.temperature=0.5")) == 3
    assert len(ids(*BASE, "method=full", "seed=1,2,3")) == 6


def test_one_finetune_cell_serves_every_prompt_unless_each_is_trained_on() -> None:
    words = ("model=tiny_qwen2_vl", "task=geolocation_earth", "prompt=geo_bare,geo_stepwise", "method=full")
    shared, own = sweep(*words), sweep(*words, "train.prompt=same")
    assert [c.cell.kind for c in shared.cells] == ["finetune", "evaluate", "evaluate"]
    assert [c.cell.kind for c in own.cells] == ["finetune", "evaluate"] * 2
    assert shared.cells[0].cell.config.prompt.name == "geo_bare"
    assert own.cells[2].cell.config.prompt.name == "geo_stepwise"


def test_every_cell_stands_after_what_it_needs() -> None:
    seen: set[str] = set()
    for planned in sweep("experiment=demo").cells:
        assert set(planned.cell.needs) <= seen
        seen.add(planned.id)


def test_a_text_model_on_photos_is_dropped_from_a_product_and_an_error_alone(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "text_only.yaml").write_text("family: qwen2_vl\ninputs: [text]\n")
    folders = conf_folders(str(tmp_path))
    both = expand(compose([*BASE[1:], "model=text_only,tiny_qwen2_vl"], folders), lambda task: DATA)
    assert len(both.cells) == 1
    assert both.dropped[0]["point"]["model"] == "text_only"
    assert "can't read" in both.dropped[0]["reason"]
    with pytest.raises(UserError, match="shows image, which text_only can't read"):
        expand(compose([*BASE[1:], "model=text_only"], folders), lambda task: DATA)


def test_place_rules_change_how_one_cell_runs_and_nothing_else() -> None:
    rule = "place=[{match: {kind: finetune, model: tiny_pixtral}, set: {deepspeed: zero2, placement.ranks: 2}}]"
    words = ("model=tiny_qwen2_vl,tiny_pixtral", *BASE[1:], "method=full")
    plain, placed = sweep(*words), sweep(*words, rule)
    assert [c.id for c in plain.cells] == [c.id for c in placed.cells]
    ranks = {(c.cell.kind, c.config.model.name): c.config.placement.ranks for c in placed.cells}
    assert ranks.pop(("finetune", "tiny_pixtral")) == 2
    assert set(ranks.values()) == {1}


def test_a_cell_file_is_enough_to_get_its_config_back() -> None:
    for planned in sweep("experiment=demo").cells:
        cell = json.loads(canonical(planned.cell.as_json()))
        again = identity.read_config(cell["identity"], "cell")
        assert identity.identity_of(identity.clear_inactive(again, cell["kind"]), cell["kind"]) == {
            k: v for k, v in cell["identity"].items() if k not in ("data", "tuned")
        }


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_canonical_json_survives_a_round_trip(value: Any) -> None:
    again = json.loads(canonical(value))
    assert canonical(again) == canonical(value)
    assert digest(again) == digest(value)


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_order_of_keys_never_changes_a_digest(value: dict[str, int]) -> None:
    assert digest(dict(reversed(value.items()))) == digest(value)


def test_nan_has_no_canonical_form() -> None:
    with pytest.raises(ValueError, match=r"[Nn]a[Nn]|JSON"):
        canonical(float("nan"))


@pytest.mark.parametrize(
    ("method", "same"),
    [
        (MethodSpec(trains="all", frozen_layers={"vision": 0}), MethodSpec(trains="all")),
        (
            MethodSpec(trains="all", frozen=["vision"], frozen_layers={"vision": 6, "language": 2}),
            MethodSpec(trains="all", frozen=["vision"], frozen_layers={"language": 2}),
        ),
        (MethodSpec(trains="adapter", frozen_layers={"vision": 6}), MethodSpec(trains="adapter")),
        (MethodSpec(frozen_layers={"vision": 6}), MethodSpec()),
    ],
)
def test_layers_that_stay_as_they_are_anyway_make_no_other_cell(method: MethodSpec, same: MethodSpec) -> None:
    found = [identity_of(clear_inactive(Config(method=m), "finetune"), "finetune") for m in (method, same)]
    assert found[0] == found[1]


def test_settings_of_a_pretraining_that_is_not_asked_for_make_no_other_cell() -> None:
    idle = Config(train=TrainSpec(masked_image=MaskedImageSpec(ratio=0.3)))
    assert identity_of(clear_inactive(idle, "finetune"), "finetune") == {}
    asked = Config(train=TrainSpec(masked_image=MaskedImageSpec(epochs=2, ratio=0.3)))
    assert identity_of(clear_inactive(asked, "finetune"), "finetune") == {
        "train": {"masked_image": {"epochs": 2, "ratio": 0.3}}
    }
