"""Worked examples in a file of the user's: pictures with answers written by hand. Imports no torch.

CSV with a header, or JSON lines. A row has ``answer``, and ``image``, a path relative to the file (``images``, a list,
where a sample shows several), or ``sample``, the id of a sample of the task; or neither, where text alone is asked
about. ``part`` names the question that the answer is to, where a sample has several. All other columns are fields of
the example, such as the ``question`` of a kind that asks one.

What the rows say and what their pictures hold is known by one digest, wherever the file lies. ``paceline prepare``
keeps both under the root, from where a cell reads them:

    <root>/shots/<digest>/shots.jsonl
    <root>/shots/<digest>/images/<sha256>.<suffix>
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paceline.config.checks import CONTENT
from paceline.data.images import TOO_WIDE, check_image
from paceline.errors import DataError, UserError
from paceline.store import files

OWN = ("answer", "image", "images", "sample", "part")
MOST_BYTES = 4 << 20
"""Of a file of examples: a larger one is something else."""


@dataclass(frozen=True)
class ShotRow:
    """One example of a file.

    Attributes:
        answer: what is shown as its answer.
        sample: id of the task's sample that it shows; empty where it has pictures or fields of its own.
        images: its pictures, absolute.
        sha256s: of these.
        part: name of the question that is answered; empty for all.
        fields: the other columns.
        line: where it stands, counted from 1.
    """

    answer: str
    sample: str = ""
    images: tuple[str, ...] = ()
    sha256s: tuple[str, ...] = ()
    part: str = ""
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    line: int = dataclasses.field(default=0, compare=False)

    @property
    def name(self) -> str:
        """What a prediction calls it."""
        return self.sample or f"row {self.line}"

    def said(self) -> dict[str, Any]:
        """What it is known by: all but where its pictures lie."""
        values = dataclasses.asdict(self)
        return {k: values[k] for k in ("answer", "sample", "sha256s", "part", "fields") if values[k]}


def located(file: str) -> Path:
    """A file of examples as a prompt names it, from the root of the file system."""
    return Path(file).expanduser().absolute()


def read(file: str) -> list[ShotRow]:
    """The examples of a file, in their order.

    Raises:
        UserError: no such file, a row that can't be used, a picture that is not there; with the line.
    """
    path = located(file)
    try:
        content = path.read_bytes() if path.stat().st_size <= MOST_BYTES else None
        text = "" if content is None else content.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"prompt.shots.file: {path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"prompt.shots.file: {path} is no UTF-8 ({error.reason}); save it as UTF-8") from None
    if content is None:
        raise UserError(f"prompt.shots.file: {path} has more than {MOST_BYTES >> 20} MB; give a file of examples")
    rows = [_row(path, line, values) for line, values in _lines(path, text)]
    if not rows:
        raise UserError(f"prompt.shots.file: {path} holds no example; write a line with image and answer")
    return rows


def _lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    if path.suffix.lower() == ".csv":
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        try:
            for values in reader:
                where = f"prompt.shots.file: {path}, line {reader.line_num}"
                if None in values:
                    raise UserError(f"{where}: more cells than the header names; quote a cell that holds a comma")
                yield reader.line_num, {str(k).strip(): v for k, v in values.items() if v not in (None, "")}
        except csv.Error as error:
            raise UserError(f"prompt.shots.file: {path}, line {reader.line_num}: {error}") from None
    elif path.suffix.lower() in (".jsonl", ".ndjson"):
        for number, line in enumerate(text.split("\n"), 1):  # a text may hold U+2028, which ends no line
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except ValueError as error:
                raise UserError(f"prompt.shots.file: {path}, line {number}: no JSON: {error}") from None
            if not isinstance(values, dict):
                raise UserError(f"prompt.shots.file: {path}, line {number}: expected an object, got {values!r}")
            yield number, values
    else:
        raise UserError(f"prompt.shots.file: {path}: a file of examples ends in .csv or .jsonl")


def _row(path: Path, line: int, values: Mapping[str, Any]) -> ShotRow:
    where = f"prompt.shots.file: {path}, line {line}"
    answer = values.get("answer")
    if not isinstance(answer, str) or not answer.strip():
        raise UserError(f"{where}: no answer; each row has a text in the column answer")
    named = values.get("images") or ([values["image"]] if values.get("image") else [])
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise UserError(f"{where}: image is a path, and images a list of paths (in JSON lines)")
    for name in ("sample", "part"):
        if not isinstance(values.get(name, ""), str):
            raise UserError(f"{where}: {name} is a text: quote it")
    if named and values.get("sample"):
        raise UserError(f"{where}: image and sample: a row shows its own picture or that of a sample; leave one out")
    images = [path.parent / Path(name).expanduser() for name in named]
    for image in images:
        if not image.is_file():
            raise UserError(f"{where}: {image} is not there; paths of images are relative to the file")
        if why := check_image(image):
            why = "image has values above 8 bits; save it with 8" if why == TOO_WIDE else why
            raise UserError(f"{where}: {image}: {why}")
    fields = {name: value for name, value in values.items() if name not in OWN}
    try:
        files.canonical(fields).encode()
        answer.encode()
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: can't be recorded: {error}") from None
    return ShotRow(
        answer=answer.strip(),
        sample=values.get("sample", ""),
        images=tuple(map(str, images)),
        sha256s=tuple(map(files.file_digest, images)),
        part=values.get("part", ""),
        fields=fields,
        line=line,
    )


def digest(rows: list[ShotRow]) -> str:
    """What stands for a file of examples in a cell's identity."""
    return CONTENT + files.digest([row.said() for row in rows])


