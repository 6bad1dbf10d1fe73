"""The report of a loop: one HTML file that needs nothing else, and the same numbers on the terminal."""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from lit_align.files import atomic_write
from lit_align.loop import report_sections as sections
from lit_align.loop.report_terminal import print_table
from lit_align.loop.report_text import escape
from lit_align.loop.results import LoopResults

__all__ = ["print_table", "render", "write_report"]

# No script, no request: a page that shows what models wrote must not be able to run it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def write_report(results: LoopResults, output: Path) -> Path:
    """Writes the report as one self-contained HTML file and returns its path."""
    with atomic_write(output) as file:
        file.write(render(results))
    return output


def render(results: LoopResults) -> str:
    """The report as HTML."""
    parts = [(name, title, body) for name, title, body in _parts(results) if body]
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in parts)
    body = "".join(f'<section id="{name}"><h2>{title}</h2>{text}</section>' for name, title, text in parts)
    style = resources.files("lit_align.loop").joinpath("report_style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(results.title)}</title><style>{style}</style></head><body>"
        f"<header><div><h1>{escape(results.title)}</h1>{sections.introduction(results)}</div></header>"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav><main>{body}</main>'
        "<footer>Written by lit-align. Intervals are 95 %; n is the number of rows measured.</footer></body></html>\n"
    )


def _parts(results: LoopResults) -> Iterator[tuple[str, str, str]]:
    yield "stages", "Stages", sections.main_table(results)
    yield "plots", "Plots", sections.plots(results.plots)
    yield "tables", "Tables", sections.tables(results.tables)
    yield "gates", "Gates", sections.gates(results.gates)
    yield "samples", "Samples", sections.samples(results.samples)
    yield "training", "Training", sections.plots(results.training, style="plots training")
    yield "lineage", "Lineage", sections.lineage(results.lineage)
    yield "configuration", "Configuration", sections.configuration(results)
