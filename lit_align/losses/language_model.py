"""Language-model losses, per token and per response."""

from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor

from lit_align.losses.numerics import at_least_float32, counted

Reduction = Literal["sum", "mean"]


def logprobs_of(logits: Float[Tensor, "target vocab"], *, targets: Int[Tensor, " target"]) -> Float[Tensor, " target"]:
    r"""Log-probability of each target token in nats, :math:`\log \mathrm{softmax}(z)_y`, in float32 or better.

    The plain definition: it holds the whole `(target, vocab)` matrix. A backbone computes the same values in
    chunks and is tested against this function.

    >>> import torch
    >>> logprobs_of(torch.zeros(1, 4), targets=torch.tensor([2])).exp()
    tensor([0.2500])
    """
    return at_least_float32(logits).log_softmax(dim=-1).gather(-1, targets[:, None]).squeeze(-1)


def nll(logprobs: Float[Tensor, " target"]) -> Float[Tensor, " target"]:
    r"""Negative log-likelihood of each supervised token in nats, :math:`-\log \pi(y_t \mid x, y_{<t})`.

    Supervised fine-tuning is its sum over the supervised tokens of the global batch divided by their number
    (arXiv:2307.09288, section 3.1: answer tokens only). A mean of micro-batch means is another, wrong number.

    >>> import torch
    >>> nll(torch.tensor([-0.5, -1.5]))
    tensor([0.5000, 1.5000])
    """
    return -at_least_float32(logprobs)


def response_nll(
    *,
    logprobs: Float[Tensor, " target"],
    response_index: Int[Tensor, " target"],
    num_responses: int,
    reduction: Reduction,
) -> Float[Tensor, " response"]:
    r"""Negative log-likelihood of each response in nats, summed or averaged over its tokens.

    .. math:: \ell_r = -\sum_{t \in r} \log \pi(y_t \mid x, y_{<t}), \qquad
              \bar\ell_r = \ell_r \, / \, |r|

    The weight of an SFT term next to a preference loss means nothing without its normalisation, and three are in
    use: the mean over pairs of `"sum"` (Nemotron-4, arXiv:2406.11704; weights 1e-5 to 1e-3), the mean over pairs
    of `"mean"` (the reading of Llama 3, arXiv:2407.21783, section 4.1.4; weight 0.2), and the mean of :func:`nll`
    over all chosen tokens of the batch.

    Args:
        logprobs: Log-probability of each supervised token.
        response_index: The response each token belongs to.
        num_responses: Number of responses; one that owns no token gets 0.
        reduction: Over the tokens of a response.

    >>> import torch
    >>> token = dict(logprobs=torch.tensor([-1.0, -3.0, -5.0]), response_index=torch.tensor([0, 0, 1]))
    >>> response_nll(**token, num_responses=2, reduction="mean")
    tensor([2., 5.])
    """
    values = nll(logprobs)
    total = values.new_zeros(num_responses).index_add(0, response_index, values)
    if reduction == "sum":
        return total
    num_tokens = counted(response_index, num_responses)
    return total / num_tokens.clamp(min=1)
