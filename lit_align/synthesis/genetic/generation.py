"""One generation: tasks are made, solved, judged and tested, and every offspring is accounted for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

from lit_align.data.accounting import Accounting
from lit_align.synthesis.asking import Ask
from lit_align.synthesis.genetic.steps import Breed, JudgeFitness, Solve, WriteTests
from lit_align.synthesis.genetic.testing import Examine
from lit_align.synthesis.items import Item, text_key
from lit_align.synthesis.steps import Step
from lit_align.synthesis.template import Template

Role = Literal["instructor", "coder", "judge"]


@final
@dataclass(frozen=True, kw_only=True)
class Generation:
    """Grows one generation after the other.

    Attributes:
        ask: Has the questions answered.
        examine: Runs the tests; None where none are asked for.
        counts: Takes the account of all offspring.
        templates: Texts of the questions.
        num_children: Tasks that a crossover asks for.
        num_tests: Assertions about a solution.
        seed: Of the alternatives among texts.
        seen: What tasks have in common that are the same, of those that were met.
    """

    ask: Ask
    examine: Examine | None
    counts: Accounting
    templates: Mapping[str, Template]
    num_children: int
    num_tests: int
    seed: int
    seen: set[str]

    def grow(self, number: int, mutated: Sequence[Item], crossed: Sequence[Item], *, most: int) -> list[Item]:
        """The offspring that is fit, no more than are still wanted."""
        mutate = Breed(template=self.templates["genetic_mutation"], seed=self.seed)
        cross = Breed(template=self.templates["genetic_crossover"], num=self.num_children, seed=self.seed)
        tasks = self._asked(f"{number:03d}-mutations", "instructor", mutate, mutated, counts=self.counts)
        tasks += self._asked(f"{number:03d}-crossovers", "instructor", cross, crossed, counts=self.counts)
        tasks = self._passed(tasks, [self._repeated(task) for task in tasks])
        solve = Solve(template=self.templates["genetic_solution"])
        solved = self._asked_on(f"{number:03d}-solutions", "coder", solve, tasks)
        judge = JudgeFitness(template=self.templates["genetic_fitness"])
        fit = self._asked_on(f"{number:03d}-fitness", "judge", judge, solved)
        if self.examine is not None:
            write = WriteTests(template=self.templates["genetic_tests"], num=self.num_tests)
            tested = self._asked_on(f"{number:03d}-tests", "coder", write, fit)
            passed = self.examine(f"{number:03d}-verdicts", tested) if tested else []
            fit = self._passed(tested, [None if it else "failed_tests" for it in passed])
        return self._passed(fit, [None if index < most else "surplus" for index in range(len(fit))])

    def _asked(self, name: str, role: Role, step: Step, items: Sequence[Item], *, counts: Accounting) -> list[Item]:
        rows = list(step.compose(items))
        responses = self.ask(name, rows, role=role) if rows else []
        for _ in range(len(rows) - len(responses)):
            counts.add()
            counts.drop("refused", place=name)
        return list(step.parse(responses, counts=counts))

    def _asked_on(self, name: str, role: Role, step: Step, items: Sequence[Item]) -> list[Item]:
        """Asks about offspring that is counted already: only what is lost here is new."""
        own = Accounting()
        kept = self._asked(name, role, step, items, counts=own)
        self.counts.pass_on(own)
        return kept

    def _passed(self, items: Sequence[Item], reasons: Sequence[str | None]) -> list[Item]:
        for item, reason in zip(items, reasons, strict=True):
            if reason is not None:
                self.counts.drop(reason, place=f"item {item['id']}")
        return [item for item, reason in zip(items, reasons, strict=True) if reason is None]

    def _repeated(self, task: Item) -> str | None:
        """The reason to drop a task that some colony has."""
        key = text_key(task["text"])
        if key in self.seen:
            return "duplicate"
        self.seen.add(key)
        return None
