"""docs/performance.md: prose written by hand, and tables and plots between marks, written from results."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import tables as of
from benchmarks.report.numbers import Results
from benchmarks.report.plots import plots
from benchmarks.spec import TRAINING
from benchmarks.tasks.sweeps import SWEEPS
from benchmarks.workers import ROOT
from lit_align.files import atomic_write, write_json

PAGE = ROOT / "docs" / "performance.md"
RESULTS = ROOT / "docs" / "assets" / "performance" / "results.json"

BLOCKS: dict[str, Callable[[Results], str]] = {
    "machine": of.machine,
    "goals": of.goal_table,
    **{task: of.training(task) for task in TRAINING},
    "avx2": of.avx2,
    "operations": of.operations,
    "scoring": of.scoring,
    "generation": of.generation,
    "encoding": of.encoding,
    **{f"sweep {name}": of.sweep(name) for name in SWEEPS},
}
_BLOCK = re.compile(r"(<!-- measured: (?P<name>[\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def rendered(text: str, results: Results) -> str:
    """The page with its tables and plots made anew.

    Raises:
        KeyError: It asks for a block that does not exist.
    """
    drawn = {name.removesuffix(".svg").replace("sweep-", "sweep ") for name, _ in plots(results)}

    def block(match: re.Match[str]) -> str:
        name = match["name"]
        file = f"assets/performance/{name.replace(' ', '-')}.svg"
        picture = f"\n\n![{name}]({file})" if name in drawn else ""
        return f"{match[1]}\n{BLOCKS[name](results)}{picture}\n\n{match[3]}"

    return _BLOCK.sub(block, text)


def committed() -> Results:
    """The numbers of the page in the repository; none where it was never measured."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def tables(results: Results) -> str:
    """The tables of what was measured, for a terminal."""
    made = {name: block(results) for name, block in BLOCKS.items()}
    return "\n\n".join(f"## {name}\n\n{table}" for name, table in made.items() if table != of.NOT_MEASURED)


def write(results: Results, folder: Path) -> Path:
    """Writes the page, its plots and its numbers into a folder; returns the path of the page."""
    assets = folder / "assets" / "performance"
    page = folder / PAGE.name
    with atomic_write(page) as file:
        file.write(rendered(PAGE.read_text(encoding="utf-8"), results))
    for name, content in plots(results):
        with atomic_write(assets / name) as file:
            file.write(content)
    if results:
        write_json(assets / RESULTS.name, results)
    return page
