"""What a forward pass keeps for the backward pass: everything, or less, computed again when it is needed."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from lit_align.errors import ConfigError

GradientCheckpointing = bool | int | Literal["selective"]
"""`true`: every layer keeps its input alone. A number n: every n-th layer does, the others keep everything.
`selective`: every layer keeps its input and what its matrix products and its attention return."""

_MATRIX_PRODUCTS = {"mm", "addmm", "_grouped_mm", "_scaled_mm"}


def check_recomputation(how: GradientCheckpointing, *, offload: bool) -> None:
    """Refuses settings without a meaning.

    Raises:
        ConfigError: A number below 1, `offload` without anything to move, or of results that torch keeps elsewhere.
    """
    if how is not False and how != "selective" and how < 1:
        raise ConfigError(f"gradient_checkpointing: the number of layers must be positive, got {how}")
    if offload and how == "selective":
        raise ConfigError(
            "activation_offload moves the inputs of layers, not the results that `selective` keeps: set "
            "gradient_checkpointing to true, which keeps the inputs alone"
        )
    if offload and how is False:
        raise ConfigError(
            "activation_offload moves what gradient checkpointing keeps: set gradient_checkpointing too "
            "(true moves everything that is kept)"
        )


def recompute(model: PreTrainedModel, how: GradientCheckpointing, *, offload: bool) -> None:
    """Makes the layers of a model compute activations again in the backward pass.

    Args:
        model: Changed in place.
        how: Which layers, and what of them.
        offload: Whether the inputs of these layers are kept in the memory of the host.

    Raises:
        ConfigError: The architecture has no layers of its own to choose from.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise ConfigError(f"gradient_checkpointing: {type(model).__name__} is not supported by transformers")
    options: dict[str, Any] = {"use_reentrant": False}
    if how == "selective":
        options["context_fn"] = partial(create_selective_checkpoint_contexts, _policy)
    # Renamed in transformers 5.23; the old name goes away in 6.
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    enable(options)
    # Without it a frozen embedding would cut the gradient off at the first layer.
    model.enable_input_require_grads()
    every = 1 if isinstance(how, bool | str) else how
    for index, layer in enumerate(layers):
        layer.gradient_checkpointing = index % every == 0
        if offload:
            layer._gradient_checkpointing_func = partial(_offloaded, **options)  # type: ignore[assignment]  # no module


def _policy(context: Any, operation: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    # By name: kernels of plugins and of each device are operations of their own.
    namespace, _, name = str(operation).rpartition(".")[0].rpartition(".")
    if name in _MATRIX_PRODUCTS:
        dear = _is_dear(*args[1:3]) if name == "addmm" else _is_dear(*args[:2])
    else:
        dear = "attention" in name or "attn" in f"{namespace}.{name}"
    return CheckpointPolicy.MUST_SAVE if dear else CheckpointPolicy.PREFER_RECOMPUTE


def _is_dear(left: Tensor, right: Tensor) -> bool:
    # Less than this is an adapter widening what it has narrowed: few flops for a wide result.
    return 8 * left.shape[-1] >= right.shape[-1]


def _offloaded(function: Callable[..., Tensor], *args: Any, **options: Any) -> Tensor:
    device = next(arg.device for arg in args if isinstance(arg, Tensor))
    if device.type == "cpu":
        raise ConfigError(
            "activation_offload: the model is on the CPU, whose memory is where activations would be moved to\n"
            "Leave activation_offload out; gradient_checkpointing: true keeps the least."
        )
    with torch.autograd.graph.save_on_cpu(pin_memory=True, device_type=device.type):
        return checkpoint(function, *args, **options)
