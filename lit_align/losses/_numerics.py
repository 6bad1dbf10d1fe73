"""Precision of the losses."""

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Casts half precisions to float32 and leaves float64 alone.

    A sum of 500 log-probabilities near -400 moves in steps of 2 in bfloat16, more than a preference is worth.
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))
