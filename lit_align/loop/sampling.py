"""Stages that make data: responses of a generator, their scores, and the rows that students learn from."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from lit_align.errors import DataError
from lit_align.files import write_jsonl
from lit_align.generation.base import MAX_FAILED
from lit_align.loop.parts import ROWS, Part, model_path
from lit_align.loop.responders import Responder, sample
from lit_align.loop.stage import Artifact, Stage, StageContext

if TYPE_CHECKING:
    from lit_align.synthesis.preferences import Candidates


@final
@dataclass(frozen=True, kw_only=True)
class Generate(Stage):
    """Samples responses to prompts; one row a sample, `rows.jsonl`.

    Args:
        model: The generator: a model of the loop, or one of `lit_align.generation`, such as a server.
        prompts: Rows with a prompt.
        num_samples: Responses of each prompt.
        max_new_tokens: Most tokens of a response.
        temperature: Of the sampling; 0 is greedy.
        top_p: Share of probability that is sampled from.
        seed: Of the samples.
        max_failed: Share of the responses that may fail, such as those a server answers with errors only: their prompts
            are left out, listed and counted as refused. At least one may, unless it is 0.
        may_be_empty: Whether there may be no prompts, or none that the generator can answer; else that is an error.
    """

    version: ClassVar[int] = 1
    resumable: ClassVar[bool] = True
    shown: ClassVar[tuple[str, ...]] = ("samples", "refused", "mean_tokens")

    model: Responder
    prompts: Part
    num_samples: int = 1
    max_new_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    max_failed: float = field(default=MAX_FAILED, metadata={"fingerprint": False})
    may_be_empty: bool = field(default=False, metadata={"fingerprint": False})

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Generates, continuing where a killed run was."""
        if self.may_be_empty and self.prompts.is_empty:
            write_jsonl(output / ROWS, ())
            return {"read": 0, "kept": 0, "dropped": {}, "samples": 0}
        return sample(
            self.model,
            self.prompts,
            output / ROWS,
            num_samples=self.num_samples,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            max_failed=self.max_failed,
            may_be_empty=self.may_be_empty,
        )


@final
@dataclass(frozen=True, kw_only=True)
class Score(Stage):
    """Adds a reward model's attributes and reward to rows, `rows.jsonl`.

    Args:
        model: The reward model.
        rows: What is scored.
        may_be_empty: Whether there may be no rows, or none that can be scored; else that is an error.
    """

    version: ClassVar[int] = 1
    resumable: ClassVar[bool] = True
    shown: ClassVar[tuple[str, ...]] = ("mean_reward",)

    model: Artifact
    rows: Part
    may_be_empty: bool = field(default=False, metadata={"fingerprint": False})

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Scores, continuing where a killed run was."""
        from lit_align.modules.inference import RewardReader, score_rows

        accounting = score_rows(RewardReader(model_path(self.model)), self.rows.path, output / ROWS)
        rewards = [row["reward"] for row in read_rows(output / ROWS)]
        if not (rewards or self.may_be_empty):
            raise DataError(f"{self.rows.artifact.title}: no row could be scored\n{accounting.summary()}")
        mean = {"mean_reward": sum(rewards) / len(rewards)} if rewards else {}
        return {**mean, **accounting.to_dict()}


@final
@dataclass(frozen=True, kw_only=True)
class Select(Stage):
    """Turns scored samples into demonstrations: one response a prompt, then the best share of the prompts.

    Args:
        rows: Samples, in the order of their prompts, with a reward where `choose` or `keep` need one.
        choose: The `first` sample of each prompt, or the `best` by reward.
        keep: The share of prompts that is kept, those with the highest reward.
        finished_only: Whether samples that were cut off for length are left out.
    """

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("kept",)

    rows: Part
    choose: Literal["first", "best"] = "first"
    keep: float = 1.0
    finished_only: bool = True

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Chooses and writes."""
        groups = list(by_prompt(self.rows.path))
        chosen, unfinished = [], 0
        for group in groups:
            usable = [row for row in group if not self.finished_only or row.get("finish_reason", "stop") == "stop"]
            usable = [row for row in usable if row["response"].strip()]
            if not usable:
                unfinished += 1
                continue
            chosen.append(usable[0] if self.choose == "first" else max(usable, key=lambda row: row["reward"]))
        number = round(self.keep * len(groups))
        if self.keep < 1.0:
            chosen = sorted(chosen, key=lambda row: (-row["reward"], row["id"]))[:number]
        if not chosen:
            raise DataError(f"{self.rows.artifact.title}: nothing is left to learn from")
        kept = write_jsonl(output / ROWS, chosen)
        dropped = {"no_finished_response": unfinished, "low_reward": len(groups) - unfinished - kept}
        return {"read": len(groups), "kept": kept, "dropped": dropped}


