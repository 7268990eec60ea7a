"""Promises about the reader of any table: each layout is read by options alone, nothing leaks, no bad row is fatal."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photos import photo, silent
from PIL import Image

from paceline import tasks
from paceline.config.build import build
from paceline.config.schema import PromptSpec, TaskSpec
from paceline.data import prepare
from paceline.data import samples as prepared
from paceline.data.readers import Complete, Sample, Skipped, table
from paceline.errors import DataError, UserError
from paceline.tasks.kind import Answer, Answered, Part


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def read(folder: Path, complete: Complete | None = None, **options: Any) -> list[Sample | Skipped]:
    """What the reader makes of options; bytes of images go below the folder."""
    (folder / "made").mkdir(parents=True, exist_ok=True)
    built = build(table.Options, options, "task.options")
    return list(table.read(built, folder / "made", silent, complete or Complete(dict)))


def samples(folder: Path, complete: Complete | None = None, **options: Any) -> list[Sample]:
    """The samples alone, where nothing may be skipped."""
    items = read(folder, complete, **options)
    assert not [item for item in items if isinstance(item, Skipped)]
    return [item for item in items if isinstance(item, Sample)]


def reasons(folder: Path, **options: Any) -> Counter[str]:
    return Counter(item.reason for item in read(folder, **options) if isinstance(item, Skipped))


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def jsonl(path: Path, records: list[dict[str, Any]]) -> Path:
    return write(path, "".join(json.dumps(record) + "\n" for record in records))


def png(colour: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


def parquet(path: Path, records: list[dict[str, Any]]) -> Path:
    import pyarrow
    from pyarrow import parquet as files

    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_table(pyarrow.Table.from_pylist(records), path)
    return path


ALL_TEST = {"test": 1.0}
ROWS = [{"file": f"{n}.png", "question": f"what is {n}?", "answer": str(n)} for n in range(5)]


# Formats


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_every_format_gives_the_same_samples(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    if suffix == ".parquet":
        parquet(path, ROWS)
    elif suffix == ".jsonl":
        jsonl(path, ROWS)
    elif suffix == ".json":
        write(path, json.dumps(ROWS))
    else:
        separator = "," if suffix == ".csv" else "\t"
        write(path, "\n".join(separator.join(row) for row in [list(ROWS[0]), *(list(r.values()) for r in ROWS)]))
    made = samples(tmp_path, path=str(path), columns={"image": "file", "q": "question", "a": "answer"}, shares=ALL_TEST)
    assert [(s.id, s.split, s.image, s.fields) for s in made] == [
        (f"{n}.png", "test", tmp_path / f"{n}.png", {"q": f"what is {n}?", "a": str(n)}) for n in range(5)
    ]


def test_without_columns_every_column_is_the_field_of_its_name(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows.jsonl", [{"id": 7, "image": "a.png", "split": "val", "q": "?", "sha256": "x"}])
    (only,) = samples(tmp_path, path=str(path))
    assert only == Sample("7", "validation", tmp_path / "a.png", {"q": "?"})


@pytest.mark.parametrize(
    ("encoding", "option"), [("utf-8", ""), ("utf-8-sig", ""), ("utf-16", ""), ("cp1252", "cp1252")]
)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_text_is_read_in_its_encoding(tmp_path: Path, encoding: str, option: str, form: str) -> None:
    record = {"question": "Wo liegt Zürich?", "answer": "Städte"}
    text = json.dumps(record, ensure_ascii=False) if form == "jsonl" else "question,answer\nWo liegt Zürich?,Städte\n"
    path = write(tmp_path / f"rows.{form}", text.encode(encoding))
    assert samples(tmp_path, path=str(path), encoding=option)[0].fields == record


def test_cells_may_hold_quotes_delimiters_line_breaks_and_spaces(tmp_path: Path) -> None:
    text = 'q, a ,b\n"He said ""no"", twice","line one\nline two", x\n\n1;2,,3\n'
    made = samples(tmp_path, path=str(write(tmp_path / "rows.csv", text)))
    assert [s.fields for s in made] == [
        {"q": 'He said "no", twice', "a": "line one\nline two", "b": "x"},
        {"q": "1;2", "a": "", "b": "3"},
    ]


def test_a_cell_may_be_as_long_as_a_document(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", f"text,n\n{'word ' * 100_000},1\n")
    assert len(samples(tmp_path, path=str(path))[0].fields["text"]) > 400_000


@pytest.mark.parametrize("names", [("lat", "lng"), ("Lat", "Lon"), ("LATITUDE", "Longitude"), ("latitude", "long")])
def test_places_are_found_under_their_usual_names(tmp_path: Path, names: tuple[str, str]) -> None:
    write(tmp_path / "a.csv", f"{names[0]},{names[1]},note\n47.37,8.54,x\n0,0,none\n")
    complete = Complete(tasks.load("geolocation").complete)
    found, skipped = read(tmp_path, complete, path=str(tmp_path / "a.csv"))
    assert isinstance(found, Sample) and isinstance(skipped, Skipped)
    assert (found.fields["latitude"], found.fields["longitude"], found.fields["country"]) == (47.37, 8.54, "CH")
    assert set(names) & set(found.fields) <= {"latitude", "longitude"}
    assert skipped.reason == "coordinates are 0, 0, which stands for no place"


CHILE, JAPAN = (-33.45, -70.66), (35.68, 139.69)


def places(folder: Path, text: str) -> tuple[list[dict[str, Any]], list[str], dict[str, Any]]:
    """Records, what is told of them, and the manifest of a table of places."""
    options = {"path": str(write(folder / "a.csv", text)), "shares": ALL_TEST}
    task = TaskSpec(name="t", kind="geolocation", reader="table", options=options)
    manifest = prepare.prepare(folder / "root", task, silent)
    told = list(tasks.load("geolocation").data_lines(manifest, task))
    return prepared.read_samples(folder / "root", task, ["test"], 0), told, manifest


@pytest.mark.parametrize(("stated", "code"), [("Chile", "CL"), ("chile", "CL"), ("CL", "CL"), ("cl", "cl"), ("", "CL")])
def test_a_perfect_answer_is_in_the_country_however_the_table_writes_it(tmp_path: Path, stated: str, code: str) -> None:
    records, told, _ = places(tmp_path, f"id,lat,lng,country,region,city\na,{CHILE[0]},{CHILE[1]},{stated},,\n")
    assert records[0]["country"] == code
    assert not told
    kind, task = tasks.load("geolocation"), TaskSpec(kind="geolocation")
    reading = kind.read(Answer(f"({CHILE[0]}, {CHILE[1]})"), Part(), task, PromptSpec())
    (judged,) = kind.score([Answered(records[0], Part(), reading)], task, PromptSpec())
    assert judged.scores["country"] is True


def test_a_country_of_an_unknown_name_is_looked_up_and_told(tmp_path: Path) -> None:
    records, told, _ = places(tmp_path, f"id,lat,lng,country\na,{JAPAN[0]},{JAPAN[1]},日本\nb,1,2,GQ\n")
    assert (records[0]["country"], records[0]["stated_country"], records[0]["city"]) == ("JP", "日本", "Tokyo")
    assert [line for line in told if "1 sample states a country that is neither" in line and "日本" in line]


def test_an_empty_cell_is_no_word_to_train_on(tmp_path: Path) -> None:
    text = f"id,lat,lng,country,country_name,region,city\na,{CHILE[0]},{CHILE[1]}, ,,,\n"
    (record,), _, _ = places(tmp_path, text)
    fields = tasks.load("geolocation").fields(record, TaskSpec(kind="geolocation"))
    assert (fields["country"], fields["country_name"], fields["city"]) == ("CL", "Chile", "Santiago")
    assert fields["region"] and fields["nearest_region"]


def test_places_outside_of_their_stated_country_are_told(tmp_path: Path) -> None:
    text = f"id,lat,lng,country\na,{CHILE[0]},{CHILE[1]},NA\nb,{JAPAN[0]},{JAPAN[1]},JP\nc,{CHILE[1]},{CHILE[0]},CL\n"
    _, told, manifest = places(tmp_path, text)
    assert (manifest["outside_truths"], manifest["swapped_truths"]) == (["a"], ["c"])
    assert [line for line in told if line.startswith("1 sample does not lie in the stated country (the first: a)")]


@pytest.mark.parametrize("country", ["CL", "cl", "Chile"])
def test_a_row_whose_country_fits_its_place_only_when_swapped_is_told(tmp_path: Path, country: str) -> None:
    write(tmp_path / "a.csv", f"id,lat,lng,country\na,-33.45,-70.66,{country}\nb,-70.66,-33.45,{country}\n")
    options = {"path": str(tmp_path / "a.csv"), "shares": ALL_TEST}
    task = TaskSpec(name="t", kind="geolocation", reader="table", options=options)
    manifest = prepare.prepare(tmp_path / "root", task, silent)
    assert manifest["swapped_truths"] == ["b"]
    assert any("swapped" in line for line in tasks.load("geolocation").data_lines(manifest, task))


@pytest.mark.parametrize(
    ("name", "text", "skipped"),
    [
        ("a.csv", 'q,a\n1,2\n3\n4,5,6\n"x" y,7\n8,9\n', {"row has fewer": 1, "row has more": 1, "row is no CSV": 1}),
        ("a.csv", b"q,a\n1,2\n\xff\xfe,3\n8,9\n", {"row is not in the encoding": 1}),
        ("a.jsonl", '{"q": 1}\n[1]\n{"q": \n\n{"q": 8}\n', {"line is no JSON object": 1, "line is no JSON": 1}),
        ("a.jsonl", b'{"q": 1}\n{"q": "\xff"}\n{"q": 8}\n', {"row is not in the encoding": 1}),
        ("a.jsonl", '{"q": 1}\n' + "[" * 100_000 + '\n{"q": 8}\n', {"line is no JSON": 1}),
        ("a.json", '[{"q": 1}, 5, {"q": 8}]', {"record is no JSON object": 1}),
        ("a.json", '{"q": 1}\n{"q": 8}\n', {}),
        ("a.json", '{"version": 1, "data": [{"q": 1}, {"q": 8}]}', {}),
    ],
)
def test_bad_rows_are_counted_and_the_rows_after_them_read(
    tmp_path: Path, name: str, text: str | bytes, skipped: dict[str, int]
) -> None:
    items = read(tmp_path, path=str(write(tmp_path / name, text)))
    assert [str(item.fields["q"]) for item in items if isinstance(item, Sample)] == ["1", "8"]
    counted = Counter(item.reason for item in items if isinstance(item, Skipped))
    assert sum(counted.values()) == sum(skipped.values())
    for begin, count in skipped.items():
        assert sum(n for reason, n in counted.items() if reason.startswith(begin)) >= count


def test_a_quote_that_is_never_closed_is_told_with_its_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", 'q,a\n1,2\n"open,3\n4,5\n')
    (bad,) = [item for item in read(tmp_path, path=str(path)) if isinstance(item, Skipped)]
    assert bad.record == "rows.csv:3" and "up to line 4" in bad.detail


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"", "its first line must name the columns"),
        ("a.csv", b"\n1,2\n", "its first line must name the columns"),
        ("a.csv", b"q,q\n1,2\n", "two columns are called 'q'"),
        ("a.csv", "Städte,q\n1,2\n".encode("cp1252"), "encoding"),
        ("a.jsonl", b"", "holds no JSON object"),
        ("a.json", b"nonsense", "is no JSON"),
        ("a.json", b'{"a": [{}], "b": [{}]}', "one list of records is read, and its lists of records are 'a', 'b'"),
        ("a.parquet", b"PAR1 nonsense", "is no Parquet file"),
        ("a.parquet", b"", "is no Parquet file"),
        ("a.xlsx", b"PK", "task.options.format: what a.xlsx holds"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    with pytest.raises(UserError, match=told):
        read(tmp_path, path=str(write(tmp_path / name, content)))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_wrong_column_leads_to_the_nearest(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    if suffix == "parquet":
        parquet(path, ROWS)
    elif suffix == "jsonl":
        jsonl(path, ROWS)
    else:
        write(path, "file,question,answer\n")
    for options, option in (
        ({"columns": {"q": "questions"}}, r"columns\.q"),
        ({"columns": {"q": ["answer", "questions"]}}, r"columns\.q\[1\]"),
        ({"group": "questions"}, "group"),
        ({"n_per_class": 1, "class_column": "questions"}, "class_column"),
    ):
        with pytest.raises(
            DataError, match=rf"task\.options\.{option}: no column 'questions': did you mean 'question'"
        ):
            read(tmp_path, path=str(path), **options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"path": ""}, r"task\.options\.path is not set"),
        ({"path": "nowhere.csv"}, "no file .*nowhere.csv"),
        ({"columns": {"image": ["a", "b"]}}, "several pictures are `images`"),
        ({"columns": {"image": "file", "images": "file"}}, "not both"),
        ({"columns": {"sha256": "file"}}, "rename it"),
        ({"columns": {"q": 3}}, "expected a column"),
        ({"columns": {"q": []}}, "expected a column"),
        ({"gather": "image"}, "can't be gathered"),
        ({"gather": "x"}, r"task\.options\.gather: no field 'x'"),
        ({"gather": "answer", "columns": {"answer": "answer"}}, "gathered by image or id"),
        ({"images": 3}, "expected a folder"),
        ({"shares": {"train": 0.5}}, "add up to 1"),
        ({"splits": {"train": "a"}}, r"columns: \{split: COLUMN\}"),
        ({"delimiter": ",,"}, "one character"),
        ({"encoding": "utf-99"}, "no encoding 'utf-99'"),
        ({"hub": "a/b"}, "not both"),
        ({"hub": "a/b", "path": "", "splits": {"test": "test"}}, "pin a revision"),
        ({"format": "xlsx"}, "is not one of"),
    ],
)
def test_options_without_sense_are_told_by_name(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    path = write(tmp_path / "rows.csv", "file,answer\na.png,1\n")
    with pytest.raises(UserError, match=told):
        read(tmp_path, **{"path": str(path), **options})


# Images


def test_paths_of_images_start_at_the_table_or_at_the_folder_named_and_may_be_anywhere(tmp_path: Path) -> None:
    elsewhere = photo(tmp_path / "elsewhere" / "x.png")
    rows = ["a.png", "sub/a.png", "../elsewhere/x.png", str(elsewhere), "a.png"]
    path = write(tmp_path / "data" / "rows.csv", "\n".join(["image", *rows]))
    made = samples(tmp_path, path=str(path), shares=ALL_TEST)
    assert [s.image for s in made] == [
        tmp_path / "data" / "a.png",
        tmp_path / "data" / "sub" / "a.png",
        elsewhere,
        elsewhere,
        tmp_path / "data" / "a.png",
    ]
    # No machine's path is part of a name, and one picture's second question has a name of its own.
    assert [s.id for s in made] == ["a.png", "sub/a.png", "x.png", "x.png#2", "a.png#2"]
    moved = samples(tmp_path, path=str(path), images=str(tmp_path / "photos"), shares=ALL_TEST)
    assert moved[1].image == tmp_path / "photos" / "sub" / "a.png"


def test_rows_without_a_usable_image_are_counted(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    rows = ["a.png", '""', "https://example.org/a.png", "gone.png", "broken.png", "a\0b.png", "."]
    write(tmp_path / "broken.png", b"no image")
    path = write(tmp_path / "rows.csv", "\n".join(["image", *rows]) + "\n")
    task = TaskSpec(name="t", kind="geolocation", reader="table", options={"path": str(path), "shares": ALL_TEST})
    manifest = prepare.prepare(tmp_path / "root", task, silent)
    assert manifest["splits"] == {"test": 1}
    assert manifest["skipped"] == {
        "no image": 1,
        "image is a link, which is not fetched": 1,
        "image is missing": 1,
        "broken image": 3,
    }


def test_names_that_are_given_twice_are_counted(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    path = write(tmp_path / "rows.csv", "id,image\n1,a.png\n1,a.png\n2,a.png\n")
    task = TaskSpec(name="t", kind="geolocation", reader="table", options={"path": str(path), "shares": ALL_TEST})
    manifest = prepare.prepare(tmp_path / "root", task, silent)
    assert (manifest["splits"], manifest["skipped"]) == ({"test": 2}, {"id seen before": 1})


def test_bytes_in_parquet_are_written_beside_the_samples(tmp_path: Path) -> None:
    rows = [
        {"image": {"bytes": png(1), "path": "x.png"}, "latitude": 47.37, "longitude": 8.54},
        {"image": {"bytes": b"no image", "path": None}, "latitude": 47.0, "longitude": 8.0},
        {"image": {"bytes": None, "path": None}, "latitude": 47.0, "longitude": 8.0},
        {"image": {"bytes": png(2), "path": "../x.png"}, "latitude": None, "longitude": 8.0},
        {"image": {"bytes": png(3), "path": "../x.png"}, "latitude": -33.87, "longitude": 151.21},
    ]
    options = {"path": str(parquet(tmp_path / "rows.parquet", rows)), "shares": ALL_TEST}
    task = TaskSpec(name="t", kind="geolocation", reader="table", options=options)
    manifest = prepare.prepare(tmp_path / "root", task, silent)
    assert manifest["skipped"] == {"broken image": 1, "no image": 1, "no coordinates": 1}
    made = prepared.read_samples(tmp_path / "root", task, ["test"], 0)
    assert [(s["id"], s["country"], Path(s["image"]).name) for s in made] == [
        ("test_000000", "CH", "000000.png"),
        ("test_000004", "AU", "000001.png"),
    ]
    folder = prepared.dataset_folder(tmp_path / "root", task)
    assert sorted(p.name for p in (folder / "images").iterdir()) == ["000000.png", "000001.png"]


@pytest.mark.parametrize("columns", [{"images": ["before", "after"]}, {"images": "both"}])
def test_several_images_come_in_their_order(tmp_path: Path, columns: dict[str, Any]) -> None:
    rows = [{"before": "z.png", "after": "a.png", "both": ["z.png", "a.png"]}, {"before": "z.png", "both": []}]
    path = jsonl(tmp_path / "rows.jsonl", rows)
    items = read(tmp_path, path=str(path), columns=columns, shares=ALL_TEST)
    assert items[0] == Sample("z.png", "test", None, {}, (tmp_path / "z.png", tmp_path / "a.png"))
    assert isinstance(items[1], Skipped) and items[1].reason == "no image"


def test_a_list_of_one_image_is_one_image(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows.jsonl", [{"pictures": ["a.png"]}])
    (only,) = samples(tmp_path, path=str(path), columns={"images": "pictures"})
    assert (only.image, only.images) == (tmp_path / "a.png", ())


# Lists


def test_several_columns_become_a_list_without_the_empty_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "image,c1,c2,c3\na.png,one,,three\n")
    (only,) = samples(tmp_path, path=str(path), columns={"image": "image", "captions": ["c1", "c2", "c3"]})
    assert only.fields == {"captions": ["one", "three"]}


def test_captions_of_coco_are_read_by_options_alone(tmp_path: Path) -> None:
    whole = {
        "info": {"year": 2017},
        "licenses": [{"id": 1}],
        "images": [{"id": 42, "file_name": "000042.jpg"}, {"id": 7, "file_name": "000007.jpg"}],
        "annotations": [
            {"image_id": 42, "id": 1, "caption": "A dog."},
            {"image_id": 7, "id": 2, "caption": "A cat."},
            {"image_id": 42, "id": 3, "caption": "A brown dog."},
            {"image_id": 9, "id": 4, "caption": "Nothing."},
        ],
    }
    options: dict[str, Any] = {
        "path": str(write(tmp_path / "annotations" / "captions_val2017.json", json.dumps(whole))),
        "images": str(tmp_path / "val2017"),
        "columns": {"id": "image_id", "image": "file_name", "captions": "caption"},
        "gather": "captions",
        "shares": ALL_TEST,
    }
    items = read(tmp_path, **options)
    assert items[:2] == [
        Sample("42", "test", tmp_path / "val2017" / "000042.jpg", {"captions": ["A dog.", "A brown dog."]}),
        Sample("7", "test", tmp_path / "val2017" / "000007.jpg", {"captions": ["A cat."]}),
    ]
    assert [i.reason for i in items[2:] if isinstance(i, Skipped)] == ["annotation of an image that is not listed"]


def test_what_of_coco_does_not_fit_together_is_counted(tmp_path: Path) -> None:
    names = {1: "a.jpg", 2: "b.jpg", 3: "c.jpg"}
    images = [{"id": number, "file_name": name} for number, name in names.items()]
    whole = {
        "images": [*images, {"id": 3, "file_name": "d.jpg"}],
        "annotations": [{"image_id": number, "id": 10 + number, "caption": "A dog."} for number in (1, 3)],
    }
    path = write(tmp_path / "c.json", json.dumps(whole))
    items = read(tmp_path, path=str(path), columns={"image": "file_name", "captions": "caption"})
    assert [item.image for item in items if isinstance(item, Sample)] == [tmp_path / "a.jpg"]
    assert {item.reason: item.record for item in items if isinstance(item, Skipped)} == {
        "annotation of an image whose id is listed twice": "annotation 2",
        "image without an annotation": "image 2",
    }


FLICKR = [
    "image_name| comment_number| comment",
    '1000092795.jpg| 0| Two men, "friends" , outside .',
    '1000092795.jpg| 1| "Two" men look at their hands .',
    "2199200615.jpg| 4   A dog runs across the grass .",
    "10002456.jpg| 0| Several men in hard hats .",
]


def test_captions_of_flickr30k_are_read_with_bars_and_with_commas(tmp_path: Path) -> None:
    bars = write(tmp_path / "results.csv", "\n".join(FLICKR) + "\n")
    columns = {"image": "image_name", "captions": "comment"}
    items = read(tmp_path, path=str(bars), columns=columns, gather="captions", shares=ALL_TEST)
    assert [(i.id, i.fields) for i in items if isinstance(i, Sample)] == [
        ("1000092795.jpg", {"captions": ['Two men, "friends" , outside .', '"Two" men look at their hands .']}),
        ("10002456.jpg", {"captions": ["Several men in hard hats ."]}),
    ]
    # The file that is handed round lacks a bar in one row.
    assert [i.reason for i in items if isinstance(i, Skipped)] == ["row has fewer cells than the header"]
    commas = write(tmp_path / "captions.txt", 'image,caption\na.jpg,"One, two"\nb.jpg,Three\na.jpg,Four\n')
    made = samples(
        tmp_path,
        path=str(commas),
        format="csv",
        columns={"image": "image", "captions": "caption"},
        gather="captions",
        shares=ALL_TEST,
    )
    assert [s.fields["captions"] for s in made] == [["One, two", "Four"], ["Three"]]


def test_rows_without_images_are_gathered_by_their_id(tmp_path: Path) -> None:
    rows = [{"id": 1, "q": "?", "a": "x"}, {"id": 2, "q": "!", "a": "y"}, {"id": 1, "q": "?", "a": "z"}]
    made = samples(tmp_path, path=str(jsonl(tmp_path / "rows.jsonl", rows)), gather="a", shares=ALL_TEST)
    assert [(s.id, s.fields) for s in made] == [("1", {"q": "?", "a": ["x", "z"]}), ("2", {"q": "!", "a": ["y"]})]


# Splits that come with the data


def test_a_folder_holds_a_table_for_each_split(tmp_path: Path) -> None:
    write(tmp_path / "d" / "Train.csv", "q\n1\n2\n")
    jsonl(tmp_path / "d" / "dev.jsonl", [{"q": 3}])
    parquet(tmp_path / "d" / "test-00000-of-00002.parquet", [{"q": 4}])
    parquet(tmp_path / "d" / "test-00001-of-00002.parquet", [{"q": 5}])
    made = samples(tmp_path, path=str(tmp_path / "d"))
    assert [(s.id, s.split, int(s.fields["q"])) for s in made] == [
        ("train_000000", "train", 1),
        ("train_000001", "train", 2),
        ("validation_000000", "validation", 3),
        ("test_000000", "test", 4),
        ("test_000001", "test", 5),
    ]
    assert len(samples(tmp_path, path=str(tmp_path / "d"), limit=1)) == 3
    write(tmp_path / "d" / "notes.csv", "q\n9\n")
    with pytest.raises(DataError, match=r"beside others \(notes\.csv\).*splits: \{train: Train\.csv"):
        read(tmp_path, path=str(tmp_path / "d"))
    named = {"train": "Train.csv", "test_far": ["notes.csv", "test-*.parquet"]}
    made = samples(tmp_path, path=str(tmp_path / "d"), splits=named)
    assert Counter(s.split for s in made) == {"train": 2, "test_far": 3}
    with pytest.raises(DataError, match=r"task\.options\.splits\.test: no file .*tests\.csv"):
        read(tmp_path, path=str(tmp_path / "d"), splits={"test": "tests.csv"})


def test_tables_in_folders_of_their_own_find_their_images_there(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / split / "metadata.csv", "file_name,text\n0001.png,x\n")
    splits = {split: f"{split}/metadata.csv" for split in ("train", "test")}
    columns = {"image": "file_name", "text": "text"}
    made = samples(tmp_path, path=str(tmp_path), splits=splits, columns=columns)
    assert [s.image for s in made] == [tmp_path / split / "0001.png" for split in ("train", "test")]
    assert len({s.id for s in made}) == 2
    folders = {"train": str(tmp_path / "train2014"), "test": str(tmp_path / "val2014")}
    made = samples(tmp_path, path=str(tmp_path), splits=splits, columns=columns, images=folders)
    assert [s.image for s in made] == [Path(folder) / "0001.png" for folder in folders.values()]


def test_a_column_names_the_split_of_each_row(tmp_path: Path) -> None:
    rows = [{"part": part, "q": n} for n, part in enumerate(["TRAIN", "val", "test_far", "", "restval"])]
    path = str(jsonl(tmp_path / "rows.jsonl", rows))
    columns = {"split": "part", "q": "q"}
    items = read(tmp_path, path=path, columns=columns)
    made = [i.split for i in items if isinstance(i, Sample)]
    assert made == ["train", "validation", "test_far", "restval"]
    assert reasons(tmp_path, path=path, columns=columns) == {"row names no split": 1}
    splits = {"train": ["TRAIN", "restval"], "test": "test_far"}
    items = read(tmp_path, path=path, columns=columns, splits=splits)
    assert [i.split for i in items if isinstance(i, Sample)] == ["train", "test", "train"]
    assert reasons(tmp_path, path=path, columns=columns, splits=splits) == {
        "row names no split": 1,
        "row of a split that task.options.splits does not name": 1,
    }


# Shares


class Growing:
    """A table of questions about pictures that gets more rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def splits(self, rows: list[tuple[int, int, str]], **options: Any) -> dict[tuple[int, int], str]:
        path = jsonl(self.folder / "rows.jsonl", [{"image": f"{i}.png", "patient": p, "q": q} for i, p, q in rows])
        made = samples(
            self.folder, path=str(path), columns={"image": "image", "q": "q", "patient": "patient"}, **options
        )
        assert len(made) == len(rows)
        return {(n, patient): s.split for n, (s, (_, patient, _)) in enumerate(zip(made, rows, strict=True))}


