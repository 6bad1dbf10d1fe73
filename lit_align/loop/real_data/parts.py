"""What the programs on real data are built with: their rows by data set, their training stages, their measurements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lit_align.loop.evaluation import ImplicitRewardAccuracy, PolicyPreferenceAccuracy, RewardOfResponses
from lit_align.loop.fit import Fit
from lit_align.loop.parts import Part
from lit_align.loop.real_data.evaluation import DemonstrationLoss
from lit_align.loop.real_data.reading import EVALUATION, HELD_OUT, TRAIN, file_of
from lit_align.loop.rounds import POLICY, Rounds, Training
from lit_align.loop.rounds import TRAIN as TRAIN_ROWS
from lit_align.loop.runner import Runner
from lit_align.loop.sampling import Generate
from lit_align.loop.stage import Artifact

KINDS = {
    "code_alpaca": "sft",
    "alpaca": "sft",
    "dolly": "sft",
    "helpsteer2": "rating",
    "ultrafeedback": "preference",
    "hh_rlhf": "preference",
}
VALIDATION_ROWS = "data.init_args.validation"


@dataclass(kw_only=True)
class Policy:
    """A policy and what is measured of it.

    Attributes:
        title: What the report calls it.
        kind: What it was trained on, in words.
        model: The policy.
        loss: On held-out demonstrations.
        preferences: On held-out preferences by log-probability, by data set.
        implicit: The same by implicit reward, for policies that come after the reference.
        responses: Its responses to held-out prompts, scored where there is a reward model.
    """

    title: str
    kind: str
    model: Artifact
    loss: Artifact
    preferences: dict[str, Artifact]
    implicit: dict[str, Artifact]
    responses: Artifact


@dataclass(kw_only=True)
class Made:
    """What the stages will make, for the report; None where a program has no such stage."""

    data: Artifact = field(init=False)
    rows: Artifact = field(init=False)
    tokenizer: Artifact | None = None
    mixture: Artifact | None = None
    reward_errors: Artifact | None = None
    reward_preferences: dict[str, Artifact] = field(default_factory=dict)
    policies: list[Policy] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Adds stages that train on the rows of data sets, and stages that measure on their held-out rows.

    Attributes:
        runner: Takes the stages.
        data: What `HoldOut` made.
        rows: What `WithinContext` made of it.
        seed: Of every stage that draws.
    """

    runner: Runner
    data: Artifact
    rows: Artifact
    seed: int

    def train(self, name: str) -> Part:
        """The rows of a data set that are trained on."""
        return Part(artifact=self.rows, file=file_of(name, TRAIN))

    def held_out(self, name: str) -> Part:
        """The rows of a data set that are measured on."""
        return Part(artifact=self.rows, file=file_of(name, HELD_OUT))

    def prompts(self, file: str) -> Part:
        """Prompts that nothing is trained on."""
        return Part(artifact=self.data, file=file)

    def sft(self, base: Artifact, rows: Part, training: Training, *, title: str) -> Artifact:
        """A policy fine-tuned on demonstrations."""
        return Rounds(self.runner, seed=self.seed).sft(base, rows, training, title=title)

    def prefer(
        self, policy: Artifact, rows: Part, training: Training, *, objective: Literal["DPO", "RPO"], title: str
    ) -> Artifact:
        """A policy trained on preferences, against itself as the reference."""
        config = training.config(objective, "PreferenceData")
        fit = Fit(config=config, models={POLICY: policy}, rows={TRAIN_ROWS: rows}, seed=self.seed)
        return self.runner.add(fit, title=title)

    def measure(
        self,
        policies: Mapping[str, tuple[str, Artifact]],
        *,
        reference: str,
        demonstrations: Sequence[str],
        preferences: Sequence[str],
        max_new_tokens: int,
        reward_model: Artifact | None = None,
    ) -> list[Policy]:
        """Losses on demonstrations, accuracy on preferences and responses to held-out prompts, of every policy.

        Args:
            policies: What each was trained on, in words, and its model, by title in the order of training.
            reference: Title of the policy that the implicit rewards of all later ones refer to.
            demonstrations: Names of data sets.
            preferences: Names of data sets.
            max_new_tokens: Most tokens of a response.
            reward_model: Scores the responses.
        """
        add, measured = self.runner.add, []
        sets = {name: self.held_out(name) for name in demonstrations}
        before: Policy | None = None
        for title, (kind, model) in policies.items():
            plain = {
                name: add(
                    PolicyPreferenceAccuracy(model=model, rows=self.held_out(name)), title=f"{name} pairs, {title}"
                )
                for name in preferences
            }
            policy = Policy(
                title=title,
                kind=kind,
                model=model,
                loss=add(DemonstrationLoss(model=model, sets=sets), title=f"loss of {title}"),
                preferences=plain,
                implicit=self._implicit(plain, before, title=title),
                responses=self._responses(model, reward_model, title=title, max_new_tokens=max_new_tokens),
            )
            measured.append(policy)
            before = policy if title == reference else before
        return measured

    def _implicit(
        self, accuracies: Mapping[str, Artifact], reference: Policy | None, *, title: str
    ) -> dict[str, Artifact]:
        if reference is None:
            return {}
        return {
            name: self.runner.add(
                ImplicitRewardAccuracy(policy=accuracy, reference=reference.preferences[name]),
                title=f"{name} pairs, implicit reward of {title}",
            )
            for name, accuracy in accuracies.items()
        }

    def _responses(
        self, model: Artifact, reward_model: Artifact | None, *, title: str, max_new_tokens: int
    ) -> Artifact:
        sampled = {"prompts": self.prompts(EVALUATION), "max_new_tokens": max_new_tokens, "seed": self.seed}
        if reward_model is None:
            return self.runner.add(Generate(model=model, **sampled), title=f"responses of {title}")
        stage = RewardOfResponses(model=model, reward_model=reward_model, temperature=1.0, **sampled)
        return self.runner.add(stage, title=f"reward of {title}")


def names_of(kind: str) -> list[str]:
    """The data sets of a kind."""
    return [name for name, other in KINDS.items() if other == kind]
