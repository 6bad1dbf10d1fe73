"""FSDP2 for backbones: every decoder layer is a unit, and the reads are registered as forward methods."""

from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from lit_align.models.backbone import Backbone


def shard(module: nn.Module, mesh: DeviceMesh) -> None:
    """Shards a backbone, or a head, over the data-parallel dimension of a mesh, in place."""
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    data_parallel = mesh["data_parallel"]
    for layer in _decoder_layers(module):
        fully_shard(layer, mesh=data_parallel)
    fully_shard(module, mesh=data_parallel)
    if isinstance(module, Backbone):
        for name in Backbone.READS:
            register_fsdp_forward_method(module, name)


def _decoder_layers(module: nn.Module) -> list[nn.Module]:
    names = {name for m in module.modules() for name in getattr(m, "_no_split_modules", None) or ()}
    return [m for m in module.modules() if type(m).__name__ in names]
