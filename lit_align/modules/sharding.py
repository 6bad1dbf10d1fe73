"""FSDP2 for backbones: every decoder layer is a unit, and the reads are registered as forward methods."""

from functools import partial

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from lit_align.errors import ConfigError
from lit_align.models.backbone import Backbone, Shard


def sharding(trainer: Trainer | None) -> Shard | None:
    """How a Trainer's strategy shards modules; None where it does not.

    Raises:
        ConfigError: The strategy also divides tensors, for which there is no plan.
    """
    strategy = None if trainer is None else trainer.strategy
    if not isinstance(strategy, ModelParallelStrategy):
        return None
    mesh = strategy.device_mesh
    if mesh["tensor_parallel"].size() != 1:
        raise ConfigError(
            "tensor parallelism is not supported: weights are sharded over all devices\n"
            "Set data_parallel_size of ModelParallelStrategy to their number, and tensor_parallel_size to 1."
        )
    mixed = str(trainer.precision_plugin.precision).startswith("bf16-mixed")
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
