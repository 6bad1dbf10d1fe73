"""Trainer callbacks: stop at a step boundary when asked to, and leave a model folder behind."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any, final

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_align.errors import ConfigError, Interrupted
from lit_align.models.batch import PackedBatch
from lit_align.modules.base import AlignmentModule
from lit_align.modules.export import save_model


@final
class StopOnSignal(Callback):
    """On SIGTERM or SIGINT finishes the optimizer step, writes a checkpoint and ends the run with `Interrupted`.

    A second signal ends it at once. Between steps, so that no accumulated gradient is lost.

    Args:
        path: The checkpoint to write.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._received = False
        self._before: dict[int, Any] = {}
        self._step = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Takes over both signals; impossible outside the main thread, where they stay as they are."""
        if stage != "fit":
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._before[number] = signal.signal(number, self._receive)
            except ValueError:
                return

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Gives the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._received:
            raise KeyboardInterrupt
        self._received = True

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: PackedBatch,
        batch_idx: int,
    ) -> None:
        """Stops once the step is complete, on all ranks together."""
        stepped, self._step = trainer.global_step > self._step, trainer.global_step
        if not stepped or not trainer.strategy.reduce_boolean_decision(self._received, all=False):
            return
        trainer.save_checkpoint(self.path)
        raise Interrupted(
            f"stopped by a signal after step {trainer.global_step}; the state is in {self.path}\n"
            f"Continue with the same command and --ckpt_path {self.path}"
        )


@final
class SaveModel(Callback):
    """When training ends, writes the model as a Hugging Face folder, and the last checkpoint beside it.

    Args:
        folder: The model folder.
        checkpoint: The checkpoint to write; None writes none.
        best: Whether the folder holds the weights of the best checkpoint (of the first `ModelCheckpoint` that
            monitors something) instead of the last ones.
    """

    def __init__(self, folder: str | Path, *, checkpoint: str | Path | None = None, best: bool = False) -> None:
        self.folder = Path(folder)
        self.checkpoint = checkpoint
        self.best = best

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes both."""
        if not isinstance(pl_module, AlignmentModule):
            raise ConfigError(f"SaveModel saves lit-align modules, got {type(pl_module).__name__}")
        if self.checkpoint is not None:
            trainer.save_checkpoint(self.checkpoint)
        if self.best:
            self._load_best(trainer, pl_module)
        chat = getattr(getattr(trainer, "datamodule", None), "chat", None)
        save_model(pl_module, self.folder, chat=chat, write=trainer.is_global_zero)

    def _load_best(self, trainer: Trainer, pl_module: AlignmentModule) -> None:
        paths = [c.best_model_path for c in trainer.checkpoint_callbacks if getattr(c, "monitor", None)]
        if not paths or not paths[0]:
            raise ConfigError("the best weights are asked for, but no ModelCheckpoint monitors a metric")
        state = trainer.strategy.load_checkpoint(paths[0], weights_only=True)["state_dict"]
        pl_module.load_state_dict(state, strict=False)
