"""Reward-aware preference optimisation over all responses of a prompt at once."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit_align.losses.numerics import at_least_float32, counted


def rpo_k_way_loss(
    *,
    implicit_rewards: Float[Tensor, " response"],
    rewards: Float[Tensor, " response"],
    prompt_index: Int[Tensor, " response"],
    num_prompts: int,
) -> Float[Tensor, " prompt"]:
    r"""Brings the policy's distribution over a prompt's responses to the reward model's (arXiv:2502.00203).

    With :math:`s_k` the policy's implicit rewards, :math:`t_k` the reward model's times eta, and
    :math:`q = \mathrm{softmax}(s)`, :math:`p = \mathrm{softmax}(t)` over the responses of a prompt,

    .. math:: \mathrm{KL}(p \,\|\, q) = \sum_k p_k (\log p_k - \log q_k)

    with gradient :math:`q_k - p_k` in :math:`s_k`. Two responses make it :func:`rpo_loss`. BRAIn (arXiv:2402.02479) and
    SteerLM 2.0 (arXiv:2406.08673, section 4) minimise the same divergence.

    Args:
        implicit_rewards: `s`, beta times the log-probability ratio.
        rewards: `t`; differences within a prompt are all that counts.
        prompt_index: The prompt of each response.
        num_prompts: Number of prompts; one without responses gets 0.
    """
    groups = {"index": prompt_index, "num": num_prompts}
    log_q, log_p = (_log_softmax(values, **groups) for values in (implicit_rewards, rewards))
    return _sums(log_p.exp() * (log_p - log_q), **groups)


def rpo_k_way_reverse_loss(
    *,
    implicit_rewards: Float[Tensor, " response"],
    rewards: Float[Tensor, " response"],
    prompt_index: Int[Tensor, " response"],
    num_prompts: int,
) -> Float[Tensor, " prompt"]:
    r""":func:`rpo_k_way_loss` with the arguments of its divergence exchanged, :math:`\mathrm{KL}(q \,\|\, p)`."""
    return rpo_k_way_loss(
        implicit_rewards=rewards, rewards=implicit_rewards, prompt_index=prompt_index, num_prompts=num_prompts
    )


def rpo_k_way_squared_loss(
    *,
    implicit_rewards: Float[Tensor, " response"],
    rewards: Float[Tensor, " response"],
    prompt_index: Int[Tensor, " response"],
    num_prompts: int,
) -> Float[Tensor, " prompt"]:
    r"""Mean squared difference of the centred rewards, :math:`\frac1K\sum_k [(s_k - \bar s) - (t_k - \bar t)]^2`.

    Times :math:`2K/(K-1)` it is the mean over pairs of the squared difference of gaps, :func:`rpo_squared_loss`.
    """
    difference = at_least_float32(implicit_rewards) - at_least_float32(rewards)
    sizes = counted(prompt_index, num_prompts).clamp(min=1)
    means = _sums(difference, index=prompt_index, num=num_prompts) / sizes
    return _sums((difference - means[prompt_index]).square(), index=prompt_index, num=num_prompts) / sizes


def _log_softmax(values: Tensor, *, index: Tensor, num: int) -> Tensor:
    values = at_least_float32(values)
    highest = values.new_full((num,), -torch.inf).scatter_reduce(0, index, values.detach(), "amax")
    shifted = values - highest[index]
    return shifted - _sums(shifted.exp(), index=index, num=num)[index].log()


def _sums(values: Tensor, *, index: Tensor, num: int) -> Tensor:
    return values.new_zeros(num).index_add(0, index, values)
