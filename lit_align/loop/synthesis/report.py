"""What was made, as files in `data/`, a table, results.json, timings.json and a report."""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from lit_align.files import atomic_write
from lit_align.loop import collect
from lit_align.loop.finished import Finished
from lit_align.loop.outcome import write_outcome
from lit_align.loop.report_text import number
from lit_align.loop.results import Column, Highlight, LoopResults, Metric, Response, Sample, StageRow, Table
from lit_align.loop.runner import Runner
from lit_align.loop.sampling import read_rows
from lit_align.loop.synthesis.made import PRODUCTS, Made
from lit_align.synthesis.hygiene.tagging import LABELS
from lit_align.synthesis.items import messages_of

FOLDER = "data"
_NUM_SAMPLES = 6
_MOST_LABELS = 20
_TITLES = {"topic": "Topics", "tags": "Tags", "difficulty": "Difficulty", "quality": "Quality"}
_GRADES = {
    "difficulty": "From 1, anybody can answer at once, to 5, an expert needs time; as a model said.",
    "quality": "Of the prompts, from 1, unclear, to 5, worth answering; as a model said.",
}
_COLUMNS = (
    Column(key="rows", title="Rows", percent=False, meaning="Rows of the file."),
    Column(key="turns", title="Turns", percent=False, meaning="Mean number of messages of a row."),
    Column(key="characters", title="Characters", percent=False, meaning="Mean length of a row, all messages together."),
    Column(key="reward", title="Reward", percent=False, meaning="Mean reward of its last response."),
)


def write_synthetic_data_report(made: Made, runner: Runner) -> None:
    """Collects what is built, all of it or what there was when the run stopped, and writes it."""
    built = collect.built_stages(runner)
    finished = Finished(built)
    described = {name: finished.results(product.description) for name, product in made.products.items()}
    found = {name: results for name, results in described.items() if results is not None}
    tables = (
        _tasks(made, finished, found),
        *(_labels(name, found) for name in LABELS),
        responses(built),
        _verdicts(built),
        collect.pairs(built),
        _judgements(built),
        collect.ledger(built),
    )
    results = LoopResults(
        title="Synthetic data",
        summary=" ".join(_summary(found)),
        highlights=tuple(
            Highlight(label=_title(name), value=number(results["rows"], percent=False))
            for name, results in found.items()
        ),
        columns=tuple(column for column in _COLUMNS if any(column.key in results for results in found.values())),
        rows=tuple(_row(name, results) for name, results in found.items()),
        tables=tuple(table for table in tables if table.rows),
        samples=tuple(_samples(made, finished)),
        lineage=collect.origins(built),
        config=collect.recipe(runner),
        versions=collect.versions(built),
        is_complete=len(built) == len(runner.nodes),
    )
    _write_products(made, finished, runner.workdir / FOLDER)
    write_outcome(results, runner, built=built)


def _write_products(made: Made, finished: Finished, folder: Path) -> None:
    """Copies what is built; what an earlier recipe left under the other names is removed, the store still has it."""
    for name in dict.fromkeys((*PRODUCTS, *made.products)):
        product = made.products.get(name)
        parts = (None, None) if product is None else (product.rows, product.candidates)
        for part, ending in zip(parts, ("", "_candidates"), strict=True):
            output = folder / f"{name}{ending}.jsonl"
            source = None if part is None else finished.folder(part.artifact)
            if part is None or source is None:
                output.unlink(missing_ok=True)
            else:
                copy(source / part.file, output)


def copy(file: Path, output: Path) -> None:
    """Copies an end product out of the store, whole or not at all."""
    with open(file, "rb") as source, atomic_write(output, "wb") as target:
        shutil.copyfileobj(source, target)


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize() if name != "sft" else "Demonstrations"


def _row(name: str, results: Mapping[str, Any]) -> StageRow:
    metrics = {column.key: Metric(value=results[column.key]) for column in _COLUMNS if column.key in results}
    return StageRow(title=_title(name), kind="data", metrics=metrics)


