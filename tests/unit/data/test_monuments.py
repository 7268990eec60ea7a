"""Photos of landmarks come out of a container of Qt's, each with its author and licence."""

from __future__ import annotations

import csv
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from paceline.config.build import build
from paceline.config.schema import TaskSpec
from paceline.data import readers, samples
from paceline.data.prepare import prepare
from paceline.data.readers import monuments
from paceline.data.readers.monuments.qt_resources import Resources
from paceline.errors import DataError, UserError
from paceline.store.code import shipped

README = """Copyright: Somebody
License: CC0-1.0
Source: https://example.org/tower.jpg
Files:
france/eiffelTower.webp

Copyright: Another
License: Public Domain
Files:
germany/audaPalatina.webp
"""


def container(files: dict[str, bytes], *, version: int = 3, compressed: bool = False) -> bytes:
    """A container as Qt's rcc writes it, breadth first."""
    tree: dict[str, Any] = {}
    for path, content in files.items():
        *folders, name = path.strip("/").split("/")
        at = tree
        for folder in folders:
            at = at.setdefault(folder, {})
        at[name] = content
    names, data, nodes, queue = bytearray(), bytearray(), [], [("", tree)]
    while queue:
        name, node = queue.pop(0)
        at = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        if isinstance(node, dict):
            nodes.append([at, 2, len(node), len(nodes) + 1 + len(queue)])
            queue += list(node.items())
            continue
        content = struct.pack(">I", len(node)) + zlib.compress(node) if compressed else node
        nodes.append([at, 1 if compressed else 0, 0, len(data)])
        data += struct.pack(">I", len(content)) + content
    rows = bytearray()
    for at, flags, count, where in nodes:
        rows += struct.pack(">IH", at, flags)
        rows += struct.pack(">II", count, where) if flags & 2 else struct.pack(">HHI", 0, 0, where)
        rows += b"\0" * (8 if version > 1 else 0)
    start = 24 if version > 2 else 20
    head = struct.pack(">4sIIII", b"qres", version, start + len(data) + len(names), start, start + len(data))
    return head + b"\0" * (start - 20) + bytes(data) + bytes(names) + bytes(rows)


def photo(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((24, 24), shade).convert("RGB").save(stream, "WEBP", lossless=True)
    return stream.getvalue()


def rows() -> list[dict[str, str]]:
    with monuments.TABLE.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    photos = {f"{monuments.INSIDE}/{row['file']}": photo(5 * n + 5) for n, row in enumerate(rows())}
    path = tmp_path / "unpacked" / "usr" / "explore_monuments.rcc"
    path.parent.mkdir(parents=True)
    path.write_bytes(container(photos | {f"{monuments.INSIDE}/README": README.encode()}))
    return path


def spec(**options: Any) -> TaskSpec:
    content = yaml.safe_load((shipped("conf") / "task" / "landmarks.yaml").read_text())
    return build(TaskSpec, {"name": "landmarks", **content, "options": content["options"] | options}, "landmarks")


def silent(*progress: Any) -> None:
    pass


def test_every_photo_is_asked_with_its_category_and_licence(file: Path, tmp_path: Path) -> None:
    task = spec(path=str(tmp_path / "unpacked"))
    manifest = prepare(tmp_path / "root", task, silent)
    assert manifest["splits"] == {"test": 49}
    assert sum(manifest["landmark_categories"].values()) == 49
    records = {r["id"]: r for r in samples.read_samples(tmp_path / "root", task, ["test"], 0)}
    tower = records["eiffelTower"]
    assert (tower["name"], tower["category"], tower["place"]) == (
        "Eiffel Tower",
        "urban infrastructure",
        "Paris, France",
    )
    assert (tower["author"], tower["licence"]) == ("Somebody", "CC0-1.0")
    assert tower["source"] == "https://example.org/tower.jpg"
    assert records["aulaPalatina"]["author"] == "Another"
    assert "licence" not in records["petra"]


def test_landmarks_are_split_whole_and_choices_counted(file: Path, tmp_path: Path) -> None:
    task = spec(path=str(file), shares={"train": 0.5, "test": 0.5}, choices=3, distractors="any")
    assert set(prepare(tmp_path / "root", task, silent)["splits"]) == {"train", "test"}


def test_the_table_names_each_landmark_once_and_in_one_category() -> None:
    names = [row["name"] for row in rows()]
    assert len(set(names)) == len(names) == 49
    assert all(row["category"] and row["place"] for row in rows())


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_container_of_each_format_is_read(tmp_path: Path, version: int, compressed: bool) -> None:
    files = {"/a/b/é.txt": b"one" * 99, "/a/c.txt": b"two", "/d.txt": b""}
    (tmp_path / "x.rcc").write_bytes(container(files, version=version, compressed=compressed))
    resources = Resources(tmp_path / "x.rcc")
    assert list(resources) == sorted(files)
    assert {name: resources.read(name) for name in resources} == files
    with pytest.raises(DataError, match="holds no /none"):
        resources.read("/none")


def test_a_broken_container_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.rcc"
    whole = container({"/a/b.txt": b"one" * 99, "/a/c.txt": b"two" * 99}, compressed=True)
    for end in range(len(whole) - 8):  # behind it stands when the last file was changed, which is not read
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"Qt resource file|broken or cut off|unpacked"):
            [resources.read(name) for resources in [Resources(path)] for name in resources]
    path.write_bytes(b"PNG" + whole[3:])
    with pytest.raises(DataError, match="no Qt resource file"):
        Resources(path)
    with pytest.raises(DataError, match="can't read"):
        Resources(tmp_path / "none.rcc")


def test_random_bytes_are_no_container_that_never_ends(tmp_path: Path) -> None:
    whole = container({"/a/b.txt": b"one", "/a/c.txt": b"two"})
    for at in range(24, len(whole)):
        (tmp_path / "x.rcc").write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
        try:
            resources = Resources(tmp_path / "x.rcc")
            [resources.read(name) for name in resources]
        except DataError:
            pass


def test_where_the_photos_come_from_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="apt-get install gcompris-qt-data"):
        list(monuments.read(monuments.Options(path=str(tmp_path)), tmp_path, silent, dict))  # type: ignore[arg-type]


def test_a_photo_that_is_gone_is_counted(tmp_path: Path) -> None:
    inside = {f"{monuments.INSIDE}/{row['file']}": photo(9 + n) for n, row in enumerate(rows()[:6])}
    (tmp_path / "explore_monuments.rcc").write_bytes(container(inside))
    manifest = prepare(tmp_path / "root", spec(path=str(tmp_path)), silent)
    assert manifest["skipped"] == {"photo not found": 43}


def test_photos_are_those_of_the_exported_folder_or_of_the_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GCOMPRIS", raising=False)
    assert readers.with_absolute_paths("monuments", {"path": "$GCOMPRIS"}) == {"path": ""}
    monkeypatch.setenv("GCOMPRIS", str(tmp_path))
    assert readers.with_absolute_paths("monuments", {"path": "$GCOMPRIS"}) == {"path": str(tmp_path)}
    # A place below a variable that is not set is a mistake, and is told as one.
    (left,) = readers.with_absolute_paths("monuments", {"path": "$NOWHERE/photos"}).values()
    with pytest.raises(UserError, match="NOWHERE, which is not set"):
        next(monuments.read(monuments.Options(path=left), tmp_path, lambda *told: None, dict))  # type: ignore[arg-type]
