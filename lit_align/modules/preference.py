"""Offline preference optimisation against a fixed reference: DPO and reward-aware preference optimisation."""

from abc import abstractmethod
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import AdamW

from lit_align.data.kinds import PreferenceData
from lit_align.errors import ConfigError, DataError
from lit_align.losses import dpo_loss, nll, response_nll, rpo_loss, rpo_reverse_loss, rpo_squared_loss
from lit_align.models.backbone import Backbone
from lit_align.models.batch import PreferenceBatch
from lit_align.models.tokenizer import load_tokenizer, tokenizer_difference
from lit_align.modules.base import AlignmentModule
from lit_align.modules.predictions import Predictions, response_logprobs
from lit_align.modules.reference import add_reference_logprobs
from lit_align.modules.schedule import OptimizerCallable, Schedule
from lit_align.modules.terms import Term, Terms

SFTReduction = Literal["sum", "mean", "token"]
_DISTANCES = {"kl": rpo_loss, "reverse_kl": rpo_reverse_loss, "squared": rpo_squared_loss}
# What the same weights may differ by, in nats a pair, when the rows around them change: in 32 bits, and in 16.
_SAME_WEIGHTS, _SAME_WEIGHTS_IN_16_BITS = 1e-3, 0.5


class PreferenceModule(AlignmentModule):
    """Trains `policy` against the reference log-probabilities its batches carry.

    The implicit reward of a response is `beta` times its log-probability ratio, policy over reference, in nats summed
    over the response. A subclass turns the margin of that reward, chosen minus rejected, into a loss per pair; it
    overrides nothing else.
    """

    policy: Backbone
    beta: float
    sft_weight: float
    sft_reduction: SFTReduction
    cache_dir: str | None
    # In a tuple, where it is no submodule: it is never built, trained or saved.
    _reference: tuple[Backbone | None]

    @property
    def reference(self) -> Backbone | None:
        """What the policy is compared with; None for the weights it starts from."""
        return self._reference[0]

    @abstractmethod
    def pair_loss(self, batch: PreferenceBatch, implicit_margin: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
        """The loss of each pair, given the margin of its implicit rewards."""

    @property
    def trained(self) -> Backbone:
        return self.policy

    def prepare(self) -> None:
        """Computes the reference log-probabilities of all rows, or reads them from disk."""
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, PreferenceData):
            reference = self.reference or self.policy.frozen_copy()
            difference = tokenizer_difference(data.chat.tokenizer, load_tokenizer(reference.tokenizer_source))
            if difference is not None:
                raise ConfigError(f"the reference has another tokenizer than the data: {difference}")
            add_reference_logprobs(data, reference, self.trainer, cache_dir=self.cache_dir)

    def implicit_rewards(
        self, batch: PreferenceBatch, logprobs: Float[Tensor, " target"]
    ) -> Float[Tensor, " response"]:
        """`beta` times the log-probability ratio of each response, policy over reference."""
        if batch.reference_logprobs is None:
            raise DataError(
                "the batch has no reference log-probabilities\n"
                "Train with a PreferenceData module, which computes and caches them, or set batch.reference_logprobs."
            )
        return self.beta * batch.sum_by_response(logprobs - batch.reference_logprobs)

    def losses(self, batch: PreferenceBatch) -> Terms:
        """The loss per pair, the weighted language-model term, and what the field watches."""
        logprobs = self.policy.logprobs(batch)
        rewards = self.implicit_rewards(batch, logprobs)
        margin = rewards[batch.chosen] - rewards[batch.rejected]
        if self._trainer is not None and self.training and not self.global_step and self._refers_to_its_start:
            self._check_start(batch, margin.detach())
        return {
            "preference_loss": Term(total=self.pair_loss(batch, margin).sum(), per="pairs", weight=1.0),
            **self._sft_term(batch, logprobs),
            **_observations(batch, logprobs.detach(), rewards.detach()),
        }

    def predict_step(self, batch: PreferenceBatch, batch_idx: int) -> Predictions:
        """The log-probability of each response, in nats, its number of tokens, and its implicit reward."""
        logprobs = self.policy.logprobs(batch)
        return {**response_logprobs(batch, logprobs), "implicit_reward": self.implicit_rewards(batch, logprobs)}

    def _sft_term(self, batch: PreferenceBatch, logprobs: Tensor) -> Terms:
        if not self.sft_weight:
            return {}
        if self.sft_reduction == "token":
            is_chosen = torch.zeros(batch.num_responses, dtype=torch.bool, device=logprobs.device)
            is_chosen[batch.chosen] = True
            total = torch.where(is_chosen[batch.response_index], nll(logprobs), 0.0).sum()
            return {"sft_loss": Term(total=total, per="chosen_tokens", weight=self.sft_weight)}
        values = response_nll(
            logprobs=logprobs,
            response_index=batch.response_index,
            num_responses=batch.num_responses,
            reduction=self.sft_reduction,
        )
        return {"sft_loss": Term(total=values[batch.chosen].sum(), per="pairs", weight=self.sft_weight)}

    @property
    def _refers_to_its_start(self) -> bool:
        return self.reference is None or self.reference.fingerprint() == self.policy.fingerprint()

    def _check_start(self, batch: PreferenceBatch, margin: Tensor) -> None:
        """Before the first step policy and reference are the same weights, so every margin must be zero."""
        half = "16" in str(self.trainer.precision) or any(p.dtype.itemsize == 2 for p in self.policy.parameters())
        limit = _SAME_WEIGHTS_IN_16_BITS if half else _SAME_WEIGHTS
        if not self._all_ranks(_largest(margin) / self.beta <= limit):
            # Dropout moves them too; a pass without it decides.
            self.policy.eval()
            with torch.no_grad():
                rewards = self.implicit_rewards(batch, self.policy.logprobs(batch))
            self.policy.train()
            margin = rewards[batch.chosen] - rewards[batch.rejected]
            if not self._all_ranks(_largest(margin) / self.beta <= limit):
                raise ConfigError(
                    f"policy and reference differ by {_largest(margin) / self.beta:.3g} nats before the first step "
                    f"(at most {limit}): the reference log-probabilities belong to other weights, rows or precision\n"
                    "Delete the cache."
                )

    def _all_ranks(self, decision: bool) -> bool:
        return self.trainer.strategy.reduce_boolean_decision(decision, all=True)


