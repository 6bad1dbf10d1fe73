"""Parts of a report that the store itself tells: lineage, training curves, gates, and the results of every stage."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lit_align.loop.manifest import RUNNER_FILES, SPEC
from lit_align.loop.mlflow_stage import readable
from lit_align.loop.results import Column, GateVerdict, LinePlot, LoopResults, Metric, Origin, Table
from lit_align.loop.store import Store
from lit_align.loop.training_curves import training_plots
from lit_align.tracking.metrics_file import METRICS_FILE
from lit_align.tracking.runs import flatten

_Manifest = Mapping[str, Any]

_WEIGHTS = ".safetensors"
_ROWS = (".jsonl", ".jsonl.gz", ".parquet")
_GATE = "MetricGate"
_CHAMPION = "Champion"
_VERDICT = "verdict.json"


def origins(store: Store) -> tuple[Origin, ...]:
    """Every artifact of the store and every input from outside, in the order in which they were made."""
    found: dict[str, Origin] = {}
    for _, manifest in in_order(store):
        for entry in manifest["inputs"]:
            if entry.get("store") is None:
                found.setdefault(
                    entry["fingerprint"], Origin(title=entry["title"], kind="input", fingerprint=entry["fingerprint"])
                )
        found[manifest["fingerprint"]] = Origin(
            title=manifest["title"],
            kind=_kind(manifest),
            fingerprint=manifest["fingerprint"],
            parents={entry["field"]: _followed(entry) for entry in manifest["inputs"]},
            iteration=manifest["iteration"],
        )
    return tuple(found.values())


def training(store: Store, *, names: tuple[str, ...] = ()) -> tuple[LinePlot, ...]:
    """The training curves of every stage that has a `metrics.jsonl`."""
    return tuple(
        plot
        for folder, manifest in in_order(store)
        if METRICS_FILE in manifest["files"]
        for plot in training_plots(folder / METRICS_FILE, title=_title(manifest), names=names)
    )


def verdicts(store: Store) -> tuple[GateVerdict, ...]:
    """The gates that let something through, then one that stopped the loop and so has no manifest."""
    passed = tuple(verdict for _, manifest in in_order(store) if (verdict := _verdict(manifest)) is not None)
    return passed + tuple(_stopped(file) for file in sorted(store.root.glob(f"*/{_VERDICT}")))


def unfinished(workdir: Path) -> LoopResults:
    """What can be told of a loop that has not written its own report: results, curves, gates, lineage."""
    store = Store(workdir)
    manifests = [manifest for _, manifest in in_order(store)]
    return LoopResults(
        title=workdir.resolve().name,
        summary="The loop has not come to its end. These are the stages that are done.",
        training=training(store),
        tables=tuple(table for manifest in manifests if (table := _results_table(manifest)) is not None),
        gates=verdicts(store),
        lineage=origins(store),
        config={_title(manifest): readable(manifest["config"]) for manifest in manifests},
        versions={name: str(value) for name, value in manifests[-1]["code"].items()} if manifests else {},
        is_complete=False,
    )


def in_order(store: Store) -> list[tuple[Path, dict[str, Any]]]:
    """The complete folders in the order in which they were finished."""
    return sorted(store.manifests(), key=lambda pair: pair[1]["timings"]["finished"])


def _kind(manifest: _Manifest) -> str:
    names = [name for name in manifest["files"] if name not in RUNNER_FILES]
    if any(name.endswith(_WEIGHTS) for name in names):
        return "model"
    return "data" if any(name.endswith(_ROWS) for name in names) else _class(manifest).lower()


def _class(manifest: _Manifest) -> str:
    return str(manifest["stage"]).rpartition(".")[2]


def _followed(entry: Mapping[str, Any]) -> str:
    """The fingerprint of an input, gates and champions followed."""
    return entry["chosen"]["fingerprint"] if "chosen" in entry else entry["fingerprint"]


def _title(manifest: _Manifest) -> str:
    iteration = manifest["iteration"]
    return manifest["title"] if iteration is None else f"{manifest['title']}, iteration {iteration}"


def _verdict(manifest: _Manifest) -> GateVerdict | None:
    results, config = manifest["results"], manifest["config"]
    common = {"title": manifest["title"], "iteration": manifest["iteration"], "passed": True}
    if _class(manifest) == _GATE:
        limits = _limits(config["minimum"], config["maximum"])
        measured = ", ".join(f"{name} {value:.4g}" for name, value in results["measured"].items())
        return GateVerdict(**common, measured=measured, required=limits, meaning=config["meaning"])
    if _class(manifest) == _CHAMPION:
        lost = "; ".join(_comparison(comparison) for comparison in results["comparisons"])
        required = f"ahead in {100 * config['min_probability']:g} % of resamples of {config['metric']}"
        verdict = f"chosen: {results['chosen']}"
        return GateVerdict(**common, measured=lost or "no challenger", required=required, verdict=verdict)
    return None


def _stopped(file: Path) -> GateVerdict:
    verdict, spec = (json.loads(path.read_text(encoding="utf-8")) for path in (file, file.with_name(SPEC)))
    limits = spec["stage"]["fields"]
    return GateVerdict(
        title=spec["title"],
        iteration=spec["iteration"],
        passed=False,
        measured="; ".join(verdict["failures"]),
        required=_limits(limits["minimum"], limits["maximum"]),
        meaning=verdict["meaning"],
    )


def _limits(minimum: Mapping[str, float], maximum: Mapping[str, float]) -> str:
    least = [f"{name} at least {limit:.4g}" for name, limit in minimum.items()]
    return ", ".join([*least, *(f"{name} at most {limit:.4g}" for name, limit in maximum.items())])


def _comparison(comparison: Mapping[str, Any]) -> str:
    share = f"{100 * comparison['probability']:.0f} %"
    return f"{comparison['candidate']} ahead of {comparison['champion']} in {share}"


def _results_table(manifest: _Manifest) -> Table | None:
    rows = tuple(_result_rows(manifest["results"]))
    columns = (Column(key="name", title="Result", percent=False), Column(key="value", title="Value", percent=False))
    return Table(title=_title(manifest), columns=columns, rows=rows) if rows else None


def _result_rows(results: Mapping[str, Any]) -> Iterator[dict[str, str | Metric]]:
    for name, value in flatten(results):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield {"name": name, "value": Metric(value=value)}
        elif isinstance(value, str):
            yield {"name": name, "value": value}
