"""What every objective shares: global denominators, logging, the optimizer, building and checkpointing."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, final

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch import Tensor
from torch.optim import Optimizer

from lit_align.announce import announce
from lit_align.data.modules import AlignmentData
from lit_align.errors import ConfigError, NonFiniteError
from lit_align.models.backbone import Backbone
from lit_align.models.batch import PackedBatch
from lit_align.modules import checkpointing
from lit_align.modules.gradients import gradient_norm
from lit_align.modules.schedule import OptimizerCallable, Schedule, fused, parameter_groups
from lit_align.modules.sharding import sharding
from lit_align.modules.terms import Meter, Terms, objective


class AlignmentModule(LightningModule, ABC):
    """Trains a backbone on packed batches.

    A subclass says what it sums, and per what, in `losses`. This class divides each sum by the optimizer step's global
    denominator of that name, so micro-batch size, accumulation and world size cannot change a trajectory.
    """

    data_class: ClassVar[type[AlignmentData]] = AlignmentData

    def __init__(self, *, optimizer: OptimizerCallable, schedule: Schedule) -> None:
        super().__init__()
        self.optimizer = optimizer
        self.schedule = schedule
        self._step_meter = Meter()
        self._epoch_meter = Meter()
        self._applied: dict[str, float] = {}
        self._gradient_norm = torch.zeros(())
        self._shown: float | None = None
        self.logged: tuple[int, dict[str, float]] = (0, {})
        self.validated_at: int | None = None
        self._resumed: checkpointing.Resumed | None = None

    @property
    def label(self) -> str:
        """What a run says that it optimises; a class whose name has several readings says which."""
        return type(self).__name__

    @property
    @abstractmethod
    def trained(self) -> Backbone:
        """The backbone that is trained."""

    @abstractmethod
    def losses(self, batch: PackedBatch) -> Terms:
        """The sums of a micro-batch by name."""

    def prepare(self) -> None:
        """Work before the backbone is built; the data module is set up."""

    @property
    def max_length(self) -> int | None:
        """Most tokens of a prompt and one response together."""
        return self.trained.max_length

    @property
    def tokenizer_source(self) -> str:
        """Where the tokenizer that belongs to the weights is found."""
        return self.trained.tokenizer_source

    @final
    def configure_model(self) -> None:
        """Builds everything that is trained, once."""
        # Lightning has tensors made on the device here. There its random numbers are others than on the CPU, whose
        # generator is seeded, and a model of any size would be held twice.
        with torch.device("cpu"):
            self.build()

    def build(self) -> None:
        """Builds the backbone: weights, then precision, then sharding."""
        if self._trainer is None:
            self.trained.configure_model()
            return
        shard = sharding(self.trainer)
        self._refuse_other_data()
        self.prepare()
        self.trained.configure_model(convert=self.trainer.precision_plugin.convert_module, shard=shard)
        if (attention := getattr(self.trained, "attention", None)) is not None:
            attention.check_dtype(self._computation())

    def _computation(self) -> torch.dtype:
        """What matrix products are computed in: what autocast says, or what the weights are stored in."""
        weight = next(self.trained.parameters())
        with self.trainer.precision_plugin.forward_context():
            # The weights may still be on the CPU: a plugin that asks them has autocast there.
            for device in (self.trainer.strategy.root_device.type, weight.device.type):
                if torch.is_autocast_enabled(device):
                    return torch.get_autocast_dtype(device)
        return weight.dtype

    def _refuse_other_data(self) -> None:
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, AlignmentData) and not isinstance(data, self.data_class):
            wanted = self.data_class.__name__
            raise ConfigError(f"{type(self).__name__} needs --data {wanted}, got {type(data).__name__}")

    def configure_optimizers(self) -> dict[str, Any]:
        """The optimizer over two parameter groups, and its schedule by step."""
        optimizer = fused(self.optimizer(parameter_groups(self)))
        total = self.trainer.estimated_stepping_batches
        if total == float("inf"):
            if self.schedule.shape != "constant":
                raise ConfigError(f"schedule.shape {self.schedule.shape} needs an end: set max_steps or max_epochs")
            total = 1
        scheduler = self.schedule.scheduler(optimizer, total=int(total))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_fit_start(self) -> None:
        """Refuses settings under which a step would not be what the data module planned; says what will run."""
        trainer: Any = self.trainer  # lightning types only some of its attributes
        if trainer.world_size > 1 and trainer._accelerator_connector.use_distributed_sampler:
            raise ConfigError("trainer.use_distributed_sampler must be false: the data module divides the rows itself")
        if any(isinstance(callback, GradientAccumulationScheduler) for callback in trainer.callbacks):
            raise ConfigError("accumulate_grad_batches must stay the same: steps are planned with it")
        announce(self._plan())

    def _plan(self) -> str:
        trainer, total = self.trainer, self.trainer.estimated_stepping_batches
        parameters = list(self.parameters())
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        attention = getattr(self.trained, "attention", None)
        steps = "no end" if total == float("inf") else f"{int(total)} steps"
        warmup = self.schedule.num_warmup_steps(0 if total == float("inf") else int(total))
        return (
            f"{self.label}: {steps}, {self.schedule.shape} schedule after {warmup} steps of warm-up; "
            f"{trained:,} of {sum(p.numel() for p in parameters):,} parameters trained, "
            f"weights {parameters[0].dtype}, computation {trainer.precision}, attention {type(attention).__name__}, "
            f"device {trainer.strategy.root_device}, {trainer.world_size} process(es) x "
            f"{trainer.accumulate_grad_batches} micro-batch(es)"
        )

    def on_train_start(self) -> None:
        """Continues with the rows and the random numbers of the checkpoint."""
        self._validate_between_steps()
        if self._resumed is not None:
            self._resumed.continue_in(self)
            self._resumed = None

    def _validate_between_steps(self) -> None:
        """Rounds the interval of validations: within a step they would measure the weights of the step before again."""
        interval, size = self.trainer.val_check_batch, self.trainer.accumulate_grad_batches
        if isinstance(interval, int) and interval % size:
            self.trainer.val_check_batch = max(size, interval - interval % size)

    def training_step(self, batch: PackedBatch, batch_idx: int) -> Tensor:
        """One micro-batch's part of the step's objective."""
        terms = self.losses(batch)
        loss = objective(terms, batch.denominators or batch.counts)
        self._step_meter.add(terms, batch.counts)
        # Lightning divides by the number of accumulated batches and averages over ranks: both are undone here.
        return loss * (self.trainer.accumulate_grad_batches * self.trainer.world_size)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Measures the gradient before it is clipped, and stops before a step that would destroy the weights."""
        norm = gradient_norm(self.parameters())
        # A loss scaler (16-mixed) skips such a step by itself, and lowers its scale: overflows are how it finds it.
        scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        if not (scaled or torch.isfinite(norm)):
            raise NonFiniteError(
                f"step {self.global_step}: the gradient is not finite (norm {float(norm)}); the step was not taken\n"
                "Continue from the last checkpoint with a lower learning rate or gradient_clip_val."
            )
        self._gradient_norm = norm
        self._applied = {"gradient_norm": float(norm), "learning_rate": optimizer.param_groups[0]["lr"]}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clips by the norm that was just measured: Lightning would compute it again, and scale what needs none."""
        if not gradient_clip_val or gradient_clip_algorithm == "value":
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif math.inf > self._applied["gradient_norm"] > gradient_clip_val:
            torch.nn.utils.clip_grads_with_norm_(self.parameters(), gradient_clip_val, self._gradient_norm)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Moves the learning rate and logs the step's values, unscaled.

        Lightning calls this once a step, before the callbacks that write checkpoints: what a checkpoint holds has then
        been logged.
        """
        super().lr_scheduler_step(scheduler, metric)
        meter, applied = self._step_meter, self._applied
        self._step_meter, self._applied = Meter(), {}
        trainer: Any = self.trainer
        if self.global_step % trainer.log_every_n_steps == 0:
            values = {**meter.means(self._add_up(meter.totals_tensor())), **applied}
            self.write("train", values)
            self.logged, self._shown = (self.global_step, values), values["loss"]

    def on_train_batch_end(self, outputs: Any, batch: PackedBatch, batch_idx: int) -> None:
        """Shows the step's loss in the progress bar."""
        if self._shown is not None:
            self.log("train/loss", self._shown, prog_bar=True, logger=False)
            self._shown = None

    def validation_step(self, batch: PackedBatch, batch_idx: int) -> None:
        """Adds a batch to the epoch's sums."""
        self._epoch_meter.add(self.losses(batch), batch.counts)

    def test_step(self, batch: PackedBatch, batch_idx: int) -> None:
        """Adds a batch to the epoch's sums."""
        self._epoch_meter.add(self.losses(batch), batch.counts)

    def on_validation_epoch_end(self) -> None:
        """Logs means over all rows, whatever the batches were."""
        self._log_epoch("validation")
        self.validated_at = self.global_step

    def on_test_epoch_end(self) -> None:
        """Logs means over all rows, whatever the batches were."""
        self._log_epoch("test")

    def epoch_metrics(self) -> dict[str, float]:
        """Further values of an evaluation, by name; called once at its end, on every rank."""
        return {}

    def _log_epoch(self, stage: str) -> None:
        meter, self._epoch_meter = self._epoch_meter, Meter()
        values = {**meter.means(self._add_up(meter.totals_tensor())), **self.epoch_metrics()}
        named = {f"{stage}/{name}": value for name, value in values.items()}
        # `Trainer.validate` and `test` return what goes through Lightning's loggers.
        alone = self.trainer.state.fn != "fit"
        # Ranks have the same values already; without `sync_dist` Lightning warns that they may not.
        self.log_dict(named, logger=alone, sync_dist=self.trainer.world_size > 1)
        if not alone and not self.trainer.sanity_checking:
            self.write(stage, values)

    def write(self, stage: str, values: dict[str, float]) -> None:
        """Gives values of this step to the loggers."""
        # Not through `self.log`: it numbers evaluations one step behind, and rounds to float32.
        for logger in self.trainer.loggers:
            logger.log_metrics({f"{stage}/{name}": value for name, value in values.items()}, step=self.global_step)

    def _add_up(self, totals: Tensor) -> Tensor:
        return self.trainer.strategy.reduce(totals, reduce_op="sum") if self.trainer.world_size > 1 else totals

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps what training changes, how to build the rest, and the random states; never a non-finite weight."""
        checkpointing.save(self, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses a checkpoint that lacks a trained weight."""
        resumed = checkpointing.load(self, checkpoint)
        self._resumed = resumed if self.trainer.state.fn == "fit" else None
