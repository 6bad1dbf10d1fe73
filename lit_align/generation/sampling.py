"""Draws tokens from logits: the cumulative distribution inverted at a stream of uniforms of each sample's own."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit_align.generation.base import Sampling

NOT_FINITE = -1
"""Stands for the token that logits without a finite sum cannot give."""


def uniforms(seeds: Sequence[int], number: int) -> Float[Tensor, "sample number"]:
    """Uniforms in [0, 1 - 2^-52], one stream per seed, in float64.

    From the raw words of the counter-based Philox generator, whose stream numpy guarantees across versions (that of
    `Generator.random` it does not). 52 bits: `u * total < total` then holds in floating point for every total.

    >>> bool((uniforms([3, 4], 2) == uniforms([4, 3], 5)[[1, 0], :2]).all())
    True
    """
    words = np.stack([np.random.Philox(key=seed).random_raw(number) for seed in seeds])
    return torch.from_numpy((words >> np.uint64(12)).astype(np.float64) * 2.0**-52)


def draw(
    logits: Float[Tensor, "sample vocab"], uniform: Float[Tensor, " sample"] | None, *, sampling: Sampling
) -> Int[Tensor, " sample"]:
    """One token per sample; greedy where `uniform` is None. `NOT_FINITE` where the logits hold NaN or +inf."""
    if uniform is None:
        best, ids = logits.max(dim=-1)
        return torch.where(best.isfinite(), ids, NOT_FINITE)
    logits = logits.float()
    # The largest logit is taken off before the division, which a tiny temperature would otherwise overflow.
    weights = ((logits - logits.amax(dim=-1, keepdim=True)) / sampling.temperature).exp()
    if sampling.top_p < 1:
        weights = keep_nucleus(weights, sampling.top_p)
    cumulative = weights.cumsum(dim=-1, dtype=torch.float64)
    total = cumulative[:, -1]
    # The first token whose cumulative weight exceeds the target has a weight above zero, since the target is below the
    # total and not below the token's predecessor.
    ids = torch.searchsorted(cumulative, (uniform * total)[:, None], right=True)[:, 0]
    return torch.where(total.isfinite(), ids, NOT_FINITE)


def keep_nucleus(weights: Float[Tensor, "sample vocab"], top_p: float) -> Float[Tensor, "sample vocab"]:
    """Zeroes all but the smallest set of largest weights that holds `top_p` of the total (arXiv:1904.09751).

    Weights equal to the smallest one kept stay too, so that the set does not depend on how a sort breaks ties.

    >>> keep_nucleus(torch.tensor([[0.1, 0.5, 0.4]]), 0.8)
    tensor([[0.0000, 0.5000, 0.4000]])
    """
    ordered = weights.sort(dim=-1, descending=True).values
    cumulative = ordered.cumsum(dim=-1, dtype=torch.float64)
    last = (cumulative < top_p * cumulative[:, -1:]).sum(dim=-1, keepdim=True)
    smallest = ordered.gather(-1, last.clamp(max=weights.shape[-1] - 1))
    return weights * (weights >= smallest)
