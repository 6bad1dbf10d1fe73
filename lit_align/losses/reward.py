"""Multi-attribute reward regression and the scalar reward made of its attributes."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lit_align.losses.numerics import at_least_float32

HELPSTEER_ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")


def _named(*weights: float) -> Mapping[str, float]:
    return MappingProxyType(dict(zip(HELPSTEER_ATTRIBUTES, weights, strict=True)))


# A negative weight on verbosity is what counters a preference for length. HelpSteer2's own alignment runs left
# complexity and verbosity out (arXiv:2406.08673, section 4); the other two are the released models' cards.
REWARD_WEIGHTS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "nemotron4_340b_reward": _named(0.3, 0.74, 0.46, 0.47, -0.33),
        "llama3_70b_steerlm": _named(0.65, 0.8, 0.45, 0.55, -0.4),
        "helpsteer2_goodness": _named(0.65, 0.8, 0.45, 0.0, 0.0),
    }
)


def present(ratings: Float[Tensor, "response attribute"]) -> Bool[Tensor, "response attribute"]:
    """Which ratings were given. A missing one is NaN; its sum is the regression's denominator."""
    return ~ratings.isnan()


def regression_loss(
    predictions: Float[Tensor, "response attribute"], *, ratings: Float[Tensor, "response attribute"]
) -> Float[Tensor, "response attribute"]:
    r"""Squared error of every label, and exactly 0, with gradient 0, where the rating is missing (NaN).

    .. math:: \ell_{ik} = (f_k(x_i, y_i) - s_{ik})^2

    The loss of arXiv:2406.08673, section 3, is its sum over the global batch divided by the number of labels
    :func:`present` there; per-micro-batch means weigh sparse rows more.

    >>> regression_loss(torch.tensor([[3.0, 1.0]]), ratings=torch.tensor([[4.0, torch.nan]]))
    tensor([[1., 0.]])
    """
    error = at_least_float32(predictions) - ratings
    # Selected, not multiplied: NaN times 0 is NaN.
    return torch.where(present(ratings), error, 0.0).square()


def weighted_reward(
    attributes: Float[Tensor, "response attribute"], *, weights: Float[Tensor, " attribute"]
) -> Float[Tensor, " response"]:
    r"""The scalar reward :math:`r = \sum_k w_k f_k`, in rating units times weight.

    `REWARD_WEIGHTS` holds the published weights, by attribute name.

    >>> weighted_reward(torch.tensor([[4.0, 2.0]]), weights=torch.tensor([0.5, -0.5]))
    tensor([1.])
    """
    return (at_least_float32(attributes) * weights).sum(dim=-1)