@final
@dataclass(frozen=True, kw_only=True)
class Pair(Stage):
    """Makes a preference of each prompt's samples, by their rewards.

    Args:
        rows: Scored samples.
        others: Scored samples of the same prompts by other models, or of earlier rounds.
        by: Column that decides.
        strategy: See `PairRules`.
        min_margin: Pairs whose rewards are nearer than this are dropped.
        max_length_ratio: See `PairRules`.
        max_similarity: See `PairRules`.
        min_yield: The stage fails if fewer than this share of the prompts gives a pair: a generator that always says
            the same teaches nothing.
        finished_only: Whether responses that were cut off for length are left out. Where they are not, training takes
            the place where they were cut for their end; `cut_off` counts them.
        seed: Of draws between equals.
        may_be_empty: Whether there may be fewer pairs than that, or none.
    """

    version: ClassVar[int] = 3
    shown: ClassVar[tuple[str, ...]] = ("kept",)

    rows: Part
    others: tuple[Part, ...] = ()
    by: str = "reward"
    strategy: Literal["max_min", "max_random", "random"] = "max_min"
    min_margin: float = 0.0
    max_length_ratio: float | None = None
    max_similarity: float = 1.0
    min_yield: float = 0.02
    finished_only: bool = True
    seed: int = 0
    may_be_empty: bool = field(default=False, metadata={"fingerprint": False})

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Pairs and writes; every prompt without a pair is counted under its reason."""
        from lit_align.data.accounting import Accounting
        from lit_align.synthesis.preferences import PairRules, gather, make_pairs

        names = ("strategy", "min_margin", "max_length_ratio", "max_similarity", "finished_only", "seed")
        rules = PairRules(**{name: getattr(self, name) for name in names})
        counts = Accounting()
        sources = [str(part.path) for part in (self.rows, *self.others)]
        prompts = list(gather(sources, score=self.by, counts=Accounting()))
        pairs = list(make_pairs(prompts, rules=rules, counts=counts))
        if not self.may_be_empty and (len(pairs) < self.min_yield * counts.read or not pairs):
            raise DataError(
                f"{self.rows.artifact.title}: only {len(pairs)} of {counts.read} prompts give a pair, at least "
                f"{self.min_yield:.0%} are needed\nDropped: {dict(counts.dropped)}"
            )
        write_jsonl(output / ROWS, pairs)
        write_jsonl(output / "candidates.jsonl", (prompt.to_json() for prompt in prompts if prompt.responses))
        found = {**counts.to_dict(), "cut_off": _cut_off(prompts, pairs)}
        if not pairs:
            return found
        longer = sum(len(p["chosen"]) > len(p["rejected"]) for p in pairs) / len(pairs)
        margin = sum(p["chosen_reward"] - p["rejected_reward"] for p in pairs) / len(pairs)
        return {**found, "mean_margin": margin, "chosen_longer": longer}


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file that a stage wrote."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def by_prompt(path: Path) -> Iterator[list[dict[str, Any]]]:
    """The samples of each prompt, which stand together."""
    for _, rows in groupby(read_rows(path), key=lambda row: row["id"]):
        yield list(rows)


def _cut_off(prompts: Iterable["Candidates"], pairs: Iterable[dict[str, Any]]) -> int:
    """How many responses of the pairs were cut off for length."""
    cut = {(prompt.id, c.text) for prompt in prompts for c in prompt.responses if not c.is_finished}
    return sum((pair["id"], pair[side]) in cut for pair in pairs for side in ("chosen", "rejected"))
