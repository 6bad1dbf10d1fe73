"""Losses on the margin by which one response is ahead of another; reward models and policies share them."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lit_align.losses.numerics import at_least_float32

# How clearly annotators preferred a response: 3 significantly better, 2 better, 1 slightly better, 0.5 negligibly
# better or unsure. The margins are Llama 2's (arXiv:2307.09288, table 27), the probabilities Apple's (arXiv:2407.21075,
# appendix E.1).
MARGINS: Mapping[str, Mapping[float, float]] = MappingProxyType(
    {
        "llama2_small": MappingProxyType({3.0: 1.0, 2.0: 2 / 3, 1.0: 1 / 3, 0.5: 0.0}),
        "llama2_large": MappingProxyType({3.0: 3.0, 2.0: 2.0, 1.0: 1.0, 0.5: 0.0}),
    }
)
PROBABILITIES: Mapping[float, float] = MappingProxyType({3.0: 0.95, 2.0: 0.85, 1.0: 0.75, 0.5: 0.65})


def bradley_terry_loss(*, margin: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
    r"""Negative log-likelihood of the preference, :math:`-\log\sigma(d)` (arXiv:2307.09288, equation 1).

    :math:`d` is the reward of the chosen minus that of the rejected response; a constant added to both rewards of a
    prompt changes nothing. The gradient in :math:`d` is :math:`-\sigma(-d)`.

    >>> bradley_terry_loss(margin=torch.zeros(1))
    tensor([0.6931])
    """
    return -F.logsigmoid(at_least_float32(margin))


def margin_bradley_terry_loss(
    *, margin: Float[Tensor, " pair"], required: Float[Tensor, " pair"]
) -> Float[Tensor, " pair"]:
    r"""Bradley-Terry that asks for a minimum gap :math:`m`, :math:`-\log\sigma(d - m)` (arXiv:2307.09288, equation 2).

    `MARGINS` holds the published gaps by strength; HelpSteer2-Preference (arXiv:2410.01257) takes the
    strength itself. On a policy's implicit margin it is margin DPO.

    >>> margin_bradley_terry_loss(margin=torch.ones(1), required=torch.ones(1))
    tensor([0.6931])
    """
    return bradley_terry_loss(margin=at_least_float32(margin) - required)


def scaled_bradley_terry_loss(
    *, margin: Float[Tensor, " pair"], strength: Float[Tensor, " pair"]
) -> Float[Tensor, " pair"]:
    r"""Bradley-Terry with a weight a pair, :math:`-s \log\sigma(d)` (HelpSteer2-Preference, arXiv:2410.01257).

    The same as repeating a pair :math:`s` times; divided by the number of pairs, not by the sum of strengths.

    >>> scaled_bradley_terry_loss(margin=torch.zeros(1), strength=torch.tensor([2.0]))
    tensor([1.3863])
    """
    return strength * bradley_terry_loss(margin=margin)


def soft_label_loss(*, margin: Float[Tensor, " pair"], probability: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
    r"""Cross-entropy with a preference that holds with probability :math:`p` (arXiv:2407.21075, appendix E.1).

    .. math:: -p \log\sigma(d) - (1 - p) \log\sigma(-d)

    The best margin is finite, :math:`\operatorname{logit}(p)`: a pair ranked more clearly than its label pulls back.
    `PROBABILITIES` holds the published values by strength.

    >>> soft_label_loss(margin=torch.zeros(1), probability=torch.tensor([0.75]))
    tensor([0.6931])
    """
    margin = at_least_float32(margin)
    return -probability * F.logsigmoid(margin) - (1 - probability) * F.logsigmoid(-margin)


def ordered_pairs(
    ranks: Float[Tensor, " response"], *, prompt_index: Int[Tensor, " response"]
) -> tuple[Int[Tensor, " pair"], Int[Tensor, " pair"]]:
    """All pairs of responses to one prompt whose ranks differ: indices of the better and of the worse ones.

    Llama 3 ranks edited over chosen over rejected responses (arXiv:2407.21783, section 4.1.2); larger is better.

    >>> ordered_pairs(torch.tensor([2.0, 1.0, 5.0]), prompt_index=torch.tensor([0, 0, 1]))
    (tensor([0]), tensor([1]))
    """
    same_prompt = prompt_index[:, None] == prompt_index[None, :]
    better, worse = torch.nonzero(same_prompt & (ranks[:, None] > ranks[None, :]), as_tuple=True)
    return better, worse
