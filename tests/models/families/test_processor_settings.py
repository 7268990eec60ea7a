"""What a model's file says of its image processor is done, or refused: nothing is passed over in silence."""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from paceline.config.processor_arguments import arguments_of
from paceline.config.schema import GenerationSpec, ModelSpec
from paceline.errors import UserError
from paceline.gpu_memory import image_tokens
from paceline.gpu_memory.shapes import shape_of
from paceline.models import family_names, load_family
from paceline.models.conversation import Conversation
from paceline.models.family import Family
from paceline.models.processor_settings import require_taken
from paceline.sweep.sample_checks import _counter

pytestmark = pytest.mark.asks("tokens")

# What the network decides, and what is of no use in a file.
NOT_GIVEN = {"self", "images", "kwargs", "disable_grouping", "return_tensors", "args", "batch_num_images"}
NOT_GIVEN |= {"return_row_col_info"}
NETWORK = {"patch_size", "temporal_patch_size", "merge_size", "num_img_tokens", "edge", "image_grid_pinpoints"}
NETWORK |= {"max_image_size"}
CROPS = {"do_center_crop", "crop_size", "do_pad", "pad_size"}
INTO_SIZE = {name: {"min_pixels", "max_pixels"} for name in ("qwen2_vl", "qwen3_vl")} | {"idefics": {"image_size"}}


def test_every_family_of_one_processor_says_what_it_takes() -> None:
    assert {name for name in family_names() if arguments_of(name) is None} == {"image_classifier"}


@pytest.mark.asks("image")
def test_the_arguments_that_are_known_without_torch_are_those_that_the_real_class_reads(twin: Family) -> None:
    images = type(twin.processor.image_processor)
    reads = set(inspect.signature(images._preprocess).parameters) | {"do_convert_rgb"}
    if "images" not in reads:  # ours reads what its __init__ names
        reads = set(inspect.signature(images.__init__).parameters)
    reads |= INTO_SIZE.get(twin.spec.family, set())
    declared = set(arguments_of(twin.spec.family) or {})
    # A crop would show less than the places that its family draws, so it offers none.
    assert declared == reads - NOT_GIVEN - NETWORK - (CROPS if twin.spec.family == "vision_encoder_decoder" else set())


@pytest.mark.asks("image")
def test_a_processor_that_takes_no_such_argument_is_refused_when_it_is_loaded(spec: ModelSpec, twin: Family) -> None:
    wrong = dataclasses.replace(spec, processor={**spec.processor, "maxpixels": 4096})
    with pytest.raises(UserError, match=rf"conf/model/{spec.name}\.yaml: processor: \w+ takes no 'maxpixels'"):
        load_family(spec.family).load(wrong)
    require_taken(spec, twin.processor)


VALID: dict[str, list[dict[str, Any]]] = {
    "qwen2_vl": [
        {"min_pixels": 1024, "max_pixels": 4096, "image_mean": [0.5, 0.5, 0.5]},
        {"size": {"shortest_edge": 1024, "longest_edge": 4096}, "resample": 2},
    ],
    "pixtral": [
        {"size": {"longest_edge": 64}, "do_normalize": False, "do_convert_rgb": True},
        {"size": {"height": 32, "width": 64}, "image_std": [1, 1, 1]},
    ],
    "llama_vision": [{"max_image_tiles": 2, "image_mean": [0, 0, 0]}, {"do_rescale": False}],
    "idefics": [{"image_size": 32, "image_std": [1.0, 0.5, 1.0]}, {"size": {"height": 32, "width": 32}}],
    "qwen3_vl": [{"min_pixels": 1024, "max_pixels": 4096}, {"size": {"shortest_edge": 1024, "longest_edge": 4096}}],
    "idefics3": [{"size": {"longest_edge": 96}, "do_image_splitting": True}, {"do_image_splitting": False}],
    "gemma3": [{"do_pan_and_scan": True, "pan_and_scan_min_crop_size": 16}, {"image_mean": [0, 0, 0]}],
    "paligemma": [{"size": {"height": 32, "width": 32}}, {"do_convert_rgb": True, "resample": 2}],
    "phi35_vision": [{"num_crops": 2, "image_mean": [0.5, 0.5, 0.5]}],
    "llava": [{"size": {"height": 32, "width": 32}, "do_center_crop": False}, {"size": {"shortest_edge": 40}}],
    "deepseek_vl": [{"min_size": 4, "do_pad": True}, {"image_mean": [0.4, 0.5, 0.6], "resample": 2}],
    "internvl": [{"max_patches": 2}, {"crop_to_patches": False, "do_normalize": False}],
    "llava_onevision": [{"image_mean": [0.4, 0.5, 0.6], "resample": 2}, {"do_rescale": False}],
}


