"""Grades on single questions, the regulariser of Apple's reward model."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lit_align.losses.numerics import at_least_float32


def grading_loss(
    logits: Float[Tensor, "response question grade"], *, grades: Float[Tensor, "response question"]
) -> Float[Tensor, "response question"]:
    r"""Cross-entropy of each grade 0, 1, ..., and exactly 0, with gradient 0, where it is missing (NaN).

    The single-sided grading of arXiv:2407.21075, appendix E.1, is its sum over the questions and both responses of a
    pair, averaged over pairs; its weight there is not published.

    >>> grading_loss(torch.zeros(1, 2, 3), grades=torch.tensor([[1.0, torch.nan]]))
    tensor([[1.0986, 0.0000]])
    """
    log_probabilities = at_least_float32(logits).log_softmax(dim=-1)
    given = ~grades.isnan()
    classes = torch.where(given, grades, 0.0).long()
    losses = F.nll_loss(log_probabilities.flatten(0, 1), classes.flatten(), reduction="none").view_as(grades)
    # Selected, not multiplied: an infinite logit times 0 is NaN.
    return torch.where(given, losses, 0.0)
