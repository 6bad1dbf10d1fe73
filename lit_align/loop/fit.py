"""A training stage: what `lit-align fit` does with a config, with artifacts as its inputs."""

import copy
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

import yaml

from lit_align.errors import LitAlignError
from lit_align.files import atomic_write
from lit_align.loop.parts import Part, model_path
from lit_align.loop.stage import Artifact, Stage, StageContext


@final
@dataclass(frozen=True, kw_only=True)
class Fit(Stage):
    """Trains a model as `lit-align fit --config` would, and leaves it in `model/`.

    Args:
        config: The config: `model`, `data`, `trainer`, as in a recipe of one stage.
        models: Model artifacts by the dotted key of the config their folder goes to.
        rows: Files by the dotted key of the config their path goes to.
        seed: Of everything random.
        save_every_minutes: What a kill costs at most.
        keep_checkpoints: Whether the optimizer's state is kept when the stage is done.
    """

    version: ClassVar[int] = 1
    resumable: ClassVar[bool] = True
    shown: ClassVar[tuple[str, ...]] = ("steps", "train.loss", "validation.loss", "train.accuracy")

    config: dict[str, Any]
    models: dict[str, Artifact] = field(default_factory=dict)
    rows: dict[str, Part] = field(default_factory=dict)
    seed: int = 0
    save_every_minutes: float = field(default=5.0, metadata={"fingerprint": False})
    keep_checkpoints: bool = field(default=False, metadata={"fingerprint": False})

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Trains, continuing from the newest checkpoint that a killed run left."""
        from lit_align.cli.lightning import main
        from lit_align.tracking import read_metrics

        config = copy.deepcopy(self.config)
        for key, artifact in self.models.items():
            _set(config, key, model_path(artifact))
        for key, part in self.rows.items():
            _set(config, key, str(part.path))
        _set(config, "seed_everything", self.seed)
        _set(config, "save_every_minutes", self.save_every_minutes)
        _set(config, "trainer.default_root_dir", str(output))
        if _is_preference(config):
            _set(config, "model.init_args.cache_dir", str(output / "cache"))
        if "LIT_ALIGN_RUN_ID" not in os.environ:
            _set(config, "trainer.logger", False)  # nobody tracks the loop: metrics.jsonl is all
        with atomic_write(output / "stage.yaml") as file:
            yaml.safe_dump(config, file, sort_keys=False)
        newest = _newest_checkpoint(output / "checkpoints")
        # A finished model without a manifest: the kill came between the two; train again from the last checkpoint.
        resume = ["--ckpt_path", str(newest)] if newest else []
        if not newest and (output / "model").exists():
            shutil.rmtree(output / "model")
        code = main(["fit", "--config", str(output / "stage.yaml"), *resume])
        if code:
            raise LitAlignError(f"training ended with exit code {code}")
        for leftover in ("cache", *(() if self.keep_checkpoints else ("checkpoints",))):
            shutil.rmtree(output / leftover, ignore_errors=True)
        return _results(read_metrics(output / "metrics.jsonl"))


def _results(metrics: Iterable[tuple[str, int, float]]) -> dict[str, Any]:
    """The last value of every metric, nested by stage of training, and the number of steps."""
    results: dict[str, Any] = {"steps": 0}
    for name, step, value in metrics:
        stage, _, rest = name.partition("/")
        if rest and value == value:  # NaN has no place in JSON
            results.setdefault(stage, {})[rest] = value
            results["steps"] = max(results["steps"], step)
    return results


def _newest_checkpoint(folder: Path) -> Path | None:
    files = sorted(folder.glob("*.ckpt"), key=lambda file: file.stat().st_mtime_ns)
    return files[-1] if files else None


def _is_preference(config: Mapping[str, Any]) -> bool:
    return str(config["model"]["class_path"]).rpartition(".")[2] in ("DPO", "RPO")


def _set(config: dict[str, Any], key: str, value: Any) -> None:
    """Sets the value of a dotted key; a number is a place in a list that is there.

    >>> config = {"train": [None, {"path": None}]}
    >>> _set(config, "train.1.path", "rows.jsonl")
    >>> config
    {'train': [None, {'path': 'rows.jsonl'}]}
    """
    *path, last = key.split(".")
    place: Any = config
    for name in path:
        place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
    place[int(last) if isinstance(place, list) else last] = value
