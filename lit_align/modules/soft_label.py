"""The reward model of Apple's foundation models: soft labels, and grades on single questions."""

from typing import Any, cast, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lit_align.data.kinds import PreferenceData
from lit_align.errors import ConfigError, DataError
from lit_align.losses import PROBABILITIES, grading_loss, soft_label_loss
from lit_align.models.backbone import Backbone
from lit_align.models.batch import PreferenceBatch
from lit_align.models.loading import seeded
from lit_align.modules.bradley_terry import PairwiseReward
from lit_align.modules.sharding import sharding
from lit_align.modules.strengths import of_strengths, require_strengths
from lit_align.modules.terms import Term, Terms

QUESTIONS = ("instruction_following", "verbosity", "truthfulness", "harmlessness")
NUM_GRADES = 3


@final
class SoftLabelBradleyTerry(PairwiseReward):
    """Bradley-Terry with soft labels and single-sided grading (AFM, arXiv:2407.21075, section 4.3, appendix E.1).

    Each response is also graded on single questions, 0, 1 or 2, in `chosen_ratings` and `rejected_ratings`. A small
    network a question predicts the grade from the state the reward is read from; it is dropped when the model is saved.

    Args:
        backbone: The model to train; where its folder holds a reward head, training continues from that too.
        probabilities: Probability that the label is right, by strength; the published 0.95, 0.85, 0.75, 0.65 for 3, 2,
            1, 0.5 unless given.
        questions: Names of the graded questions; instruction following, verbosity, truthfulness and harmlessness unless
            given.
        grading_weight: Weight of the cross-entropies, summed over questions and both responses of a pair. The paper
            does not give its value; 0 leaves grades out.
        shared: Arguments of `PairwiseReward`.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        probabilities: dict[float, float] | None = None,
        questions: list[str] | None = None,
        grading_weight: float = 0.1,
        **shared: Any,
    ) -> None:
        super().__init__(backbone, **shared)
        self.probabilities = dict(PROBABILITIES) if probabilities is None else probabilities
        self.questions = list(QUESTIONS if questions is None else questions)
        self.grading_weight = grading_weight
        self.grading: GradingHeads | None = None

    def prepare(self) -> None:
        """Refuses pairs without a known strength, and grades that the heads do not have."""
        require_strengths(self.trainer, self.probabilities)
        data = getattr(self.trainer, "datamodule", None)
        if not self.grading_weight or not isinstance(data, PreferenceData):
            return
        if list(data.attributes) != self.questions:
            raise ConfigError(
                f"data.attributes {list(data.attributes)} are not the questions {self.questions}\n"
                "Name the questions in data.attributes, or set grading_weight to 0."
            )
        for dataset in data.learned().values():
            for index, ratings in enumerate(dataset.rows.column("ratings")):
                for name, grade in ((n, g) for rating in ratings for n, g in rating.items()):
                    if grade not in range(NUM_GRADES):
                        place = dataset.rows[index].place
                        raise DataError(f"{place}: `{name}` is {grade:g}; a grade is 0, 1 or 2")

    def build(self) -> None:
        """Builds the backbone, the reward head and the grading heads."""
        super().build()
        if self.grading is not None or not self.grading_weight:
            return
        with seeded(0):  # the same heads in every process
            self.grading = GradingHeads(hidden_size=self.backbone.hidden_size, num_questions=len(self.questions))
        if (shard := sharding(self._trainer)) is not None:
            shard(self.grading)

    def pair_loss(self, batch: PreferenceBatch, margin: Float[Tensor, " pair"]) -> Float[Tensor, " pair"]:
        return soft_label_loss(margin=margin, probability=of_strengths(batch.strengths, self.probabilities))

    def more(self, batch: PreferenceBatch, rewards: Tensor, states: Tensor) -> Terms:
        if not self.grading_weight:
            return {}
        logits = cast("GradingHeads", self.grading)(states)
        values = grading_loss(logits, grades=batch.ratings)
        return {"grading_loss": Term(total=values.sum(), per="pairs", weight=self.grading_weight)}


@final
class GradingHeads(nn.Module):
    """One small network a question, from a final state to the logits of its grades."""

    def __init__(self, *, hidden_size: int, num_questions: int, num_grades: int = NUM_GRADES) -> None:
        super().__init__()
        self.questions = nn.ModuleList(
            nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.GELU(), nn.Linear(hidden_size, num_grades))
            for _ in range(num_questions)
        )

    def forward(self, states: Float[Tensor, "response dim"]) -> Float[Tensor, "response question grade"]:
        """Logits of each grade."""
        inputs = states.to(next(self.parameters()).dtype)
        return torch.stack([head(inputs) for head in self.questions], 1)