@pytest.mark.asks("image")
def test_every_sound_argument_is_taken_by_a_twin_and_by_a_folder_of_weights(
    spec: ModelSpec, twin: Family, tmp_path: Path
) -> None:
    twin.save(twin.model, tmp_path)
    for given in VALID.get(spec.family, [{"image_std": [1, 1, 1], "resample": 2}]):
        assert set(given) <= set(arguments_of(spec.family) or {})
        for weights in ("", str(tmp_path)):
            load_family(spec.family).load(dataclasses.replace(spec, processor=given, weights=weights))


def _as_published(twin: Family, folder: Path, **images: Any) -> None:
    """The folder of a model whose image processor has a file of its own, as on the hub."""
    twin.save(twin.model, folder)
    whole = json.loads((folder / "processor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**whole.pop("image_processor"), **images}))
    (folder / "processor_config.json").write_text(json.dumps(whole))


@pytest.mark.asks("image")
def test_an_argument_that_the_weights_own_file_overrides_is_refused(
    spec: ModelSpec, twin: Family, tmp_path: Path
) -> None:
    if not {"size", "min_pixels"} <= set(arguments_of(spec.family) or {}):
        pytest.skip("its size has one name")
    _as_published(twin, tmp_path, min_pixels=1024, max_pixels=2048)
    sized = {"size": {"shortest_edge": 1024, "longest_edge": 4096}}
    named = dataclasses.replace(spec, weights=str(tmp_path), processor=sized)
    with pytest.raises(UserError, match=r"processor: size: .* has no effect: Qwen2VLImageProcessor has size"):
        load_family(spec.family).load(named)
    least = dataclasses.replace(spec, weights=str(tmp_path), processor={"min_pixels": 4096})
    with pytest.raises(UserError, match="the least size, 4096, is more than the most, 2048; give both"):
        load_family(spec.family).load(least)
    both = dataclasses.replace(spec, weights=str(tmp_path), processor={"min_pixels": 1024, "max_pixels": 4096})
    assert load_family(spec.family).load(both).processor.image_processor.size["longest_edge"] == 4096


@pytest.mark.parametrize(
    "size", [(200, 1), (1, 200), (33, 1), (31, 1), (2000, 10), (1, 1), (64, 2), (1024, 33)], ids=str
)
@pytest.mark.asks("image")
def test_a_plan_knows_which_pictures_a_processor_takes_and_a_cell_names_the_sample(
    spec: ModelSpec, twin: Family, size: tuple[int, int]
) -> None:
    shape = shape_of(spec)
    assert shape is not None
    shown = Conversation("Where?", [Image.new("RGB", size, "red")], answer="Here", sample="s7")
    sound = Conversation("Where?", [Image.new("RGB", (40, 30), "red")], answer="Here", sample="s8")
    if image_tokens.takes(shape.image, spec.processor, size):
        twin.batch([sound, shown])
        return
    assert image_tokens.narrowest(shape.image, spec.processor)
    for make in (twin.batch, twin.training_batch):
        with pytest.raises(
            UserError, match=rf"sample 's7': the processor of .* pictures of {size[0]} × {size[1]} pixels"
        ):
            make([sound, shown])


@pytest.mark.asks("imageless")
def test_a_text_without_room_names_its_sample_and_its_length(twin: Family) -> None:
    short, long = (Conversation(text, answer="a", sample=name) for name, text in (("s1", "a"), ("s2", "a " * 99)))
    with pytest.raises(UserError, match=r"sample 's2': model .* positions: a prompt of \d+ tokens"):
        twin.answer([short, long], GenerationSpec(new_tokens=twin.longest - 20), [0, 0])
    long = Conversation("a " * twin.longest, answer="a", sample="s3")
    with pytest.raises(UserError, match=r"sample 's3': model .* a prompt with its answer takes \d+"):
        twin.training_batch([short, long])


def test_a_plans_count_of_a_text_is_never_more_than_the_tokenizers(spec: ModelSpec, twin: Family) -> None:
    count = _counter(spec)
    assert count is not None
    for text in ("Where was this photo taken?", "(46.95, 7.44)", "naïve  Zürich\n\t" * 9, "", " a", "x" * 300):
        assert count(text) <= len(twin.tokenizer(text, add_special_tokens=False)["input_ids"])


class _Own:
    """A lab's processor that keeps what it is given under names of its own."""

    def __init__(self, crops: int = 4) -> None:
        self._crops = crops


def test_a_labs_processor_is_asked_by_the_names_of_its_own_arguments() -> None:
    processor = type("Processor", (), {"image_processor": _Own(2)})()
    require_taken(ModelSpec(name="m", processor={"crops": 2}), processor)
    with pytest.raises(UserError, match=r"processor: _Own takes no 'crop': did you mean 'crops'\?"):
        require_taken(ModelSpec(name="m", processor={"crop": 2}), processor)


def test_a_family_without_pictures_takes_no_processor() -> None:
    with pytest.raises(UserError, match="family 'llama' has no image processor; remove it"):
        require_taken(ModelSpec(name="m", family="llama", processor={"max_pixels": 1}), object())
