"""What the quickstart measured, as a table, results.json, timings.json and a report."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lit_align.html.text import number
from lit_align.loop import collect, quickstart_tables
from lit_align.loop.outcome import write_outcome
from lit_align.loop.quickstart_measured import Measured
from lit_align.loop.results import GateVerdict, Highlight, LoopResults, Metric

if TYPE_CHECKING:
    from lit_align.loop.quickstart import Quickstart
    from lit_align.loop.runner import Runner

_CURVES = ("loss", "accuracy")


def write_quickstart_report(program: "Quickstart", runner: "Runner") -> int | None:
    """Collects what is built, all of it or what there was when the loop stopped, and writes it."""
    built = collect.built_stages(runner)
    measured = Measured(program.made, built)
    stopped = collect.stopped_gates(runner)
    tables = (
        quickstart_tables.generated_data(measured),
        quickstart_tables.reward_model(measured),
        quickstart_tables.attributes(measured),
        collect.pairs(built),
        collect.ledger(built),
    )
    results = LoopResults(
        title=f"Weak to strong: the quickstart with seed {program.seed}",
        summary=" ".join(_summary(measured, stopped)),
        highlights=tuple(_highlights(measured)),
        columns=quickstart_tables.COLUMNS,
        rows=tuple(quickstart_tables.stage_rows(measured)),
        plots=tuple(quickstart_tables.plots(measured)),
        training=collect.training(built, names=_CURVES),
        tables=tuple(table for table in tables if table.rows),
        samples=quickstart_tables.samples(measured),
        gates=(*collect.verdicts(built), *stopped),
        lineage=collect.origins(built),
        config=collect.recipe(runner),
        versions=collect.versions(built),
        is_complete=len(built) == len(runner.nodes),
    )
    write_outcome(results, runner, built=built)
    return None


def _summary(measured: Measured, stopped: tuple[GateVerdict, ...]) -> Iterator[str]:
    """What was done and what came out, in sentences of numbers; where a number is missing, so is its sentence."""
    yield from (f"The gate {gate.title!r} stopped the loop: {gate.measured}. {gate.meaning}" for gate in stopped)
    teacher = measured.strict("teacher", None)
    if teacher is not None:
        text = f"A weak teacher, right on {_percent(teacher)} of {teacher.n:,} held-out prompts, taught a stronger base"
        yield f"{text}, which saw no demonstrations but those that models gave."
    reward = measured.results(measured.made.reward_evaluations[1])
    if reward is not None and reward["pair_accuracy"] is not None:
        yield (
            f"The first reward model orders {_percent(reward['pair_accuracy'])} of {reward['num_pairs']:,} pairs of a "
            f"right and a wrong response correctly; of the teacher's samples {_percent(reward['random'])} are right, "
            f"of the best of {len(reward['curve'])} by reward {_percent(reward['best_of_n'])}."
        )
    student = measured.strict("student", 1)
    if student is not None:
        yield f"The student trained on the responses that it selected is right on {_percent(student)}."
    for iteration in measured.made.champions:
        yield from _champion_sentence(measured, iteration)
    first, last = measured.generated(1), measured.generated(2)
    if first is not None and last is not None:
        yield f"Of the generated data {_percent(first)} were right in iteration 1, {_percent(last)} in iteration 2."


def _champion_sentence(measured: Measured, iteration: int) -> Iterator[str]:
    champion = measured.strict("champion", iteration)
    if champion is None:
        return
    gap = measured.gap("champion", iteration)
    share = ""
    if gap is not None and not math.isnan(gap.value):
        share = f", {_percent(gap)} of the way from the teacher to the ceiling"
    name = measured.chosen_title(iteration)
    yield f"The champion of iteration {iteration}, {name}, is right on {_percent(champion)}{share}."


def _highlights(measured: Measured) -> Iterator[Highlight]:
    last = measured.last_champion()
    teacher, champion = measured.strict("teacher", None), measured.strict("champion", last)
    if teacher and champion:
        value = _from_to(teacher.value, champion.value)
        yield Highlight(label="Strict accuracy, teacher to champion", value=value, note=f"n = {champion.n:,}")
    gap = measured.gap("champion", last)
    if gap:
        value = "undefined" if math.isnan(gap.value) else _percent(gap)
        yield Highlight(label="Performance gap recovered", value=value, note=gap.detail)
    reward = measured.results(measured.made.reward_evaluations[1])
    if reward is not None:
        if reward["pair_accuracy"] is not None:
            note, value = f"{reward['num_pairs']:,} pairs", _percent(reward["pair_accuracy"])
            yield Highlight(label="Pairs the reward model orders correctly", value=value, note=note)
        label = f"Right responses, random to best of {len(reward['curve'])} by reward"
        value = _from_to(reward["random"], reward["best_of_n"])
        yield Highlight(label=label, value=value, note=f"{reward['num_prompts']:,} prompts")
    first, second = measured.generated(1), measured.generated(2)
    if first and second:
        value = _from_to(first.value, second.value)
        yield Highlight(label="Right rows in generated data, iteration 1 to 2", value=value, note=f"n = {second.n:,}")


def _from_to(before: float, after: float) -> str:
    return f"{100 * before:.0f} → {100 * after:.0f} %"


def _percent(value: Metric | float) -> str:
    return f"{number(value.value if isinstance(value, Metric) else value, percent=True)} %"