def _largest(margin: Tensor) -> float:
    return float(margin.abs().max()) if margin.numel() else 0.0


def _observations(batch: PreferenceBatch, logprobs: Tensor, rewards: Tensor) -> Terms:
    chosen, rejected = rewards[batch.chosen], rewards[batch.rejected]
    sums, lengths = batch.sum_by_response(logprobs), batch.tokens_by_response()
    values = {
        # Ties count as wrong.
        "accuracy": (chosen > rejected).float(),
        "implicit_margin": chosen - rejected,
        "chosen_reward": chosen,
        "rejected_reward": rejected,
        "chosen_logprob": sums[batch.chosen],
        "rejected_logprob": sums[batch.rejected],
        "chosen_length": lengths[batch.chosen],
        "rejected_length": lengths[batch.rejected],
    }
    return {name: Term(total=value.sum(), per="pairs") for name, value in values.items()}


@final
class DPO(PreferenceModule):
    """Direct preference optimization (arXiv:2305.18290, equation 7), with an optional language-model term.

    Args:
        policy: The model to train.
        reference: What it is compared with; the weights the policy starts from unless given.
        beta: Scale of the implicit reward; larger keeps the policy nearer its reference.
        sft_weight: Weight of the negative log-likelihood of chosen responses.
        sft_reduction: What that is a mean of: response `sum`s over pairs (Nemotron-4, weights of 1e-5 to 1e-3),
            response `mean`s over pairs (Llama 3, 0.2), or `token`s.
        cache_dir: Where reference log-probabilities are kept; `$LIT_ALIGN_CACHE` or `~/.cache/lit-align` unless given.
        optimizer: Makes the optimizer of parameter groups.
        schedule: How the learning rate moves.
    """

    def __init__(
        self,
        policy: Backbone,
        *,
        reference: Backbone | None = None,
        beta: float = 0.1,
        sft_weight: float = 0.0,
        sft_reduction: SFTReduction = "sum",
        cache_dir: str | None = None,
        optimizer: OptimizerCallable = lambda params: AdamW(params, lr=5e-7, weight_decay=0.1),
        schedule: Schedule = Schedule(),
    ) -> None:
        super().__init__(optimizer=optimizer, schedule=schedule)
        self.policy = policy
        self._reference = (reference,)
        self.beta = _positive("beta", beta)
        self.sft_weight = sft_weight
        self.sft_reduction: SFTReduction = sft_reduction
        self.cache_dir = cache_dir

    def pair_loss(self, batch: PreferenceBatch, implicit_margin: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
        """Minus the log-probability of preferring the chosen response."""
        return dpo_loss(implicit_margin=implicit_margin)


@final
class RPO(PreferenceModule):
    """Reward-aware preference optimization (Nemotron-4, arXiv:2406.11704): bring the margin to the reward model's.

    Args:
        policy: The model to train.
        reference: What it is compared with; the weights the policy starts from unless given.
        beta: Scale of the implicit reward; larger keeps the policy nearer its reference.
        eta: Scale of the reward model's scores, in implicit reward per unit of score.
        distance: `kl` from the reward model's preference to the policy's (the paper's), `reverse_kl`, or `squared`.
        sft_weight: Weight of the negative log-likelihood of chosen responses.
        sft_reduction: What that is a mean of: response `sum`s over pairs, response `mean`s over pairs, or `token`s.
        cache_dir: Where reference log-probabilities are kept; `$LIT_ALIGN_CACHE` or `~/.cache/lit-align` unless given.
        optimizer: Makes the optimizer of parameter groups.
        schedule: How the learning rate moves.
    """

    def __init__(
        self,
        policy: Backbone,
        *,
        reference: Backbone | None = None,
        beta: float = 0.1,
        eta: float = 1.0,
        distance: Literal["kl", "reverse_kl", "squared"] = "kl",
        sft_weight: float = 0.0,
        sft_reduction: SFTReduction = "sum",
        cache_dir: str | None = None,
        optimizer: OptimizerCallable = lambda params: AdamW(params, lr=3e-7, weight_decay=0.1),
        schedule: Schedule = Schedule(),
    ) -> None:
        super().__init__(optimizer=optimizer, schedule=schedule)
        self.policy = policy
        self._reference = (reference,)
        self.beta = _positive("beta", beta)
        self.eta = _positive("eta", eta)
        self.distance = distance
        self.sft_weight = sft_weight
        self.sft_reduction: SFTReduction = sft_reduction
        self.cache_dir = cache_dir

    def prepare(self) -> None:
        """Refuses rows without rewards, then computes the reference log-probabilities."""
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, PreferenceData):
            data.require_rewards(self.eta)
        super().prepare()

    def pair_loss(self, batch: PreferenceBatch, implicit_margin: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
        """The distance between the policy's preference and the reward model's."""
        reward_margin = self.eta * (batch.rewards[batch.chosen] - batch.rewards[batch.rejected])
        return _DISTANCES[self.distance](implicit_margin=implicit_margin, reward_margin=reward_margin)


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise ConfigError(f"{name} must be positive, got {value}")
    return value
