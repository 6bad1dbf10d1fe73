"""One reward from two reward models."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lit_align.losses.numerics import at_least_float32


def piecewise_reward(
    *,
    helpfulness: Float[Tensor, " response"],
    safety: Float[Tensor, " response"],
    is_safety_prompt: Bool[Tensor, " response"],
    threshold: float = 0.15,
) -> Float[Tensor, " response"]:
    r"""Llama 2's combination of a helpfulness and a safety reward (arXiv:2307.09288, section 3.2.3, equation 4).

    The safety reward counts where the prompt is marked as one that may elicit an unsafe response, or where that reward
    is below the threshold; elsewhere the helpfulness reward counts. Both are probabilities, :math:`\sigma` of a reward
    model's output; the result is their logit, ready for :func:`whiten`.

    >>> safe = {"is_safety_prompt": torch.tensor([False]), "safety": torch.tensor([0.9])}
    >>> piecewise_reward(helpfulness=torch.tensor([0.5]), **safe)
    tensor([0.])
    """
    counts = is_safety_prompt | (safety < threshold)
    chosen = torch.where(counts, at_least_float32(safety), at_least_float32(helpfulness))
    # A saturated sigmoid is exactly 0 or 1.
    return chosen.logit(eps=1e-6)


def whiten(rewards: Float[Tensor, " response"], *, correction: int = 1) -> Float[Tensor, " response"]:
    r"""Rewards of a whole batch at mean 0 and standard deviation 1; all 0 where they are all equal.

    The paper leaves open by what the variance is divided; torch's default is the number less one, as here.
    (torchtune's `whiten` adds the mean back by default.)

    Args:
        rewards: Of all ranks and micro-batches: whitening parts of a batch is another, wrong number.
        correction: 1 divides the sum of squares by the number less one, 0 by the number.

    >>> whiten(torch.tensor([1.0, 3.0]), correction=0)
    tensor([-1.,  1.])
    """
    values = at_least_float32(rewards)
    centred = values - values.mean()
    if len(values) <= correction:
        return centred
    spread = values.std(correction=correction)
    return torch.where(spread > 0, centred / spread.clamp(min=torch.finfo(values.dtype).tiny), 0.0)