QUESTIONS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8), st.text(max_size=3)), min_size=1, max_size=30)
FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FAST
@given(rows=QUESTIONS, more=QUESTIONS, seed=st.integers(0, 5))
def test_more_rows_move_no_sample_and_questions_about_a_picture_stay_together(
    tmp_path: Path, rows: list[tuple[int, int, str]], more: list[tuple[int, int, str]], seed: int
) -> None:
    growing = Growing(tmp_path)
    before = list(growing.splits(rows, seed=seed).values())
    after = list(growing.splits(more + rows, seed=seed).values())
    assert after[len(more) :] == before
    pictures: dict[int, set[str]] = {}
    for (image, _, _), split in zip(more + rows, after, strict=True):
        pictures.setdefault(image, set()).add(split)
    assert all(len(splits) == 1 for splits in pictures.values())


@FAST
@given(rows=QUESTIONS, more=QUESTIONS)
def test_groups_stay_whole_and_more_rows_move_none(
    tmp_path: Path, rows: list[tuple[int, int, str]], more: list[tuple[int, int, str]]
) -> None:
    growing = Growing(tmp_path)
    by_group: dict[int, set[str]] = {}
    for table_rows in (rows, rows + more):
        for (_, patient), split in growing.splits(table_rows, group="patient").items():
            by_group.setdefault(patient, set()).add(split)
    assert all(len(splits) == 1 for splits in by_group.values())


