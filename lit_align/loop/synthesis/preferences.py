"""The stages of preferences: samples of several models, and pairs of them by verifier, reward model or judge."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

from lit_align.data.accounting import Accounting
from lit_align.errors import ConfigError, DataError
from lit_align.files import write_jsonl
from lit_align.generation.base import Generator
from lit_align.loop.parts import ROWS, Part, rows_of
from lit_align.loop.rounds import Sampled
from lit_align.loop.sampling import Generate, Pair, Score, read_rows
from lit_align.loop.stage import Artifact, Stage, StageContext
from lit_align.loop.synthesis.asking import Asking
from lit_align.loop.synthesis.made import Product
from lit_align.loop.synthesis.settings import Preferences
from lit_align.synthesis.preferences import Judge, gather
from lit_align.synthesis.prompts.verifiable import Verifiable
from lit_align.synthesis.template import Templates
from lit_align.synthesis.verifiers.code import Isolation

CANDIDATES = "candidates.jsonl"


@final
@dataclass(frozen=True, kw_only=True)
class Verify(Stage):
    """Adds to responses what the verifier of their prompt says, and its score as a reward, `rows.jsonl`.

    Args:
        rows: Responses to prompts with a known answer, a verifiable instruction or tests.
        allow_code_execution: One of the two consents that tests need.
        isolation: Of the code that they run.
        may_be_empty: Whether there may be no responses.
    """

    version: ClassVar[int] = 2
    resumable: ClassVar[bool] = True
    shown: ClassVar[tuple[str, ...]] = ("passed",)

    rows: Part
    allow_code_execution: bool = field(default=False, metadata={"fingerprint": False})
    isolation: Isolation = "namespaces"
    may_be_empty: bool = field(default=False, metadata={"fingerprint": False})

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Verifies, continuing where a killed run was; counts by verifier."""
        from lit_align.synthesis.verifiers import RowVerifier, Settings, verifier_of, verify_rows
        from lit_align.synthesis.verifiers.code import Sandbox

        if self.may_be_empty and self.rows.is_empty:
            write_jsonl(output / ROWS, ())
            return {"responses": 0, "passed": 0, "by": {}, "reasons": {}}
        settings = Settings(allow_code_execution=self.allow_code_execution, sandbox=Sandbox(self.isolation))
        verifier = RowVerifier(settings)
        verifier.prepare((self.rows.file, row) for row in read_rows(self.rows.path))
        key = [self.version, self.isolation]
        verified = verify_rows(verifier, self.rows.path, output / ROWS, key=key, workers=context.threads)
        by: dict[str, Counter[str]] = defaultdict(Counter)
        for row in read_rows(output / ROWS):
            by[verifier_of(row)].update(responses=1, passed=int(row["verdict"]["passed"]))
        counts = {name: dict(numbers) for name, numbers in by.items()}
        reasons = dict(verified.reasons.most_common())
        return {"responses": verified.responses, "passed": verified.passed, "by": counts, "reasons": reasons}


@final
@dataclass(frozen=True, kw_only=True)
class AskJudge(Stage):
    """Writes the questions to a judge about responses, two for each pair, `rows.jsonl`; all go to `candidates.jsonl`.

    Args:
        judge: What is asked.
        rows: Responses, one file a model.
    """

    version: ClassVar[int] = 2
    shown: ClassVar[tuple[str, ...]] = ("questions",)

    judge: Judge
    rows: tuple[Part, ...]

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Composes and counts prompts that have no two responses."""
        counts = Accounting()
        prompts = list(gather([str(part.path) for part in self.rows], score=None, counts=Accounting()))
        write_jsonl(output / CANDIDATES, (prompt.to_json() for prompt in prompts if prompt.responses))
        return {"questions": write_jsonl(output / ROWS, self.judge.compose(prompts, counts=counts)), **counts.to_dict()}


@final
@dataclass(frozen=True, kw_only=True)
class PairByJudge(Stage):
    """Makes preferences of a judge's verdicts, `rows.jsonl`; those that change with the order are dropped.

    Args:
        judge: Who was asked.
        questions: What it was asked.
        responses: What it said.
        may_be_empty: Whether it may have decided no pair.
    """

    version: ClassVar[int] = 2
    shown: ClassVar[tuple[str, ...]] = ("kept", "first_place")

    judge: Judge
    questions: Part
    responses: Part
    may_be_empty: bool = field(default=False, metadata={"fingerprint": False})

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Parses, and measures how often the first response was preferred."""
        counts = Accounting()
        judged = self.judge.parse(
            read_rows(self.responses.path), counts=counts, questions=read_rows(self.questions.path)
        )
        if not (judged.rows or self.may_be_empty):
            raise DataError(f"{context.title}: the judge decided no pair of {counts.read}\n{counts.summary()}")
        write_jsonl(output / ROWS, judged.rows)
        return {**counts.to_dict(), "first_place": judged.bias.share, "verdicts": judged.bias.verdicts}


