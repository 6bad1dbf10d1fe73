"""Weights of a module, gathered from all ranks where they are sharded."""

from torch import Tensor, nn


def full_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """The whole state on the CPU; every rank calls this, and where weights are sharded only rank zero gets them."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
    from torch.distributed.tensor import DTensor

    if not any(isinstance(parameter, DTensor) for parameter in module.parameters()):
        return {name: value.detach().cpu() for name, value in module.state_dict().items()}
    return get_model_state_dict(module, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
