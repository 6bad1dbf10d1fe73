"""Which two responses of a prompt become a preference."""

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, final

from lit_align.data.accounting import Accounting
from lit_align.errors import ConfigError
from lit_align.files import sha256_of_json
from lit_align.synthesis.preferences.candidates import Candidate, Candidates
from lit_align.synthesis.preferences.similarity import similarity as likeness

Strategy = Literal["max_min", "max_random", "random"]
Pair = tuple[Candidate, Candidate]


@final
@dataclass(frozen=True, kw_only=True)
class PairRules:
    """What makes a pair.

    Where scores are equal, and where the strategy says so, a draw decides that depends on the seed and the texts
    alone. Of all pairs of a prompt, in the order of the strategy, the first that no rule excludes is taken.

    Args:
        strategy: `max_min`: the highest against the lowest score, as far apart as the rules allow. `max_random`: the
            highest against any lower one. `random`: any against any lower one.
        min_margin: The scores of a pair differ by more than this.
        max_length_ratio: The longer response has at most this many times the characters of the shorter one.
        max_similarity: Pairs more alike than this are excluded; ROUGE-L's F1 of the words, 1 excludes none.
        finished_only: Whether responses that were cut off for length are left out.
        seed: Of the draws.
    """

    strategy: Strategy = "max_min"
    min_margin: float = 0.0
    max_length_ratio: float | None = None
    max_similarity: float = 1.0
    finished_only: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses what no pair can satisfy."""
        if not self.min_margin >= 0:
            raise ConfigError(f"min_margin must not be negative, got {self.min_margin}")
        check_limits(length_ratio=self.max_length_ratio, similarity=self.max_similarity)

    def choose(self, prompt: Candidates) -> Pair | str:
        """The chosen and the rejected response to a prompt, or the reason why it has none."""
        usable = [c for c in prompt.responses if c.is_finished or not self.finished_only]
        if len(usable) < 2:
            return "too_few_responses" if len(prompt.responses) < 2 else "no_finished_response"
        reasons = []
        for pair in self._ordered(usable, prompt.id):
            reason = self._excluded(*pair)
            if reason is None:
                return pair
            reasons.append(reason)
        # What stood in the way of the pair that the strategy prefers.
        return reasons[0] if reasons else "tie"

    def _ordered(self, usable: list[Candidate], name: str) -> list[Pair]:
        ranked = sorted(usable, key=lambda c: sha256_of_json([self.seed, name, c.text]))
        pairs = [(one, other) for one, other in product(ranked, ranked) if _score(one) > _score(other)]
        random.Random(sha256_of_json([self.seed, name])).shuffle(pairs)
        if self.strategy == "max_min":
            return sorted(pairs, key=lambda pair: (_margin(pair), _score(pair[0])), reverse=True)
        if self.strategy == "max_random":
            return sorted(pairs, key=lambda pair: -_score(pair[0]))
        return pairs

    def _excluded(self, chosen: Candidate, rejected: Candidate) -> str | None:
        if _margin((chosen, rejected)) <= self.min_margin:
            return "small_margin"
        return not_comparable(chosen, rejected, length_ratio=self.max_length_ratio, similarity=self.max_similarity)


def check_limits(*, length_ratio: float | None, similarity: float) -> None:
    """Refuses limits that no pair can keep."""
    if length_ratio is not None and not length_ratio >= 1:
        raise ConfigError(f"max_length_ratio must be at least 1, got {length_ratio}")
    if not 0 < similarity <= 1:
        raise ConfigError(f"max_similarity must be above 0 and at most 1, got {similarity}")


def not_comparable(one: Candidate, other: Candidate, *, length_ratio: float | None, similarity: float) -> str | None:
    """Why two responses should not become a pair, whatever their scores: lengths too different, words too alike."""
    shorter, longer = sorted((len(one.text), len(other.text)))
    if length_ratio is not None and longer > length_ratio * shorter:
        return "length_ratio"
    return "too_similar" if similarity < 1 and likeness(one.text, other.text) > similarity else None


def make_pairs(prompts: Iterable[Candidates], *, rules: PairRules, counts: Accounting) -> Iterator[dict[str, Any]]:
    """Yields a preference row for every prompt that has a pair.

    Args:
        prompts: Responses with scores.
        rules: Which two are taken.
        counts: Where prompts are counted, those without a pair under the reason.
    """
    for prompt in prompts:
        counts.add()
        pair = rules.choose(prompt)
        if isinstance(pair, str):
            counts.drop(pair, place=prompt.place)
        else:
            yield preference_row(prompt, *pair)


def preference_row(prompt: Candidates, chosen: Candidate, rejected: Candidate) -> dict[str, Any]:
    """A row of kind `preference`: both sides with their generators, scores as rewards, the origin of the prompt."""
    row: dict[str, Any] = {
        "id": prompt.id,
        "prompt": prompt.prompt,
        "chosen": chosen.text,
        "rejected": rejected.text,
    }
    for side, candidate in (("chosen", chosen), ("rejected", rejected)):
        if candidate.score is not None:
            row[f"{side}_reward"] = candidate.score
        if "generator" in candidate.row:
            row[f"{side}_generator"] = candidate.row["generator"]
    return {**row, **prompt.lineage}


def _score(candidate: Candidate) -> float:
    return -math.inf if candidate.score is None else candidate.score


def _margin(pair: Pair) -> float:
    return _score(pair[0]) - _score(pair[1])
