"""The report's page as a browser shows it: every chart is there, legible, and nothing leaves the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import chromium
import pytest
from builders import MODELS, PROMPTS, again, attempted, history, make_sweep, with_confidence

from paceline.report.page import page

pytestmark = pytest.mark.skipif(chromium.FOUND is None, reason="no Chromium on PATH")

SECTIONS = {
    "results": "tbody td.best",
    "tuning": "figure svg circle, figure svg rect",
    "heat": "table.heat td.top",
    "prompts": "tbody td",
    "outcomes": "td.bar rect",
    "curves": "figure svg path[stroke]",
    "map": "#map-lines path",
    "regions": "figure svg g",
    "confusion": "table.heat td.top",
    "reliability": "figure svg circle",
    "cost": "figure svg text.b",
    "failures": "tbody td",
    "absent": "tbody td",
    "dropped": "tbody td",
}
# Of all charts that are seen: texts that stick out of their drawing, and pairs of texts that overlap.
CLUTTER = """(() => {
  const found = [];
  for (const svg of document.querySelectorAll("figure svg")) {
    const frame = svg.getBoundingClientRect();
    if (!frame.width) continue;
    const texts = [...svg.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
    texts.forEach(([text, a], i) => {
      if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.top < frame.top - 1 || a.bottom > frame.bottom + 1)
        found.push(`cut off in ${svg.getAttribute("aria-label")}: ${text}`);
      for (const [other, b] of texts.slice(0, i))
        if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3)
          found.push(`on each other in ${svg.getAttribute("aria-label")}: ${text} and ${other}`);
    });
  }
  return found;
})()"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    root = tmp_path_factory.mktemp("root")
    found = with_confidence(make_sweep(root, MODELS, (*PROMPTS, "geo_stepwise_fallback"), ("untuned", "full"), 30))
    for i, row in enumerate(found.rows):
        for attempt in found.store.cell(row.id).attempts():
            attempted(attempt.path, "done" if row.state == "done" else "code bug", 0.5 + i / 4, 1, 2.5)
    for tuning in found.tunings:
        points = [{"step": s, "loss": 6 / s**0.4} for s in range(1, 400)]
        points += [{"step": s, "validation_loss": 6.3 / s**0.4} for s in (100, 200, 399)]
        history(found.store.cell(tuning.id).attempts()[0], points)
    path = page.write(again(found))
    with chromium.Chromium(tmp_path_factory.mktemp("profile")) as opened:
        opened.open(path)
        yield opened


def test_it_opens_without_an_error_and_asks_for_nothing(tab: chromium.Chromium) -> None:
    assert tab.problems == []
    assert [url for url in tab.requests if not url.startswith(("file:", "data:", "about:"))] == []
    assert len({url for url in tab.requests if url.startswith("file:")}) == 1


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_shows_its_chart_and_is_linked(tab: chromium.Chromium, section: str) -> None:
    found = f"[...document.querySelectorAll('#{section} :is({SECTIONS[section]})')]"
    assert tab.run(f"{found}.filter(e => e.getBoundingClientRect().width).length") > 0
    assert tab.run(f"document.querySelectorAll('nav a[href=\"#{section}\"]').length") == 1


def test_no_text_of_a_chart_is_cut_off_or_lies_on_another(tab: chromium.Chromium) -> None:
    assert tab.run(CLUTTER) == []


def test_every_axis_says_what_it_measures_and_in_which_unit(tab: chromium.Chromium) -> None:
    texts = tab.run(
        "[...document.querySelectorAll('figure svg')].map(s => [...s.querySelectorAll('text')].map(t => t.textContent))"
    )
    told = "\n".join(text for svg in texts for text in svg)
    for axis in (
        "optimiser step",
        "km (logarithmic)",
        "within 750 km, %",
        "stated confidence, %",
        "GPU-hours of tuning",
    ):
        assert axis in told


def test_a_choice_shows_one_figure_and_hides_the_others(tab: chromium.Chromium) -> None:
    choices = tab.run("document.querySelectorAll('select[data-figures], .choice[data-figures]').length")
    assert choices >= 6
    for i in range(choices):
        shown = tab.run(
            f"""(() => {{
              const choice = document.querySelectorAll('select[data-figures], .choice[data-figures]')[{i}];
              const figures = [...document.getElementById(choice.dataset.figures).children];
              const last = figures.length - 1;
              if (choice.tagName === 'SELECT') {{
                choice.selectedIndex = last;
                choice.dispatchEvent(new Event('change'));
              }} else choice.querySelectorAll('button')[last].click();
              return figures.map(f => f.getBoundingClientRect().height > 0).join() ===
                figures.map((f, k) => k === last).join();
            }})()"""
        )
        assert shown
    assert tab.run(CLUTTER) == []
    assert tab.problems == []