def folder(root: Path, content: str) -> Path:
    """Where the examples of a digest are kept."""
    return root / "shots" / content.removeprefix(CONTENT)


def kept(root: Path, content: str) -> bool:
    """Whether they are."""
    return (folder(root, content) / "shots.jsonl").is_file()


def keep(root: Path, rows: list[ShotRow]) -> str:
    """Copy examples under the root, unless they are there whole; their digest.

    Raises:
        UserError: a picture changed meanwhile.
        DataError: what is kept of them is damaged beyond their pictures.
        Unavailable: the disk is full or read-only.
    """
    content = digest(rows)
    place = folder(root, content)
    if kept(root, content):
        for held, row in zip(read_kept(root, content), rows, strict=True):
            for path, image, sha256 in zip(map(Path, held.images), row.images, row.sha256s, strict=True):
                if not path.is_file() or files.file_digest(path) != sha256:
                    files.write_bytes(path, Path(image).read_bytes())
        return content
    temporary = place.with_name(f".{place.name[:12]}.{secrets.token_hex(4)}.tmp")
    try:
        (temporary / "images").mkdir(parents=True)
        records = []
        for row in rows:
            names = []
            for image, sha256 in zip(row.images, row.sha256s, strict=True):
                name = f"images/{sha256}{Path(image).suffix.lower()}"
                shutil.copyfile(image, temporary / name)
                if files.file_digest(temporary / name) != sha256:
                    raise UserError(f"{image} changed while it was read; run it again")
                names.append(name)
            records.append({**row.said(), "images": names, "line": row.line})
        files.write_jsonl(temporary / "shots.jsonl", records)
        temporary.rename(place)
    except OSError as error:
        if not kept(root, content):  # else another process was first
            raise files.unwritable(error, place) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return content


def read_kept(root: Path, content: str) -> list[ShotRow]:
    """The examples of a digest, as they are kept under the root.

    Raises:
        DataError: they are not there, or not what was kept.
    """
    place = folder(root, content)
    rows = []
    for record in files.read_jsonl(place / "shots.jsonl"):
        images = tuple(str(place / name) for name in record.pop("images", []))
        rows.append(ShotRow(**{**record, "images": images, "sha256s": tuple(record.get("sha256s", ()))}))
    if digest(rows) != content:
        raise DataError(
            f"the examples {content[: len(CONTENT) + 12]} of a prompt are not whole in {place}; move that folder away "
            "and run `paceline prepare` with the prompt again"
        )
    return rows
