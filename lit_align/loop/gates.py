"""Gates: stages that stop a loop whose models have gone wrong, and that keep the best of them."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

from lit_align.errors import ConfigError, DataError, LitAlignError
from lit_align.files import write_json
from lit_align.loop.choice import write_choice
from lit_align.loop.manifest import lookup, read_results
from lit_align.loop.stage import Artifact, Stage, StageContext

PER_PROMPT = "per_prompt.jsonl"


class GateError(LitAlignError):
    """A measured value stops the loop before it builds on what is broken."""

    exit_code = 7


@final
@dataclass(frozen=True, kw_only=True)
class MetricGate(Stage):
    """Lets `subject` through if the results of `evaluation` keep to the limits; whatever takes the gate gets `subject`.

    Args:
        subject: What is let through.
        evaluation: Its results are looked at.
        minimum: Smallest value allowed, by name of the result (dotted where nested).
        maximum: Largest value allowed, likewise.
        meaning: Why a value beyond the limits must stop the loop; part of the message.
    """

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("measured",)

    subject: Artifact
    evaluation: Artifact
    minimum: dict[str, float] = field(default_factory=dict)
    maximum: dict[str, float] = field(default_factory=dict)
    meaning: str = ""

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Compares, and raises `GateError` with every value that is out of bounds (NaN always is)."""
        if not self.minimum and not self.maximum:
            raise ConfigError(f"{context.title}: a gate needs a minimum or a maximum")
        results = read_results(self.evaluation.path)
        measured = {name: self._measured(results, name) for name in (*self.minimum, *self.maximum)}
        failures = [
            f"{name} is {measured[name]:.4g}, must be at {word} {limit:.4g}"
            for limits, word, sign in ((self.minimum, "least", 1), (self.maximum, "most", -1))
            for name, limit in limits.items()
            if not sign * measured[name] >= sign * limit
        ]
        if failures:
            # The manifest never comes to be, so the verdict is all that stays.
            write_json(output / "verdict.json", {"failures": failures, "meaning": self.meaning})
            raise GateError("\n".join(["; ".join(failures), *([self.meaning] if self.meaning else [])]))
        details = {"measured": measured, "minimum": self.minimum, "maximum": self.maximum}
        write_choice(output, self.subject, details=details)
        return {"measured": measured}

    def _measured(self, results: Mapping[str, Any], name: str) -> float:
        try:
            value = lookup(results, name)
        except KeyError:
            known = ", ".join(key for key, item in results.items() if isinstance(item, int | float))
            raise ConfigError(f"{self.evaluation.title} has no result {name!r}\nIt has: {known}") from None
        if isinstance(value, bool) or not isinstance(value, int | float):
            # A result that could not be measured is JSON's null.
            return math.nan
        return float(value)


@final
@dataclass(frozen=True, kw_only=True)
class Champion(Stage):
    """Keeps the first of `candidates` until a later one is not worse by a paired bootstrap over the same prompts.

    Each candidate is a model with its evaluation, whose folder holds `per_prompt.jsonl`: an `id` a row, and the metric
    as a number. Whatever takes the champion gets the model that was kept.

    Args:
        candidates: Pairs of model and evaluation, in the order in which they challenge.
        metric: The name in the rows; larger is better.
        min_probability: A candidate wins if it is ahead in at least this share of resamples (ties count half): 0.5 asks
            for a gain in the measured mean, 0.1 refuses only what is clearly worse.
        num_resamples: Resamples of the bootstrap.
        seed: Of the bootstrap.
    """

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("chosen",)

    candidates: tuple[tuple[Artifact, Artifact], ...]
    metric: str
    min_probability: float = 0.1
    num_resamples: int = 10_000
    seed: int = 0

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Compares one after the other; `choice.json` and the results hold all numbers."""
        if not self.candidates:
            raise ConfigError(f"{context.title}: a champion needs candidates")
        champion, kept = self.candidates[0]
        scores = self._scores(kept)
        comparisons = []
        for number, (model, evaluation) in enumerate(self.candidates[1:], start=1):
            challenge = self._scores(evaluation)
            difference = self._compare(challenge, scores, titles=(evaluation.title, kept.title))
            accepted = difference["probability"] >= self.min_probability
            titles = {"candidate": model.title, "champion": champion.title}
            comparisons.append({**titles, **difference, "accepted": accepted})
            context.progress(number, len(self.candidates) - 1)
            if accepted:
                champion, kept, scores = model, evaluation, challenge
        results = {"chosen": champion.title, "fingerprint": champion.fingerprint, "comparisons": comparisons}
        write_choice(output, champion, details={"metric": self.metric, "comparisons": comparisons})
        return results

    def _scores(self, evaluation: Artifact) -> dict[str, float]:
        file = evaluation.path / PER_PROMPT
        scores: dict[str, float] = {}
        with open(file, encoding="utf-8") as rows:
            for number, line in enumerate(rows, start=1):
                row = json.loads(line)
                if "id" not in row or self.metric not in row or row["id"] in scores:
                    raise DataError(f"{file}:{number}: needs an `id` of its own and {self.metric!r}")
                scores[row["id"]] = float(row[self.metric])
        return scores

    def _compare(self, a: dict[str, float], b: dict[str, float], *, titles: tuple[str, str]) -> dict[str, Any]:
        from lit_align.metrics import paired_bootstrap

        if a.keys() != b.keys() or not a:
            different = len(a.keys() ^ b.keys())
            raise DataError(f"{titles[0]} and {titles[1]} were not measured on the same prompts: {different} differ")
        ids = sorted(a)
        difference = paired_bootstrap(
            [a[i] for i in ids], [b[i] for i in ids], num_resamples=self.num_resamples, seed=self.seed
        )
        return dataclasses.asdict(difference)
