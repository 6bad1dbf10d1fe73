"""FSDP2 for backbones: every decoder layer is a unit, and the reads are registered as forward methods."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.device_mesh import DeviceMesh

from lit_align.errors import ConfigError, ResourceError
from lit_align.files import put_in_place, remove
from lit_align.models.backbone import Backbone, Shard
from lit_align.modules.checkpoint_io import AtomicCheckpointIO


class FSDP2(ModelParallelStrategy):
    """Weights, gradients and optimizer states divided among all devices; `--trainer.strategy fsdp2`.

    Lightning's own strategy, which also divides tensors unless it is told the number of devices, and overwrites a
    checkpoint file by file.

    Args:
        options: Those of `ModelParallelStrategy`, such as `save_distributed_checkpoint`, but for its sizes.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(tensor_parallel_size=1, **options)

    def setup_environment(self) -> None:
        """Takes all devices, now that their number is known."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        if self._checkpoint_io is None:
            self.checkpoint_io = AtomicCheckpointIO()  # of a checkpoint that is one file
        super().setup_environment()

    def setup(self, trainer: Trainer) -> None:
        """Turns inference mode off: gathered weights are reused, and a later training could not differentiate them."""
        for loop in (trainer.validate_loop, trainer.test_loop, trainer.predict_loop):
            loop.inference_mode = False
        super().setup(trainer)

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any | None = None
    ) -> None:
        """Writes beside the checkpoint that was there before, which stays until all of the new one is written.

        Raises:
            ConfigError: Several nodes do not share the folder.
            ResourceError: A process could not write; what was there before is intact.
        """
        path = Path(self.broadcast(filepath))
        building = path.with_name(f".{path.name}.tmp")
        self._begin(building)
        failure: BaseException | None = None
        try:
            super().save_checkpoint(checkpoint, building, storage_options)
        except (OSError, RuntimeError, ResourceError, CheckpointException) as error:
            failure = error
        if not self._any(failure) and self.is_global_zero:
            try:
                put_in_place(building, path)
            except OSError as error:
                failure = error
        if self._any(failure):
            if self.is_global_zero:
                remove(building)
            raise ResourceError(
                f"the checkpoint {path} could not be written: {failure or 'another process failed'}\n"
                "What was there before is intact: continue from the last checkpoint (--ckpt_path)."
            ) from failure

    def _begin(self, building: Path) -> None:
        if self.is_global_zero:
            remove(building)
            building.parent.mkdir(parents=True, exist_ok=True)
            if self._save_distributed_checkpoint:
                building.mkdir()
        self.barrier()
        if self._save_distributed_checkpoint and not self.reduce_boolean_decision(building.is_dir()):
            raise ConfigError(f"{building.parent}: not the same folder on all nodes; checkpoints need a shared one")

    def _any(self, failure: BaseException | None) -> bool:
        return self.reduce_boolean_decision(failure is not None, all=False)


StrategyRegistry.register("fsdp2", FSDP2, description="FSDP2 over all devices", override=True)


def sharding(trainer: Trainer | None) -> Shard | None:
    """How a Trainer's strategy shards modules; None where it does not.

    Raises:
        ConfigError: The strategy also divides tensors, for which there is no plan.
    """
    if trainer is None or not isinstance(trainer.strategy, ModelParallelStrategy):
        return None
    mesh = trainer.strategy.device_mesh
    if mesh["tensor_parallel"].size() != 1:
        raise ConfigError(
            "tensor parallelism is not supported: weights are sharded over all devices\n"
            "Say trainer.strategy: fsdp2, or set tensor_parallel_size of ModelParallelStrategy to 1."
        )
    mixed = trainer.precision_plugin.precision == "bf16-mixed"  # float8 rounds the weights itself, once
    return partial(shard, mesh=mesh["data_parallel"], layer_dtype=torch.bfloat16 if mixed else None)


def shard(module: nn.Module, *, mesh: DeviceMesh, layer_dtype: torch.dtype | None = None) -> None:
    """Shards a backbone, or a head, over a mesh, in place.

    Args:
        module: What is sharded.
        mesh: The devices.
        layer_dtype: What the weights of decoder layers travel and compute in. Shards, gradients and what lies outside
            of the layers stay as they are, so that with autocast to this dtype products are those of one device.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

    reduced = None if layer_dtype is None else torch.float32
    policy = MixedPrecisionPolicy(param_dtype=layer_dtype, reduce_dtype=reduced, cast_forward_inputs=False)
    for layer in _decoder_layers(module):
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(module, mesh=mesh)
    if isinstance(module, Backbone):
        for name in Backbone.READS:
            register_fsdp_forward_method(module, name)


def _decoder_layers(module: nn.Module) -> list[nn.Module]:
    names = {name for m in module.modules() for name in getattr(m, "_no_split_modules", None) or ()}
    return [m for m in module.modules() if type(m).__name__ in names]
