"""What the weak-to-strong loop measured, as a table, results.json, timings.json and a report."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, final

from lit_align.html.text import number
from lit_align.loop import collect
from lit_align.loop.evaluation import SAMPLES
from lit_align.loop.outcome import write_outcome
from lit_align.loop.parts import Part
from lit_align.loop.plan import label
from lit_align.loop.responders import Responder
from lit_align.loop.results import (
    Column,
    DotPlot,
    GateVerdict,
    Highlight,
    LoopResults,
    Metric,
    Response,
    Sample,
    Series,
    StageRow,
    Table,
)
from lit_align.loop.runner import Runner
from lit_align.loop.sampling import read_rows
from lit_align.loop.stage import Artifact

_TITLE = "Weak to strong"
_CURVES = ("loss", "accuracy")
_NUM_SAMPLES = 8
_COLUMNS = (
    Column(
        key="reward",
        title="Reward",
        percent=False,
        meaning="The reward model's reward of greedy responses to held-out prompts, in its own units.",
    ),
    Column(
        key="pairs",
        title="Pairs",
        meaning="Held-out pairs whose chosen response gained more log-probability than the rejected one since SFT.",
    ),
    Column(key="finished", title="Finished", meaning="Responses that end by themselves."),
    Column(key="tokens", title="Tokens", percent=False, meaning="Mean length of those responses."),
)


@dataclass(kw_only=True)
class Policy:
    """A policy and what is measured of it.

    Attributes:
        title: What the report calls it.
        kind: What made it; empty for one that stands in the table already.
        iteration: The iteration it belongs to.
        model: The policy; the first teacher may be a generator that is no model of the loop.
        responses: Its responses to held-out prompts with their rewards.
        margins: The log-probability margins of held-out pairs.
        accuracy: On the same pairs by implicit reward; None before preferences are trained on.
    """

    title: str
    kind: str
    iteration: int | None
    model: Responder
    responses: Artifact
    margins: Artifact | None = None
    accuracy: Artifact | None = None


@dataclass(kw_only=True)
class Made:
    """What the stages will make, for the report."""

    prompts: Artifact = field(init=False)
    evaluation: Part = field(init=False)
    preferences: Part | None = None
    accuracy: Artifact | None = None
    policies: list[Policy] = field(default_factory=list)
    champions: dict[int, Artifact] = field(default_factory=dict)


def write_weak_to_strong_report(made: Made, runner: Runner) -> None:
    """Collects what is built, all of it or what there was when the loop stopped, and writes it."""
    built = collect.built_stages(runner)
    report, stopped = _Report(made, built), collect.stopped_gates(runner)
    rows = tuple(report.rows())
    tables = (report.reward_model(), report.attributes(), collect.pairs(built), collect.ledger(built))
    measured = {name for row in rows for name in row.metrics}
    results = LoopResults(
        title=_TITLE,
        summary=" ".join(report.summary(stopped)),
        highlights=tuple(report.highlights()),
        columns=tuple(column for column in _COLUMNS if column.key in measured),
        rows=rows,
        plots=tuple(report.plots(rows)),
        training=collect.training(built, names=_CURVES),
        tables=tuple(table for table in tables if table.rows),
        samples=report.samples(),
        gates=(*collect.verdicts(built), *stopped),
        lineage=collect.origins(built),
        config=collect.recipe(runner),
        versions=collect.versions(built),
        is_complete=len(built) == len(runner.nodes),
    )
    write_outcome(results, runner, built=built)


@final
class _Report:
    """The parts of the report, made of the stages that are built."""

    def __init__(self, made: Made, built: list[collect.Built]) -> None:
        self.made = made
        self._built = {manifest["fingerprint"]: (folder, manifest["results"]) for folder, manifest in built}
        chosen = (self._results(champion) for champion in made.champions.values())
        self._chosen = {results["fingerprint"] for results in chosen if results is not None}

    def _results(self, artifact: Artifact | None) -> Mapping[str, Any] | None:
        return self._entry(artifact)[1]

    def _entry(self, artifact: Artifact | None) -> tuple[Path, Mapping[str, Any]] | tuple[None, None]:
        return (None, None) if artifact is None else self._built.get(artifact.fingerprint, (None, None))

    def rows(self) -> Iterator[StageRow]:
        """Every policy that was measured."""
        for policy in self.made.policies:
            results, pairs = self._results(policy.responses), self._results(policy.accuracy)
            if results is None:
                continue
            metrics = {"reward": _metric(results, "reward")}
            metrics |= {} if pairs is None else {"pairs": _metric(pairs, "accuracy")}
            metrics |= {"finished": Metric(value=results["finished"], n=results["reward_n"])}
            if results["mean_tokens"] is not None:
                metrics |= {"tokens": Metric(value=float(results["mean_tokens"]))}
            yield StageRow(
                title=policy.title,
                iteration=policy.iteration,
                kind=policy.kind,
                metrics=metrics,
                is_champion=isinstance(policy.model, Artifact) and policy.model.fingerprint in self._chosen,
            )

    def summary(self, stopped: tuple[GateVerdict, ...]) -> Iterator[str]:
        """What was done, in words."""
        yield from (f"The gate {gate.title!r} stopped the loop: {gate.measured}. {gate.meaning}" for gate in stopped)
        division = self._results(self.made.prompts)
        if division is not None:
            yield (
                f"{division['kept']:,} of {division['read']:,} prompts are divided so that no two of evaluation, "
                "fine-tuning and rounds of preferences share one. The reward model that the policies are trained to "
                "please is also what measures them: read the samples before believing the numbers."
            )

    def highlights(self) -> Iterator[Highlight]:
        """The reward of the teacher and of the last champion."""
        rewards = {(row.title, row.iteration): row.metrics["reward"] for row in self.rows()}
        champions = [(row.title, row.iteration) for row in self.rows() if row.is_champion]
        before = rewards.get(("teacher", None))
        if before is not None and champions:
            title, last = label(*champions[-1]), rewards[champions[-1]]
            values = (number(metric.value, percent=False) for metric in (before, last))
            yield Highlight(label=f"Reward: teacher to {title}", value=" → ".join(values), note=f"n = {last.n or 0:,}")
        results = self._results(self.made.accuracy)
        if results is not None:
            share = f"{number(results['accuracy'], percent=True)} %"
            yield Highlight(label="Pairs the reward model orders rightly", value=share, note=f"n = {results['kept']:,}")

    def reward_model(self) -> Table:
        """The reward model on held-out pairs, with what the longer response alone tells."""
        columns = (
            Column(key="accuracy", title="Chosen preferred"),
            Column(key="longer", title="Chosen is longer"),
            Column(key="margin", title="Mean margin", percent=False),
        )
        results = self._results(self.made.accuracy)
        rows = (
            ()
            if results is None
            else (
                {
                    "accuracy": _metric(results, "accuracy"),
                    "longer": Metric(value=results["longer_accuracy"]),
                    "margin": Metric(value=results["mean_margin"]),
                },
            )
        )
        return Table(title="Reward model on held-out pairs", columns=columns, rows=rows)

    def attributes(self) -> Table:
        """Every attribute of every policy's responses."""
        found = [(p, r) for p in self.made.policies if (r := self._results(p.responses)) is not None]
        names = list(found[0][1]["attributes"]) if found else []
        titles = {"policy": "Policy", **{name: name.capitalize() for name in names}, "empty": "Empty"}
        rows = tuple(
            {
                "policy": label(policy.title, policy.iteration),
                **{name: Metric(value=results["attributes"][name]) for name in names},
                "empty": Metric(value=results["empty"]),
            }
            for policy, results in found
        )
        columns = tuple(Column(key=key, title=title, percent=False) for key, title in titles.items())
        return Table(title="Attributes of the responses", columns=columns, rows=rows)

    def plots(self, rows: tuple[StageRow, ...]) -> Iterator[DotPlot]:
        """Reward by stage."""
        if rows:
            labels = tuple(label(row.title, row.iteration) for row in rows)
            series = (Series(title="reward", values=tuple(row.metrics["reward"] for row in rows)),)
            meaning = "Greedy responses to held-out prompts, in the reward model's units."
            yield DotPlot(title="Reward", meaning=meaning, labels=labels, series=series, percent=False)

    def samples(self) -> tuple[Sample, ...]:
        """Every policy's responses to the first held-out prompts, with their rewards."""
        prompts: dict[str, str] = {}
        responses: dict[str, list[Response]] = {}
        for policy in self.made.policies:
            folder, _ = self._entry(policy.responses)
            for row in () if folder is None else islice(read_rows(folder / SAMPLES), _NUM_SAMPLES):
                prompts.setdefault(row["id"], _text(row["prompt"]))
                title = label(policy.title, policy.iteration)
                response = Response(stage=title, text=row["response"], reward=row["reward"])
                responses.setdefault(row["id"], []).append(response)
        return tuple(Sample(prompt=prompts[key], responses=tuple(found)) for key, found in responses.items())


def _metric(results: Mapping[str, Any], name: str) -> Metric:
    """A result with its interval and the number it is of."""
    low, high = results[f"{name}_interval"]
    return Metric(value=results[name], low=low, high=high, n=results[f"{name}_n"])


def _text(prompt: str | list[dict[str, str]]) -> str:
    """A prompt as people read it."""
    if isinstance(prompt, str):
        return prompt
    return "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in prompt)
