"""Reward models: what they share, and the regression of human ratings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import AdamW

from lit_align.data.kinds import RatingData
from lit_align.errors import ConfigError, DataError
from lit_align.losses import HELPSTEER_ATTRIBUTES, REWARD_WEIGHTS, nll, regression_loss
from lit_align.metrics import AttributeErrors
from lit_align.models.backbone import Backbone
from lit_align.models.batch import PackedBatch, RatingBatch
from lit_align.models.heads import HEAD_CONFIG, RewardHead, load_head, logprob_features, read_head_config
from lit_align.models.loading import seeded
from lit_align.modules.base import AlignmentModule
from lit_align.modules.predictions import Predictions
from lit_align.modules.schedule import OptimizerCallable, Schedule
from lit_align.modules.sharding import sharding
from lit_align.modules.terms import Term, Terms

Weights = str | dict[str, float] | None


class RewardModule(AlignmentModule):
    """A backbone with a head that reads the last supervised token of a response, found from the mask.

    Args:
        backbone: The model to train; where its folder holds a reward head, training continues from that too.
        attributes: Names of the head's outputs; those of the head in the backbone's folder unless given.
        weights: Weights of the attributes in the scalar reward: `nemotron4_340b_reward`, `llama3_70b_steerlm`,
            `helpsteer2_goodness`, or a number by name. Unless given, those of the head in the backbone's folder; 1 for
            a single attribute; else `nemotron4_340b_reward`.
        logprob_features: Whether the head also sees the mean and the lowest token log-probability of the response.
        inner_size: Width of a hidden layer of the head; 0 makes it linear, as published.
        optimizer: Makes the optimizer of parameter groups.
        schedule: How the learning rate moves.
    """

    DEFAULT_ATTRIBUTES: Sequence[str] = ("preference",)

    def __init__(
        self,
        backbone: Backbone,
        *,
        attributes: list[str] | None = None,
        weights: Weights = None,
        logprob_features: bool = False,
        inner_size: int = 0,
        optimizer: OptimizerCallable = lambda params: AdamW(params, lr=2e-6, weight_decay=0.1),
        schedule: Schedule = Schedule(warmup_steps=10),
    ) -> None:
        super().__init__(optimizer=optimizer, schedule=schedule)
        self.backbone = backbone
        self.attributes = list(attributes or _attributes_of(backbone) or self.DEFAULT_ATTRIBUTES)
        self.weights = _weights(weights, self.attributes)
        self.logprob_features = logprob_features
        self.inner_size = inner_size
        self.head: RewardHead | None = None

    @property
    def trained(self) -> Backbone:
        return self.backbone

    @property
    def learns_language(self) -> bool:
        """Whether a loss reads token log-probabilities."""
        return False

    def build(self) -> None:
        """Builds the backbone and its head."""
        super().build()
        if self.head is not None:
            return
        self.head = self._make_head()
        if not (self.learns_language or self.head.logprob_features):
            _freeze_output_head(self.backbone)
        if (shard := sharding(self._trainer)) is not None:
            shard(self.head)

    def _make_head(self) -> RewardHead:
        folder = _head_folder(self.backbone)
        if folder is not None:
            head = load_head(folder)
            if list(head.attributes) != self.attributes:
                raise ConfigError(f"{folder}: its head predicts {list(head.attributes)}, asked for {self.attributes}")
            if self.logprob_features and not head.logprob_features:
                raise ConfigError(f"{folder}: its head reads no log-probabilities: leave logprob_features out")
            if self.weights is not None:
                head.weights = {name: float(self.weights.get(name, 0.0)) for name in head.attributes}
            return head
        with seeded(0):  # the same head in every process
            head = RewardHead(
                hidden_size=self.backbone.hidden_size,
                attributes=self.attributes,
                weights=self.weights or _default_weights(self.attributes),
                logprob_features=self.logprob_features,
                inner_size=self.inner_size,
            )
        self.prepare_head(head)
        return head

    def prepare_head(self, head: RewardHead) -> None:
        """Adapts an untrained head to the training data."""

    def forward(self, batch: PackedBatch) -> Float[Tensor, "response attribute"]:
        """The attributes of each response, in the units of their ratings."""
        return self.read(batch)[0]

    def read(self, batch: PackedBatch) -> tuple[Tensor, Tensor, Tensor | None]:
        """Attributes and final state of each response, and token log-probabilities where something reads them."""
        head = cast("RewardHead", self.head)
        if not (self.learns_language or head.logprob_features):
            states = self.backbone.end_states(batch)
            return head(states), states, None
        logprobs, states = self.backbone.logprobs_and_end_states(batch)
        features = logprob_features(batch, logprobs) if head.logprob_features else None
        return head(states, features), states, logprobs

    def rewards(self, attributes: Float[Tensor, "response attribute"]) -> Float[Tensor, " response"]:
        """The scalar reward of each response."""
        return cast("RewardHead", self.head).reward(attributes)

    def predict_step(self, batch: PackedBatch, batch_idx: int) -> Predictions:
        """Every attribute of each response by name, and the reward."""
        values = self(batch)
        return {**dict(zip(self.attributes, values.unbind(1), strict=True)), "reward": self.rewards(values)}


@final
class RewardRegression(RewardModule):
    """A reward model that predicts the ratings of several attributes (HelpSteer2, arXiv:2406.08673, section 3).

    The loss is the squared error over all labels present in an optimizer step.

    Args:
        backbone: The model to train; where its folder holds a reward head, training continues from that too.
        lm_weight: Weight of a language-model loss on highly rated responses, which keeps a small backbone
            generative (after GRM, arXiv:2406.10216). The data module says what counts as high.
        shared: Arguments of `RewardModule`.
    """

    data_class = RatingData
    DEFAULT_ATTRIBUTES = HELPSTEER_ATTRIBUTES

    def __init__(self, backbone: Backbone, *, lm_weight: float = 0.0, **shared: Any) -> None:
        super().__init__(backbone, **shared)
        self.lm_weight = lm_weight
        self._errors = AttributeErrors(self.attributes)

    @property
    def learns_language(self) -> bool:
        return bool(self.lm_weight)

    def prepare(self) -> None:
        """Refuses data whose ratings are not the head's, or that has nothing for the language-model term."""
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, RatingData):
            return
        if list(data.attributes) != self.attributes:
            raise ConfigError(f"data.attributes {list(data.attributes)} are not the model's {self.attributes}")
        train = data.datasets.get("train")
        if self.lm_weight and train is not None and not any(counts["lm_tokens"] for counts in train.counts):
            raise DataError(
                f"lm_weight is {self.lm_weight}, but no response has {data.lm_attribute} >= {data.lm_threshold}\n"
                "Lower data.lm_threshold, choose another data.lm_attribute, or set lm_weight to 0."
            )

    def prepare_head(self, head: RewardHead) -> None:
        """Makes the untrained head predict the mean rating."""
        data = self._trainer and getattr(self.trainer, "datamodule", None)
        if isinstance(data, RatingData) and "train" in data.datasets:
            head.standardise(data.ratings("train"))

    def losses(self, batch: RatingBatch) -> Terms:
        """The squared error per label, and the language-model loss per token of highly rated responses."""
        predictions, _, logprobs = self.read(batch)
        if not self.training:
            self._errors.update(predictions.detach(), ratings=batch.ratings)
        error = regression_loss(predictions, ratings=batch.ratings)
        terms = {"squared_error": Term(total=error.sum(), per="labels", weight=1.0)}
        if self.lm_weight and logprobs is not None:
            learned = torch.where(batch.highly_rated[batch.response_index], nll(logprobs), 0.0)
            terms["nll"] = Term(total=learned.sum(), per="lm_tokens", weight=self.lm_weight)
        return terms

    def epoch_metrics(self) -> dict[str, float]:
        """Errors and correlations by attribute."""
        values = {name: float(value) for name, value in self._errors.compute().items()}
        self._errors.reset()
        return values


