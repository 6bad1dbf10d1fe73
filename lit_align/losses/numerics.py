"""Numbers that losses share."""

import torch
from jaxtyping import Int
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Casts half precisions to float32 and leaves float64 alone.

    A sum of 500 log-probabilities near -400 moves in steps of 2 in bfloat16, more than a preference is worth.
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))


def counted(index: Int[Tensor, " entry"], number: int) -> Int[Tensor, " number"]:
    """How often each of `0 .. number - 1` occurs in an index.

    `torch.bincount` would wait for the GPU: it reads the largest entry first.
    """
    return torch.zeros(number, dtype=index.dtype, device=index.device).index_add_(0, index, torch.ones_like(index))
