"""The program of the weak-to-strong loop."""

from typing import final

from lit_align.errors import ConfigError
from lit_align.generation.base import Generator
from lit_align.loop import evaluation
from lit_align.loop.gates import Champion, MetricGate
from lit_align.loop.parts import Part, rows_of
from lit_align.loop.program import Program
from lit_align.loop.responders import Responder
from lit_align.loop.rounds import Replay, Rounds, Sampled, Training
from lit_align.loop.runner import Runner
from lit_align.loop.stage import Artifact
from lit_align.loop.weak_to_strong.inputs import (
    EVALUATION,
    Division,
    Inputs,
    Rows,
    prompts_of,
    round_part,
    rows_from,
    sft_part,
)
from lit_align.loop.weak_to_strong.report import Made, Policy, write_weak_to_strong_report


@final
class WeakToStrong(Program):
    """Aligns a stronger model with what a weaker one says and a reward model selects, again and again.

    In every iteration a base model learns from the best of the generator's responses, then from preferences among its
    own (DPO, then RPO rounds that start from and refer to the model of the round before). The last policy that is not
    clearly worse by reward on held-out prompts generates for the next iteration (arXiv:2406.11704, section 3.2.4).

    Args:
        teacher: Generator of the first iteration: a model folder, a hub id, or a class of generator such as a server.
        bases: The base model of every iteration; the last one serves all further iterations.
        prompts: Rows of any kind with a prompt.
        reward_model: Folder of a reward model.
        ratings: Trains one instead, on `reward_base`.
        reward_base: What that reward model starts from; the first base unless given.
        preferences: Held-out pairs. The reward model must reach `min_accuracy` on them; without them nothing checks it.
        evaluation_prompts: What policies are measured on; a part of `prompts` unless given.
        replay: Demonstrations that are mixed into every supervised stage.
        replay_fraction: Their share of the mixture.
        iterations: Number of iterations; as many as bases unless given.
        rpo_rounds: RPO rounds of an iteration, after DPO.
        division: How the prompts are divided.
        demonstrations: How the generator answers prompts for supervised fine-tuning; the best of its samples counts.
        samples: How a policy answers prompts of a preference round; the best and the worst make a pair.
        keep: Share of the demonstrations that is kept, those with the highest reward.
        min_margin: Least difference of reward between the responses of a pair.
        sft: Training on demonstrations.
        reward: Training of the reward model.
        dpo: Training on pairs.
        rpo: Training on pairs and their rewards.
        min_accuracy: Share of held-out pairs that the reward model must order as people did, or the loop stops.
        min_probability: A candidate becomes champion if it is ahead in this share of bootstrap resamples.
        num_devices: Devices of a training stage; more than one starts it by the launcher command.
        seed: Of draws and samples.
    """

    def __init__(
        self,
        *,
        teacher: str | Generator,
        bases: list[str],
        prompts: str | Rows,
        reward_model: str | None = None,
        ratings: str | Rows | None = None,
        reward_base: str | None = None,
        preferences: str | Rows | None = None,
        evaluation_prompts: str | Rows | None = None,
        replay: str | Rows | None = None,
        replay_fraction: float = 0.02,
        iterations: int | None = None,
        rpo_rounds: int = 3,
        division: Division = Division(),
        demonstrations: Sampled = Sampled(num_samples=4, temperature=0.7, max_new_tokens=512),
        samples: Sampled = Sampled(num_samples=4, max_new_tokens=512),
        keep: float = 0.75,
        min_margin: float = 0.0,
        sft: Training = Training(lr=1e-5, batch_size=64),
        reward: Training = Training(lr=2e-6, epochs=2, batch_size=64),
        dpo: Training = Training(lr=5e-7, batch_size=64),
        rpo: Training = Training(lr=5e-7, batch_size=64),
        min_accuracy: float = 0.6,
        min_probability: float = 0.1,
        num_devices: int = 1,
        seed: int = 0,
    ) -> None:
        if (reward_model is None) == (ratings is None):
            raise ConfigError("give either reward_model, or ratings to train one on")
        if not bases:
            raise ConfigError("bases: at least one base model is needed")
        self.teacher = teacher
        self.bases = bases
        self.prompts = rows_from(prompts)
        self.reward_model = reward_model
        self.ratings = None if ratings is None else rows_from(ratings)
        self.reward_base = reward_base or bases[0]
        self.preferences = None if preferences is None else rows_from(preferences)
        self.evaluation_prompts = None if evaluation_prompts is None else rows_from(evaluation_prompts)
        self.replay = None if replay is None else rows_from(replay)
        self.replay_fraction = replay_fraction
        self.iterations = iterations or len(bases)
        self.rpo_rounds = rpo_rounds
        self.division = division
        self.demonstrations = demonstrations
        self.samples = samples
        self.keep = keep
        self.min_margin = min_margin
        self.sft = sft
        self.reward = reward
        self.dpo = dpo
        self.rpo = rpo
        self.min_accuracy = min_accuracy
        self.min_probability = min_probability
        self.num_devices = num_devices
        self.seed = seed
        self.made = Made()

    def build(self, runner: Runner) -> None:
        """Adds the stages of all iterations."""
        teacher = (
            self.teacher if isinstance(self.teacher, Generator) else runner.external(self.teacher, title="teacher")
        )
        tokenizer = teacher if isinstance(teacher, Artifact) else runner.external(self.bases[0], title="base 1")
        self._read(Inputs(runner=runner, division=self.division, tokenizer=tokenizer, seed=self.seed))
        outside = Rounds(runner, None, self.seed, self.num_devices)
        judge = self._judge(outside)
        self._measure(outside, judge, teacher, title="teacher", kind="generator")
        champion, generator = None, teacher
        for number in range(1, self.iterations + 1):
            rounds = Rounds(runner, number, self.seed + number, self.num_devices)
            champion = generator = self._iterate(rounds, judge, generator, champion)

    def finish(self, runner: Runner) -> int | None:
        """Writes the table, results.json, the report and the timings."""
        return write_weak_to_strong_report(self.made, runner)

    def stopped(self, runner: Runner) -> None:
        """Writes what there was when the loop stopped."""
        write_weak_to_strong_report(self.made, runner)

    def _read(self, inputs: Inputs) -> None:
        """What is measured on first, then the prompts to train on, none of which is among it."""
        made, held_out = self.made, []
        if self.preferences is not None:
            made.preferences = inputs.pairs(self.preferences)
            held_out.append(made.preferences)
        if self.evaluation_prompts is not None:
            made.evaluation = inputs.evaluation_prompts(self.evaluation_prompts)
            held_out.append(made.evaluation)
        parts = self.division.parts(iterations=self.iterations, rounds=self.rpo_rounds + 1)
        reserve = self.evaluation_prompts is None
        made.prompts = inputs.prompts(self.prompts, parts, held_out=tuple(held_out), reserve=reserve)
        if reserve:
            made.evaluation = prompts_of(made.prompts, EVALUATION)

    def _judge(self, rounds: Rounds) -> Artifact:
        """The reward model, given or trained, behind its gate where there are pairs to test it on."""
        runner, made = rounds.runner, self.made
        if self.ratings is None:
            judge = runner.external(str(self.reward_model), title="reward model")
        else:
            base = runner.external(self.reward_base, title="base of the reward model")
            ratings = Part(artifact=runner.external(self.ratings.path, title="ratings"))
            judge = rounds.reward_model(base, ratings, self.reward, title="reward model", split=self.ratings.split)
        if made.preferences is None:
            return judge
        stage = evaluation.PreferenceAccuracy(reward_model=judge, rows=made.preferences)
        made.accuracy = runner.add(stage, title="accuracy of the reward model")
        gate = MetricGate(
            subject=judge,
            evaluation=made.accuracy,
            minimum={"accuracy": self.min_accuracy},
            meaning="A reward model that cannot tell what people prefer makes every later model worse.",
        )
        return runner.add(gate, title="reward model gate")

    def _iterate(self, rounds: Rounds, judge: Artifact, generator: Responder, champion: Artifact | None) -> Artifact:
        """One iteration: a student of the generator, its rounds of preferences, and the best of all."""
        number = rounds.iteration or 1
        student = self._student(rounds, judge, generator, number)
        before = [] if champion is None else [self._measure(rounds, judge, champion, title="champion before", kind="")]
        taught = self._measure(rounds, judge, student, title="student", kind="SFT")
        policies, policy = [*before, taught], student
        for index in range(self.rpo_rounds + 1):
            objective = "RPO" if index else "DPO"
            title = f"RPO round {index}" if index else "DPO"
            policy = rounds.prefer(
                policy,
                judge,
                prompts_of(self.made.prompts, round_part(number, index)),
                objective=objective,
                training=self.rpo if index else self.dpo,
                sampled=self.samples,
                min_margin=self.min_margin,
                title=title,
            )
            policies.append(self._measure(rounds, judge, policy, title=title, kind=objective, reference=taught))
        candidates = tuple((made.model, made.responses) for made in policies if isinstance(made.model, Artifact))
        stage = Champion(candidates=candidates, metric="reward", min_probability=self.min_probability, seed=self.seed)
        self.made.champions[number] = rounds.runner.add(stage, title="champion", iteration=number)
        return self.made.champions[number]

    def _student(self, rounds: Rounds, judge: Artifact, generator: Responder, number: int) -> Artifact:
        """The base of an iteration, taught by the best of what the generator says."""
        runner = rounds.runner
        base = runner.external(self.bases[min(number, len(self.bases)) - 1], title=f"base {number}")
        asked = prompts_of(self.made.prompts, sft_part(number))
        said = rounds.generate(generator, asked, self.demonstrations, title="the generator's responses")
        scored = rounds.score(judge, said, title="scores of the generator's responses")
        chosen = rounds.select(scored, keep=self.keep, choose="best", title="the best of the generator's responses")
        replay = None
        if self.replay is not None:
            rows = Part(artifact=runner.external(self.replay.path, title="replayed demonstrations"))
            replay = Replay(rows=rows, fraction=self.replay_fraction, split=self.replay.split)
        return rounds.sft(base, rows_of(chosen), self.sft, title="student", replay=replay)

    def _measure(
        self,
        rounds: Rounds,
        judge: Artifact,
        model: Responder,
        *,
        title: str,
        kind: str,
        reference: Policy | None = None,
    ) -> Policy:
        """A policy's rewards on held-out prompts and, after preferences, its accuracy on held-out pairs."""
        add, iteration, pairs = rounds.runner.add, rounds.iteration, self.made.preferences
        stage = evaluation.RewardOfResponses(
            model=model,
            reward_model=judge,
            prompts=self.made.evaluation,
            max_new_tokens=self.samples.max_new_tokens,
            seed=self.seed,
        )
        responses = add(stage, title=f"reward of {title}", iteration=iteration)
        policy = Policy(title=title, kind=kind, iteration=iteration, model=model, responses=responses)
        if pairs is not None and iteration is not None and kind and isinstance(model, Artifact):
            compared = evaluation.PolicyPreferenceAccuracy(model=model, rows=pairs)
            policy.margins = add(compared, title=f"pairs by {title}", iteration=iteration)
        if policy.margins is not None and reference is not None and reference.margins is not None:
            change = evaluation.ImplicitRewardAccuracy(policy=policy.margins, reference=reference.margins)
            policy.accuracy = add(change, title=f"pairs by the implicit reward of {title}", iteration=iteration)
        if kind:
            self.made.policies.append(policy)
        return policy
