"""What the colonies came to: the instructions in `data/`, a table, results.json, timings.json and a report."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice
from typing import Any

from lit_align.data.accounting import explain
from lit_align.html.text import number
from lit_align.loop import collect
from lit_align.loop.finished import Finished
from lit_align.loop.outcome import write_outcome
from lit_align.loop.parts import ROWS
from lit_align.loop.results import (
    Column,
    Curve,
    Highlight,
    LinePlot,
    LoopResults,
    Metric,
    Response,
    Sample,
    StageRow,
    Table,
)
from lit_align.loop.runner import Runner
from lit_align.loop.sampling import read_rows
from lit_align.loop.stage import Artifact
from lit_align.loop.synthesis.report import FOLDER, copy
from lit_align.synthesis.items import messages_of

PRODUCT = "instructions.jsonl"
_NUM_SAMPLES = 6
_ENDS = {"target": "it has its share", "standstill": "nothing new came", "limit": "most generations"}
_COLUMNS = (
    Column(key="offspring", title="Offspring", percent=False, meaning="Tasks that were made, with questions refused."),
    Column(key="fit", title="Fit", percent=False, meaning="Tasks that live: new, solved, judged and tested."),
    Column(key="share", title="Share", meaning="Of the offspring, the share that is fit."),
    Column(key="generations", title="Generations", percent=False, meaning="Rounds of mutation and crossover."),
    Column(key="characters", title="Characters", percent=False, meaning="Mean length of task and solution together."),
)


@dataclass(kw_only=True)
class Made:
    """What the stages will make, for the report.

    Attributes:
        target: Instructions that are wanted.
        seeds: What the colonies begin with.
        colonies: One stage each.
        clean: All colonies after cleaning.
        instructions: No more of them than are wanted.
        description: Their measures.
    """

    target: int
    seeds: Artifact = field(init=False)
    colonies: list[Artifact] = field(default_factory=list)
    clean: Artifact = field(init=False)
    instructions: Artifact = field(init=False)
    description: Artifact = field(init=False)


def write_genetic_report(made: Made, runner: Runner) -> None:
    """Collects what is built, and writes it."""
    built = collect.built_stages(runner)
    finished = Finished(built)
    colonies = [results for artifact in made.colonies if (results := finished.results(artifact)) is not None]
    final = finished.results(made.description)
    tables = (_fates(colonies), _operations(final), _questions(colonies), collect.ledger(built))
    results = LoopResults(
        title="Genetic Instruct",
        summary=" ".join(_summary(made, finished, colonies)),
        highlights=tuple(_highlights(made, finished, colonies)),
        columns=_COLUMNS,
        rows=tuple(_rows(colonies, final)),
        plots=(_growth(colonies),) if colonies else (),
        tables=tuple(table for table in tables if table.rows),
        samples=tuple(_samples(made, finished)),
        lineage=collect.origins(built),
        config=collect.recipe(runner),
        versions=collect.versions(built),
        is_complete=len(built) == len(runner.nodes),
    )
    if (folder := finished.folder(made.instructions)) is not None:
        copy(folder / ROWS, runner.workdir / FOLDER / PRODUCT)
    write_outcome(results, runner, built=built)


def _summary(made: Made, finished: Finished, colonies: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    final, seeds = finished.results(made.instructions), finished.results(made.seeds)
    if final is None or seeds is None:
        return
    yield f"{final['kept']:,} instructions of {made.target:,} wanted, in {FOLDER}/{PRODUCT}."
    yield f"{len(colonies)} colonies grew from {seeds['kept']:,} seeds"
    lost = sum(found["kept"] for found in colonies) - (finished.results(made.clean) or {"kept": 0})["kept"]
    yield f"to {sum(found['kept'] for found in colonies):,} tasks, of which cleaning dropped {lost:,}."
    if final["kept"] < made.target:
        yield "More generations, more seeds, a larger share to spare or another model may give the rest."


def _highlights(made: Made, finished: Finished, colonies: Sequence[Mapping[str, Any]]) -> Iterator[Highlight]:
    if (final := finished.results(made.instructions)) is not None:
        yield Highlight(label="Instructions", value=number(final["kept"], percent=False), note=f"of {made.target:,}")
    if offspring := sum(found["read"] for found in colonies):
        share = sum(found["kept"] for found in colonies) / offspring
        yield Highlight(label="Fit", value=f"{number(share, percent=True)} %", note=f"of {offspring:,} offspring")


def _rows(colonies: Sequence[Mapping[str, Any]], final: Mapping[str, Any] | None) -> Iterator[StageRow]:
    for index, found in enumerate(colonies, start=1):
        metrics = {
            "offspring": Metric(value=found["read"]),
            "fit": Metric(value=found["kept"]),
            "generations": Metric(value=len(found["grown"])),
        }
        if found["read"]:
            metrics["share"] = Metric(value=found["kept"] / found["read"])
        yield StageRow(title=f"Colony {index}", kind=f"ended: {_ENDS[found['ended_by']]}", metrics=metrics)
    if final is not None and final["rows"]:
        metrics = {"fit": Metric(value=final["rows"]), "characters": Metric(value=final["characters"])}
        yield StageRow(title="Instructions", kind="all colonies, cleaned", metrics=metrics)


def _growth(colonies: Sequence[Mapping[str, Any]]) -> LinePlot:
    curves = (
        Curve(title=f"colony {index}", x=tuple(range(len(sizes))), y=tuple(sizes))
        for index, found in enumerate(colonies, start=1)
        for sizes in [list(accumulate(found["grown"], initial=0))]
    )
    meaning = "Fit tasks of each colony, its seeds not counted."
    return LinePlot(title="Growth", meaning=meaning, x_title="generation", curves=tuple(curves))


def _fates(colonies: Sequence[Mapping[str, Any]]) -> Table:
    """What became of the offspring of all colonies."""
    dropped: Counter[str] = Counter()
    for found in colonies:
        dropped.update(found["dropped"])
    columns = (
        Column(key="fate", title="Fate", percent=False),
        Column(key="tasks", title="Tasks", percent=False),
        Column(key="share", title="Share"),
    )
    fates = {"fit": sum(found["kept"] for found in colonies), **dict(dropped.most_common())}
    total = sum(fates.values())
    rows = tuple(
        {"fate": explain(fate), "tasks": Metric(value=tasks), "share": Metric(value=tasks / total)}
        for fate, tasks in fates.items()
        if total
    )
    meaning = "What became of every task, all colonies together."
    return Table(title="Offspring", meaning=meaning, columns=columns, rows=rows)


def _operations(final: Mapping[str, Any] | None) -> Table:
    columns = (
        Column(key="operation", title="Operation", percent=False),
        Column(key="rows", title="Instructions", percent=False),
    )
    found = {} if final is None else final["tasks"]
    rows = tuple({"operation": name, "rows": Metric(value=rows)} for name, rows in found.items())
    return Table(title="Operations", meaning="Which operation made the instructions.", columns=columns, rows=rows)


def _questions(colonies: Sequence[Mapping[str, Any]]) -> Table:
    """What was asked of models, all colonies together."""
    columns = (
        Column(key="kind", title="Questions", percent=False),
        Column(key="refused", title="Refused", percent=False),
        Column(key="samples", title="Responses", percent=False),
        Column(key="cut", title="Cut off", percent=False),
        Column(key="mean", title="Mean tokens", percent=False),
    )
    sums: dict[str, Counter[str]] = {}
    for found in colonies:
        for kind, asked in found["asked"].items():
            sums.setdefault(kind, Counter()).update(asked)
    rows = []
    for kind, asked in sums.items():
        row: dict[str, str | Metric] = {"kind": kind}
        row |= {name: Metric(value=asked[name]) for name in ("refused", "samples", "cut")}
        row |= {"mean": Metric(value=asked["tokens"] / asked["samples"])} if asked["tokens"] else {}
        rows.append(row)
    return Table(title="Responses", meaning="What was asked of models.", columns=columns, rows=tuple(rows))


def _samples(made: Made, finished: Finished) -> Iterator[Sample]:
    """The first instructions: the task, and its solution with the tests that it passes."""
    folder = finished.folder(made.instructions)
    for row in () if folder is None else islice(read_rows(folder / ROWS), _NUM_SAMPLES):
        task, solution = messages_of(row)
        tests = "\n".join(row["meta"].get("test_list", ()))
        text = solution["content"] + (f"\n\ntests:\n{tests}" if tests else "")
        operation = f"{row['meta']['operation']}, generation {row['meta']['generation']}"
        yield Sample(prompt=task["content"], responses=(Response(stage=operation, text=text),))
