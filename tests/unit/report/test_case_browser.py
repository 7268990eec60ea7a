"""What the page's case browser promises: from a number to its image, its prompt and its raw answer."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
from builders import MODELS, PROMPTS, SCRIPT, make_labels, make_sweep
from chromium import FOUND, Chromium
from hypothesis import given
from hypothesis import strategies as st

from paceline import stats
from paceline.report import wording
from paceline.report.analysis import differences, examples
from paceline.report.page import case_browser, page, pictures
from paceline.report.read.sweep_results import Group, Report
from paceline.store.files import read_jsonl
from paceline.tasks.metrics import per_sample

needs_chromium = pytest.mark.skipif(FOUND is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return make_sweep(tmp_path_factory.mktemp("root"), MODELS, PROMPTS, ("untuned", "full"), 20)


@pytest.fixture(scope="module")
def written(found: Report) -> Path:
    return page.write(found)


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def unpacked(text: str, name: str) -> Any:
    (packed,) = re.findall(rf'id="{name}">([^<]*)<', text)
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def numbers(report: Report, group: Group) -> int:
    return sum(len(report.chosen(row, group.split).samples) for row in group.rows)


# --- what the page holds ---------------------------------------------------------------------------------------------


def test_every_answer_is_in_the_page_as_the_cell_gave_it(found: Report, written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    index, texts = unpacked(text, "case-index"), unpacked(text, "case-texts")
    assert [(g["task"], g["split"]) for g in index["groups"]] == [(g.task, g.split) for g in found.groups]
    for packed, group in zip(index["groups"], found.groups, strict=True):
        for cell, row in zip(packed["cells"], group.rows, strict=True):
            answers = found.chosen(row, group.split)
            raw = {r["sample"]: r["text"] for r in read_jsonl(found.store.cell(row.id).predictions)}
            assert tuple(packed["samples"]) == answers.samples
            assert [texts[i] for i in cell["text"]] == [raw[s] for s in answers.samples]
            assert [index["outcomes"][i] for i in cell["outcome"]] == list(answers.outcomes)
            near = np.isfinite(answers.scores["distance_km"])
            assert np.array(cell["value"])[near] / 100 == pytest.approx(answers.scores["distance_km"][near], abs=0.011)
            assert set(np.array(cell["value"])[~near]) <= {-1}
            assert index["prompts"][cell["asked"]]["text"] == f"Where was this taken? ({row.prompt})"
    assert f"All {sum(numbers(found, g) for g in found.groups):,} answers are here." in text


@given(st.lists(st.floats(0, 20_040), min_size=1), st.sampled_from([1, 25, 200, 750, 2500]), st.floats(-1e-3, 1e-3))
def test_a_packed_distance_stays_on_its_side_of_every_threshold(values: list[float], at: int, off: float) -> None:
    km = np.array([*values, float(at), at + abs(off), at - abs(off), np.nextafter(at, np.inf), np.nan])
    packed = case_browser.whole_parts(km, 100, (1, 25, 200, 750, 2500))
    assert packed[-1] == -1
    for threshold in (1, 25, 200, 750, 2500):
        assert ((packed[:-1] <= 100 * threshold) == (km[:-1] <= threshold)).all()


def test_what_numbers_lead_to_comes_first_and_the_rest_lies_evenly(found: Report) -> None:
    group = found.groups[0]
    chosen = examples.choose(found, group)
    assert chosen is not None
    row = group.rows[0]
    explained = [(row.id, found.chosen(row, group.split).samples[7])]
    order = case_browser.by_need(found, group, chosen, explained)
    assert sorted(order) == sorted(found.chosen(row, group.split).samples)
    first = list(dict.fromkeys([explained[0][1], *(case.sample for case in chosen.cases)]))
    assert list(order[: len(first)]) == first
    best = group.rank(differences.leading(group)[0])[0]
    answers = found.chosen(best, group.split)
    assert answers.samples[int(np.nanargmin(answers.scores["distance_km"]))] in order[: len(first) + 1]
    spread = np.argsort(case_browser._spread(1000))
    for n in (10, 50, 300):
        assert np.diff(np.sort(spread[:n])).max() <= 2.1 * 1000 / n


def test_what_does_not_fit_is_left_out_by_image_and_told(found: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_browser, "FEWEST", 1)
    monkeypatch.setattr(case_browser, "MOST_LETTERS", 10)
    monkeypatch.setattr(case_browser, "LETTERS", 400)
    monkeypatch.setattr(case_browser, "MOST_ANSWERS", sum(numbers(found, g) for g in found.groups) // 2)
    monkeypatch.setattr(pictures, "BUDGET", 1)
    text = page.html(found)
    index, texts = unpacked(text, "case-index"), unpacked(text, "case-texts")
    for group in index["groups"]:
        assert len(group["samples"]) == 10
        held = {tuple(np.flatnonzero(np.array(cell["text"]) >= 0)) for cell in group["cells"]}
        assert len(held) == 1 and 0 < len(*held) < 10
        assert all(len(cell["outcome"]) == 10 for cell in group["cells"])
    assert max(map(len, texts)) == 10
    assert all(len(texts[int(i)]) == 10 and cut > 0 for i, cut in index["cut"].items())
    for told in (
        "The page holds the answers to 20 of 40 images",
        r"Raw texts are here for \d+ of 20 images",
        r"\d+ raw answers cut after 10 characters",
        "Pictures of 1 of 20 images are here",
    ):
        assert re.search(told, text), told


def test_every_number_of_the_tables_leads_to_answers_that_there_are(found: Report, written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    index = unpacked(text, "case-index")
    cells = {(c["id"][-12:], g["split"]): (c, g) for g in index["groups"] for c in g["cells"]}
    outcomes = {name: i for i, name in enumerate(index["outcomes"])}
    shown = text.partition("<script>")[0]
    links = [dict(parse_qsl(unescape(href))) for href in re.findall(r'href="#cases\?([^"]+)"', shown)]
    assert {key for link in links for key in link} >= {"cell", "split", "outcome", "rule", "hit", "sample", "before"}
    for link in links:
        for end in {"cell", "before", "after"} & set(link):
            cell, group = cells[link[end], link["split"]]
            assert link.get("rule", group["tested"]) in {rule["metric"] for rule in group["rules"]}
            assert "outcome" not in link or outcomes[link["outcome"]] in cell["outcome"]
            assert "sample" not in link or link["sample"] in group["samples"]


def test_a_picture_that_explains_an_answer_is_in_the_page(tmp_path: Path) -> None:
    from PIL import Image

    made = make_sweep(tmp_path, MODELS[:1], PROMPTS, ("untuned", "full"), 3)
    row = made.groups[0].rows[0]
    path = made.store.cell(row.id).explanation("location_000001")
    path.parent.mkdir()
    Image.new("RGB", (64, 64), "orange").save(path)
    (held,) = re.findall(r'id="case-pictures">([^<]*)<', page.html(made))
    assert json.loads(held)[f"{row.id}/location_000001"].startswith("data:image/jpeg;base64,")


# --- in a browser ----------------------------------------------------------------------------------------------------

SHOWN = "document.getElementById('browser').dataset.shown"
TOLD = "document.getElementById('browser-told').textContent"


def shows(tab: Chromium, file: Path, address: str) -> str:
    """Open a page at an address and return what the browser shows: its view and the number of rows."""
    tab.open(file, address)
    return str(tab.until(SHOWN))


@needs_chromium
def test_three_clicks_lead_from_a_number_to_its_image_prompt_and_raw_answer(
    found: Report, written: Path, tab: Chromium
) -> None:
    group = found.groups[0]
    row = next(row for row in group.rows if row.method == "full")
    answers = found.chosen(row, group.split)
    nearest = answers.samples[int(np.nanargmin(answers.scores["distance_km"]))]
    raw = {r["sample"]: r["text"] for r in read_jsonl(found.store.cell(row.id).predictions)}
    tab.open(written)
    tab.click(f'#results tr[title="{row.id}"] a')
    assert tab.until(SHOWN) == f"list {len(answers.samples)}"
    tab.click("#browser-shown td.id a")
    assert tab.until(f"{SHOWN} === 'case 1'")
    assert tab.run("document.querySelector('.case h3').textContent").startswith(nearest)
    tab.until("document.querySelector('.case figure img').naturalWidth > 0")
    assert tab.run("document.querySelector('.case .answer').textContent") == raw[nearest]
    assert tab.run("document.querySelector('.case .prompt').textContent") == f"Where was this taken? ({row.prompt})"
    assert tab.run("document.querySelectorAll('.case tbody tr').length") == len(group.rows)
    assert tab.problems == []
    assert {u for u in tab.requests if not u.startswith("data:")} <= {written.as_uri(), "about:blank"}


@needs_chromium
@pytest.mark.parametrize("outcome", ["", "parsed", "malformed"])
def test_filters_show_what_the_report_counts(found: Report, written: Path, tab: Chromium, outcome: str) -> None:
    for group in found.groups:
        told = [found.chosen(row, group.split).outcomes for row in group.rows if row.model == MODELS[0]]
        n = sum(o.count(outcome) if outcome else len(o) for o in told)
        assert shows(tab, written, f"#cases?split={group.split}&model={MODELS[0]}&outcome={outcome}") == f"list {n}"
        for row in group.rows:
            hits = per_sample(found.chosen(row, group.split), group.kind.metric("within_750_km"))
            assert hits is not None
            address = f"#cases?cell={row.id}&split={group.split}&rule=within_750_km&hit=1"
            assert shows(tab, written, address) == f"list {int(hits.values.sum())}"
    assert tab.problems == []


@needs_chromium
def test_a_choice_is_kept_in_the_address(found: Report, written: Path, tab: Chromium) -> None:
    group = found.groups[1]
    n = sum(len(found.chosen(row, group.split).samples) for row in group.rows)
    shows(tab, written, "#cases?")
    tab.run("document.querySelector('[name=group]').value = '1', 0")
    tab.run("document.querySelector('[name=group]').dispatchEvent(new Event('change', {bubbles: true}))")
    tab.until(f"{SHOWN} === 'list {n}' && location.hash.includes('split={group.split}')")
    tab.run("document.querySelector('[name=to]').value = '750', 0")
    tab.run("document.querySelector('[name=to]').dispatchEvent(new Event('input', {bubbles: true}))")
    tab.until("location.hash.includes('to=750')")
    near = sum(int(np.sum(found.chosen(row, group.split).scores["distance_km"] <= 750)) for row in group.rows)
    tab.until(f"{SHOWN} === 'list {near}'")
    tab.run("history.back()")
    tab.until("!location.hash.includes('split')")
    assert tab.problems == []


@needs_chromium
def test_a_script_in_an_answer_is_shown_as_text_and_found_by_search(
    found: Report, written: Path, tab: Chromium
) -> None:
    split = found.groups[0].split
    assert shows(tab, written, f"#cases?split={split}&q=%3CSCRIPT") == f"list {len(found.groups[0].rows)}"
    assert tab.run("document.querySelector('#browser-shown .raw').textContent") == SCRIPT
    tab.click("#browser-shown td.id a")
    tab.until(f"{SHOWN} === 'case 1'")
    assert tab.run("document.querySelector('.case .answer').textContent") == SCRIPT
    assert tab.run("document.querySelectorAll('#browser-shown script').length") == 0
    assert tab.problems == []


@needs_chromium
@pytest.mark.parametrize("metric", ["within_750_km", "within_2500_km", "country_accuracy", "parsed_share"])
def test_flips_and_their_p_are_those_of_the_report(found: Report, written: Path, tab: Chromium, metric: str) -> None:
    group = found.groups[0]
    a, b = (next(r for r in group.rows if r.method == m and r.model == MODELS[0]) for m in ("untuned", "full"))
    x, y = (per_sample(found.chosen(row, group.split), group.kind.metric(metric)) for row in (a, b))
    assert x is not None and y is not None
    was, now = x.values > 0, y.values > 0
    counts = [int(v.sum()) for v in (~was & now, was & ~now, was & now, ~was & ~now)]
    address = f"#cases?view=flips&split={group.split}&before={a.id}&after={b.id}&rule={metric}"
    assert shows(tab, written, address) == f"flips {counts[0] + counts[1]}"
    cells = tab.run("[...document.querySelector('#browser-shown tbody tr').cells].map(c => c.textContent)")
    assert [int(c) for c in cells[2:6]] == counts
    p = tab.run("Number(document.querySelector('#browser-shown td[data-p]').dataset.p)")
    assert p == pytest.approx(stats.mcnemar_exact(was, now), abs=1e-9)
    corrected = [
        d.p for d in differences.differences(found) if d.after == b.id and d.split == group.split and d.metric == metric
    ]
    assert cells[7] == (wording.p_value(corrected[0]) or "–")
    for kind, n in zip(("gained", "lost", "both", "neither"), counts, strict=True):
        assert shows(tab, written, f"{address}&kind={kind}") == f"flips {n}"
    assert tab.problems == []


@needs_chromium
def test_the_keyboard_alone_opens_turns_and_closes_a_case(found: Report, written: Path, tab: Chromium) -> None:
    group = found.groups[0]
    n = len(found.chosen(group.rows[0], group.split).samples)
    assert shows(tab, written, f"#cases?cell={group.rows[0].id}&split={group.split}") == f"list {n}"
    tab.run("document.querySelector('#browser-shown td.id a').focus()")
    tab.press("Enter")
    tab.until(f"{SHOWN} === 'case 1' && document.querySelector('.case-head span').textContent === '1 of {n}'")
    tab.press("ArrowRight")
    tab.until(f"document.querySelector('.case-head span').textContent === '2 of {n}'")
    tab.press("ArrowLeft")
    tab.until(f"document.querySelector('.case-head span').textContent === '1 of {n}'")
    tab.press("Escape")
    tab.until(f"{SHOWN} === 'list {n}'")
    assert tab.problems == []


@needs_chromium
def test_a_task_without_places_is_browsed_by_hits_and_misses(tmp_path: Path, tab: Chromium) -> None:
    written = page.write(make_labels(tmp_path))
    assert shows(tab, written, "#cases?method=full&hit=1") == "list 9"
    assert tab.run("document.querySelector('#browser-shown td.n').textContent") == "rowing ✓"
    assert shows(tab, written, "#cases?view=flips") == "flips 5"
    assert "5 from miss to hit, 0 from hit to miss" in tab.run(TOLD)
    tab.click("#browser-shown td.id a")
    tab.until(f"{SHOWN} === 'case 1'")
    assert "golf" in tab.run("document.querySelector('.case dl').textContent")
    tab.click(".case .back")
    assert tab.until(f"{SHOWN} === 'flips 5'")
    assert tab.problems == []


@needs_chromium
def test_an_old_browser_is_told_what_it_lacks(written: Path, tab: Chromium) -> None:
    source = "delete window.DecompressionStream"
    added = tab.send("Page.addScriptToEvaluateOnNewDocument", source=source)["identifier"]
    tab.open(written, "#cases?")
    assert "it lacks DecompressionStream" in tab.run("document.getElementById('browser-absent').textContent")
    assert tab.run("document.getElementById('browser').hidden")
    tab.send("Page.removeScriptToEvaluateOnNewDocument", identifier=added)
    assert tab.problems == []
