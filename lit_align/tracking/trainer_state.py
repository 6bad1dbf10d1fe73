"""What a logger must know about the Trainer that uses it."""

from typing import final

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn


@final
class FitStart:
    """A fit that begins. Whether it resumes is known at its first metric: sharded strategies restore late."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    @property
    def resumed(self) -> bool:
        """Whether the fit goes on from a checkpoint."""
        return bool(self._trainer.ckpt_path)


def fit_start(model: nn.Module) -> FitStart | None:
    """The fit that begins with `model`, if its Trainer is about to fit."""
    if not isinstance(model, LightningModule) or model._trainer is None:
        return None
    trainer = model.trainer
    return FitStart(trainer) if trainer.state.fn == TrainerFn.FITTING else None
