"""What a loop measured, as data: filled by a program, shown by the report and on the terminal, stored as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A measured value.

    Args:
        value: The value; NaN where it is undefined, such as a share of nothing.
        low: Lower end of its 95 % interval.
        high: Upper end.
        n: The number of rows it was measured on.
        detail: What it was computed from, shown below it, for example `(80.1 - 37.8) / (96.5 - 37.8)`.
    """

    value: int | float
    low: int | float | None = None
    high: int | float | None = None
    n: int | None = None
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the main table.

    Args:
        key: Its name among a row's metrics.
        title: Its heading.
        percent: Whether values are proportions, shown in percent.
        meaning: One sentence that says what is measured.
    """

    key: str
    title: str
    percent: bool = True
    meaning: str = ""


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """A stage in the main table.

    Args:
        title: The stage.
        iteration: The loop's iteration it belongs to, if any.
        kind: What it is: "teacher", "sft", "dpo", ...
        metrics: Its values by column; a missing one is an empty cell.
        is_champion: Whether a gate chose it.
    """

    title: str
    iteration: int | None = None
    kind: str = ""
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    is_champion: bool = False


@dataclass(frozen=True, kw_only=True)
class Series:
    """Values at the labels of a `DotPlot`, None where there is none."""

    title: str
    values: tuple[Metric | None, ...]


@dataclass(frozen=True, kw_only=True)
class ReferenceLine:
    """A value to compare with, such as the teacher's or the ceiling's."""

    title: str
    value: int | float


@dataclass(frozen=True, kw_only=True)
class DotPlot:
    """Values with intervals, one row a label: accuracy by stage, correctness of data by iteration.

    Args:
        title: Its heading.
        meaning: One or two sentences below it.
        labels: The rows, from top to bottom.
        series: The dots.
        lines: Vertical lines.
        percent: Whether values are proportions.
    """

    title: str
    meaning: str = ""
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    lines: tuple[ReferenceLine, ...] = ()
    percent: bool = True


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Points of a `LinePlot`, in order of x."""

    title: str
    x: tuple[int | float, ...]
    y: tuple[int | float, ...]


@dataclass(frozen=True, kw_only=True)
class LinePlot:
    """Curves over a number: loss by step, accuracy of the best of n by n.

    Args:
        title: Its heading.
        meaning: One or two sentences below it.
        x_title: What x is.
        curves: The curves.
        percent: Whether y is a proportion.
        log_x: Whether x is shown by its logarithm.
    """

    title: str
    meaning: str = ""
    x_title: str
    curves: tuple[Curve, ...]
    percent: bool = False
    log_x: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Any other table: a reward model's attributes, a data ledger. Cells are texts, numbers or metrics."""

    title: str
    meaning: str = ""
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, str | Metric], ...]


@dataclass(frozen=True, kw_only=True)
class Response:
    """A stage's response to a sample prompt; `is_correct` is None where nothing can tell."""

    stage: str
    text: str
    is_correct: bool | None = None
    reward: int | float | None = None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A prompt with the response of every stage, and a correct answer where one is known."""

    prompt: str
    responses: tuple[Response, ...]
    answer: str = ""


@dataclass(frozen=True, kw_only=True)
class GateVerdict:
    """A gate between stages.

    Args:
        title: The gate.
        passed: Whether what it looked at goes on.
        measured: What it looked at, in words and numbers.
        required: What it asks for.
        meaning: Why it is there, or what follows.
        iteration: The loop's iteration.
        verdict: The verdict in a word or two; default: "passed" or "stopped".
    """

    title: str
    passed: bool
    measured: str
    required: str
    meaning: str = ""
    iteration: int | None = None
    verdict: str = ""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an artifact came from: a model, a file of rows.

    Args:
        title: What people call it.
        kind: "model", "data", ...
        fingerprint: Its own.
        parents: The fingerprints it was made from, by role ("policy", "data", "generator").
        iteration: The loop's iteration.
    """

    title: str
    kind: str
    fingerprint: str
    parents: Mapping[str, str] = field(default_factory=dict)
    iteration: int | None = None


@dataclass(frozen=True, kw_only=True)
class Highlight:
    """A number to begin with, already in words: label `Gap recovered`, value `79 %`."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class LoopResults:
    """A finished or unfinished loop's results; every part but the title may be empty.

    Args:
        title: The report's heading.
        summary: One paragraph: what was done and what came out.
        highlights: The numbers to begin with.
        columns: Columns of the main table.
        rows: Its rows, in the order of the loop.
        plots: Plots of results.
        training: Plots of training, usually made by `training_plots`.
        tables: Further tables.
        samples: Responses side by side.
        gates: Verdicts.
        lineage: Origins of models and data, in the order in which they were made.
        config: The run's settings.
        versions: Versions of the code.
        is_complete: False while stages are missing.
    """

    title: str
    summary: str = ""
    highlights: tuple[Highlight, ...] = ()
    columns: tuple[Column, ...] = ()
    rows: tuple[StageRow, ...] = ()
    plots: tuple[DotPlot | LinePlot, ...] = ()
    training: tuple[LinePlot, ...] = ()
    tables: tuple[Table, ...] = ()
    samples: tuple[Sample, ...] = ()
    gates: tuple[GateVerdict, ...] = ()
    lineage: tuple[Origin, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    is_complete: bool = True
