"""Reward models of preferences: Bradley-Terry and its relatives."""

from abc import abstractmethod
from typing import Any, Literal, final

from jaxtyping import Float
from torch import Tensor

from lit_align.data.kinds import PreferenceData, ScoredData
from lit_align.losses import (
    bradley_terry_loss,
    margin_bradley_terry_loss,
    ordered_pairs,
    regression_loss,
    scaled_bradley_terry_loss,
)
from lit_align.losses.numerics import counted
from lit_align.metrics import MarginStatistics
from lit_align.models.backbone import Backbone
from lit_align.models.batch import PreferenceBatch, ScoredBatch
from lit_align.modules.reward import RewardModule
from lit_align.modules.strengths import Table, of_strengths, require_strengths, table
from lit_align.modules.terms import Term, Terms, observed

STRENGTHS = (0.5, 1, 2, 3)


class PairwiseReward(RewardModule):
    """A reward model of pairs. A subclass turns the margin of the reward, chosen minus rejected, into a loss per pair.

    Args:
        backbone: The model to train; where its folder holds a reward head, training continues from that too.
        center_weight: Weight of the squared sum of a pair's rewards. The loss leaves the level of rewards free; this
            ties it to 0 (arXiv:2312.09244).
        shared: Arguments of `RewardModule`.
    """

    data_class = PreferenceData

    def __init__(self, backbone: Backbone, *, center_weight: float = 0.0, **shared: Any) -> None:
        super().__init__(backbone, **shared)
        self.center_weight = center_weight
        self._margins = MarginStatistics(strengths=STRENGTHS)

    @abstractmethod
    def pair_loss(self, batch: PreferenceBatch, margin: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
        """The loss of each pair, given the margin of its rewards."""

    def losses(self, batch: PreferenceBatch) -> Terms:
        """The loss per pair, further terms of a subclass, and what the field watches."""
        attributes, states, _ = self.read(batch)
        rewards = self.rewards(attributes)
        chosen, rejected = rewards[batch.chosen], rewards[batch.rejected]
        if not self.training:
            self._margins.update(chosen=chosen.detach(), rejected=rejected.detach(), strength=batch.strengths)
        total = self.pair_loss(batch, chosen - rejected).sum()
        terms = {"ranking_loss": Term(total=total, per="pairs", weight=1.0), **self.more(batch, rewards, states)}
        if self.center_weight:
            level = (chosen + rejected).square().sum()
            terms["center_loss"] = Term(total=level, per="pairs", weight=self.center_weight)
        return {**terms, **ranking_observations(chosen.detach(), rejected.detach())}

    def more(self, batch: PreferenceBatch, rewards: Tensor, states: Tensor) -> Terms:
        """Further terms: of the rewards, or of the final states that they are read from."""
        return {}

    def epoch_metrics(self) -> dict[str, float]:
        """Accuracy with its interval, by strength; spreads and calibration of the rewards."""
        return computed(self._margins)


def computed(metric: MarginStatistics) -> dict[str, float]:
    """Its values so far, but for strengths that no pair has; starts it anew."""
    values = {name: float(value) for name, value in metric.compute().items()}
    metric.reset()
    absent = {
        f"strength_{strength:g}" for strength in metric.strengths if not values[f"num_pairs_strength_{strength:g}"]
    }
    return {name: value for name, value in values.items() if not any(name.endswith(label) for label in absent)}


def ranking_observations(chosen: Float[Tensor, " pair"], rejected: Float[Tensor, " pair"]) -> Terms:
    """Accuracy (a tie is wrong), margin and level of the rewards of pairs."""
    return observed(
        {
            "accuracy": (chosen > rejected).float(),
            "margin": chosen - rejected,
            "chosen_reward": chosen,
            "rejected_reward": rejected,
        },
        per="pairs",
    )


@final
class BradleyTerry(PairwiseReward):
    """The likelihood of preferences (Llama 2, arXiv:2307.09288, equation 1)."""

    def pair_loss(self, batch: PreferenceBatch, margin: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
        return bradley_terry_loss(margin=margin)


@final
class MarginBradleyTerry(PairwiseReward):
    """Bradley-Terry that asks for a gap by strength (Llama 2, arXiv:2307.09288, equation 2).

    Args:
        backbone: The model to train; where its folder holds a reward head, training continues from that too.
        margins: The gap: the `strength` itself (HelpSteer2-Preference, arXiv:2410.01257), `llama2_small`,
            `llama2_large`, or a number by strength.
        shared: Arguments of `PairwiseReward`.
    """

    def __init__(self, backbone: Backbone, *, margins: Table = "llama2_small", **shared: Any) -> None:
        super().__init__(backbone, **shared)
        self.required = table("margins", margins)

    def prepare(self) -> None:
        require_strengths(self.trainer, self.required)

    def pair_loss(self, batch: PreferenceBatch, margin: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
        return margin_bradley_terry_loss(margin=margin, required=of_strengths(batch.strengths, self.required))


@final
class ScaledBradleyTerry(PairwiseReward):
    """Bradley-Terry weighted by the strength of a preference (HelpSteer2-Preference, arXiv:2410.01257)."""

    def prepare(self) -> None:
        require_strengths(self.trainer, None)

    def pair_loss(self, batch: PreferenceBatch, margin: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
        return scaled_bradley_terry_loss(margin=margin, strength=batch.strengths)


@final
class BradleyTerryRegression(PairwiseReward):
    """Bradley-Terry that ties the reward to an absolute score where there is one (Baichuan, arXiv:2410.14940, eq. 1).

    The scores are `chosen_reward` and `rejected_reward` of the rows, normalised to the scale that rewards shall have.

    Args:
        backbone: The model to train; where its folder holds a reward head, training continues from that too.
        alpha: Weight of the squared errors, both of a pair together, averaged over all pairs. The paper does not give
            its value.
        shared: Arguments of `PairwiseReward`.
    """

    def __init__(self, backbone: Backbone, *, alpha: float = 0.1, **shared: Any) -> None:
        super().__init__(backbone, **shared)
        self.alpha = alpha

    def prepare(self) -> None:
        """Says how many pairs have absolute scores; without any there is nothing to tie rewards to."""
        data = getattr(self.trainer, "datamodule", None)
        if self.alpha and isinstance(data, PreferenceData):
            data.require_some_rewards()

    def pair_loss(self, batch: PreferenceBatch, margin: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
        return bradley_terry_loss(margin=margin)

    def more(self, batch: PreferenceBatch, rewards: Tensor, states: Tensor) -> Terms:
        error = regression_loss(rewards[:, None], ratings=batch.rewards[:, None])
        return {"squared_error": Term(total=error.sum(), per="pairs", weight=self.alpha)}


@final
class RankedBradleyTerry(RewardModule):
    """Bradley-Terry over all pairs of a prompt's ranked responses (Llama 3, arXiv:2407.21783, section 4.1.2).

    Args:
        backbone: The model to train; where its folder holds a reward head, training continues from that too.
        reduction: What the loss is a mean of: `pair`s of the batch, or `prompt`s, each the mean of its pairs.
        shared: Arguments of `RewardModule`.
    """

    data_class = ScoredData

    def __init__(self, backbone: Backbone, *, reduction: Literal["pair", "prompt"] = "pair", **shared: Any) -> None:
        super().__init__(backbone, **shared)
        self.reduction = reduction
        self._margins = MarginStatistics()

    def losses(self, batch: ScoredBatch) -> Terms:
        """The loss per pair or prompt, and what the field watches."""
        rewards = self.rewards(self(batch))
        better, worse = ordered_pairs(batch.rewards, prompt_index=batch.prompt_index)
        if not self.training:
            self._margins.update(chosen=rewards[better].detach(), rejected=rewards[worse].detach())
        values = bradley_terry_loss(margin=rewards[better] - rewards[worse])
        if self.reduction == "prompt":
            prompts = batch.prompt_index[better]
            values = values / counted(prompts, len(batch.row_ids))[prompts]
        total = Term(total=values.sum(), per=f"{self.reduction}s", weight=1.0)
        detached = rewards.detach()
        return {"ranking_loss": total, **ranking_observations(detached[better], detached[worse])}

    def epoch_metrics(self) -> dict[str, float]:
        """Accuracy over all ordered pairs with its interval; spreads and calibration of the rewards."""
        return computed(self._margins)
