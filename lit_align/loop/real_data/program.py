"""The loop on real data: a tokenizer, a small model, two stages of SFT, a reward model, DPO and RPO."""

from typing import Any, final

from lit_align.loop.evaluation import PreferenceAccuracy
from lit_align.loop.fit import Fit
from lit_align.loop.gates import MetricGate
from lit_align.loop.parts import Part, rows_of
from lit_align.loop.program import Program
from lit_align.loop.real_data import sources
from lit_align.loop.real_data.evaluation import RatingErrors
from lit_align.loop.real_data.parts import KINDS, VALIDATION_ROWS, Bench, Made, names_of
from lit_align.loop.real_data.prepared import Prepared, prepare, pretrain
from lit_align.loop.real_data.reading import PROMPTS, HoldOut
from lit_align.loop.real_data.report import write_real_data_report
from lit_align.loop.real_data.sources import DataSet, open_set
from lit_align.loop.real_data.stages import Mixture
from lit_align.loop.rounds import BACKBONE, Rounds, Sampled, Training
from lit_align.loop.rounds import TRAIN as TRAIN_ROWS
from lit_align.loop.runner import Runner
from lit_align.loop.stage import Artifact

_TITLE = "The loop on real data"


@final
class RealData(Program):
    """Runs every method on the data it was published with, from nothing, at a size that a laptop trains in minutes.

    A SentencePiece tokenizer and a small language model are trained on the texts of all training rows. Supervised
    fine-tuning has two stages, code and then general with a replay of the code. A reward model learns the five ratings
    of HelpSteer2. The policy goes through DPO on UltraFeedback and HH-RLHF, RPO with the scores that UltraFeedback has,
    and RPO with the rewards that our own reward model gives to the policy's own responses. Everything is measured on
    rows whose prompts no stage was trained on.

    Args:
        seed: Of draws, weights and samples.
        root: Folder with local copies of the data sets; each that exists there is not taken from the hub.
        code_alpaca: Demonstrations of the first stage.
        alpaca: Demonstrations of the second stage.
        dolly: Further demonstrations of the second stage.
        helpsteer2: Ratings.
        ultrafeedback: Preferences with scores.
        hh_rlhf: Preferences.
        architecture: Fields of the model's Hugging Face configuration, `model_type` first.
        vocab_size: Pieces of the tokenizer.
        max_length: The model's context in tokens; rows that do not fit are dropped and counted.
        pretraining: Training on raw text.
        code: The first stage of fine-tuning.
        general: The second stage.
        replay_fraction: Share of the second stage that is code again.
        reward: Training of the reward model.
        min_better_attributes: Attributes the reward model must predict better than their mean, or the loop stops.
        dpo: Training on UltraFeedback and HH-RLHF.
        rpo_scores: Training on UltraFeedback's scores.
        rpo_rewards: Training on our own rewards.
        sampled: How the policy answers for that.
        min_margin: Least difference of reward between the two responses of a pair.
        finished_only: Whether pairs are made of responses that end by themselves only.
        num_prompts: Prompts that the policy answers for that.
        num_evaluation_prompts: Held-out prompts that every policy answers to be compared.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        root: str | None = None,
        code_alpaca: DataSet = sources.CODE_ALPACA,
        alpaca: DataSet = sources.ALPACA,
        dolly: DataSet = sources.DOLLY,
        helpsteer2: DataSet = sources.HELPSTEER2,
        ultrafeedback: DataSet = sources.ULTRAFEEDBACK,
        hh_rlhf: DataSet = sources.HH_RLHF,
        architecture: dict[str, Any],
        vocab_size: int,
        max_length: int,
        pretraining: Training,
        code: Training,
        general: Training,
        replay_fraction: float = 0.02,
        reward: Training,
        min_better_attributes: int = 2,
        dpo: Training,
        rpo_scores: Training,
        rpo_rewards: Training,
        sampled: Sampled,
        min_margin: float = 0.0,
        finished_only: bool = True,
        num_prompts: int,
        num_evaluation_prompts: int,
    ) -> None:
        self.seed = seed
        self.root = root
        self.sets = {
            "code_alpaca": code_alpaca,
            "alpaca": alpaca,
            "dolly": dolly,
            "helpsteer2": helpsteer2,
            "ultrafeedback": ultrafeedback,
            "hh_rlhf": hh_rlhf,
        }
        self.architecture = architecture
        self.vocab_size = vocab_size
        self.max_length = max_length
        self.pretraining = pretraining
        self.code = code
        self.general = general
        self.replay_fraction = replay_fraction
        self.reward = reward
        self.min_better_attributes = min_better_attributes
        self.dpo = dpo
        self.rpo_scores = rpo_scores
        self.rpo_rewards = rpo_rewards
        self.sampled = sampled
        self.min_margin = min_margin
        self.finished_only = finished_only
        self.num_prompts = num_prompts
        self.num_evaluation_prompts = num_evaluation_prompts
        self.made = Made()

    def build(self, runner: Runner) -> None:
        """Adds all stages."""
        bench, prepared = self._data(runner)
        pretraining = pretrain(prepared, self.pretraining, architecture=self.architecture, seed=self.seed)
        base = runner.add(pretraining, title="pretrained")
        code = bench.sft(base, bench.train("code_alpaca"), self.code, title="SFT on code")
        general = bench.sft(code, self._mixture(bench), self.general, title="SFT")
        reward_model = self._reward_model(bench, base)
        preferred = bench.prefer(general, self._preferences(bench), self.dpo, objective="DPO", title="DPO")
        scores = bench.train("ultrafeedback")
        scored = bench.prefer(preferred, scores, self.rpo_scores, objective="RPO", title="RPO on scores")
        own = self._own_rewards(bench, scored, reward_model)
        trained_on = {
            "pretrained": ("raw text of the training rows", base),
            "SFT on code": ("CodeAlpaca", code),
            "SFT": ("Alpaca and Dolly, with a replay of the code", general),
            "DPO": ("pairs of UltraFeedback and HH-RLHF", preferred),
            "RPO on scores": ("scores of UltraFeedback", scored),
            "RPO on own rewards": ("our rewards of its own responses", own),
        }
        self.made.policies = bench.measure(
            trained_on,
            reference="SFT",
            demonstrations=names_of("sft"),
            preferences=names_of("preference"),
            max_new_tokens=self.sampled.max_new_tokens,
            reward_model=reward_model,
        )

    def finish(self, runner: Runner) -> int | None:
        """Writes the table, results.json, the report and the timings."""
        return write_real_data_report(self.made, runner, title=_TITLE)

    def stopped(self, runner: Runner) -> None:
        """Writes what there was when the loop stopped."""
        write_real_data_report(self.made, runner, title=_TITLE)

    def _data(self, runner: Runner) -> tuple[Bench, Prepared]:
        """The rows that fit the context, and the tokenizer that decides it."""
        made = self.made
        sets = {name: open_set(s, KINDS[name], root=self.root, runner=runner) for name, s in self.sets.items()}
        prepared = prepare(
            runner,
            HoldOut(
                sets=sets,
                num_prompts=self.num_prompts,
                num_evaluation_prompts=self.num_evaluation_prompts,
                seed=self.seed,
            ),
            vocab_size=self.vocab_size,
            max_length=self.max_length,
        )
        made.data, made.rows, made.tokenizer = prepared.data, prepared.rows, prepared.tokenizer
        return Bench(runner=runner, data=made.data, rows=made.rows, seed=self.seed), prepared

    def _mixture(self, bench: Bench) -> Part:
        """General demonstrations with a share of the code."""
        mixture = Mixture(
            rows=(bench.train("alpaca"), bench.train("dolly")),
            replay=bench.train("code_alpaca"),
            replay_fraction=self.replay_fraction,
            kind="sft",
            seed=self.seed,
        )
        self.made.mixture = bench.runner.add(mixture, title="general demonstrations and replayed code")
        return rows_of(self.made.mixture)

    def _preferences(self, bench: Bench) -> Part:
        mixture = Mixture(rows=tuple(map(bench.train, names_of("preference"))), kind="preference", seed=self.seed)
        return rows_of(bench.runner.add(mixture, title="preferences"))

    def _reward_model(self, bench: Bench, start: Artifact) -> Artifact:
        """The reward model behind its gate."""
        train, held_out = bench.train("helpsteer2"), bench.held_out("helpsteer2")
        fit = Fit(
            config=self.reward.config("RewardRegression", "RatingData", network="backbone"),
            models={BACKBONE: start},
            rows={TRAIN_ROWS: train, VALIDATION_ROWS: held_out},
            seed=self.seed,
        )
        made, add = self.made, bench.runner.add
        model = add(fit, title="reward model")
        errors = RatingErrors(reward_model=model, rows=held_out, train=train, seed=self.seed)
        made.reward_errors = add(errors, title="errors of the reward model")
        made.reward_preferences = {
            name: add(
                PreferenceAccuracy(reward_model=model, rows=bench.held_out(name)), title=f"reward model on {name}"
            )
            for name in names_of("preference")
        }
        gate = MetricGate(
            subject=model,
            evaluation=made.reward_errors,
            minimum={"better_than_mean": self.min_better_attributes},
            meaning="A reward model that is no better than a constant has nothing to teach a policy.",
        )
        return add(gate, title="reward model gate")

    def _own_rewards(self, bench: Bench, policy: Artifact, reward_model: Artifact) -> Artifact:
        return Rounds(bench.runner, seed=self.seed).prefer(
            policy,
            reward_model,
            bench.prompts(PROMPTS),
            objective="RPO",
            training=self.rpo_rewards,
            sampled=self.sampled,
            min_margin=self.min_margin,
            finished_only=self.finished_only,
            title="RPO on own rewards",
        )
