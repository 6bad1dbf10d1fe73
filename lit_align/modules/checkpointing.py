"""What a Lightning checkpoint of an alignment module holds besides optimizer and loops."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lit_align.errors import ConfigError, NonFiniteError
from lit_align.modules.randomness import random_states, restore_random_states

if TYPE_CHECKING:
    from lit_align.modules.base import AlignmentModule

__all__ = ["gradient_norm", "load", "restore_random_states", "save"]

KEY = "lit_align"


def save(module: "AlignmentModule", checkpoint: dict[str, Any]) -> None:
    """Drops frozen weights, adds the description that export and resume need.

    Raises:
        NonFiniteError: A weight is NaN or infinite; the checkpoint before stays the newest.
    """
    trainable = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    buffers = {name for name, _ in module.named_buffers()}
    state = checkpoint["state_dict"]
    for name in list(state):
        if name not in trainable and name not in buffers:
            del state[name]
        elif state[name].is_floating_point() and not _finite(state[name]):
            raise NonFiniteError(f"{name} is not finite: no checkpoint is written; the last good one stays")
    backbone, head = module.trained, getattr(module, "head", None)
    checkpoint[KEY] = {
        "module": _class_path(module),
        "backbone": {"class_path": _class_path(backbone), "init_args": backbone.describe()},
        "fingerprint": backbone.fingerprint(),
        "head": None if head is None else head.describe(),
        "chat": _chat(module),
        "random_states": random_states(),
    }


def load(module: "AlignmentModule", checkpoint: dict[str, Any]) -> dict[str, Any] | None:
    """Checks a checkpoint against the module and returns its random states."""
    description = checkpoint.get(KEY)
    if description is None:
        raise ConfigError("the checkpoint was not written by a lit-align module")
    if description["fingerprint"] != module.trained.fingerprint():
        raise ConfigError(
            "the checkpoint continues other weights than the ones the backbone names (fingerprints differ)"
        )
    state = checkpoint["state_dict"]
    missing = [name for name, parameter in module.named_parameters() if parameter.requires_grad and name not in state]
    if missing:
        raise ConfigError(f"the checkpoint lacks {len(missing)} trained weights, first {missing[0]}")
    module.strict_loading = False  # frozen weights are not in the file; what must be is checked above
    return description["random_states"]


def gradient_norm(module: nn.Module) -> Tensor:
    """Total L2 norm of the gradients, over all shards."""
    from torch.distributed.tensor import DTensor

    grads = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(grads)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def _finite(value: Tensor) -> bool:
    local = value.to_local() if hasattr(value, "to_local") else value
    return bool(torch.isfinite(local).all())


def _chat(module: "AlignmentModule") -> dict[str, Any] | None:
    data = getattr(module.trainer, "datamodule", None)
    return None if data is None else {"tokenizer": data.tokenizer or module.tokenizer_source, "template": data.template}


def _class_path(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
