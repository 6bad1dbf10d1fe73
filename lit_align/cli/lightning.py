"""`lit-align fit|validate|test|predict`: LightningCLI with short class names, local metrics and safe checkpoints."""

import argparse
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any, final

import jsonargparse
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.strategies import ModelParallelStrategy

import lit_align.data.kinds
import lit_align.modules.bradley_terry
import lit_align.modules.neftune
import lit_align.modules.rpo
import lit_align.modules.sft
import lit_align.modules.soft_label  # noqa: F401 - with those above: short names resolve for imported classes only
from lit_align.cli.parsing import constructor_error, parse_error
from lit_align.cli.run_folder import last_checkpoint, latest_folder, new_folder
from lit_align.cli.track_data import TrackData
from lit_align.cli.track_reward import TrackRewardPlots
from lit_align.data.modules import AlignmentData
from lit_align.errors import ConfigError, Interrupted
from lit_align.modules.base import AlignmentModule
from lit_align.modules.callbacks import SaveModel, StopOnSignal
from lit_align.modules.checkpoint_io import AtomicCheckpointIO
from lit_align.modules.memory_estimate import MemoryEstimate
from lit_align.modules.predictions import PredictionWriter
from lit_align.tracking import JsonlLogger, MLflowLogger, SaveConfig

_TRAINER_DEFAULTS = {
    "use_distributed_sampler": False,
    "log_every_n_steps": 1,
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
    "gradient_clip_val": 1.0,
}


@final
class Parser(LightningArgumentParser):
    """Lightning's parser; its errors are raised instead of printed behind a page of usage."""

    def error(self, message: str, ex: Exception | None = None) -> None:  # type: ignore[override]
        """Raises what the front turns into a few lines."""
        raise argparse.ArgumentError(None, message) from ex


@final
class AlignmentCLI(LightningCLI):
    """One Trainer method on a module and its data, from YAML files and options."""

    def __init__(self, *, only: str | None = None, run: bool = True) -> None:
        self._only = only
        if run:
            super().__init__(**_settings(), run=True)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # static in Lightning, called on self
        """The Trainer's methods; only the one that runs, as each costs a parser."""
        names = LightningCLI.subcommands()
        return {self._only: names[self._only]} if self._only else names

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds what every run has besides model, data and trainer."""
        for action in parser._actions:
            if action.dest == "data":  # or jsonargparse reads a file of rows as YAML, and takes an empty one for null
                action.sub_add_kwargs["sub_configs"] = False  # type: ignore[attr-defined]
        parser.add_argument("--tracking_uri", type=str | None, default=None, help=_TRACKING_HELP)
        parser.add_argument("--experiment", type=str, default="lit-align", help="Experiment of the run in MLflow.")
        parser.add_argument("--save_model", type=str, choices=["last", "best", "none"], default="last", help=_SAVE_HELP)
        parser.add_argument("--save_every_minutes", type=float, default=10.0, help="Minutes between checkpoints.")

    def before_instantiate_classes(self) -> None:
        """Finds the run's folder, and in it the checkpoint that `last` means: Lightning knows only its own `last`."""
        name = str(self._get(self.config, "model").class_path).rpartition(".")[2].lower()
        continues = self._get(self.config, "ckpt_path") == "last"
        if self._get(self.config, "ckpt_path") == "best":
            raise ConfigError("--ckpt_path best is known only while a fit runs: name the file, or say last")
        root = self._get(self.config, "trainer").default_root_dir
        self._root = Path(root or (latest_folder(name) if continues else new_folder(name)))
        if not root:
            sys.argv.append(f"--trainer.default_root_dir={self._root}")  # the same folder for every process
        if continues:
            checkpoint = last_checkpoint(self._root, command=str(self.subcommand))
            self.config[str(self.subcommand)].ckpt_path = checkpoint
        self._refuse_to_overwrite(self._root)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A Trainer that always writes metrics.jsonl, saves atomically and stops cleanly."""
        given, root = dict(self._get(self.config_init, "trainer")), self._root
        callbacks = _listed(given["callbacks"])
        if self.subcommand == "fit":
            callbacks += self._fit_callbacks(root, given)
        if self.subcommand == "predict":
            callbacks.append(PredictionWriter(root / "predictions.jsonl"))
        callbacks += [TrackData(root / "model"), TrackRewardPlots()]
        plugins = _listed(given["plugins"])
        # A strategy that shards writes its checkpoints itself.
        strategy = given["strategy"]
        sharded = isinstance(strategy, ModelParallelStrategy) or strategy in ("fsdp2", "model_parallel")
        if not (sharded or any(isinstance(plugin, CheckpointIO) for plugin in plugins)):
            plugins.append(AtomicCheckpointIO())
        return super().instantiate_trainer(
            default_root_dir=str(root),
            callbacks=callbacks,
            plugins=plugins,
            logger=self._loggers(root, given["logger"]),
            **kwargs,
        )

    def _fit_callbacks(self, root: Path, given: dict[str, Any]) -> list[Any]:
        folder = root / "checkpoints"
        callbacks: list[Any] = [StopOnSignal(folder / "interrupted.ckpt"), MemoryEstimate()]
        # One that watches a metric does not save what a kill would cost.
        has_checkpoint = any(isinstance(c, ModelCheckpoint) and c.monitor is None for c in _listed(given["callbacks"]))
        enabled = given["enable_checkpointing"] is not False
        if enabled and not has_checkpoint:
            callbacks.append(_timed_checkpoint(folder, self._get(self.config_init, "save_every_minutes")))
        choice = self._get(self.config_init, "save_model")
        if choice != "none" and not given["fast_dev_run"]:
            last = folder / "last.ckpt" if enabled else None
            callbacks.append(SaveModel(root / "model", checkpoint=last, best=choice == "best"))
        return callbacks

    def _loggers(self, root: Path, given: Any) -> list[Any]:
        loggers: list[Any] = [JsonlLogger(root)]
        if given is None or given is True:
            uri = self._get(self.config_init, "tracking_uri")
            if uri is None and "MLFLOW_TRACKING_URI" not in os.environ and root.parts[:1] == ("runs",):
                uri = "sqlite:///runs/mlflow.db"
            experiment = self._get(self.config_init, "experiment")
            return [*loggers, MLflowLogger(root, experiment_name=experiment, tracking_uri=uri)]
        return [*loggers, *_listed(given or None)]

    def _refuse_to_overwrite(self, root: Path) -> None:
        resumes = self._get(self.config, "ckpt_path")
        if self.subcommand == "fit" and not resumes and (root / "model").exists():
            raise ConfigError(
                f"{root}: holds a finished run\nChoose another --trainer.default_root_dir, or continue it with "
                "--ckpt_path last"
            )

    def after_validate(self) -> None:
        """Prints what was measured."""
        self._print_metrics()

    def after_test(self) -> None:
        """Prints what was measured."""
        self._print_metrics()

    def _print_metrics(self) -> None:
        if self.trainer.is_global_zero:
            values = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
            width = max(map(len, values), default=0)
            print("\n".join(f"{name:<{width}}  {value:.6g}" for name, value in values.items()))

    def _parse_ckpt_path(self) -> None:
        """Lightning would let the checkpoint's hyper-parameters override the command line."""


