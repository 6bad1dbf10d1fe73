"""The config of a run, written beside its metrics and to MLflow, with secrets taken out."""

from pathlib import Path
from typing import final

import yaml
from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback
from lightning.pytorch.trainer.states import TrainerFn

from lit_align.files import atomic_write
from lit_align.tracking.mlflow_logger import MLflowLogger
from lit_align.tracking.secrets import redact


@final
class SaveConfig(SaveConfigCallback):
    """Writes `config.yaml` into the Trainer's `default_root_dir`, atomically, and logs it to MLflow.

    Lightning's own callback needs a logger's folder and refuses to overwrite, so that a resumed run dies. This one
    replaces the file; `validate`, `test` and `predict` write `config.validate.yaml` and so on. In place of a secret
    stands `[redacted]`: give secrets by environment variables where the config is to run again as it is.
    """

    def __init__(self, parser: LightningArgumentParser, config: Namespace) -> None:
        super().__init__(parser, config, overwrite=True, save_to_log_dir=False)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Called by Lightning on rank zero, once."""
        verb = TrainerFn(stage).value  # an enum whose `str` is `TrainerFn.FITTING`
        tree = redact(yaml.safe_load(self.parser.dump(self.config, skip_unset=False)))
        if verb == "fit" and _is_inside(tree.get("ckpt_path"), trainer.default_root_dir):
            tree["ckpt_path"] = None  # a run that was continued: from its config it is run from the start
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
        file = "config.yaml" if verb == "fit" else f"config.{verb}.yaml"
        with atomic_write(Path(trainer.default_root_dir) / file) as out:
            out.write(text)
        for logger in trainer.loggers:
            if isinstance(logger, MLflowLogger):
                logger.log_config(text, tree, file=file)


def _is_inside(checkpoint: str | None, folder: str) -> bool:
    return checkpoint is not None and Path(folder).resolve() in Path(checkpoint).resolve().parents
