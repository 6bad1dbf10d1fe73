"""The report of a loop that wrote none itself: lineage, training curves, gates, the results of every stage."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lit_align.loop import collect
from lit_align.loop.mlflow_stage import readable
from lit_align.loop.results import Column, GateVerdict, LoopResults, Metric, Table
from lit_align.loop.store import Store
from lit_align.tracking.runs import flatten


def unfinished(workdir: Path) -> LoopResults:
    """What can be told of a loop that has not written its own report: results, curves, gates, lineage."""
    store = Store(workdir)
    built = in_order(store)
    manifests = [manifest for _, manifest in built]
    return LoopResults(
        title=workdir.resolve().name,
        summary="The loop has not come to its end. These are the stages that are done.",
        training=collect.training(built),
        tables=tuple(table for manifest in manifests if (table := _results_table(manifest)) is not None),
        gates=(*collect.verdicts(built), *_stopped(store)),
        lineage=collect.origins(built),
        config={collect.stage_title(manifest): readable(manifest["config"]) for manifest in manifests},
        versions=collect.versions(built),
        is_complete=False,
    )


def in_order(store: Store) -> list[collect.Built]:
    """The complete folders in the order in which they were finished."""
    return sorted(store.manifests(), key=lambda pair: pair[1]["timings"]["finished"])


def _stopped(store: Store) -> Iterator[GateVerdict]:
    return (collect.stopped_verdict(file) for file in sorted(store.root.glob(f"*/{collect.VERDICT}")))


def _results_table(manifest: Mapping[str, Any]) -> Table | None:
    rows = tuple(_result_rows(manifest["results"]))
    columns = (Column(key="name", title="Result", percent=False), Column(key="value", title="Value", percent=False))
    return Table(title=collect.stage_title(manifest), columns=columns, rows=rows) if rows else None


def _result_rows(results: Mapping[str, Any]) -> Iterator[dict[str, str | Metric]]:
    for name, value in flatten(results):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield {"name": name, "value": Metric(value=value)}
        elif isinstance(value, str):
            yield {"name": name, "value": value}
