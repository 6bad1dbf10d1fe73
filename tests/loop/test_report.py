"""The report: everything in it, nothing outside it, and no text of a model's that a browser or terminal would obey."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_example import example, trap

from lit_align.errors import ConfigError
from lit_align.loop.report import print_table, render, write_report
from lit_align.loop.results import LoopResults, Metric, StageRow
from lit_align.loop.results_file import load_report, save_report, write_results

VOID = {"meta", "br", "circle", "line", "path", "polygon"}


class Page(HTMLParser):
    """Collects elements, attributes and text, and checks that elements close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(example()))


def test_every_text_is_shown_and_none_is_markup(page: Page) -> None:
    assert page.open == []
    assert "script" not in page.elements
    source = Path(__file__).with_name("report_example.py").read_text()
    shown = page.text + " ".join(value or "" for _, value in page.attributes)
    for place in re.findall(r'trap\("([^"]+)"\)', source):
        assert trap(place).split("\x1b")[0] in shown, place
    assert "\x1b" not in page.text


def test_the_page_requests_nothing_and_runs_nothing(page: Page) -> None:
    names = {name for name, _ in page.attributes}
    assert not any(name.startswith("on") for name in names)
    assert "src" not in names
    links = [value for name, value in page.attributes if name == "href"]
    assert links
    assert all(link.startswith("#") and link[1:] in page.ids for link in links)
    policy = dict(page.attributes)["content"], [v for n, v in page.attributes if n == "content"]
    assert any("default-src 'none'" in value for value in policy[1])
    assert "url(" not in render(example())


def test_secrets_and_missing_values_are_handled(page: Page) -> None:
    assert "canary" not in page.text
    assert "undefined" in page.text
    assert "The run is not finished" in page.text


def test_drawings_hold_no_nan_and_have_names(page: Page) -> None:
    html = render(example())
    for drawing in re.findall(r"<svg viewBox=\"0 0 460.*?</svg>", html, flags=re.DOTALL):
        assert "nan" not in drawing
        assert 'role="img" aria-label=' in drawing


def test_empty_results_make_a_page() -> None:
    page = Page(render(LoopResults(title="nothing yet")))
    assert page.open == []
    assert "section" not in page.elements


def test_results_survive_the_file_and_equal_runs_write_equal_files(tmp_path: Path) -> None:
    save_report(example(), tmp_path / "report.json")
    again = load_report(tmp_path / "report.json")
    assert render(again) == render(example())
    assert isinstance(again.plots, tuple)
    for folder in ("a", "b"):
        write_results(example(), tmp_path / folder / "results.json")
    text = (tmp_path / "a" / "results.json").read_bytes()
    assert text == (tmp_path / "b" / "results.json").read_bytes()
    content = json.loads(text)
    assert content["rows"][0]["metrics"]["strict"]["value"] == 0.8127
    assert content["rows"][1]["metrics"]["strict"]["value"] is None
    assert content.keys() == {"version", "title", "is_complete", "rows", "tables", "gates"}


def test_a_damaged_or_newer_file_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    for content in ("{", '{"version": 1}', '{"version": 1, "results": {"rows": 3}}', "[]"):
        file.write_text(content)
        with pytest.raises(ConfigError, match="Run the recipe again"):
            load_report(file)
    file.write_text('{"version": 99, "results": {}}')
    with pytest.raises(ConfigError, match="version 99"):
        load_report(file)


def test_the_terminal_shows_the_same_numbers_and_obeys_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(example())
    out = capsys.readouterr().out
    assert "81.3" in out
    assert "78.9\u201383.6" in out
    assert "n = 997" in out
    assert "iteration 1" in out
    assert "alert('verdict')" in out
    assert "\x1b" not in out


def test_rich_markup_in_a_title_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(LoopResults(title="[red]x[/red]", rows=(StageRow(title="[bold]", metrics={"a": Metric(value=1)}),)))
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out
    assert "[bold]" in out


def test_writing_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    assert write_report(example(), path) == path
    assert write_report(LoopResults(title="second"), path).read_text().count("second") == 2
