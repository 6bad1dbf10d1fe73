"""What a program leaves when it ends: results, report and times in the workdir, the main table on the terminal."""

import os
from pathlib import Path

from lit_align.files import write_json
from lit_align.loop.collect import Built, timings
from lit_align.loop.report import print_table, write_report
from lit_align.loop.results import LoopResults
from lit_align.loop.results_file import REPORT_DATA, RESULTS, save_report, write_results
from lit_align.loop.runner import Runner

REPORT = "report.html"
TIMINGS = "timings.json"


def write_outcome(results: LoopResults, runner: Runner, *, built: list[Built]) -> None:
    """Writes `results.json`, `timings.json`, `report.json` and `report.html`, and prints the main table.

    The last lines say where the report lies and how to see the run in MLflow, if it was tracked.
    """
    write_results(results, runner.workdir / RESULTS)
    write_json(runner.workdir / TIMINGS, timings(built))
    save_report(results, runner.workdir / REPORT_DATA)
    report = write_report(results, runner.workdir / REPORT)
    print_table(results)
    print(f"\nreport:  {_shown(report)}")
    if (command := runner.observer.view(runner.workdir)) is not None:
        print(f"MLflow:  {command}")


def _shown(path: Path) -> str:
    """A path as short as it can be typed from here."""
    here = os.path.relpath(path)
    return str(path) if here.startswith(os.pardir) else here
