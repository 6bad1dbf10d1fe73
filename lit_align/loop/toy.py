"""Stages of the toy experiment: its data, its imperfect annotators, and what its verifier measures."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

from lit_align.files import write_jsonl
from lit_align.loop.intervals import proportion
from lit_align.loop.parts import ROWS, Part
from lit_align.loop.responders import sample
from lit_align.loop.sampling import by_prompt, read_rows
from lit_align.loop.stage import Artifact, Stage, StageContext
from lit_align.metrics import best_of_n_curve, ranking_accuracy
from lit_align.synthesis.toy import (
    Task,
    build_tokenizer,
    constraints_met,
    is_correct,
    pretraining_rows,
    rate,
    sloppy_demonstration,
    split_tasks,
)

MAX_NEW_TOKENS = 9


@final
@dataclass(frozen=True, kw_only=True)
class ToyData(Stage):
    """Disjoint sets of prompts, the corpora of the base models, and a tokenizer.

    Args:
        prompts: Number of prompts of each set, by name; each becomes `NAME.jsonl`.
        demonstrations: Name of the set that sloppy people demonstrate.
        corpora: Number of rows of each pretraining corpus, by name.
        seed: Of everything.
    """

    version: ClassVar[int] = 1

    prompts: dict[str, int]
    demonstrations: str
    corpora: dict[str, int]
    seed: int = 0

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Draws and writes."""
        sets = split_tasks(self.prompts, seed=self.seed)
        rng = random.Random(self.seed)
        for name, tasks in sets.items():
            answer = sloppy_demonstration if name == self.demonstrations else lambda task, rng: task.answer
            rows = ({"prompt": task.prompt, "response": answer(task, rng)} for task in tasks)
            write_jsonl(output / f"{name}.jsonl", rows)
        # A base model may have seen anything but what the models are compared on.
        excluded = frozenset(task for tasks in sets.values() for task in tasks)
        for number, (name, size) in enumerate(self.corpora.items()):
            seed = self.seed + 1 + number
            write_jsonl(output / f"{name}.jsonl", pretraining_rows(size, seed=seed, exclude=excluded))
        build_tokenizer(output / "tokenizer")
        return {"prompts": self.prompts, "corpora": self.corpora}


@final
@dataclass(frozen=True, kw_only=True)
class ToyRatings(Stage):
    """Ratings of samples in five attributes, by people who err: `rows.jsonl`.

    Args:
        samples: What is rated.
        earlier: Ratings that are taken over, from another iteration.
        shuffled: Whether every response gets the ratings of another, which teaches a reward model nothing.
        seed: Of the errors.
    """

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("ratings",)

    samples: tuple[Part, ...]
    earlier: Part | None = None
    shuffled: bool = False
    seed: int = 0

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Rates every distinct response, those to one prompt together."""
        rng = random.Random(self.seed)
        seen: dict[tuple[str, str], dict[str, Any]] = {}
        for part in self.samples:
            for row in read_rows(part.path):
                seen.setdefault((row["prompt"], row["response"]), row)
        keys = sorted(key for key in seen if key[1].strip())
        ratings = [rate(Task.parse(prompt), response, rng=rng) for prompt, response in keys]
        if self.shuffled:
            rng.shuffle(ratings)
        rows = [{"prompt": p, "response": r, "ratings": given} for (p, r), given in zip(keys, ratings, strict=True)]
        earlier = [] if self.earlier is None else list(read_rows(self.earlier.path))
        return {"ratings": write_jsonl(output / ROWS, [*earlier, *rows])}


@final
@dataclass(frozen=True, kw_only=True)
class ToyVerify(Stage):
    """The share of rows whose response is right."""

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("correct",)

    rows: Part

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Verifies every row."""
        verdicts = [is_correct(Task.parse(row["prompt"]), row["response"]) for row in read_rows(self.rows.path)]
        return proportion("correct", verdicts)


@final
@dataclass(frozen=True, kw_only=True)
class ToyEvaluate(Stage):
    """What the verifier says of a model: greedy answers, and samples at temperature 1.

    `per_prompt.jsonl` holds the verdict on every prompt, `samples.jsonl` the responses too.
    """

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("strict", "sampled")

    model: Artifact
    prompts: Part
    sampled: bool = True
    seed: int = 0

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Generates and verifies."""
        greedy = self._responses(output, temperature=0.0)
        rows = [_verdict(row) for row in greedy]
        results = {**proportion("strict", [row["strict"] for row in rows])}
        constrained = [row["constraints"] for row in rows if row["constraints"] is not None]
        results |= proportion("constraints", constrained)
        if self.sampled:
            sampled = self._responses(output, temperature=1.0)
            for row, other in zip(rows, sampled, strict=True):
                row["sampled"] = float(is_correct(Task.parse(other["prompt"]), other["response"]))
            results |= proportion("sampled", [row["sampled"] for row in rows])
        write_jsonl(output / "per_prompt.jsonl", rows)
        write_jsonl(output / "samples.jsonl", ({**a, **b} for a, b in zip(rows, greedy, strict=True)))
        return results

    def _responses(self, output: Path, *, temperature: float) -> list[dict[str, Any]]:
        file = output / f"responses-{temperature:g}.jsonl"
        sample(self.model, self.prompts, file, max_new_tokens=MAX_NEW_TOKENS, temperature=temperature, seed=self.seed)
        return list(read_rows(file))


@final
@dataclass(frozen=True, kw_only=True)
class ToyRewardEvaluate(Stage):
    """How well a reward model tells right from wrong among K samples of a prompt, and what choosing by it brings."""

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("pair_accuracy", "random", "best_of_n")

    rows: Part

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Compares rewards with verdicts."""
        every = list(by_prompt(self.rows.path))
        most = max(len(group) for group in every)
        # An empty response has no score; its prompt would have fewer candidates than the others.
        groups = [group for group in every if len(group) == most]
        scores = [[row["reward"] for row in group] for group in groups]
        correct = [[is_correct(Task.parse(row["prompt"]), row["response"]) for row in group] for group in groups]
        ranking = ranking_accuracy(scores, correct=correct)
        curve = best_of_n_curve(scores, correct=correct)
        return {
            "pair_accuracy": ranking.accuracy,
            "num_pairs": ranking.num_pairs,
            "num_prompts": len(groups),
            "incomplete_prompts": len(every) - len(groups),
            "random": curve.by_reward[0],
            "best_of_n": curve.by_reward[-1],
            "curve": list(curve.by_reward),
            "oracle": list(curve.oracle),
        }


def _verdict(row: dict[str, Any]) -> dict[str, Any]:
    task, response = Task.parse(row["prompt"]), row["response"]
    met = constraints_met(task, response)
    # IFEval's prompt level: all constraints of the prompt; prompts without any do not count.
    constraints = float(all(met.values())) if met else None
    return {"id": row["id"], "strict": float(is_correct(task, response)), "constraints": constraints}
