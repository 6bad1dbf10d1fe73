"""The weak-to-strong experiment in small: a weak teacher, a reward model, a student that passes its teacher, twice."""

from typing import final

from lit_align.loop.fit import Fit
from lit_align.loop.gates import Champion, MetricGate
from lit_align.loop.parts import Part, rows_of
from lit_align.loop.program import Program
from lit_align.loop.quickstart_parts import REWARD_WEIGHTS, STRONG, WEAK, Base, Made
from lit_align.loop.quickstart_report import write_quickstart_report
from lit_align.loop.rounds import POLICY, Rounds, Sampled, Training
from lit_align.loop.runner import Runner
from lit_align.loop.stage import Artifact
from lit_align.loop.toy import MAX_NEW_TOKENS, ToyData, ToyEvaluate, ToyRatings, ToyRewardEvaluate, ToyVerify


@final
class Quickstart(Program):
    """Runs the toy experiment end to end on a CPU.

    A small model, pretrained a little and tuned on sloppy demonstrations, is the teacher. A reward model, trained on
    noisy ratings, selects what it says; a stronger base learns from that, then from preferences among its own samples
    (DPO, then RPO rounds that start from and refer to the previous checkpoint). The best policy teaches the next,
    stronger base. The student never sees a right demonstration.

    Args:
        seed: Of prompts, weights and samples.
        weak: The teacher's base.
        strong: The students' base.
        num_prompts: Prompts of a preference round; SFT takes one and a half times as many.
        num_test_prompts: Held-out prompts that policies are measured on; half as many others choose the champion.
        rounds: RPO rounds of each iteration.
        num_samples: Responses of each prompt that a preference round compares.
        sft: Training on demonstrations.
        reward: Training of the reward model.
        preference: Training on pairs; its learning rate is halved in the second iteration.
        min_margin: Least reward between the two responses of a pair.
        keep: Share of the teacher's responses that the reward model keeps.
        min_pair_accuracy: What the reward model must reach on held-out prompts, or the loop stops.
        break_reward_model: Trains the reward model on shuffled ratings, to see the gate stop the loop.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        weak: Base = WEAK,
        strong: Base = STRONG,
        num_prompts: int = 1000,
        num_test_prompts: int = 1000,
        rounds: int = 2,
        num_samples: int = 6,
        sft: Training = Training(lr=1e-3, epochs=2),
        reward: Training = Training(lr=2e-3, epochs=4, batch_size=16),
        preference: Training = Training(lr=3e-4),
        min_margin: float = 0.5,
        keep: float = 0.65,
        min_pair_accuracy: float = 0.75,
        break_reward_model: bool = False,
    ) -> None:
        self.seed = seed
        self.weak = weak
        self.strong = strong
        self.num_prompts = num_prompts
        self.num_test_prompts = num_test_prompts
        self.rounds = rounds
        self.num_samples = num_samples
        self.sft = sft
        self.reward = reward
        self.preference = preference
        self.min_margin = min_margin
        self.keep = keep
        self.min_pair_accuracy = min_pair_accuracy
        self.break_reward_model = break_reward_model
        self.taught = Sampled(temperature=0.8, max_new_tokens=MAX_NEW_TOKENS)
        self.made = Made()

    def build(self, runner: Runner) -> None:
        """Adds all stages of both iterations."""
        made = self.made
        made.data = runner.add(self._data(), title="prompts, corpora and tokenizer")
        self._bases(runner)
        made.teacher = self._teacher(runner)
        self._evaluate(runner, made.teacher, "teacher")
        champion = self._iteration(runner, 1, made.teacher, "teacher")
        self._iteration(runner, 2, champion, "champion")

    def finish(self, runner: Runner) -> int | None:
        """Writes the table, results.json, the report and the timings."""
        return write_quickstart_report(self, runner)

    def stopped(self, runner: Runner) -> None:
        """Writes what there was when the loop stopped."""
        write_quickstart_report(self, runner)

    def prompts(self, name: str) -> Part:
        """A set of prompts."""
        return Part(artifact=self.made.data, file=f"{name}.jsonl")

    def _data(self) -> ToyData:
        names = ["dpo", *(f"rpo_{number}" for number in range(1, self.rounds + 1))]
        per_round = {f"{name}_{iteration}": self.num_prompts for iteration in (1, 2) for name in names}
        return ToyData(
            prompts={
                "test": self.num_test_prompts,
                "dev": self.num_test_prompts // 2,
                "human": 300,
                "sft_1": 3 * self.num_prompts // 2,
                "sft_2": 3 * self.num_prompts // 2,
                "ratings_1": self.num_prompts,
                "ratings_2": self.num_prompts,
                "reward_test": 300,
                **per_round,
            },
            demonstrations="human",
            corpora={
                "corpus_weak": self.weak.steps * self.weak.batch_size,
                "corpus_1": self.strong.steps * self.strong.batch_size,
                "corpus_2": self.strong.later_steps * self.strong.batch_size,
            },
            seed=self.seed,
        )

    def _bases(self, runner: Runner) -> None:
        made = self.made
        made.weak_base = runner.add(self._pretrain(self.weak, "corpus_weak"), title="pretrain the weak base")
        made.bases[1] = runner.add(self._pretrain(self.strong, "corpus_1"), title="pretrain the strong base")
        made.bases[2] = runner.add(
            self._pretrain(self.strong, "corpus_2", start=made.bases[1]), title="pretrain the strong base further"
        )

    def _pretrain(self, base: Base, corpus: str, *, start: Artifact | None = None) -> Fit:
        training = Training(lr=base.lr if start is None else base.lr / 3, batch_size=base.batch_size)
        config = training.config("SFT", "SFTData")
        policy = config["model"]["init_args"]["policy"]["init_args"]
        rows = {"data.init_args.train": self.prompts(corpus)}
        config["data"]["init_args"]["template"] = "raw"
        if start is not None:
            return Fit(config=config, models={POLICY: start}, rows=rows, seed=self.seed)
        policy["config"] = base.architecture()
        policy["seed"] = self.seed
        rows["model.init_args.policy.init_args.tokenizer"] = Part(artifact=self.made.data, file="tokenizer")
        return Fit(config=config, rows=rows, seed=self.seed)

    def _teacher(self, runner: Runner) -> Artifact:
        training = Training(lr=self.sft.lr, epochs=4, batch_size=self.sft.batch_size)
        return Rounds(runner, seed=self.seed).sft(self.made.weak_base, self.prompts("human"), training, title="teacher")

    def _evaluate(self, runner: Runner, model: Artifact, title: str, iteration: int | None = None) -> None:
        stage = ToyEvaluate(model=model, prompts=self.prompts("test"), seed=self.seed)
        evaluation = runner.add(stage, title=f"evaluate {title}", iteration=iteration)
        self.made.rows.append((title, iteration, model, evaluation))

    def _iteration(self, runner: Runner, number: int, teacher: Artifact, name: str) -> Artifact:
        """A generator teaches a base by what the reward model selects of its responses; preferences do the rest."""
        rounds = Rounds(runner, number, self.seed + number)
        said = rounds.generate(teacher, self.prompts(f"sft_{number}"), self.taught, title=f"{name}'s responses")
        every = rounds.select(said, keep=1.0, title=f"all of the {name}'s responses")
        self._verify(runner, every, f"{name}'s data", number)
        self._demonstrate(rounds, self.prompts(f"sft_{number}"), "ceiling")
        rated = {name: teacher}
        if number == 1:  # without a reward model, for comparison; its errors are worth rating too
            rated["naive student"] = self._demonstrate(rounds, rows_of(every), "naive student")
        reward_model = self._reward_model(rounds, rated)
        scored = rounds.score(reward_model, said, title=f"scores of the {name}'s responses")
        chosen = rounds.select(scored, keep=self.keep, title=f"the better of the {name}'s responses")
        self._verify(runner, chosen, "selected data", number)
        student = self._demonstrate(rounds, rows_of(chosen), "student")
        training = Training(**{**vars(self.preference), "lr": self.preference.lr / number})
        candidates = {"student": student} if number == 1 else {"the champion before": teacher, "student": student}
        return self._preferences(rounds, candidates, reward_model, training)

    def _demonstrate(self, rounds: Rounds, rows: Part, title: str) -> Artifact:
        base = self.made.bases[rounds.iteration or 1]
        model = rounds.sft(base, rows, self.sft, title=title)
        self._evaluate(rounds.runner, model, title, rounds.iteration)
        return model

    def _reward_model(self, rounds: Rounds, rated: dict[str, Artifact]) -> Artifact:
        """Trained on ratings of the models' responses and on all earlier ones; stopped by its gate if it is no good."""
        made, runner, number = self.made, rounds.runner, rounds.iteration or 1
        sampled = Sampled(num_samples=4 // len(rated), max_new_tokens=MAX_NEW_TOKENS)
        samples = [
            rounds.generate(model, self.prompts(f"ratings_{number}"), sampled, title=f"{name}'s responses to be rated")
            for name, model in rated.items()
        ]
        stage = ToyRatings(
            samples=tuple(rows_of(sample) for sample in samples),
            earlier=rows_of(made.ratings[number - 1]) if number > 1 else None,
            shuffled=self.break_reward_model,
            seed=rounds.seed,
        )
        made.ratings[number] = runner.add(stage, title="ratings", iteration=number)
        settings = {"lm_weight": 0.5, "logprob_features": True, "inner_size": 32, "weights": REWARD_WEIGHTS}
        config = self.reward.config("RewardRegression", "RatingData", network="backbone", **settings)
        config["data"]["init_args"]["validation_fraction"] = 0.1
        fit = Fit(
            config=config,
            models={POLICY.replace("policy", "backbone"): made.bases[number]},
            rows={"data.init_args.train": rows_of(made.ratings[number])},
            seed=rounds.seed,
        )
        made.reward_fits[number] = runner.add(fit, title="reward model", iteration=number)
        return self._gate(rounds, made.reward_fits[number], *next(iter(rated.items())))

    def _gate(self, rounds: Rounds, reward_model: Artifact, name: str, generator: Artifact) -> Artifact:
        made, runner, number = self.made, rounds.runner, rounds.iteration or 1
        eight = Sampled(num_samples=8, temperature=self.taught.temperature, max_new_tokens=MAX_NEW_TOKENS)
        tested = rounds.generate(generator, self.prompts("reward_test"), eight, title=f"{name}'s 8 responses")
        scored = rounds.score(reward_model, tested, title=f"scores of the {name}'s 8 responses")
        stage = ToyRewardEvaluate(rows=rows_of(scored))
        made.reward_evaluations[number] = runner.add(stage, title="evaluate reward model", iteration=number)
        gate = MetricGate(
            subject=reward_model,
            evaluation=made.reward_evaluations[number],
            minimum={"pair_accuracy": self.min_pair_accuracy},
            meaning="A reward model that cannot tell right from wrong makes every later model worse.",
        )
        made.reward_models[number] = runner.add(gate, title="reward model gate", iteration=number)
        return made.reward_models[number]

    def _preferences(
        self, rounds: Rounds, candidates: dict[str, Artifact], reward_model: Artifact, training: Training
    ) -> Artifact:
        """DPO and the RPO rounds, each from and against the one before; returns the champion of all candidates."""
        runner, number = rounds.runner, rounds.iteration or 1
        settings = {"beta": 0.1, "sft_weight": 0.5, "sft_reduction": "token", **training.model}
        training = Training(**{**vars(training), "model": settings})
        sampled = Sampled(num_samples=self.num_samples, max_new_tokens=MAX_NEW_TOKENS)
        names = {f"dpo_{number}": "DPO", **{f"rpo_{i}_{number}": f"RPO round {i}" for i in range(1, self.rounds + 1)}}
        policy = candidates["student"]
        for prompts, title in names.items():
            policy = candidates[title] = rounds.prefer(
                policy,
                reward_model,
                self.prompts(prompts),
                objective="DPO" if title == "DPO" else "RPO",
                training=training,
                sampled=sampled,
                min_margin=self.min_margin,
                title=title,
            )
            self._evaluate(runner, policy, title, number)
        compared = tuple(self._on_dev(rounds, title, model) for title, model in candidates.items())
        champion = runner.add(Champion(candidates=compared, metric="sampled"), title="champion", iteration=number)
        self.made.champions[number] = champion
        self._evaluate(runner, champion, "champion", number)
        return champion

    def _on_dev(self, rounds: Rounds, title: str, model: Artifact) -> tuple[Artifact, Artifact]:
        stage = ToyEvaluate(model=model, prompts=self.prompts("dev"), seed=self.seed)
        return model, rounds.runner.add(stage, title=f"compare {title}", iteration=rounds.iteration)

    def _verify(self, runner: Runner, rows: Artifact, title: str, iteration: int) -> None:
        stage = ToyVerify(rows=rows_of(rows))
        self.made.data_checks[title, iteration] = runner.add(stage, title=f"verify {title}", iteration=iteration)
