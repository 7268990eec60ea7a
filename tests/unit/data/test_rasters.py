"""Promises about pictures of more than 8 bits and of several bands: nothing is cut off, and what was done is told."""

from __future__ import annotations

import importlib.util
import io
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import Options, fake_reader, photo, silent
from PIL import Image

from paceline.cli.prepared_findings import told_of_pictures
from paceline.config.build import plain
from paceline.config.schema import PictureSpec, TaskSpec
from paceline.data import images as data_images
from paceline.data import prepare, rasters, readers, samples
from paceline.data.images import BadImage
from paceline.data.readers import Sample, Skipped
from paceline.errors import DataError, UserError
from paceline.store import files

AUTO = PictureSpec()


def ramp(most: float, dtype: str = "uint16", least: float = 0, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    """Height × width values that rise evenly."""
    return np.linspace(least, most, size[0] * size[1]).reshape(size[1], size[0]).astype(dtype)


def saved(values: np.ndarray, path: Path, **options: Any) -> Path:
    Image.fromarray(values).save(path, **options)
    return path


def png16(path: Path, values: np.ndarray, colour_type: int, extra: bytes = b"") -> Path:
    """A PNG of 16 bits a channel, which Pillow itself can write in grey alone."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = values.shape[:2]
    rows = values.astype(">u2").reshape(height, -1)
    stream = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", stream) + chunk(b"IEND", b"")
    )
    return path


def grey(path: Path, rule: PictureSpec = AUTO) -> np.ndarray:
    pixels = np.asarray(rasters.shown(path, rule).image).astype(int)
    assert (pixels[:, :, 0] == pixels[:, :, 1]).all() and (pixels[:, :, 1] == pixels[:, :, 2]).all()
    return pixels[:, :, 0]


EVEN = np.linspace(0, 255, 64 * 64).reshape(64, 64)


@pytest.mark.parametrize("most", [1023, 4095, 16383, 40000, 65535])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_ramp_of_any_depth_in_16_bits_comes_out_as_a_ramp(tmp_path: Path, suffix: str, most: int) -> None:
    shown = grey(saved(ramp(most), tmp_path / f"ramp.{suffix}"))
    ends = 255 * most / 65535 if most == 40000 else 255  # it fills half of its type: left as it is
    assert np.abs(shown - EVEN * ends / 255).max() <= 1.5


@pytest.mark.parametrize(("least", "most"), [(0, 1), (0, 0.05), (-40, 38.5), (0, 3000), (1e-9, 1e-6), (-1e30, 1e30)])
def test_floats_of_any_range_come_out_as_a_ramp(tmp_path: Path, least: float, most: float) -> None:
    assert np.abs(grey(saved(ramp(most, "float32", least), tmp_path / "ramp.tif")) - EVEN).max() <= 1.5


def test_heights_below_zero_are_scaled_from_their_least_value(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "heights.tif", ramp(8000, "int16", -400))
    assert np.abs(grey(tmp_path / "heights.tif") - EVEN).max() <= 1.5


@pytest.mark.parametrize("colour_type", [0, 2, 4, 6])
def test_a_photo_of_16_bits_is_the_photo_of_8(tmp_path: Path, colour_type: int) -> None:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    pixels = np.random.default_rng(1).integers(0, 256, (40, 30, channels), dtype=np.uint8)
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    eight = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels, mode)
    eight.save(tmp_path / "8.png")
    wide = png16(tmp_path / "16.png", pixels.astype(np.uint16) * 257, colour_type)
    assert rasters.shown(wide, AUTO).image.tobytes() == data_images.load_image(tmp_path / "8.png").tobytes()


def test_12_bits_in_the_colours_of_a_png_of_16_are_not_dark(tmp_path: Path) -> None:
    values = np.stack([ramp(4095), ramp(4095)[::-1], ramp(4095)[:, ::-1]], axis=2)
    shown = np.asarray(rasters.shown(png16(tmp_path / "a.png", values, 2), AUTO).image).astype(float)
    assert np.abs(shown - values * (255 / 4095)).max() <= 1.5


def test_the_transparent_value_of_a_png_of_16_bits_is_white(tmp_path: Path) -> None:
    def clear(*values: int) -> bytes:
        data = struct.pack(f">{len(values)}H", *values)
        return struct.pack(">I", len(data)) + b"tRNS" + data + struct.pack(">I", zlib.crc32(b"tRNS" + data))

    one, three = np.full((4, 4), 9, np.uint16), np.full((4, 4, 3), 9, np.uint16)
    one[0, 0] = three[0, 0] = 7
    for path in (
        png16(tmp_path / "grey.png", one, 0, clear(7)),
        png16(tmp_path / "rgb.png", three, 2, clear(7, 7, 7)),
    ):
        image = rasters.shown(path, AUTO).image
        assert image.getpixel((0, 0)) == (255, 255, 255) != image.getpixel((1, 1))


def test_values_that_are_none_are_white_and_do_not_count(tmp_path: Path) -> None:
    values = ramp(300, "float32", 200)
    values[0, :3] = np.nan, np.inf, -np.inf
    assert list(grey(saved(values, tmp_path / "nan.tif"))[0, :3]) == [255, 255, 255]
    values[0, :3] = -9999
    shown = grey(saved(values, tmp_path / "gdal.tif", tiffinfo={42113: "-9999"}))
    assert list(shown[0, :3]) == [255, 255, 255]
    assert np.abs(shown - EVEN)[1:].max() <= 1.5


def test_a_few_hot_pixels_leave_the_picture_as_bright_as_it_was(tmp_path: Path) -> None:
    values = ramp(4095)
    values[10, 10] = values[20, 5] = 65535
    assert np.abs(grey(saved(values, tmp_path / "hot.png")) - EVEN)[30:].max() <= 1.5


@pytest.mark.parametrize("value", [0, 700, 65535])
def test_a_file_of_one_value_takes_the_range_of_its_type_and_is_of_one_colour(tmp_path: Path, value: int) -> None:
    path = saved(np.full((9, 9), value, np.uint16), tmp_path / "flat.png")
    shown = rasters.shown(path, AUTO)
    assert set(np.asarray(shown.image).ravel()) == {round(value / 257)}
    assert shown.one_colour()


@pytest.mark.parametrize(
    ("rule", "ends"),
    [
        (PictureSpec(scale="type"), (0, 65535)),
        (PictureSpec(scale="data"), (0, 4000)),
        (PictureSpec(scale="percentiles"), (80, 3920)),
        (PictureSpec(scale="percentiles", limits=[10, 90]), (400, 3600)),
        (PictureSpec(scale="range", limits=[0, 8191]), (0, 8191)),
        (PictureSpec(), (4, 3996)),
    ],
)
def test_each_rule_scales_between_the_ends_it_names(
    tmp_path: Path, rule: PictureSpec, ends: tuple[float, float]
) -> None:
    values = ramp(4000)
    shown = rasters.shown(saved(values, tmp_path / "a.png"), rule)
    assert shown.ends == pytest.approx(ends, abs=2)
    low, high = shown.ends
    expected = np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255
    assert np.abs(np.asarray(shown.image)[:, :, 0] - expected).max() <= 0.5


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (PictureSpec(scale="range"), "limits"),
        (PictureSpec(scale="range", limits=[5]), "two numbers"),
        (PictureSpec(scale="range", limits=[5, 5]), "smaller first"),
        (PictureSpec(scale="range", limits=[0, float("inf")]), "two numbers"),
        (PictureSpec(limits=[0, 4095]), "scale=auto"),
        (PictureSpec(scale="percentiles", limits=[-1, 98]), "between 0 and 100"),
        (PictureSpec(bands=[1, 2]), "one band or three"),
        (PictureSpec(bands=[0]), "counted from 1"),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused_before_a_picture_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: PictureSpec, told: str
) -> None:
    def read(options: Options, images: Path, progress: readers.Progress) -> Iterator[Sample | Skipped]:
        raise AssertionError

    task = fake_reader(monkeypatch, read)
    with pytest.raises(UserError, match=told):
        prepare.prepare(tmp_path, TaskSpec(name="t", kind=task.kind, reader="fake", pictures=rule), silent)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["uint16", "int32", "float32"]),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 2**31 - 1),
    st.sampled_from(["auto", "type", "data", "percentiles"]),
)
def test_a_brighter_value_is_never_darker_and_the_same_file_gives_the_same_picture(
    tmp_path_factory: pytest.TempPathFactory, dtype: str, width: int, height: int, seed: int, scale: Any
) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.normal(0, 10 ** rng.integers(0, 6), (height, width)) + rng.integers(0, 5000)).clip(0, 65535)
    path = saved(values.astype(dtype), tmp_path_factory.mktemp("a") / "a.tif")
    first, again = grey(path, PictureSpec(scale=scale)), grey(path, PictureSpec(scale=scale))
    assert (first == again).all()
    order = np.argsort(values.astype(dtype), axis=None, kind="stable")
    assert (np.diff(first.ravel()[order]) >= 0).all()


# Bands


MANY: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "contig"}


def banded(path: Path, count: int, **options: Any) -> Path:
    """A TIFF of 12 bits in 16 whose bands differ in brightness."""
    tifffile = pytest.importorskip("tifffile")
    values = np.stack([ramp(4095) // (n + 1) for n in range(count)], axis=2)
    if options.get("planarconfig") == "separate":
        values = np.moveaxis(values, 2, 0)
    tifffile.imwrite(path, values, **{**MANY, **options})
    return path


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_three_bands_of_many_are_chosen_and_share_one_scale(tmp_path: Path, planar: str) -> None:
    shown = rasters.shown(banded(tmp_path / "a.tif", 13, planarconfig=planar), PictureSpec(bands=[2, 1, 4]))
    assert (shown.bands, shown.of_bands) == ((2, 1, 4), 13)
    assert list(np.asarray(shown.image)[63, 63]) == pytest.approx([128, 255, 64], abs=1)


def test_three_bands_in_another_order_are_told(tmp_path: Path) -> None:
    shown = rasters.shown(banded(tmp_path / "a.tif", 3, photometric="rgb"), PictureSpec(bands=[3, 2, 1]))
    assert (shown.bands, shown.of_bands) == ((3, 2, 1), 3)


def test_bands_of_which_none_is_said_to_be_a_colour_are_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match=r"task\.pictures\.bands"):
        rasters.shown(banded(tmp_path / "a.tif", 13), AUTO)
    with pytest.raises(BadImage, match="lacks a band"):
        rasters.shown(banded(tmp_path / "b.tif", 4), PictureSpec(bands=[5]))


@pytest.mark.parametrize("options", [{}, {"photometric": "rgb"}, {"photometric": "rgb", "planarconfig": "separate"}])
def test_three_bands_are_red_green_and_blue(tmp_path: Path, options: dict[str, Any]) -> None:
    shown = rasters.shown(banded(tmp_path / "a.tif", 3, **options), AUTO)
    assert list(np.asarray(shown.image)[63, 63]) == pytest.approx([255, 128, 85], abs=1)


def test_a_band_that_is_said_to_be_opacity_is_no_colour(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    values = np.stack([ramp(4095), np.where(ramp(9) > 4, 65535, 0).astype(np.uint16)], axis=2)
    tifffile.imwrite(tmp_path / "a.tif", values, extrasamples=[2], **MANY)
    shown = grey(tmp_path / "a.tif")
    assert set(shown[:20].ravel()) == {255}
    assert shown[63, 0] < 255 == shown[63, 63]


def test_chosen_bands_of_8_bits_keep_their_values(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    values = np.random.default_rng(0).integers(0, 256, (20, 10, 6), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, **MANY)
    shown = rasters.shown(tmp_path / "a.tif", PictureSpec(bands=[6, 1, 3]))
    assert (np.asarray(shown.image) == values[:, :, [5, 0, 2]]).all()
    assert shown.ends == ()


def test_white_may_be_the_least_value(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    for values in (ramp(65535), ramp(1, "float32")):
        tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
        for rule in (AUTO, PictureSpec(bands=[1])):
            assert np.abs(grey(tmp_path / "a.tif", rule) - (255 - EVEN)).max() <= 1.5


def test_a_tiff_is_turned_as_it_says_by_either_decoder(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    values = ramp(4095, size=(20, 10))
    turn = [(274, "H", 1, 6, True)]
    tifffile.imwrite(tmp_path / "one.tif", values, extratags=turn)
    tifffile.imwrite(tmp_path / "two.tif", np.stack([values] * 3, axis=2), extratags=turn, **MANY)
    one, two = (rasters.shown(tmp_path / name, AUTO).image for name in ("one.tif", "two.tif"))
    assert one.size == (10, 20)
    assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_of_any_type_is_turned_as_its_orientation_says(tmp_path: Path, dtype: str, orientation: int) -> None:
    values = ramp(255, dtype, size=(20, 10))
    image = Image.fromarray(values)
    exif = image.getexif()
    exif[274] = orientation
    image.save(tmp_path / "a.tif", exif=exif)
    shown = grey(tmp_path / "a.tif", PictureSpec(scale="data"))
    assert shown.shape == ((20, 10) if orientation > 4 else (10, 20))
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    assert shown[corner[orientation]] == 0  # where the file's first value stands
    assert (np.diff(shown, axis=0 if orientation < 5 else 1)[:, 0] != 0).any()


def test_without_the_package_a_tiff_of_bands_is_told_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = banded(tmp_path / "a.tif", 13)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(BadImage, match=r"pip install 'paceline\[tiff\]'"):
        rasters.shown(path, AUTO)


@pytest.mark.parametrize("compression", ["tiff_lzw", "zstd", "jpeg"])
def test_a_tiff_whose_compression_needs_a_package_is_told_with_it(tmp_path: Path, compression: str) -> None:
    pytest.importorskip("tifffile")
    if importlib.util.find_spec("imagecodecs"):
        pytest.skip("imagecodecs is installed")
    image = Image.linear_gradient("L").convert("RGB")
    image.save(tmp_path / "a.tif", compression=compression)
    assert not rasters.shown(tmp_path / "a.tif", AUTO).made, "Pillow reads it"
    with pytest.raises(BadImage, match="pip install imagecodecs"):
        rasters.shown(tmp_path / "a.tif", PictureSpec(bands=[3, 2, 1]))


def test_numbers_of_8_bits_with_a_sign_do_not_wrap_around(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", ramp(127, "int8", -128))
    assert np.abs(grey(tmp_path / "a.tif") - EVEN).max() <= 1.5


def test_a_damaged_tiff_is_a_broken_image(tmp_path: Path) -> None:
    whole = banded(tmp_path / "a.tif", 5).read_bytes()
    for n, size in enumerate((5, 200, len(whole) // 2)):
        (tmp_path / f"{n}.tif").write_bytes(whole[:size])
        with pytest.raises(BadImage, match="broken image"):
            rasters.shown(tmp_path / f"{n}.tif", PictureSpec(bands=[1]))


# What is prepared


def pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *paths: Path, rule: PictureSpec = AUTO, root: str = "root"
) -> tuple[dict[str, Any], list[dict[str, Any]], Path]:
    def read(options: Options, images: Path, progress: readers.Progress) -> Iterator[Sample | Skipped]:
        yield from (Sample(path.name, "test", path) for path in paths)

    task = fake_reader(monkeypatch, read)
    task = TaskSpec(name="fake", kind=task.kind, reader="fake", pictures=rule)
    manifest = prepare.prepare(tmp_path / root, task, silent)
    folder = samples.dataset_folder(tmp_path / root, task)
    return manifest, samples.read_samples(tmp_path / root, task, ["test"], 0), folder


def test_what_is_shown_later_is_the_file_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(ramp(4095), tmp_path / "wide.png")
    manifest, records, folder = pictures(tmp_path, monkeypatch, path, photo(tmp_path / "b.png"))
    kept = folder / "scaled" / f"{records[0]['sha256'][:32]}.pgm"
    assert records[0]["image"] == str(kept)
    assert data_images.load_image(records[0]["image"]).tobytes() == rasters.shown(path, AUTO).image.tobytes()
    assert records[1]["image"] == str(tmp_path / "b.png")
    assert manifest["pictures"] == {
        "rule": plain(PictureSpec()),
        "scaled": {"percentiles": 1},
        "one_colour": 1,
    }
    lines = {line["picture"]: line for line in files.read_jsonl(folder / "pictures.jsonl")}
    assert lines[str(path)]["ends"] == pytest.approx([4, 4091], abs=2)
    assert (lines[str(path)]["shown"], lines[str(path)]["sha256"]) == (f"scaled/{kept.name}", files.file_digest(path))
    assert lines[str(tmp_path / "b.png")]["one_colour"]
    said = list(told_of_pictures(manifest, "data/x"))
    assert said[0].startswith("1 picture of more than 8 bits scaled from percentiles")
    assert said[1].startswith("1 picture of nearly one colour")


def test_a_picture_whose_name_is_no_text_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9.png")
    saved(ramp(4095), odd)
    manifest, _, folder = pictures(tmp_path, monkeypatch, odd, saved(ramp(4095), tmp_path / "b.png"))
    assert manifest["splits"]["test"] >= 1
    assert len(list(files.read_jsonl(folder / "pictures.jsonl"))) == 2


def test_another_rule_is_other_data_and_the_same_rule_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(ramp(4095), tmp_path / "wide.png")
    first, *_ = pictures(tmp_path, monkeypatch, path)
    again, *_ = pictures(tmp_path, monkeypatch, path, root="elsewhere")
    other, *_ = pictures(tmp_path, monkeypatch, path, rule=PictureSpec(scale="range", limits=[0, 8191]))
    assert first["digest"] == again["digest"] != other["digest"]


def test_pictures_of_8_bits_are_left_as_they_are_whatever_the_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    paths = []
    for mode, channels in (("L", 1), ("RGB", 3), ("RGBA", 4), ("LA", 2), ("CMYK", 4)):
        for suffix in ("png", "tif", "jpg", "webp", "bmp", "gif"):
            pixels = rng.integers(0, 256, (12, 9, channels), dtype=np.uint8)
            image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels, mode)
            stream = io.BytesIO()
            try:
                image.save(stream, Image.registered_extensions()["." + suffix])
            except (OSError, ValueError):
                continue  # a format without such a mode
            paths.append(tmp_path / f"{mode}.{suffix}")
            paths[-1].write_bytes(stream.getvalue())
    digests = set()
    for scale in ("auto", "type", "data", "percentiles"):
        manifest, records, _ = pictures(tmp_path, monkeypatch, *paths, rule=PictureSpec(scale=scale))
        assert [r["image"] for r in records] == list(map(str, paths))
        assert "scaled" not in manifest.get("pictures", {})
        digests.add(manifest["digest"])
    assert len(digests) == 1
    for path in paths:
        assert rasters.shown(path, AUTO).image.tobytes() == data_images.load_image(path).tobytes()


def test_the_digest_of_8_bit_pictures_prepared_by_an_earlier_version_is_still_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.ppm").write_bytes(b"P6\n2 1\n255\nabcdef")
    manifest, *_ = pictures(tmp_path, monkeypatch, tmp_path / "a.ppm")
    record = {"id": "a.ppm", "split": "test", "sha256": files.file_digest(tmp_path / "a.ppm")}
    assert manifest["digest"] == files.digest([record])


def test_wide_pictures_that_an_earlier_version_prepared_are_refused_and_not_cut_off(tmp_path: Path) -> None:
    for path in (saved(ramp(4095), tmp_path / "a.png"), saved(ramp(1, "float32"), tmp_path / "b.tif")):
        with pytest.raises(DataError, match=r"above 8 bits.*paceline prepare"):
            data_images.load_image(path)


def test_the_first_frame_or_page_is_shown_and_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [Image.linear_gradient("L").rotate(90 * n).convert("RGB") for n in range(3)]
    paths = []
    for name in ("a.gif", "b.tif", "c.webp", "d.png", "e.mpo"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        paths.append(tmp_path / name)
    for name in ("f.gif", "g.tif"):
        frames[0].save(tmp_path / name)
        paths.append(tmp_path / name)
    manifest, _, _ = pictures(tmp_path, monkeypatch, *paths)
    assert manifest["pictures"]["first_of"] == {"GIF": 1, "TIFF": 1, "WEBP": 1, "PNG": 1, "MPO": 1}
    assert any("several frames or pages (GIF)" in line for line in told_of_pictures(manifest, "x"))
    for name in ("b.tif", "d.png"):
        assert rasters.shown(tmp_path / name, AUTO).image.tobytes() == frames[0].tobytes()


def test_smaller_copies_inside_a_tiff_are_no_further_pages(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(ramp(4095))
        file.write(ramp(4095)[::2, ::2], subfiletype=1)
    assert rasters.shown(tmp_path / "a.tif", AUTO).format == ""


def test_heic_is_read_with_its_extra_and_told_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.linear_gradient("L").convert("RGB")).save(tmp_path / "a.heic")
    shown = data_images.load_image(tmp_path / "a.heic")
    assert (shown.mode, shown.size) == ("RGB", (256, 256))
    assert np.abs(np.asarray(shown).astype(int)[:, :, 0] - np.arange(256)[:, None]).max() <= 12


def test_without_the_package_heic_is_told_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(DataError, match=r"pip install 'paceline\[heic\]'"):
        data_images.load_image(tmp_path / "a.heic")


@pytest.mark.parametrize("name", ["a.gif", "a.bmp", "a.mpo", "a.avif", "a.webp", "a.jp2", "a.jfif"])
def test_the_usual_formats_are_read(tmp_path: Path, name: str) -> None:
    Image.linear_gradient("L").convert("RGB").save(tmp_path / name)
    shown = np.asarray(data_images.load_image(tmp_path / name)).astype(int)
    assert np.abs(shown[:, :, 1] - np.arange(256)[:, None]).max() <= 12
