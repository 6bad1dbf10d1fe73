"""What was measured on real data, as a table, results.json, timings.json and a report."""

from collections.abc import Iterator

from lit_align.html.text import number
from lit_align.loop import collect
from lit_align.loop.outcome import write_outcome
from lit_align.loop.real_data import tables
from lit_align.loop.real_data.measured import Measured
from lit_align.loop.real_data.parts import Made
from lit_align.loop.results import GateVerdict, Highlight, LoopResults
from lit_align.loop.runner import Runner

_CURVES = ("loss", "accuracy")


def write_real_data_report(made: Made, runner: Runner, *, title: str) -> None:
    """Collects what is built, all of it or what there was when the loop stopped, and writes it."""
    built = collect.built_stages(runner)
    measured = Measured(made, built)
    stopped = collect.stopped_gates(runner)
    found = (
        tables.attributes(measured),
        tables.preferences(measured),
        tables.responses(measured),
        collect.pairs(built),
        tables.data_sets(measured.results(made.data), measured.results(made.rows)),
        collect.ledger(built),
    )
    results = LoopResults(
        title=title,
        summary=" ".join(_summary(measured, stopped)),
        highlights=tuple(_highlights(measured)),
        columns=tables.columns(measured),
        rows=tuple(tables.stage_rows(measured)),
        plots=tuple(tables.plots(measured)),
        training=collect.training(built, names=_CURVES),
        tables=tuple(table for table in found if table.rows),
        samples=tables.samples(measured),
        gates=(*collect.verdicts(built), *stopped),
        lineage=collect.origins(built),
        config=collect.recipe(runner),
        versions=collect.versions(built),
        is_complete=len(built) == len(runner.nodes),
    )
    write_outcome(results, runner, built=built)


def _summary(measured: Measured, stopped: tuple[GateVerdict, ...]) -> Iterator[str]:
    yield from (f"The gate {gate.title!r} stopped the loop: {gate.measured}. {gate.meaning}" for gate in stopped)
    data = measured.results(measured.made.data)
    if data is not None:
        yield (
            f"{data['train_rows']:,} rows to train on and {data['held_out_rows']:,} rows to measure on, from "
            f"{len(data['sets'])} data sets. Every number is measured on rows whose prompts nothing was trained on. "
            "The numbers tell whether each method moved what it trains, not how good the models are."
        )
    mixture = measured.results(measured.made.mixture)
    if mixture is not None:
        share = number(mixture["replayed_share"], percent=True)
        counts = f"{mixture['replayed']:,} of the {mixture['rows']:,}"
        yield f"{counts} general demonstrations ({share} %) are replayed code."
    errors = measured.results(measured.made.reward_errors)
    if errors is not None:
        yield (
            f"The reward model is better than the training mean on {errors['better_than_mean']} of "
            f"{len(errors['attributes'])} attributes, by more than chance."
        )


def _highlights(measured: Measured) -> Iterator[Highlight]:
    errors = measured.results(measured.made.reward_errors)
    if errors is not None:
        value = f"{errors['better_than_mean']} of {len(errors['attributes'])}"
        note = f"{errors['kept']:,} held-out responses"
        yield Highlight(label="Attributes predicted better than their mean", value=value, note=note)
    rows = {row.title: row.metrics for row in tables.stage_rows(measured)}
    titles = {column.key: column.title for column in tables.columns(measured)}
    first, last = next(iter(rows), None), next(reversed(rows), None)
    for key in titles:
        is_shown = key.startswith("loss_") or key == "reward"
        if is_shown and first and last and key in rows[first] and key in rows[last]:
            before, after = (number(rows[stage][key].value, percent=False) for stage in (first, last))
            unit = "reward" if key == "reward" else f"{titles[key]}, nats a token"
            yield Highlight(label=f"{unit}: {first} to {last}", value=f"{before} → {after}")
    for key, title in titles.items():
        if key.startswith("implicit_") and last and key in rows[last]:
            best = rows[last][key]
            label = f"{title} that {last} orders rightly"
            yield Highlight(label=label, value=f"{number(best.value, percent=True)} %", note=f"n = {best.n or 0:,}")