def test_a_heading_sorts_its_table(tab: chromium.Chromium) -> None:
    table = "document.querySelector('#results table')"
    tab.run(f"{table}.querySelector('thead th:nth-child(5)').click()")
    values = tab.run(f"[...{table}.querySelectorAll('tbody td:nth-child(5)')].map(cell => Number(cell.dataset.v))")
    assert values == sorted(values) and len(set(values)) > 1


def test_the_page_is_no_wider_than_the_window(tab: chromium.Chromium) -> None:
    assert tab.run("document.documentElement.scrollWidth <= innerWidth")


def test_it_prints(tab: chromium.Chromium, tmp_path: Path) -> None:
    import base64

    printed = tab.send("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"]
    assert base64.b64decode(printed).startswith(b"%PDF")


@pytest.fixture(scope="module")
def wide_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of many settings: long labels, swapped prompts, eight metrics and their costs."""
    root = tmp_path_factory.mktemp("wide")
    prompts = (*PROMPTS, "geo_training_words_in_full")
    found = make_sweep(root, ("llama32_vision_11b", "qwen25_vl_7b"), prompts, ("untuned", "lora", "qlora"), 12)
    for i, row in enumerate(found.rows):
        for attempt in found.store.cell(row.id).attempts():
            attempted(attempt.path, "done" if row.state == "done" else "code bug", 0.5 + i / 4, 1, 2.5)
    return page.write(again(found))


@pytest.fixture(params=[1280, 390])
def window(
    request: pytest.FixtureRequest, tmp_path: Path, wide_page: Path
) -> Iterator[tuple[int, chromium.Chromium, Path]]:
    with chromium.Chromium(tmp_path, request.param, 900) as opened:
        opened.open(wide_page)
        yield request.param, opened, wide_page


def test_no_column_is_cut_at_1280_and_row_labels_stay_in_sight_at_390(
    window: tuple[int, chromium.Chromium, Path],
) -> None:
    width, opened, _ = window
    assert opened.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    wider = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1)"
    if width == 1280:
        assert opened.run(f"{wider}.map(e => e.closest('section').id)") == []
        return
    assert opened.run(f"{wider}.length") > 4
    out_of_sight = opened.run(
        f"""{wider}.flatMap(e => {{
          e.scrollLeft = 1e6;
          const left = e.getBoundingClientRect().left;
          return [...e.querySelectorAll('tbody tr')].filter(row => {{
            const first = row.cells[0].getBoundingClientRect();
            return Math.abs(first.left - left) > 1 || first.width > e.clientWidth / 2;
          }}).map(row => `${{e.closest('section').id}}: ${{row.textContent.trim().slice(0, 40)}}`);
        }})"""
    )
    assert out_of_sight == []
    # All of a cell's name is in its first column.
    names = opened.run("[...document.querySelectorAll('#results tbody tr')].map(row => row.cells[0].innerText)")
    assert all("vl_7b" in name or "11b" in name for name in names)
    assert any("geo_bare †" in name and "qlora" in name for name in names)


def test_letters_of_charts_have_ten_pixels_at_any_width(window: tuple[int, chromium.Chromium, Path]) -> None:
    _, opened, _ = window
    heights = opened.run(
        """[...document.querySelectorAll('figure > svg')].filter(s => s.getBoundingClientRect().width).map(s =>
          12 * s.getBoundingClientRect().width / s.viewBox.baseVal.width)"""
    )
    assert heights and min(heights) >= 10


def test_anchors_stop_below_the_navigation(window: tuple[int, chromium.Chromium, Path]) -> None:
    _, opened, path = window
    for anchor in opened.run("[...document.querySelectorAll('nav a')].map(a => a.getAttribute('href').slice(1))"):
        opened.open(path, f"#{anchor}")
        name = anchor.removesuffix("?")
        seen = f"""(() => {{
          const bottom = document.querySelector('nav').getBoundingClientRect().bottom;
          const top = document.querySelector('#{name} h2').getBoundingClientRect().top;
          return top >= bottom - 1 && top < innerHeight;
        }})()"""
        opened.until(seen, 10)


def test_a_section_that_would_be_empty_says_why(tmp_path: Path) -> None:
    text = page.html(make_sweep(tmp_path, MODELS[:1], PROMPTS[:1], ("untuned", "untuned_nf4"), 4))
    assert "No tuned cell has a result." in text
    assert 'href="#not-shown"' in text
    assert "Every cell with a result has the same model and prompt." in text
    assert "The sweep has no finetune cell." in text
