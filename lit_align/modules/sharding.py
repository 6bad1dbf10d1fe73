"""FSDP2 for backbones: every decoder layer is a unit, and the reads are registered as forward methods."""

from functools import partial

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
    return partial(shard, mesh=mesh["data_parallel"])


def shard(module: nn.Module, *, mesh: DeviceMesh) -> None:
    """Shards a backbone, or a head, over a mesh, in place."""
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    for layer in _decoder_layers(module):
        fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh)
    if isinstance(module, Backbone):
        for name in Backbone.READS:
            register_fsdp_forward_method(module, name)


def _decoder_layers(module: nn.Module) -> list[nn.Module]:
    names = {name for m in module.modules() for name in getattr(m, "_no_split_modules", None) or ()}
    return [m for m in module.modules() if type(m).__name__ in names]
