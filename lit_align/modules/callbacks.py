"""Trainer callbacks: stop at a step boundary when asked to, and leave a model folder behind."""

import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any, final

from lightning.pytorch import Callback, LightningModule, Trainer

from lit_align.announce import announce
from lit_align.errors import ConfigError, Interrupted
from lit_align.models.batch import PackedBatch
from lit_align.modules.base import AlignmentModule
from lit_align.modules.export import save_model


@final
class StopOnSignal(Callback):
    """On SIGTERM or SIGINT finishes the optimizer step, writes a checkpoint and ends the run with `Interrupted`.

    Between steps, so that no accumulated gradient is lost. A second signal ends the run at once, and so does the first
    one where training has not begun.

    Args:
        path: The checkpoint to write.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._received = False
        self._training = False
        self._before: dict[int, Any] = {}
        self._step = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Takes over both signals; impossible outside the main thread, where they stay as they are."""
        if stage == "fit" and threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
            self._take_over()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gives the signals back for a moment: Lightning is about to remember the handlers that it restores later."""
        self._give_back()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the signals over again, from a handler of Lightning's that ends a run within a step."""
        self._step, self._training = trainer.global_step, True
        self._take_over()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Gives the signals back; no `teardown` follows."""
        self._give_back()
        self._training = False

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Gives the signals back."""
        self._give_back()
        self._training = False

    def _take_over(self) -> None:
        for number in self._before:
            signal.signal(number, self._receive)

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if not self._training:
            raise Interrupted("stopped before the first step; the same command begins again")
        if self._received:
            raise Interrupted("stopped within a step; the checkpoint before it is the last one")
        self._received = True
        # Not `print`: the signal may have interrupted one, and streams cannot be entered twice.
        os.write(2, b"stopping after this step, with a checkpoint; once more to stop at once\n")

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
        announce(f"{self.folder}: the model after {trainer.global_step} steps{_last_loss(pl_module)}")

    def _load_best(self, trainer: Trainer, pl_module: AlignmentModule) -> None:
        savers: list[Any] = trainer.checkpoint_callbacks
        paths = [saver.best_model_path for saver in savers if getattr(saver, "monitor", None)]
        if not paths or not paths[0]:
            raise ConfigError("the best weights are asked for, but no ModelCheckpoint monitors a metric")
        state = trainer.strategy.load_checkpoint(paths[0], weights_only=True).get("state_dict")
        if state is not None:  # a strategy that shards has put it into the module
            pl_module.load_state_dict(state, strict=False)


def _last_loss(module: AlignmentModule) -> str:
    loss = module.logged[1].get("loss")
    return "" if loss is None else f", loss of the last {loss:.4g}"
