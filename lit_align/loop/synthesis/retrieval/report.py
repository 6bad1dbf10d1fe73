"""What was asked about the passages: the set in `data/`, a table, results.json, timings.json and a report."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from lit_align.html.text import number
from lit_align.loop import collect
from lit_align.loop.finished import Finished
from lit_align.loop.outcome import write_outcome
from lit_align.loop.parts import Part
from lit_align.loop.results import Column, Highlight, LoopResults, Metric, Response, Sample, StageRow, Table
from lit_align.loop.runner import Runner
from lit_align.loop.sampling import read_rows
from lit_align.loop.stage import Artifact
from lit_align.loop.synthesis.report import FOLDER, copy, responses
from lit_align.synthesis.items import DOC_ID
from lit_align.synthesis.personas.beir import CORPUS, QRELS, QUERIES
from lit_align.synthesis.personas.steps import QUESTION_TYPES

_NUM_SAMPLES = 6
_NUM_LEFT_OUT = 3
_COLUMNS = (
    Column(key="questions", title="Questions", percent=False, meaning="Questions in the set."),
    Column(key="characters", title="Characters", percent=False, meaning="Mean length of a question."),
)


@dataclass(kw_only=True)
class Made:
    """What the stages will make, for the report.

    Attributes:
        set: Passages, questions and which belong together.
        filters: What went into each step that only leaves items out, and what came out of it, by its title.
    """

    set: Artifact = field(init=False)
    filters: dict[str, tuple[Part, Part]] = field(default_factory=dict)


def write_retrieval_report(made: Made, runner: Runner) -> None:
    """Collects what is built, and writes it."""
    built = collect.built_stages(runner)
    finished = Finished(built)
    folder, found = finished.folder(made.set), finished.results(made.set) or {}
    tables = (_types(found), responses(built), collect.ledger(built), _left_out(made, finished))
    results = LoopResults(
        title="Retrieval evaluation",
        summary=_summary(found),
        highlights=tuple(_highlights(found)),
        columns=_COLUMNS,
        rows=tuple(_rows(found)),
        tables=tuple(table for table in tables if table.rows),
        samples=() if folder is None else tuple(_samples(folder)),
        lineage=collect.origins(built),
        config=collect.recipe(runner),
        versions=collect.versions(built),
        is_complete=len(built) == len(runner.nodes),
    )
    if folder is not None:
        for file in (CORPUS, QUERIES, QRELS):
            copy(folder / file, runner.workdir / FOLDER / file)
    write_outcome(results, runner, built=built)


def _summary(found: Mapping[str, Any]) -> str:
    if not found:
        return ""
    return (
        f"{found['queries']:,} questions about {found['asked_about']:,} of {found['passages']:,} passages, "
        f"in {FOLDER}/{QUERIES}, {FOLDER}/{QRELS} and {FOLDER}/{CORPUS}. A question's passage is the one it was made "
        "from; that others do not answer it too was not checked."
    )


def _highlights(found: Mapping[str, Any]) -> Iterator[Highlight]:
    if found:
        note = f"about {found['asked_about']:,} passages"
        yield Highlight(label="Questions", value=number(found["queries"], percent=False), note=note)
        yield Highlight(label="Passages", value=number(found["passages"], percent=False))


def _rows(found: Mapping[str, Any]) -> Iterator[StageRow]:
    for persona, types in found.get("types", {}).items():
        metrics = {
            "questions": Metric(value=sum(types.values())),
            "characters": Metric(value=found["characters"][persona]),
        }
        yield StageRow(title=persona, kind="persona", metrics=metrics)


def _types(found: Mapping[str, Any]) -> Table:
    """How many questions of each type there are of each persona."""
    columns = (
        Column(key="persona", title="Persona", percent=False),
        *(Column(key=name, title=name.capitalize(), percent=False) for name in QUESTION_TYPES),
    )
    rows = tuple(
        {"persona": persona, **{name: Metric(value=types.get(name, 0)) for name in QUESTION_TYPES}}
        for persona, types in found.get("types", {}).items()
    )
    return Table(title="Types", meaning="Questions by the type that they were asked for.", columns=columns, rows=rows)


def _left_out(made: Made, finished: Finished) -> Table:
    """The first of what each filter has left out."""
    columns = (
        Column(key="step", title="Not among", percent=False),
        Column(key="passage", title="Passage", percent=False),
        Column(key="text", title="Text", percent=False),
    )
    rows = []
    for title, (before, after) in made.filters.items():
        given, kept = (finished.folder(part.artifact) for part in (before, after))
        if given is None or kept is None:
            continue
        ids = {row["id"] for row in read_rows(kept / after.file)}
        dropped = (row for row in read_rows(given / before.file) if row["id"] not in ids)
        for row in islice(dropped, _NUM_LEFT_OUT):
            rows.append({"step": title, "passage": row["meta"][DOC_ID], "text": row["text"]})
    return Table(title="Left out", meaning="Examples; the table above counts all.", columns=columns, rows=tuple(rows))


def _samples(folder: Path) -> Iterator[Sample]:
    """The first passages that are asked about, each with its questions and what these were before they had a style."""
    queries = {row["_id"]: row for row in read_rows(folder / QUERIES)}
    passages = {row["_id"]: row["text"] for row in read_rows(folder / CORPUS)}
    asked: dict[str, list[str]] = {}
    with open(folder / QRELS, encoding="utf-8") as file:
        for line in islice(file, 1, None):
            query, passage, _ = line.split("\t")
            asked.setdefault(passage, []).append(query)
    for passage, names in islice(asked.items(), _NUM_SAMPLES):
        yield Sample(
            prompt=passages[passage],
            responses=tuple(
                Response(stage=known["persona"], text=f"{queries[name]['text']}\n\nplainly: {known['plain_question']}")
                for name in names[:_NUM_SAMPLES]
                for known in [queries[name]["metadata"]]
            ),
        )
