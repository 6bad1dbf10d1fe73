"""What a finished stage tells MLflow: its settings, results, inputs with digests, sample rows and model folder."""

import gzip
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from lit_align.loop.manifest import MANIFEST, read_manifest
from lit_align.tracking.artifacts import log_dataset, log_folder, log_table
from lit_align.tracking.metrics_file import METRICS_FILE, Point, read_metrics
from lit_align.tracking.runs import Run, flatten

_ROW_FILES = (".jsonl", ".jsonl.gz", ".parquet")
_WEIGHTS = ".safetensors"
_NUM_SAMPLES = 20
_NUM_TABLES = 3
_COUNTED_BYTES = 2**26
_DIGITS = 16


def log_stage(run: Run, folder: Path, manifest: Mapping[str, Any]) -> None:
    """Logs everything a manifest tells, and the stage's own `metrics.jsonl` as far as the run lacks it. Repeatable."""
    run.log_params(readable(manifest["config"]) | {"seed": manifest["seed"]})
    run.log_metrics([*_result_points(manifest["results"]), ("stage/seconds", 0, manifest["timings"]["seconds"])])
    run.set_tags({f"lit_align.input.{e['field']}": f"{e['title']} {_short(e)}" for e in manifest["inputs"]})
    for entry in manifest["inputs"]:
        _log_input(run, folder.parent, entry)
    for name in _named(manifest, METRICS_FILE):
        run.log_metrics(read_metrics(folder / name))
    for name in list(_row_files(manifest["files"]))[:_NUM_TABLES]:
        log_table(run, _sample(folder / name), name=name.replace("/", "-").removesuffix(".gz").removesuffix(".jsonl"))
    for model in sorted({Path(name).parent for name in manifest["files"] if name.endswith(_WEIGHTS)}):
        log_folder(run, folder / model, name="model" if model == Path() else model.as_posix())
    run.log_file(folder / MANIFEST)


def readable(config: Any) -> Any:  # JSON values
    """A stage's config for people: artifacts by the first digits of their fingerprints, classes beside their fields."""
    if isinstance(config, Mapping):
        if "$artifact" in config:
            return str(config["$artifact"])[:_DIGITS]
        if "$class" in config:
            return {"class_path": config["$class"], **{k: readable(v) for k, v in config["fields"].items()}}
        return {key: readable(value) for key, value in config.items()}
    return [readable(item) for item in config] if isinstance(config, list) else config


def _result_points(results: Mapping[str, Any]) -> Iterator[Point]:
    for name, value in flatten(results):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield f"result/{name}", 0, value


def _log_input(run: Run, store: Path, entry: Mapping[str, Any]) -> None:
    """Names an input of rows as a dataset; models are named by tags only."""
    if (name := entry.get("store")) is None:
        path = Path(entry["path"])
        if path.name.endswith(_ROW_FILES):
            _log_rows(run, path, entry, digest=entry["fingerprint"])
        return
    parent = read_manifest(store / name)
    if parent is not None and not any(file.endswith(_WEIGHTS) for file in parent["files"]):
        for file in _row_files(parent["files"]):
            _log_rows(run, store / name / file, entry, digest=parent["files"][file]["sha256"])


def _log_rows(run: Run, path: Path, entry: Mapping[str, Any], *, digest: str) -> None:
    log_dataset(
        run, path, name=f"{entry['title']}/{path.name}", context=entry["field"], digest=digest, num_rows=_num_rows(path)
    )


def _row_files(names: Mapping[str, Any]) -> Iterator[str]:
    return (name for name in names if name.endswith(_ROW_FILES) and Path(name).name != METRICS_FILE)


def _named(manifest: Mapping[str, Any], file: str) -> Iterator[str]:
    return (name for name in manifest["files"] if Path(name).name == file)


def _sample(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in islice(_lines(path), _NUM_SAMPLES)]


def _num_rows(path: Path) -> int | None:
    """The number of lines, where counting is cheap."""
    if path.name.endswith(".parquet") or not path.is_file() or path.stat().st_size > _COUNTED_BYTES:
        return None
    return sum(1 for _ in _lines(path))


def _lines(path: Path) -> Iterator[str]:
    if path.name.endswith(".parquet"):
        return
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8") as file:
        yield from file


def _short(entry: Mapping[str, Any]) -> str:
    return str(entry["fingerprint"])[:_DIGITS]
