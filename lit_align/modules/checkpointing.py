"""What a Lightning checkpoint of an alignment module holds besides optimizer and loops."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor

from lit_align.data.steps import StepLoader
from lit_align.errors import ConfigError, NonFiniteError
from lit_align.modules.randomness import random_states, restore_random_states

if TYPE_CHECKING:
    from lit_align.modules.base import AlignmentModule

KEY = "lit_align"


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """What a checkpoint says about the moment it was written.

    Attributes:
        random_states: See `random_states`.
        consumed: Batches that the epoch's loader had given; None where the loader does not keep count.
        validation_due: Whether this step's validation had yet to come.
        logged: What had been logged of this step.
        accumulated: Batches of an optimizer step; None in checkpoints that do not say so.
    """

    random_states: dict[str, Any]
    consumed: int | None
    validation_due: bool
    logged: dict[str, float]
    accumulated: int | None = None

    @classmethod
    def of(cls, module: "AlignmentModule") -> "Resumed":
        """The present moment of a module's training."""
        trainer, loader = module.trainer, module.trainer.train_dataloader
        consumed = None
        if isinstance(loader, StepLoader):
            # All of an epoch is consumed at its end: the next one starts at its first row.
            consumed = loader.state_dict()["consumed"] % int(trainer.num_training_batches)
        due = module.validated_at != trainer.global_step and _validates_now(trainer)
        step, logged = module.logged
        return cls(
            random_states=random_states(),
            consumed=consumed,
            validation_due=due,
            logged=logged if step == trainer.global_step else {},
            accumulated=trainer.accumulate_grad_batches,
        )

    def continue_in(self, module: "AlignmentModule") -> None:
        """Puts the random generators and the training loader where they were; makes up for a missed validation.

        Lightning leaves the loader at its start when it was made before the checkpoint was read, as it is to know the
        number of steps; and it skips the validation that follows the step of the checkpoint.

        Raises:
            ConfigError: The epoch was begun in micro-batches of another size, by which its place is counted.
        """
        trainer, loader = module.trainer, module.trainer.train_dataloader
        if self.consumed and self.accumulated not in (None, trainer.accumulate_grad_batches):
            raise ConfigError(
                f"the checkpoint is from the middle of an epoch with accumulate_grad_batches {self.accumulated}, "
                f"this run has {trainer.accumulate_grad_batches}\n"
                f"Say --trainer.accumulate_grad_batches {self.accumulated} and no data.tokens_per_micro_batch."
            )
        restore_random_states(self.random_states)
        if self.consumed is not None and isinstance(loader, StepLoader):
            loader.load_state_dict({"consumed": self.consumed})
        module.logged = (trainer.global_step, self.logged)
        if self.validation_due:
            if self.logged:
                # A resumed logger drops what it has from the first step it is given: this one.
                module.write("train", self.logged)
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True


def _validates_now(trainer: Trainer) -> bool:
    """Whether a validation follows the batch that training is at."""
    every, loop = trainer.check_val_every_n_epoch, trainer.fit_loop
    if not trainer.enable_validation or not trainer.val_check_batch or (trainer.current_epoch + 1) % (every or 1):
        return False
    return ((loop.total_batch_idx if every is None else loop.batch_idx) + 1) % trainer.val_check_batch == 0


def save(module: "AlignmentModule", checkpoint: dict[str, Any]) -> None:
    """Drops frozen weights unless they are sharded, adds the description that export and resume need.

    Raises:
        NonFiniteError: A weight is NaN or infinite; the checkpoint before stays the newest.
    """
    trainable = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    buffers = {name for name, _ in module.named_buffers()}
    state = checkpoint["state_dict"]
    for name in list(state):
        if name not in trainable and name not in buffers:
            if not isinstance(module.trainer.strategy, ModelParallelStrategy):  # it reads all or nothing
                del state[name]
        elif state[name].is_floating_point() and not _finite(state[name]):
            raise NonFiniteError(f"{name} is not finite: no checkpoint is written; the last good one stays")
    backbone, head = module.trained, getattr(module, "head", None)
    resumed = Resumed.of(module)
    if resumed.consumed:
        _reopen_epoch(checkpoint)
    checkpoint[KEY] = {
        "module": _class_path(module),
        "backbone": {"class_path": _class_path(backbone), "init_args": backbone.describe()},
        "fingerprint": backbone.fingerprint(),
        "head": None if head is None else head.describe(),
        "chat": _chat(module),
        "resumed": vars(resumed),
    }


def _reopen_epoch(checkpoint: dict[str, Any]) -> None:
    """An epoch that `max_steps` or early stopping cut short goes on when training does; Lightning counts it as done."""
    progress = checkpoint.get("loops", {}).get("fit_loop", {}).get("epoch_progress", {})
    for counts in progress.values():
        unfinished = counts["ready"] - 1
        counts.update({name: min(counts[name], unfinished) for name in ("processed", "completed")})
        checkpoint["epoch"] = unfinished


def load(module: "AlignmentModule", checkpoint: dict[str, Any]) -> Resumed:
    """Checks a checkpoint against the module and returns what training continues with."""
    description = checkpoint.get(KEY)
    if description is None:
        raise ConfigError("the checkpoint was not written by a lit-align module")
    if description["module"] != _class_path(module):
        wrote, continues = (path.rpartition(".")[2] for path in (description["module"], _class_path(module)))
        raise ConfigError(
            f"the checkpoint is of {wrote}, not of {continues}\nExport it (lit-align export) and start from the folder."
        )
    if description["fingerprint"] != module.trained.fingerprint():
        raise ConfigError(
            "the checkpoint continues other weights than the ones the backbone names (fingerprints differ)"
        )
    module.strict_loading = False  # frozen weights are not in the file; what must be is checked here
    state = checkpoint.get("state_dict")
    if state is None:  # a sharded checkpoint: read into the module by the strategy, which misses nothing
        return Resumed(**description["resumed"])
    missing = [name for name, parameter in module.named_parameters() if parameter.requires_grad and name not in state]
    if missing:
        raise ConfigError(f"the checkpoint lacks {len(missing)} trained weights, first {missing[0]}")
    return Resumed(**description["resumed"])


def _finite(value: Tensor) -> bool:
    from torch.distributed.tensor import DTensor

    local = value.to_local() if isinstance(value, DTensor) else value
    return bool(torch.isfinite(local).all())


def _chat(module: "AlignmentModule") -> dict[str, Any] | None:
    data = getattr(module.trainer, "datamodule", None)
    return None if data is None else {"tokenizer": data.tokenizer or module.tokenizer_source, "template": data.template}


def _class_path(value: object) -> str:
    from torch.distributed.fsdp import FSDPModule

    # FSDP2 puts a class of its own before the one it was given.
    own = next(kind for kind in type(value).__mro__ if not issubclass(kind, FSDPModule))
    return f"{own.__module__}.{own.__qualname__}"
