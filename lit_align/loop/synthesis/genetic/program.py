"""The program of Genetic Instruct."""

import math
from dataclasses import replace
from typing import final

from lit_align.errors import ConfigError
from lit_align.generation.base import Generator
from lit_align.loop.parts import Part, rows_of
from lit_align.loop.program import Program
from lit_align.loop.rounds import Sampled
from lit_align.loop.runner import Runner
from lit_align.loop.stage import Artifact
from lit_align.loop.synthesis.asking import Asking, model_of
from lit_align.loop.synthesis.cleaning import CleanPrompts, require_cleaning
from lit_align.loop.synthesis.describing import Describe
from lit_align.loop.synthesis.genetic.report import Made, write_genetic_report
from lit_align.loop.synthesis.genetic.stages import CODING, Colony, Execution
from lit_align.loop.synthesis.settings import Embedding
from lit_align.loop.synthesis.sources import TextSource
from lit_align.synthesis.genetic import GeneticInstruct
from lit_align.synthesis.genetic.steps import TASK
from lit_align.synthesis.hygiene.settings import Cleaning
from lit_align.synthesis.template import Templates
from lit_align.synthesis.transforms import AsPrompts
from lit_align.synthesis.verifiers.code import Isolation, Limits, require_consent


@final
class GeneticInstructions(Program):
    """Makes programming tasks with solutions out of a few seeds, as Genetic Instruct does (arXiv:2407.21077).

    Every colony is a stage: it mutates and crosses tasks, has them solved and judged, and the fit ones live on. In the
    end the colonies are joined; what repeats, nearly repeats or holds an evaluation prompt is dropped, among the seeds
    too. The instructions are `data/instructions.jsonl` of the workdir, conversations of two turns to learn from.

    Args:
        generator: Makes the tasks: a model folder or hub id, or a generator by its class path, such as a server.
        coder: Solves them, and writes tests; default: the generator.
        judge: Says which are fit; default: the generator.
        seeds: Tasks that the colonies begin with.
        given: Further ones, as texts.
        evolution: How the colonies grow, to what size, and the seed of every draw.
        spare: The share by which they grow beyond the target, for what cleaning takes from them.
        allow_code_execution: One of the two consents that tests need; LIT_ALIGN_ALLOW_CODE_EXECUTION=1 is the other.
        isolation: Of the sandbox in which tests are run.
        limits: Of what is run there.
        excluded: Files with prompts of evaluations, which neither seeds nor instructions may hold.
        cleaning: What is done to the instructions; default: tasks that repeat others, exactly or nearly, are dropped,
            and those that share runs of words with `excluded`. Such seeds are dropped in any case.
        embedding: What finds tasks that mean the same, where `cleaning` looks for them.
        sampled: How tasks are sampled.
        solutions: How solutions and tests are.
        verdicts: How the judge is.
        templates: Files that replace templates, by the template's name.
        min_items: Least tasks that a colony must come to, or the run stops there.
    """

    def __init__(
        self,
        *,
        generator: str | Generator,
        coder: str | Generator | None = None,
        judge: str | Generator | None = None,
        seeds: TextSource | None = None,
        given: list[str] | None = None,
        evolution: GeneticInstruct,
        spare: float = 0.1,
        allow_code_execution: bool = False,
        isolation: Isolation = "namespaces",
        limits: Limits = Limits(),
        excluded: list[str] | None = None,
        cleaning: Cleaning | None = None,
        embedding: Embedding | None = None,
        sampled: Sampled = Sampled(temperature=1.0, max_new_tokens=1024),
        solutions: Sampled = Sampled(temperature=0.7, max_new_tokens=2048),
        verdicts: Sampled = Sampled(temperature=0.0, max_new_tokens=512),
        templates: dict[str, str] | None = None,
        min_items: int = 1,
    ) -> None:
        if seeds is None and not given:
            raise ConfigError("no tasks to begin with: set seeds, given, or both")
        if spare < 0:
            raise ConfigError(f"spare must not be negative, got {spare}")
        require_cleaning(cleaning or Cleaning(), embedding, are_tagged=False)
        for name, settings in (("sampled", sampled), ("solutions", solutions), ("verdicts", verdicts)):
            if settings.num_samples != 1:
                raise ConfigError(f"{name}.num_samples must be 1: more tasks are asked for by evolution.offspring")
        if evolution.num_tests:
            require_consent(allow_code_execution)
        self.generator = generator
        self.coder = coder
        self.judge = judge
        self.seeds = seeds
        self.given = given or []
        self.evolution = evolution
        self.spare = spare
        self.execution = Execution(allowed=allow_code_execution, isolation=isolation, limits=limits)
        self.excluded = excluded or []
        self.cleaning = cleaning or Cleaning(over="prompt")
        self.embedding = embedding
        self.sampled = {"instructor": sampled, "coder": solutions, "judge": verdicts}
        self.templates = Templates(files=templates or {})
        self.min_items = min_items
        self.made = Made(target=evolution.target)

    def build(self, runner: Runner) -> None:
        """Adds the seeds, a stage a colony, and what is done to all colonies together."""
        models = self._models(runner)
        instructor = models["instructor"]
        asking = Asking(runner=runner, generator=instructor, seed=self.evolution.seed, min_items=self.min_items)
        named = enumerate(self.excluded, start=1)
        held = tuple(Part(artifact=runner.external(path, title=f"excluded prompts {n}")) for n, path in named)
        seeds = self._seeds(asking, held)
        self.made.colonies = [self._colony(runner, colony, seeds, models) for colony in self._colonies()]
        parts = map(rows_of, self.made.colonies)
        every = asking.take(*parts, most=None, title="all colonies")
        clean = CleanPrompts(rows=every, cleaning=self.cleaning, evaluations=held, kind="sft")
        if self.cleaning.semantic is not None and self.embedding is not None:
            embedder = runner.external(self.embedding.model, title="embeddings")
            clean = replace(clean, embedder=embedder, library=self.embedding.library)
        self.made.clean = runner.add(clean, title="clean instructions")
        final = asking.take(rows_of(self.made.clean), most=self.evolution.target, title="instructions")
        self.made.instructions = final.artifact
        self.made.description = runner.add(Describe(items=final, by="operation"), title="instructions.jsonl")

    def finish(self, runner: Runner) -> int | None:
        """Writes the instructions, the table, results.json, the report and the timings."""
        write_genetic_report(self.made, runner)

    def stopped(self, runner: Runner) -> None:
        """Writes the same of what there was."""
        write_genetic_report(self.made, runner)

    def _models(self, runner: Runner) -> dict[str, Artifact | Generator]:
        instructor = model_of(runner, self.generator, title="generator")
        others = {"coder": self.coder, "judge": self.judge}
        named = {
            role: instructor if model is None else model_of(runner, model, title=role) for role, model in others.items()
        }
        return {"instructor": instructor, **named}

    def _seeds(self, asking: Asking, held: tuple[Part, ...]) -> Part:
        """The tasks to begin with, as prompts, without those of evaluations."""
        parts = []
        if self.seeds is not None:
            parts.append(asking.texts(self.seeds, TASK, title="seeds: read"))
        if self.given:
            parts.append(asking.given(TASK, self.given, title="seeds: given"))
        prompts = asking.apply(AsPrompts(task=CODING), *parts, title="seeds: all")
        cleaning = Cleaning(over="prompt", near=self.cleaning.near, overlap=self.cleaning.overlap)
        clean = CleanPrompts(rows=prompts, cleaning=cleaning, evaluations=held)
        self.made.seeds = asking.runner.add(clean, title="seeds")
        return rows_of(self.made.seeds)

    def _colonies(self) -> list[GeneticInstruct]:
        wanted = math.ceil(self.evolution.target * (1 + self.spare))
        return replace(self.evolution, target=wanted).apart()

    def _colony(
        self, runner: Runner, evolution: GeneticInstruct, seeds: Part, models: dict[str, Artifact | Generator]
    ) -> Artifact:
        stage = Colony(
            evolution=evolution,
            seeds=seeds,
            models=models,
            sampled=self.sampled,
            templates={name: self.templates[name] for name in evolution.templates},
            execution=self.execution if evolution.num_tests else None,
            min_items=self.min_items,
        )
        return runner.add(stage, title=f"colony {evolution.first_colony + 1}")