def _summary(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, results in found.items():
        yield f"{_title(name)}: {results['rows']:,} rows, in {FOLDER}/{name}.jsonl."
    if found:
        yield "Every row names its task, template and parents; every stage below accounts for what it dropped."


def _tasks(made: Made, finished: Finished, found: Mapping[str, Mapping[str, Any]]) -> Table:
    """How many prompts there are of each task, and how many rows of each product."""
    prompts = {name: finished.results(part.artifact) for name, part in made.prompts.items()}
    names = [*prompts, *dict.fromkeys(task for results in found.values() for task in results["tasks"])]
    columns = (
        Column(key="task", title="Task", percent=False),
        Column(key="prompts", title="Prompts", percent=False),
        *(Column(key=name, title=_title(name), percent=False) for name in found),
    )
    rows = []
    for name in dict.fromkeys(names):
        row: dict[str, str | Metric] = {"task": name.replace("_", " ")}
        if (results := prompts.get(name)) is not None:
            row["prompts"] = Metric(value=results["kept"])
        row |= {product: Metric(value=results["tasks"].get(name, 0)) for product, results in found.items()}
        rows.append(row)
    meaning = "Prompts as they are generated, before they are divided and joined with instructions."
    return Table(title="Tasks", meaning=meaning, columns=columns, rows=tuple(rows))


def _labels(name: str, found: Mapping[str, Mapping[str, Any]]) -> Table:
    """How many rows of each product have which topic, tag or grade; the commonest, or all grades in their order."""
    labels = {product: results["labels"].get(name, {}) for product, results in found.items()}
    totals = sum((Counter(counts) for counts in labels.values()), Counter())
    shown = sorted(totals) if name in _GRADES else [label for label, _ in totals.most_common(_MOST_LABELS)]
    columns = (
        Column(key="label", title=_title(name), percent=False),
        *(Column(key=product, title=_title(product), percent=False) for product in found),
    )
    rows = tuple(
        {"label": label, **{product: Metric(value=labels[product].get(label, 0)) for product in found}}
        for label in shown
    )
    meaning = _GRADES.get(name, f"The {_MOST_LABELS} commonest." if len(totals) > _MOST_LABELS else "")
    return Table(title=_TITLES[name], meaning=meaning, columns=columns, rows=rows)


def _verdicts(built: list[collect.Built]) -> Table:
    """How many responses every verifier was given, and how many passed."""
    columns = (
        Column(key="stage", title="Stage", percent=False),
        Column(key="verifier", title="Verifier", percent=False),
        Column(key="responses", title="Responses", percent=False),
        Column(key="passed", title="Passed"),
    )
    rows = tuple(
        {
            "stage": collect.stage_title(manifest),
            "verifier": verifier,
            "responses": Metric(value=counts["responses"]),
            "passed": Metric(value=counts["passed"] / counts["responses"]),
        }
        for _, manifest in built
        if collect.stage_class(manifest) == "Verify"
        for verifier, counts in manifest["results"]["by"].items()
    )
    return Table(title="Verdicts", meaning="Judged by program, each model by itself.", columns=columns, rows=rows)


def _judgements(built: list[collect.Built]) -> Table:
    """What judges decided, and how far the places of the responses did."""
    columns = (
        Column(key="stage", title="Pairs", percent=False),
        Column(key="compared", title="Pairs compared", percent=False),
        Column(key="kept", title="Pairs kept", percent=False),
        Column(key="first", title="For the first response"),
    )
    rows = tuple(
        {
            "stage": collect.stage_title(manifest),
            "compared": Metric(value=results["read"]),
            "kept": Metric(value=results["kept"]),
            "first": Metric(value=results["first_place"]),
        }
        for _, manifest in built
        if collect.stage_class(manifest) == "PairByJudge"
        for results in [manifest["results"]]
    )
    meaning = (
        "Each pair is compared in both orders. Half of the verdicts are for the response read first without a bias."
    )
    return Table(title="Judgements", meaning=meaning, columns=columns, rows=rows)


def responses(built: list[collect.Built]) -> Table:
    """What every stage asked of a model and what came back."""
    columns = (
        Column(key="stage", title="Stage", percent=False),
        Column(key="prompts", title="Prompts", percent=False),
        Column(key="refused", title="Refused", percent=False),
        Column(key="samples", title="Responses", percent=False),
        Column(key="cut", title="Cut off", percent=False),
        Column(key="tokens", title="Mean tokens", percent=False),
    )
    rows = []
    for _, manifest in built:
        results = manifest["results"]
        if collect.stage_class(manifest) == "Generate" and (results["samples"] or results.get("refused")):
            tokens = results["mean_tokens"]
            rows.append(
                {
                    "stage": collect.stage_title(manifest).removesuffix(": responses"),
                    "prompts": Metric(value=results["prompts"]),
                    "refused": Metric(value=results["refused"]),
                    "samples": Metric(value=results["samples"]),
                    "cut": Metric(value=results["finish_reasons"].get("length", 0)),
                    **({} if tokens is None else {"tokens": Metric(value=tokens)}),
                }
            )
    return Table(title="Responses", meaning="What was asked of models.", columns=columns, rows=tuple(rows))


def _samples(made: Made, finished: Finished) -> Iterator[Sample]:
    """The first rows of each product: the first message, and what follows it."""
    for name, product in made.products.items():
        folder = finished.folder(product.rows.artifact)
        for row in () if folder is None else islice(read_rows(folder / product.rows.file), _NUM_SAMPLES):
            first, *others = messages_of(row)
            text = "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in others)
            response = Response(stage=_title(name), text=text, reward=row.get("reward"))
            yield Sample(prompt=first["content"], responses=(response,) if others else ())
