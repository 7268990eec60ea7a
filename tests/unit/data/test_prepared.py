"""Promises about prepared data: whole or not there, the same everywhere, honest about what was left out."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from photos import PLACES, Options, bomb, fake_reader, photo, sidecars, silent, street
from PIL import Image

from paceline import tasks
from paceline.config.schema import TaskSpec
from paceline.data import images as data_images
from paceline.data import prepare, readers, samples
from paceline.data.readers import Sample, Skipped
from paceline.errors import DataError, Unavailable, UserError
from paceline.store import files
from paceline.store.owner import this_process
from paceline.sweep.compose import compose
from paceline.sweep.config_files import conf_folders


def test_unprepared_data_names_the_task_the_root_and_the_command(tmp_path: Path) -> None:
    task = street(tmp_path)
    with pytest.raises(DataError) as caught:
        samples.data_digest(tmp_path, task)
    assert "'geolocation_street'" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "paceline prepare task=geolocation_street" in str(caught.value)
    assert caught.value.exit_code == 2


def test_an_unknown_option_leads_to_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'shares'"):
        samples.dataset_folder(tmp_path, street(tmp_path, share={}))


def test_an_unknown_reader_lists_the_readers_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"valid names: .*earth, exif, gqa, hf_datasets"):
        samples.dataset_folder(tmp_path, TaskSpec(reader="zzz"))


def test_tasks_of_one_reader_and_options_share_the_data_and_written_out_defaults_change_nothing(tmp_path: Path) -> None:
    task = street(tmp_path)
    same = TaskSpec(name="other", kind="k", reader="sidecar", options={"path": str(tmp_path), "sample": 0, "seed": 0})
    assert samples.dataset_folder(tmp_path, task) == samples.dataset_folder(tmp_path, same)
    other = street(tmp_path, seed=1)
    assert samples.dataset_folder(tmp_path, task) != samples.dataset_folder(tmp_path, other)


def test_one_relative_path_in_two_folders_never_means_the_same_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        words = ["task=geolocation_street", "task.options.path=photos"]
        task = compose(words, conf_folders(None)).spec("task", "geolocation_street", {})
        found.append(samples.dataset_folder(tmp_path, task))
    assert found[0] != found[1]
    given = street(tmp_path / "there" / "photos", sample=15000)
    assert found[1] == samples.dataset_folder(tmp_path, given)


def test_splits_are_known_once_the_data_is_prepared(tmp_path: Path) -> None:
    task = street(sidecars(tmp_path / "photos"), shares={"train": 1})
    assert samples.splits(tmp_path, task) is None
    prepare.prepare(tmp_path, task, silent)
    assert samples.splits(tmp_path, task) == {"train": len(PLACES)}


def test_preparing_twice_makes_the_data_once(tmp_path: Path) -> None:
    task = street(sidecars(tmp_path / "photos"))
    first = prepare.prepare(tmp_path / "root", task, silent)
    stamp = (samples.dataset_folder(tmp_path / "root", task) / "samples.jsonl").stat().st_mtime_ns
    calls: list[str] = []
    assert prepare.prepare(tmp_path / "root", task, lambda s, d, t: calls.append(s)) == first
    assert calls == []
    assert (samples.dataset_folder(tmp_path / "root", task) / "samples.jsonl").stat().st_mtime_ns == stamp


def test_the_digest_is_the_same_on_another_machine_and_changes_with_the_pixels(tmp_path: Path) -> None:
    digests = []
    for name in ("here", "elsewhere"):
        task = street(sidecars(tmp_path / name / "photos"))
        prepare.prepare(tmp_path / name, task, silent)
        digests.append(samples.data_digest(tmp_path / name, task))
    photo(tmp_path / "third" / "photos" / "location_000002.png", 99)
    folder = sidecars(tmp_path / "third" / "photos")
    photo(folder / "location_000002.png", 99)
    prepare.prepare(tmp_path / "third", street(folder), silent)
    assert digests[0] == digests[1] != samples.data_digest(tmp_path / "third", street(folder))


def test_samples_come_in_prepared_order_the_first_of_each_split_and_with_absolute_images(tmp_path: Path) -> None:
    shares = {"train": 0.5, "test": 0.5}
    task = street(sidecars(tmp_path / "photos", [(n, n) for n in range(1, 41)]), shares=shares)
    manifest = prepare.prepare(tmp_path, task, silent)
    assert sum(manifest["splits"].values()) == 40
    every = samples.read_samples(tmp_path, task, ["train"], 0)
    assert samples.read_samples(tmp_path, task, ["train"], 3) == every[:3]
    both = samples.read_samples(tmp_path, task, ["test", "train"], 2)
    assert [s["split"] for s in both] == ["test", "test", "train", "train"]
    assert all(Path(s["image"]).is_absolute() and Path(s["image"]).exists() for s in both)


def test_what_all_samples_have_in_common_is_kept_once_and_given_with_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = street(sidecars(tmp_path / "photos"), shares={"train": 1})
    kind = tasks.load(task.kind)
    monkeypatch.setattr(kind, "common", lambda records: {"ids": sorted(r["id"] for r in records)}, raising=False)
    manifest = prepare.prepare(tmp_path, task, silent)
    lines = list(files.read_jsonl(samples.dataset_folder(tmp_path, task) / "samples.jsonl"))
    read = samples.read_samples(tmp_path, task, ["train"], 2)
    assert all("ids" not in line for line in lines)
    assert [r["ids"] for r in read] == [manifest["common"]["ids"]] * 2
    assert read[0]["ids"] is read[1]["ids"]


def test_an_unknown_split_lists_the_splits_there_are(tmp_path: Path) -> None:
    task = street(sidecars(tmp_path / "photos"), shares={"train": 0.5, "test_near": 0.5})
    prepare.prepare(tmp_path, task, silent)
    with pytest.raises(UserError, match="test_near"):
        samples.read_samples(tmp_path, task, ["test"], 0)


@pytest.mark.parametrize("damage", ['{"schema": 1}', "not json", '{"schema": 1, "digest": 3, "splits": {}}', "[1]"])
def test_a_damaged_manifest_is_told_with_the_way_to_mend_it(tmp_path: Path, damage: str) -> None:
    task = street(sidecars(tmp_path / "photos"))
    prepare.prepare(tmp_path, task, silent)
    (samples.dataset_folder(tmp_path, task) / "manifest.json").write_text(damage)
    with pytest.raises(DataError, match="paceline prepare task=geolocation_street"):
        samples.read_manifest(tmp_path, task)


def test_a_manifest_of_a_later_version_is_refused(tmp_path: Path) -> None:
    task = street(sidecars(tmp_path / "photos"))
    prepare.prepare(tmp_path, task, silent)
    path = samples.dataset_folder(tmp_path, task) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 2}))
    with pytest.raises(DataError, match="schema 2"):
        samples.data_digest(tmp_path, task)


def test_samples_that_were_cut_off_are_not_passed_off_as_the_dataset(tmp_path: Path) -> None:
    task = street(sidecars(tmp_path / "photos"), shares={"test": 1})
    prepare.prepare(tmp_path, task, silent)
    path = samples.dataset_folder(tmp_path, task) / "samples.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DataError, match="does not hold what its manifest says"):
        samples.read_samples(tmp_path, task, ["test"], 1)


def leftovers(root: Path) -> list[str]:
    return [p.name for p in (root / "data").iterdir()] if (root / "data").exists() else []


def test_a_crash_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(options: Options, images: Path, progress: readers.Progress) -> Iterator[Sample]:
        yield Sample("a", "test", photo(images / "a.png"))
        raise KeyboardInterrupt

    task = fake_reader(monkeypatch, read)
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare(tmp_path, task, silent)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_or_read_only_disk_is_told_as_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def read(options: Options, images: Path, progress: readers.Progress) -> Iterator[Sample]:
        yield Sample("a", "test", photo(images / "a.png"))
        raise OSError(number, "no room", str(images / "b.png"))

    task = fake_reader(monkeypatch, read)
    with pytest.raises(Unavailable, match="choose another root=") as caught:
        prepare.prepare(tmp_path, task, silent)
    assert caught.value.exit_code == 3
    assert leftovers(tmp_path) == []


def test_a_root_that_can_not_be_written_is_told_as_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(Unavailable, match="choose another root="):
        prepare.prepare(tmp_path / "file", street(sidecars(tmp_path / "photos")), silent)


def test_two_prepares_that_overlap_both_end_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner: list[dict[str, object]] = []

    def read(options: Options, images: Path, progress: readers.Progress) -> Iterator[Sample]:
        yield Sample("a", "test", photo(images / "a.png"))
        if not inner:
            inner.append({})
            inner[0] = prepare.prepare(tmp_path, task, silent)

    task = fake_reader(monkeypatch, read)
    assert prepare.prepare(tmp_path, task, silent) == inner[0]
    assert leftovers(tmp_path) == [samples.dataset_folder(tmp_path, task).name]


def test_two_processes_at_once_both_end_well(tmp_path: Path) -> None:
    sidecars(tmp_path / "photos")
    code = (
        "import sys; from pathlib import Path; from paceline.data import prepare\n"
        "from paceline.config.schema import TaskSpec\n"
        "task = TaskSpec(name='t', kind='geolocation', reader='sidecar', options={'path': sys.argv[1]})\n"
        "print(prepare.prepare(Path(sys.argv[2]), task, lambda *a: None)['digest'])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "photos"), str(tmp_path / "root")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=60)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert told[0] == told[1] != ""
    assert len(leftovers(tmp_path / "root")) == 1


def test_what_a_killed_prepare_left_is_removed_by_the_next_and_another_at_work_is_left_alone(tmp_path: Path) -> None:
    task = street(sidecars(tmp_path / "photos"))
    name = samples.first_folder(tmp_path, task).name
    dead = {**this_process(), "pid": os.getpid(), "pid_started": "1"}
    owners = {"dead": dead, "alive": this_process(), "elsewhere": {**dead, "host": "another"}}
    for part, owner in owners.items():
        folder = tmp_path / "data" / f".{name}.{part}.tmp"
        (folder / "images").mkdir(parents=True)
        files.write_json(folder / "owner.json", owner)
    (tmp_path / "data" / f".{name}.begun.tmp").mkdir()
    prepare.prepare(tmp_path, task, silent)
    assert sorted(leftovers(tmp_path)) == [f".{name}.{part}.tmp" for part in ("alive", "begun", "elsewhere")] + [name]
    assert not (tmp_path / "data" / name / "owner.json").exists()


def test_a_removed_manifest_makes_the_data_again(tmp_path: Path) -> None:
    task = street(sidecars(tmp_path / "photos"))
    first = prepare.prepare(tmp_path, task, silent)
    (samples.dataset_folder(tmp_path, task) / "manifest.json").unlink()
    assert prepare.prepare(tmp_path, task, silent) == first
    assert len(leftovers(tmp_path)) == 1


def test_an_empty_result_is_refused_with_the_reasons(tmp_path: Path) -> None:
    folder = sidecars(tmp_path / "photos")
    for path in folder.glob("*.json"):
        path.write_text('{"coordinates": null}')
    with pytest.raises(DataError, match="6 × no coordinates"):
        prepare.prepare(tmp_path, street(folder), silent)
    assert leftovers(tmp_path) == []


def test_images_on_both_sides_of_a_split_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(options: Options, images: Path, progress: readers.Progress) -> Iterator[Sample]:
        for n, (split, colour) in enumerate([("train", 1), ("test", 1), ("test", 2), ("validation", 3)]):
            yield Sample(f"{n}", split, photo(images / f"{n}.png", colour))

    assert prepare.prepare(tmp_path, fake_reader(monkeypatch, read), silent)["leaks"] == {"test": 1, "validation": 0}


def test_the_distance_between_train_and_test_is_told_across_the_date_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(options: Options, images: Path, progress: readers.Progress) -> Iterator[Sample]:
        for n, (split, lon) in enumerate([("train", 179.5), ("train", 0.0), ("test", -179.5), ("test", 90.0)]):
            yield Sample(f"{n}", split, photo(images / f"{n}.png", n), {"latitude": 0.0, "longitude": lon})

    manifest = prepare.prepare(tmp_path, fake_reader(monkeypatch, read), silent)
    assert manifest["separation_km"]["test"] == pytest.approx(math.radians(1) * 6371.0088, abs=0.01)


def test_bad_samples_are_skipped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(options: Options, images: Path, progress: readers.Progress) -> Iterator[Sample | Skipped]:
        yield Sample("good", "test", photo(images / "a.png"))
        yield Sample("good", "test", photo(images / "b.png"))
        yield Sample("nan", "test", photo(images / "c.png"), {"height": math.nan})
        yield Sample("object", "test", photo(images / "d.png"), {"height": object()})
        yield Sample("gone", "test", images / "gone.png")
        yield Sample("bomb", "test", bomb(images / "bomb.png"))
        (images / "torn.png").write_bytes((images / "a.png").read_bytes()[:40])
        yield Sample("torn", "test", images / "torn.png")
        yield Skipped("row", "no place")

    task = fake_reader(monkeypatch, read)
    manifest = prepare.prepare(tmp_path, task, silent)
    assert manifest["splits"] == {"test": 1}
    assert manifest["skipped"] == {
        "a field is no finite JSON value": 2,
        "id seen before": 1,
        "image is missing": 1,
        "image has too many pixels": 1,
        "broken image": 1,
        "no place": 1,
    }
    skipped = list(files.read_jsonl(samples.dataset_folder(tmp_path, task) / "skipped.jsonl"))
    assert {"record": "bomb", "reason": "image has too many pixels", "detail": "bomb.png"} in skipped


def test_an_image_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    image = Image.new("RGB", (20, 10), "red")
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert data_images.load_image(tmp_path / "turned.jpg").size == (10, 20)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "RGB"])
def test_an_image_of_any_mode_comes_as_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
    Image.new(mode, (5, 4)).save(path)
    loaded = data_images.load_image(path)
    assert (loaded.mode, loaded.size) == ("RGB", (5, 4))


def test_transparent_parts_of_an_image_are_white_not_black(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert data_images.load_image(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_000, 60_000], ids=["pillow_warns", "pillow_raises"])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    path = bomb(tmp_path / "bomb.png", side)
    assert data_images.check_image(path) == "image has too many pixels"
    with pytest.raises(DataError, match=r"bomb\.png: image has too many pixels"):
        data_images.load_image(path)


@pytest.mark.parametrize("size", [(3000, 2), (2, 3000), (201, 1)])
def test_an_image_too_narrow_for_a_model_is_skipped_and_counted(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(options: Options, images: Path, progress: readers.Progress) -> Iterator[Sample | Skipped]:
        yield Sample("good", "test", photo(images / "a.png", size=(200, 1)))
        yield Sample("narrow", "test", photo(images / "b.png", size=size))

    manifest = prepare.prepare(tmp_path, fake_reader(monkeypatch, read), silent)
    assert manifest["splits"] == {"test": 1}
    assert manifest["skipped"] == {"image is too narrow": 1}


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0" + b"\0" * 50])
def test_a_broken_image_names_its_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.png: broken image"):
        data_images.load_image(tmp_path / "broken.png")
    with pytest.raises(DataError, match="image is missing"):
        data_images.load_image(tmp_path / "none.png")


def test_the_login_side_of_prepared_data_loads_no_heavy_library() -> None:
    code = (
        "import sys, importlib.util, paceline.data.samples, paceline.data.prompts; from paceline.data import readers\n"
        "from paceline import tasks\n"
        "heavy = {'torch', 'transformers', 'datasets', 'PIL', 'scipy'}\n"
        "spec = importlib.util.find_spec; kinds = tasks.names()\n"
        "folders = [n for n in kinds if spec('paceline.tasks.' + n).submodule_search_locations]\n"
        "[readers.load(n) for n in readers.names()]; [tasks.load(n) for n in folders]\n"
        "print(len(folders) > 1, (heavy | {'numpy'}) & set(sys.modules))\n"
        # A kind of one module brings numpy by its metrics.
        "[tasks.load(n) for n in tasks.names()]\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True set()\nset()\n"


def test_data_prepared_anew_from_changed_photos_is_not_taken_for_the_cells_own(tmp_path: Path) -> None:
    task = street(sidecars(tmp_path / "photos"))
    digest = prepare.prepare(tmp_path, task, silent)["digest"]
    samples.require(tmp_path, task, digest)
    photo(tmp_path / "photos" / "location_000001.png", 200)
    (samples.dataset_folder(tmp_path, task) / "manifest.json").unlink()
    prepare.prepare(tmp_path, task, silent)
    with pytest.raises(DataError):
        samples.require(tmp_path, task, digest)


def test_a_picture_decoded_small_has_the_side_asked_for_and_looks_the_same(tmp_path: Path) -> None:
    whole = Image.linear_gradient("L").resize((1200, 800)).convert("RGB")
    exif = whole.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    whole.save(tmp_path / "a.jpg", exif=exif)
    small, large = data_images.load_image(tmp_path / "a.jpg", 200), data_images.load_image(tmp_path / "a.jpg")
    assert large.size == (800, 1200)
    assert 200 <= min(small.size) < 400 and small.width / small.height == large.width / large.height
    for side in ((0, 0), (small.width - 1, 0), (0, small.height - 1)):
        scaled = tuple(round(at * large.width / small.width) for at in side)
        near = min(scaled[0], large.width - 1), min(scaled[1], large.height - 1)
        assert abs(small.getpixel(side)[0] - large.getpixel(near)[0]) <= 8