@dataclass(frozen=True, kw_only=True)
class PreferenceStages:
    """Adds the stages that make pairs.

    Attributes:
        asking: Adds stages.
        models: What answers, the first of them also as the judge.
        settings: How.
        templates: What the judge is asked.
        reward_model: Decides, where it is to.
    """

    asking: Asking
    models: list[Artifact | Generator]
    settings: Preferences
    templates: Templates
    reward_model: Artifact | None

    def pairs(self, prompts: Part, *, open_ended: bool, verifiable: bool) -> dict[str, Product]:
        """Pairs by file name: those that a verifier decides, and the others, by reward model or judge."""
        made = {}
        if open_ended:
            some = self.asking.apply(Verifiable(wanted=False), prompts, title="preferences: prompts")
            made["preferences"] = self._decided(self._samples(some, title="preferences"))
        if verifiable:
            some = self.asking.apply(Verifiable(), prompts, title="verified preferences: prompts")
            made["preferences_verified"] = self._verified(self._samples(some, title="verified preferences"))
        return made

    def _samples(self, prompts: Part, *, title: str) -> list[tuple[int, Part]]:
        sampled: Sampled = self.settings.sampled
        return [
            (
                number,
                self._add(
                    Generate(
                        model=model,
                        prompts=prompts,
                        seed=self.asking.seed,
                        **vars(sampled),
                        may_be_empty=self.asking.may_be_empty,
                    ),
                    f"{title}: responses {number}",
                ),
            )
            for number, model in enumerate(self.models, start=1)
        ]

    def _verified(self, samples: list[tuple[int, Part]]) -> Product:
        """By truth alone: a response that is half right is no better than one that is wrong."""
        settings = self.settings
        code = {"allow_code_execution": settings.allow_code_execution, "isolation": settings.isolation}
        title = "verified preferences"
        verified = [
            self._add(Verify(rows=rows, **code, may_be_empty=self.asking.may_be_empty), f"{title}: verdicts {number}")
            for number, rows in samples
        ]
        return self._paired(verified, by="verdict.passed", min_margin=0.0, title=title)

    def _decided(self, samples: list[tuple[int, Part]]) -> Product:
        if self.settings.by == "judge":
            return self._judged([rows for _, rows in samples])
        if self.reward_model is None:
            raise ConfigError("preferences by reward need a reward_model")
        scores = [
            self._add(
                Score(model=self.reward_model, rows=rows, may_be_empty=self.asking.may_be_empty),
                f"preferences: rewards {number}",
            )
            for number, rows in samples
        ]
        return self._paired(scores, by="reward", min_margin=self.settings.min_margin, title="preferences")

    def _judged(self, samples: list[Part]) -> Product:
        limits = {name: vars(self.settings)[name] for name in ("max_length_ratio", "max_similarity")}
        judge = Judge(seed=self.asking.seed, template=self.templates["judge"], **limits)
        questions = self._add(AskJudge(judge=judge, rows=tuple(samples)), "preferences: questions to the judge")
        limits = {name: getattr(self.settings.sampled, name) for name in ("max_new_tokens", "max_failed")}
        generate = Generate(
            model=self.models[0], prompts=questions, temperature=0.0, **limits, may_be_empty=self.asking.may_be_empty
        )
        said = self._add(generate, "preferences: responses of the judge")
        pairs = self._add(
            PairByJudge(judge=judge, questions=questions, responses=said, may_be_empty=self.asking.may_be_empty),
            "preferences",
        )
        return Product(rows=pairs, candidates=Part(artifact=questions.artifact, file=CANDIDATES))

    def _paired(self, rows: list[Part], *, by: str, min_margin: float, title: str) -> Product:
        names = ("strategy", "max_length_ratio", "max_similarity")
        rules = {name: vars(self.settings)[name] for name in names}
        rules |= {"min_margin": min_margin, "seed": self.asking.seed}
        pair = Pair(rows=rows[0], others=tuple(rows[1:]), by=by, **rules, may_be_empty=self.asking.may_be_empty)
        pairs = self._add(pair, title)
        return Product(rows=pairs, candidates=Part(artifact=pairs.artifact, file=CANDIDATES))

    def _add(self, stage: Stage, title: str) -> Part:
        return rows_of(self.asking.runner.add(stage, title=title))
