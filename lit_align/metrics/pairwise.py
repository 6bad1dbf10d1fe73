"""How often a reward model prefers the chosen response."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric


def pairwise_accuracy(*, chosen: Float[Tensor, " pair"], rejected: Float[Tensor, " pair"]) -> Float[Tensor, ""]:
    """Share of pairs whose chosen response scores strictly higher: a tie is a miss. NaN without pairs.

    >>> pairwise_accuracy(chosen=torch.tensor([2.0, 1.0]), rejected=torch.tensor([1.0, 1.0]))
    tensor(0.5000)
    """
    return (chosen > rejected).float().mean()


@final
class PairwiseAccuracy(Metric):
    """:func:`pairwise_accuracy` over batches and ranks: counts are summed, never means averaged.

    Attributes:
        num_correct: Pairs whose chosen response scores strictly higher.
        num_ties: Pairs with equal scores, which count as misses. Many of them mean a model that cannot tell.
        num_pairs: Pairs seen.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    num_correct: Tensor
    num_ties: Tensor
    num_pairs: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("num_correct", "num_ties", "num_pairs"):
            self.add_state(name, default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, *, chosen: Float[Tensor, " pair"], rejected: Float[Tensor, " pair"]) -> None:
        """Adds pairs of scores."""
        self.num_correct += (chosen > rejected).sum()
        self.num_ties += (chosen == rejected).sum()
        self.num_pairs += chosen.numel()

    def compute(self) -> Float[Tensor, ""]:
        """The accuracy so far; NaN before the first pair."""
        return self.num_correct / self.num_pairs