def _head_folder(backbone: Backbone) -> Path | None:
    """The folder of the weights that training starts from, where it holds a reward head."""
    folder = Path(getattr(backbone, "pretrained", None) or "/nonexistent")
    return folder if (folder / HEAD_CONFIG).exists() else None


def _attributes_of(backbone: Backbone) -> Sequence[str] | None:
    folder = _head_folder(backbone)
    return None if folder is None else read_head_config(folder)["attributes"]


def _weights(weights: Weights, attributes: Sequence[str]) -> Mapping[str, float] | None:
    if isinstance(weights, str):
        if weights not in REWARD_WEIGHTS:
            raise ConfigError(f"weights: unknown set {weights}; published: {', '.join(REWARD_WEIGHTS)}")
        return dict(REWARD_WEIGHTS[weights])
    if weights is not None and (unknown := sorted(set(weights) - set(attributes))):
        raise ConfigError(f"weights name attributes the head does not have: {', '.join(unknown)}")
    return weights


def _default_weights(attributes: Sequence[str]) -> Mapping[str, float]:
    if len(attributes) == 1:
        return {attributes[0]: 1.0}
    if tuple(attributes) == HELPSTEER_ATTRIBUTES:
        return REWARD_WEIGHTS["nemotron4_340b_reward"]
    raise ConfigError(f"weights: say what each of {', '.join(attributes)} counts in the reward")


def _freeze_output_head(backbone: Backbone) -> None:
    """A head that no loss reads must not require gradients: data-parallel training would wait for them."""
    model: Any = getattr(backbone, "model", None)
    if model is None:
        return
    head = model.get_output_embeddings()
    if head is not None and head.weight is not model.get_input_embeddings().weight:
        head.requires_grad_(False)