@FAST
@given(texts=st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=20, unique=True), seed=st.integers(0, 3))
def test_text_alone_is_parted_by_its_content_whatever_its_order(tmp_path: Path, texts: list[str], seed: int) -> None:
    def splits(order: list[str]) -> dict[str, str]:
        path = jsonl(tmp_path / "rows.jsonl", [{"q": text} for text in order])
        return {s.fields["q"]: s.split for s in samples(tmp_path, path=str(path), seed=seed)}

    assert splits(texts) == splits(texts[::-1])


def test_the_field_that_ties_samples_of_a_kind_together_needs_no_option(tmp_path: Path) -> None:
    rows = [{"image": f"{n}.png", "tile": n // 10} for n in range(200)]
    made = samples(tmp_path, Complete(dict, "tile"), path=str(jsonl(tmp_path / "rows.jsonl", rows)))
    splits: dict[int, set[str]] = {}
    for sample in made:
        splits.setdefault(sample.fields["tile"], set()).add(sample.split)
    assert all(len(s) == 1 for s in splits.values())
    assert len({s.split for s in made}) > 1
    # A group's column fills the kind's field where no column is named for it.
    path = str(jsonl(tmp_path / "rows.jsonl", rows))
    made = samples(tmp_path, Complete(dict, "scene"), path=path, columns={"image": "image"}, group="tile")
    assert [s.fields["scene"] for s in made[:11]] == [0] * 10 + [1]


def test_splits_follow_the_shares(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "q\n" + "\n".join(str(n) for n in range(2000)))
    counts = Counter(s.split for s in samples(tmp_path, path=str(path)))
    assert counts["train"] == pytest.approx(1400, abs=80)
    assert counts["validation"] == pytest.approx(300, abs=60)


def test_a_sample_is_taken_at_random_of_each_split_and_grows_by_adding(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "id,q\n" + "\n".join(f"{n},{n}" for n in range(300)))
    few, more = (samples(tmp_path, path=str(path), sample=n) for n in (10, 20))
    assert Counter(s.split for s in few) == {"train": 10, "validation": 10, "test": 10}
    assert {s.id for s in few} < {s.id for s in more}
    assert [s.id for s in few] == sorted((s.id for s in few), key=int), "in the order of the table"
    other = samples(tmp_path, path=str(path), sample=10, seed=1)
    assert {s.id for s in other} != {s.id for s in few}


def test_only_the_first_rows_are_read_under_a_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", "q\n" + "\n".join(str(n) for n in range(100)))
    assert [s.fields["q"] for s in samples(tmp_path, path=str(path), limit=3)] == ["0", "1", "2"]


# Folders of classes


def classes(folder: Path, *splits: str, names: tuple[str, ...] = ("cat", "dog"), each: int = 6) -> Path:
    for s, split in enumerate(splits or ("",)):
        for c, name in enumerate(names):
            for n in range(each):
                photo(folder / split / name / f"{n}.png", 20 * (10 * s + c) + n)
    return folder


def test_a_folder_for_each_class_is_split_by_shares(tmp_path: Path) -> None:
    folder = classes(tmp_path / "d", each=100)
    made = samples(tmp_path, path=str(folder), columns={"label": "class"})
    assert Counter(s.fields["label"] for s in made) == {"cat": 100, "dog": 100}
    assert {s.split for s in made} == {"train", "validation", "test"}
    assert all(s.image == folder / s.id and s.id.startswith(s.fields["label"]) for s in made)
    assert len({s.fields["label"] for s in made[:12]}) == 2, "the first samples show more than one class"
    photo(folder / "loose.png")
    write(folder / "cat" / "notes.txt", "no image")
    write(folder / ".hidden" / "x.png", b"")
    (folder / "lynx").symlink_to(folder / "cat")
    assert reasons(tmp_path, path=str(folder)) == {
        "image in no folder of a class": 1,
        "suffix of no picture (.txt)": 1,
        "hidden file": 1,
        "linked folder, which is not followed": 1,
    }


def test_a_class_without_an_image_is_told(tmp_path: Path) -> None:
    folder = classes(tmp_path / "d", "train", "test")
    (folder / "train" / "lynx").mkdir()
    write(folder / "test" / "wolf" / "notes.txt", "no image")
    items = read(tmp_path, path=str(folder))
    told = [i.record for i in items if isinstance(i, Skipped) and i.reason == "folder of a class without an image"]
    assert sorted(told) == ["test/wolf", "train/lynx"]


def test_folders_of_splits_stand_above_the_classes_under_their_usual_names(tmp_path: Path) -> None:
    made = samples(tmp_path, path=str(classes(tmp_path / "d", "Training", "val", "test")))
    assert Counter(s.split for s in made) == {"train": 12, "validation": 12, "test": 12}
    assert {s.fields["class"] for s in made} == {"cat", "dog"}
    write(tmp_path / "d" / "licence.md", "")
    assert reasons(tmp_path, path=str(tmp_path / "d")) == {"file in no folder of a split": 1}
    (tmp_path / "d" / "licence.md").unlink()
    classes(tmp_path / "d", "extra")
    with pytest.raises(DataError, match=r"beside others \(extra\)"):
        read(tmp_path, path=str(tmp_path / "d"))
    made = samples(tmp_path, path=str(tmp_path / "d"), splits={"train": "Training", "test": "extra"})
    assert Counter(s.split for s in made) == {"train": 12, "test": 12}
    with pytest.raises(DataError, match=r"no folder 'Extra' in .*did you mean 'extra'"):
        read(tmp_path, path=str(tmp_path / "d"), splits={"test": "Extra"})


def test_so_many_training_images_are_taken_of_each_class_and_all_test_images(tmp_path: Path) -> None:
    folder = classes(tmp_path / "d", "train", "test")
    three, four = (samples(tmp_path, path=str(folder), n_per_class=n) for n in (3, 4))
    counts = Counter((s.split, s.fields["class"]) for s in three)
    assert counts == {("train", "cat"): 3, ("train", "dog"): 3, ("test", "cat"): 6, ("test", "dog"): 6}
    assert {s.id for s in three} < {s.id for s in four}
    assert {s.id for s in three} != {s.id for s in samples(tmp_path, path=str(folder), n_per_class=3, seed=1)}
    rows = [{"split": "train", "label": n % 3, "q": n} for n in range(30)]
    path = jsonl(tmp_path / "rows.jsonl", rows)
    made = samples(tmp_path, path=str(path), n_per_class=2, class_column="label")
    assert Counter(s.fields["label"] for s in made) == {0: 2, 1: 2, 2: 2}


def test_samples_of_each_class_are_taken_of_the_split_that_the_task_trains_on(tmp_path: Path) -> None:
    folder = classes(tmp_path / "d", "train", "test")
    complete = Complete(dict, train="test")
    taken = samples(tmp_path, complete, path=str(folder), n_per_class=2, train="test")
    assert Counter(s.split for s in taken) == {"train": 12, "test": 4}
    with pytest.raises(UserError, match=r"the task trains on 'test'; set task\.options\.train=test"):
        read(tmp_path, complete, path=str(folder), n_per_class=2)


def test_constants_are_fields_of_every_row_and_of_no_column(tmp_path: Path) -> None:
    path = str(jsonl(tmp_path / "rows.jsonl", [{"split": "train", "q": n} for n in range(2)]))
    made = samples(tmp_path, path=path, constants={"place": "a pool", "names": {"a": ["b"]}})
    assert [s.fields["place"] for s in made] == ["a pool", "a pool"]
    assert made[0].fields["names"] == {"a": ["b"]}
    for name in ("image", "split", "sha256"):
        with pytest.raises(UserError, match=rf"task\.options\.constants: '{name}'"):
            read(tmp_path, path=path, constants={name: "x"})


@pytest.mark.parametrize("content", [[], ["cat/notes.txt"], ["loose.png"]])
def test_a_folder_that_holds_no_data_is_refused(tmp_path: Path, content: list[str]) -> None:
    (tmp_path / "d").mkdir()
    for name in content:
        write(tmp_path / "d" / name, b"")
    with pytest.raises(DataError, match=r"holds no table .*and no image in a folder of a class"):
        read(tmp_path, path=str(tmp_path / "d"))


# Datasets of the library


def test_saved_datasets_are_read_with_their_splits_or_parted(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features({"image": datasets.Image(), "n": datasets.Value("int64")})
    rows = {"image": [{"bytes": png(n), "path": None} for n in range(4)], "n": list(range(4))}
    one = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": one, "dev": one.select([0])}).save_to_disk(str(tmp_path / "dict"))
    one.save_to_disk(str(tmp_path / "one"))
    made = samples(tmp_path, path=str(tmp_path / "dict"))
    assert [(s.id, s.split, s.fields) for s in made[3:]] == [
        ("train_000003", "train", {"n": 3}),
        ("validation_000000", "validation", {"n": 0}),
    ]
    assert made[0].image is not None and made[0].image.read_bytes() == png(0)
    assert [s.split for s in samples(tmp_path, path=str(tmp_path / "dict"), splits={"test": "dev"})] == ["test"]
    assert len(samples(tmp_path, path=str(tmp_path / "one"), limit=2)) == 2
    with pytest.raises(UserError, match="one table"):
        read(tmp_path, path=str(tmp_path / "one"), splits={"test": "dev"})
    with pytest.raises(DataError, match="did you mean 'image'"):
        read(tmp_path, path=str(tmp_path / "one"), columns={"image": "images"})


def test_lists_of_images_in_a_saved_dataset_are_several_images(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features({"pair": datasets.List(datasets.Image())})
    rows = {"pair": [[{"bytes": png(1), "path": None}, {"bytes": png(2), "path": None}]]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "d"))
    (only,) = samples(tmp_path, path=str(tmp_path / "d"), columns={"images": "pair"})
    assert [p.read_bytes() for p in only.images] == [png(1), png(2)]


def test_a_dataset_of_the_hub_is_streamed_under_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    fetched: list[int] = []

    def rows() -> Iterator[dict[str, Any]]:
        for n in range(1000):
            fetched.append(n)
            yield {"q": n, "split": "ignored"}

    asked: list[dict[str, Any]] = []

    def load(*words: Any, **named: Any) -> Any:
        asked.append(named)
        return datasets.IterableDataset.from_generator(rows)

    monkeypatch.setattr(datasets, "load_dataset", load)
    made = samples(tmp_path, hub="a/b", revision="0" * 40, splits={"test": "validation"}, limit=3)
    assert [(s.split, s.fields) for s in made] == [("test", {"q": n}) for n in range(3)]
    assert asked[0]["streaming"] and asked[0]["split"] == "validation"
    assert max(fetched) < 10
