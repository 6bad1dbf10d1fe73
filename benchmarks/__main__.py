"""`python -m benchmarks`: measures lit-align against a textbook loop and TRL, and writes tables and plots."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.bench import Bench
from benchmarks.options import Options, parse, state
from benchmarks.report import page
from benchmarks.spec import TRAINING
from benchmarks.tasks import inference, sweeps, training
from benchmarks.workers import ROOT, WorkerError
from lit_align.files import write_json


def main() -> int:
    """Measures what is not measured yet, and reports."""
    options, action = parse()
    if action.render:
        page.write(page.committed(), page.PAGE.parent)
        return 0
    folder = action.out or ROOT / "runs" / "bench" / options.key(state())
    bench = Bench(options, folder)
    results: dict[str, Any] = {}
    try:
        for task in options.only:
            results[task] = _finished(bench, task, fresh=action.fresh)
    except WorkerError as error:
        print(f"error: {error}\nFinished tasks are kept in {folder}; the same command continues.", file=sys.stderr)
        return 1
    shutil.rmtree(folder / "material", ignore_errors=True)
    shutil.rmtree(folder / "scratch", ignore_errors=True)
    complete = {**_earlier(folder, options), **results}
    write_json(folder / "results.json", complete)
    print(page.tables(complete))
    written = page.write(complete, folder / "report")
    if action.write:
        written = page.write(complete, page.PAGE.parent)
    print(f"Report: {written}; numbers: {folder / 'results.json'}", file=sys.stderr)
    return 0


def _finished(bench: Bench, task: str, *, fresh: bool) -> dict[str, Any]:
    """The result of a task: that of an interrupted run of the same code and settings, or a new one."""
    path = bench.folder / f"{task}.json"
    if path.exists() and not fresh:
        print(f"{task}: measured already, {path}", file=sys.stderr)
        return json.loads(path.read_text())
    result = {**_measure(bench, task), "machine": machine.describe(bench.options)}
    write_json(path, result)
    return result


def _measure(bench: Bench, task: str) -> dict[str, Any]:
    if task in TRAINING:
        return training.measure(bench, task)
    others = {
        "avx2": training.measure_avx2,
        "scoring": inference.scoring,
        "generation": inference.generation,
        "encoding": inference.encoding,
        "sweeps": sweeps.measure,
    }
    return others[task](bench)


def _earlier(folder: Path, options: Options) -> dict[str, Any]:
    """Tasks that an earlier run with the same settings has measured."""
    from benchmarks.options import TASKS

    paths = {task: folder / f"{task}.json" for task in TASKS if task not in options.only}
    return {task: json.loads(path.read_text()) for task, path in paths.items() if path.exists()}


if __name__ == "__main__":
    sys.exit(main())
