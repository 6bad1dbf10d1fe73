"""Losses on preference pairs, as functions of the implicit and the reward model's margin."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lit_align.losses.bradley_terry import bradley_terry_loss, soft_label_loss
from lit_align.losses.numerics import at_least_float32


def dpo_loss(*, implicit_margin: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
    r"""Direct preference optimization, arXiv:2305.18290, equation 7.

    The margin :math:`m` is the policy's implicit reward of the chosen minus the rejected response,

    .. math:: m = \beta \left[ \log\frac{\pi(y_c \mid x)}{\pi_\mathrm{ref}(y_c \mid x)}
                             - \log\frac{\pi(y_r \mid x)}{\pi_\mathrm{ref}(y_r \mid x)} \right],

    with log-probabilities in nats summed over response tokens. The loss is :math:`-\log \sigma(m)`, its gradient
    in :math:`m` is :math:`-\sigma(-m)`, and it is ln 2 where policy and reference agree.

    >>> dpo_loss(implicit_margin=torch.zeros(1))
    tensor([0.6931])
    """
    return bradley_terry_loss(margin=implicit_margin)


def cdpo_loss(*, implicit_margin: Float[Tensor, " pair"], label_smoothing: float) -> Float[Tensor, " pair"]:
    r"""Conservative DPO: labels are wrong with probability epsilon (Mitchell 2023, `ericmitchell.ai/cdpo.pdf`, eq. 3).

    .. math:: -(1 - \epsilon) \log\sigma(m) - \epsilon \log\sigma(-m)

    The best margin is finite, :math:`\operatorname{logit}(1 - \epsilon)`. TRL 1.16 accepts `label_smoothing` with its
    `sigmoid` loss and ignores it.

    >>> cdpo_loss(implicit_margin=torch.tensor([2.0]), label_smoothing=0.0)
    tensor([0.1269])
    """
    return soft_label_loss(margin=implicit_margin, probability=torch.full_like(implicit_margin, 1 - label_smoothing))


def robust_dpo_loss(*, implicit_margin: Float[Tensor, " pair"], label_smoothing: float) -> Float[Tensor, " pair"]:
    r"""Unbiased DPO under labels that are flipped with probability epsilon < 1/2 (arXiv:2403.00409).

    .. math:: \frac{-(1 - \epsilon) \log\sigma(m) + \epsilon \log\sigma(-m)}{1 - 2\epsilon}

    Not bounded below: it falls without end as the margin grows.

    >>> robust_dpo_loss(implicit_margin=torch.tensor([2.0]), label_smoothing=0.0)
    tensor([0.1269])
    """
    margin = at_least_float32(implicit_margin)
    flipped = -(1 - label_smoothing) * F.logsigmoid(margin) + label_smoothing * F.logsigmoid(-margin)
    return flipped / (1 - 2 * label_smoothing)


def ipo_loss(*, implicit_margin: Float[Tensor, " pair"], tau: float) -> Float[Tensor, " pair"]:
    r"""Identity preference optimization (arXiv:2310.12036, equation 17).

    .. math:: \left(\Delta - \frac{1}{2\tau}\right)^2, \qquad m = \tau \Delta

    :math:`\Delta` is the difference of log-probability ratios, so tau is DPO's beta. The paper, NeMo-Aligner, OpenRLHF
    sum log-probabilities over a response, TRL always averages them: one tau is not the other.

    >>> ipo_loss(implicit_margin=torch.tensor([0.5]), tau=0.1)
    tensor([0.])
    """
    return ((at_least_float32(implicit_margin) - 0.5) / tau).square()


def rpo_loss(
    *, implicit_margin: Float[Tensor, " pair"], reward_margin: Float[Tensor, " pair"]
) -> Float[Tensor, " pair"]:
    r"""Reward-aware preference optimization with the distance of Nemotron-4, arXiv:2406.11704, section 3.3.2.

    Both margins are chosen minus rejected: :math:`m` as in :func:`dpo_loss`, and :math:`r`, the reward model's
    times eta. Each makes a Bernoulli preference; the loss brings the policy's to the reward model's,

    .. math:: \mathrm{KL}\big(\mathrm{Bernoulli}(\sigma(r)) \,\|\, \mathrm{Bernoulli}(\sigma(m))\big),

    with gradient :math:`\sigma(m) - \sigma(r)` in :math:`m`. It tends to :func:`dpo_loss` as
    :math:`r \to \infty`, and is 0 where the margins agree. The target stands on the left: NeMo-Aligner calls this
    `rpo_bwd_kl`. Elsewhere the letters RPO also name reward *partitioning* (arXiv:2506.13702) and the mix of DPO
    with a likelihood term of iterative *reasoning* preference optimization (arXiv:2404.19733).

    >>> rpo_loss(implicit_margin=torch.tensor([1.0]), reward_margin=torch.tensor([1.0]))
    tensor([0.])
    """
    return _bernoulli_kl(left=reward_margin, right=implicit_margin)


def rpo_reverse_loss(
    *, implicit_margin: Float[Tensor, " pair"], reward_margin: Float[Tensor, " pair"]
) -> Float[Tensor, " pair"]:
    r""":func:`rpo_loss` with the arguments of its divergence exchanged: policy left, reward model right.

    .. math:: \mathrm{KL}\big(\mathrm{Bernoulli}(\sigma(m)) \,\|\, \mathrm{Bernoulli}(\sigma(r))\big)

    The gradient in :math:`m`, :math:`\sigma(m)\,\sigma(-m)\,(m - r)`, vanishes on a saturated policy however wrong
    it is. NeMo-Aligner calls it `rpo_fwd_kl`.

    >>> rpo_reverse_loss(implicit_margin=torch.tensor([1.0]), reward_margin=torch.tensor([1.0]))
    tensor([0.])
    """
    return _bernoulli_kl(left=implicit_margin, right=reward_margin)


def rpo_squared_loss(
    *, implicit_margin: Float[Tensor, " pair"], reward_margin: Float[Tensor, " pair"]
) -> Float[Tensor, " pair"]:
    r"""Reward-aware preference optimization with the squared distance :math:`(m - r)^2`.

    NeMo-Aligner calls it `rpo_sq`. At :math:`r = 1/2` with beta as IPO's tau it is tau squared times IPO
    (arXiv:2310.12036, equation 17).

    >>> rpo_squared_loss(implicit_margin=torch.tensor([1.0]), reward_margin=torch.tensor([3.0]))
    tensor([4.])
    """
    return (at_least_float32(implicit_margin) - at_least_float32(reward_margin)).square()


def _bernoulli_kl(*, left: Float[Tensor, " pair"], right: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
    """KL(Bernoulli(sigmoid(left)) || Bernoulli(sigmoid(right))), finite with its gradient for any finite margins."""
    left, right = at_least_float32(left), at_least_float32(right)
    target = F.logsigmoid(torch.stack([left, -left]))
    log_probabilities = F.logsigmoid(torch.stack([right, -right]))
    return F.kl_div(log_probabilities, target, log_target=True, reduction="none").sum(dim=0)
