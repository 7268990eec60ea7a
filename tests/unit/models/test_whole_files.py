"""A file of a model that is not as long as it says itself is known by its name before anything is loaded."""

from __future__ import annotations

import io
import json
import struct
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.config.schema import ModelSpec
from paceline.models import hub_files
from paceline.models.whole_files import cut_short

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 4000000\n"


def safetensors(size: int) -> bytes:
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


def pytorch(size: int) -> bytes:
    """As ``torch.save`` writes it: a zip archive that is not compressed."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        archive.writestr("archive/data/0", bytes(size))
    return content.getvalue()


def by_torch(size: int) -> bytes:
    """As PyTorch's own writer ends an archive: the directory told in 64 bits too, however small."""
    content = pytorch(size)
    _, *counts, length, start, _ = struct.unpack("<4s4H2LH", content[-22:])
    wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, counts[-1], counts[-1], length, start)
    return content[:-22] + wide + struct.pack("<4sLQL", b"PK\x06\x07", 0, len(content) - 22, 1) + content[-22:]


def varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def sentencepiece(size: int) -> bytes:
    """Pieces, then the settings of the training."""
    piece = b"\n" + varint(len("piece")) + b"piece" + b"\x15" + struct.pack("<f", -1.5) + b"\x18\x01"
    return (b"\n" + varint(len(piece)) + piece) * (size // 16 + 1) + b"\x12" + varint(300) + bytes(300)


def vocabulary(size: int) -> bytes:
    return json.dumps({"model": {"vocab": {f"word{n}": n for n in range(size)}}}).encode()


FORMATS = {
    "model.safetensors": safetensors,
    "pytorch_model.bin": pytorch,
    "pytorch_model-00001-of-00002.bin": by_torch,
    "tokenizer.model": sentencepiece,
    "tokenizer.json": vocabulary,
}


def is_cut(name: str, content: bytes) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return cut_short(path)


@given(st.sampled_from(sorted(FORMATS)), st.integers(0, 3000), st.data())
def test_a_file_is_whole_at_its_length_and_at_no_shorter_one(name: str, size: int, data: st.DataObject) -> None:
    content = FORMATS[name](size)
    assert not is_cut(name, content)
    # A vocabulary of SentencePiece that ends between two pieces is one, only of fewer.
    last = 300 if name == "tokenizer.model" else len(content)
    assert is_cut(name, content[: -data.draw(st.integers(1, last))])
    assert is_cut(name, POINTER)


@given(st.sampled_from(sorted(FORMATS)), st.binary(max_size=200))
def test_no_content_is_too_odd_to_be_judged(name: str, content: bytes) -> None:
    assert is_cut(name, content) in (True, False)


@given(
    st.sampled_from(["model.safetensors", "pytorch_model.bin", "tokenizer.json"]), st.binary(min_size=1, max_size=50)
)
def test_a_file_with_something_behind_its_end_is_not_whole(name: str, more: bytes) -> None:
    assert is_cut(name, FORMATS[name](100) + more) == bool(more.strip(b" \t\n\r") or name != "tokenizer.json")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pytorch_model.bin", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."),
        ("tokenizer.model", b"IQ== 0\nIg== 1\n"),
        ("merges.txt", b""),
        ("log.json", b'{"step": 1}\n{"step": 2}\n'),
    ],
    ids=["PyTorch before 1.6", "a vocabulary of text", "text", "lines of JSON that no model reads"],
)
def test_what_does_not_tell_its_length_is_taken_as_it_is(name: str, content: bytes) -> None:
    assert not is_cut(name, content)


def test_an_archive_of_more_than_four_gigabytes_is_known_whole(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive, archive.open("0", "w", force_zip64=True) as entry:
        entry.write(b"0")
    content = path.read_bytes()
    assert not cut_short(path)
    # The same directory, told in 64 bits.
    mark, *counts, length, start, _ = struct.unpack("<4s4H2LH", content[-22:])
    wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, length, start)
    place = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(content) - 22, 1)
    end = struct.pack("<4s4H2LH", mark, *counts, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(content[:-22] + wide + place + end)
    assert zipfile.is_zipfile(path)
    assert not cut_short(path)
    path.write_bytes(content[:-23] + wide + place + end)
    assert cut_short(path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer.model", "pytorch_model.bin"])
def test_a_folder_with_a_file_that_is_cut_short_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    for file, make in FORMATS.items():
        if not file.endswith(".safetensors"):
            (tmp_path / file).write_bytes(make(1000))
    (tmp_path / "config.json").write_text("{}")
    spec = ModelSpec(name="mine", weights=str(tmp_path))
    assert hub_files.lacking(spec) == ""
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-1])
    assert f"{tmp_path / name} is cut short or damaged" in hub_files.lacking(spec)
    (tmp_path / name).write_bytes(POINTER)
    assert f"{tmp_path / name} is cut short or damaged" in hub_files.lacking(spec)
