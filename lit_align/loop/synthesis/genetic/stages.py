"""The stage in which a colony grows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

from lit_align.data.accounting import Accounting
from lit_align.files import write_jsonl
from lit_align.generation.base import Generator, Sampling
from lit_align.generation.rows import Generated
from lit_align.loop.parts import ROWS, Part
from lit_align.loop.responders import Responder, generator_of
from lit_align.loop.rounds import Sampled
from lit_align.loop.sampling import read_rows
from lit_align.loop.stage import Stage, StageContext
from lit_align.loop.synthesis.stages import require_items
from lit_align.synthesis.asking import FileAsk
from lit_align.synthesis.genetic import FileExam, GeneticInstruct
from lit_align.synthesis.genetic.steps import SOLUTION, TASK
from lit_align.synthesis.items import Item, messages_of
from lit_align.synthesis.template import Template
from lit_align.synthesis.verifiers.code import CodeVerifier, Isolation, Limits, Sandbox, mbpp

CODING = "coding"
"""What `meta` of an instruction calls its task, as that of any synthetic prompt about programming."""


@final
@dataclass(frozen=True, kw_only=True)
class Execution:
    """How code of a model is run, after consent.

    Args:
        allowed: One of the two consents.
        isolation: Of the sandbox.
        limits: Of time, memory, processes and files.
    """

    allowed: bool = field(metadata={"fingerprint": False})
    isolation: Isolation = field(metadata={"fingerprint": False})
    limits: Limits

    def verifier(self) -> CodeVerifier:
        """What runs the tests of a solution.

        Raises:
            ConfigError: A consent is missing, or the system refuses the sandbox.
        """
        sandbox = Sandbox(self.isolation, limits=self.limits)
        return CodeVerifier(mbpp, allow_code_execution=self.allowed, sandbox=sandbox)


@final
@dataclass(frozen=True, kw_only=True)
class Colony(Stage):
    """Grows one colony of programming tasks, `rows.jsonl`; every response is kept, a file a round in `asked/`.

    Args:
        evolution: Of one colony.
        seeds: The tasks that it begins with, as prompts.
        models: Who answers: `instructor`, `coder` and `judge`.
        sampled: How, by role.
        templates: Texts of the questions.
        execution: How tests are run; None where there are none.
        min_items: The stage fails if the colony comes to fewer tasks.
    """

    version: ClassVar[int] = 1
    resumable: ClassVar[bool] = True
    shown: ClassVar[tuple[str, ...]] = ("kept", "ended_by")

    evolution: GeneticInstruct
    seeds: Part
    models: dict[str, Responder]
    sampled: dict[str, Sampled]
    templates: dict[str, Template]
    execution: Execution | None = None
    min_items: int = field(default=1, metadata={"fingerprint": False})

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Grows, continuing where a killed run was."""
        folder, counts = output / "asked", Accounting()
        verifier = None if self.execution is None else self.execution.verifier()
        ask = FileAsk(
            folder=folder,
            generators=self._generators(),
            sampling=self._sampling(),
            max_failed={role: sampled.max_failed for role, sampled in self.sampled.items()},
        )
        evolved = self.evolution.evolve(
            [_as_seed(row) for row in read_rows(self.seeds.path)],
            ask=ask,
            counts=counts,
            examine=None if verifier is None else FileExam(folder=folder, verifier=verifier, workers=context.threads),
            templates=self.templates,
            report=context.progress,
        )
        write_jsonl(output / ROWS, map(_as_demonstration, evolved.items))
        require_items(counts, self.min_items, context)
        asked = _asked(ask.made)
        return {**counts.to_dict(), "grown": evolved.grown, "ended_by": evolved.ended_by, "asked": asked}

    def _generators(self) -> dict[str, Generator]:
        """The generator of each role; a model that has several roles is loaded once."""
        made: dict[str, Generator] = {}
        for role, model in self.models.items():
            same = next((other for other in made if self.models[other] == model), None)
            made[role] = generator_of(model) if same is None else made[same]
        return made

    def _sampling(self) -> dict[str, Sampling]:
        """Colonies that ask the same draw different answers."""
        evolution = self.evolution
        seed = Sampling(seed=evolution.seed).seed_of("colony", evolution.first_colony)
        return {role: sampled.seeded(seed) for role, sampled in self.sampled.items()}


def _as_seed(row: Item) -> Item:
    return {"text": messages_of(row)[-1]["content"], "source": row.get("source")}


def _as_demonstration(item: Item) -> Item:
    """A solved task without the copies of task and solution that only further questions need."""
    known = {name: value for name, value in item["meta"].items() if name not in (TASK, SOLUTION)}
    return {**item, "meta": {"task": CODING, **known}}


def _asked(made: Mapping[str, Generated]) -> dict[str, dict[str, int]]:
    """What was asked and what came back, by the kind of question, all generations together."""
    found: dict[str, dict[str, int]] = {}
    for name, round_ in made.items():
        sums = found.setdefault(name.partition("-")[2], dict.fromkeys(("refused", "samples", "cut", "tokens"), 0))
        sums["refused"] += round_.refused
        sums["samples"] += round_.samples
        sums["cut"] += round_.finish_reasons.get("length", 0)
        sums["tokens"] += round((round_.mean_tokens or 0) * round_.samples)
    return found