def build_parser() -> jsonargparse.ArgumentParser:
    """The parser of all four commands, for their help."""
    cli = AlignmentCLI(run=False)
    for name, value in _settings().items():
        setattr(cli, name, value)
    cli._model_class, cli._datamodule_class = AlignmentModule, AlignmentData
    cli.parser_class, cli.trainer_class = Parser, Trainer
    cli.setup_parser(True, {}, {})
    return cli.parser


def main(argv: list[str]) -> int:
    """Runs `fit`, `validate`, `test` or `predict`; `argv` begins with the command."""
    sys.argv[1:] = argv  # launchers of several devices run it again
    _quieten()
    try:
        AlignmentCLI(only=argv[0])
    except argparse.ArgumentError as error:
        raise parse_error(str(error), options=[], argv=argv, prog=f"lit-align {argv[0]}") from error
    except ValueError as error:
        raise constructor_error(error) from error
    except MisconfigurationException as error:
        raise ConfigError(str(error)) from error
    except KeyboardInterrupt as error:
        raise Interrupted("stopped; continue from the last checkpoint with --ckpt_path last") from error
    return 0


_TRACKING_HELP = (
    "Where MLflow keeps the run. Unless given: $MLFLOW_TRACKING_URI, else runs/mlflow.db for runs below runs/, and "
    "mlflow.db in the folder of others."
)
_SAVE_HELP = "Which weights become the model folder: the last ones, those of the best checkpoint, or none."


def _settings() -> dict[str, Any]:
    return {
        "model_class": AlignmentModule,
        "datamodule_class": AlignmentData,
        "subclass_mode_model": True,
        "subclass_mode_data": True,
        "save_config_callback": SaveConfig,
        "save_config_kwargs": {},
        "seed_everything_default": 0,
        "trainer_defaults": _TRAINER_DEFAULTS,
        "auto_configure_optimizers": False,
        "load_from_checkpoint_support": False,
        "parser_class": Parser,
    }


def _quieten() -> None:
    """Leaves out what libraries say about themselves; what runs is said by the modules."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
    warnings.filterwarnings("ignore", message=".*callbacks used to create the checkpoint.*")  # only `fit` needs them


def _listed(given: Any) -> list[Any]:
    """The values of an option that takes one, several or none."""
    return list(given) if isinstance(given, list) else [] if given is None else [given]


def _timed_checkpoint(folder: Path, minutes: float) -> ModelCheckpoint:
    from datetime import timedelta

    return ModelCheckpoint(
        dirpath=folder,
        filename="step-{step}",
        auto_insert_metric_name=False,
        train_time_interval=timedelta(minutes=minutes),
        save_top_k=1,
        enable_version_counter=False,
    )
