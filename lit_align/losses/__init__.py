"""Pure functions from tensors to a loss per token, label, response or pair; the caller sums and divides."""

from lit_align.losses.language_model import Reduction, logprobs_of, nll, response_nll
from lit_align.losses.preference import dpo_loss, rpo_loss, rpo_reverse_loss, rpo_squared_loss
from lit_align.losses.reward import HELPSTEER_ATTRIBUTES, REWARD_WEIGHTS, present, regression_loss, weighted_reward

__all__ = [
    "HELPSTEER_ATTRIBUTES",
    "REWARD_WEIGHTS",
    "Reduction",
    "dpo_loss",
    "logprobs_of",
    "nll",
    "present",
    "regression_loss",
    "response_nll",
    "rpo_loss",
    "rpo_reverse_loss",
    "rpo_squared_loss",
    "weighted_reward",
]
