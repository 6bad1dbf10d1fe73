"""Colonies of programming tasks that grow, generation by generation, until there are enough."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, ClassVar, Literal, final

from lit_align.data.accounting import Accounting
from lit_align.errors import ConfigError, DataError
from lit_align.synthesis.asking import Ask
from lit_align.synthesis.genetic.generation import Generation
from lit_align.synthesis.genetic.steps import TASK
from lit_align.synthesis.genetic.testing import Examine
from lit_align.synthesis.items import Item, joined_source, make_item, origin_of, rank, text_key
from lit_align.synthesis.template import Template, shipped


@final
@dataclass(frozen=True, kw_only=True)
class Evolved:
    """What an evolution came to.

    Attributes:
        items: The solved tasks of all colonies, kind `solution`, oldest first.
        grown: New items of each generation.
        ended_by: `target` where there are enough, `standstill` where generations brought nothing new, else `limit`.
    """

    items: list[Item]
    grown: list[int]
    ended_by: Literal["target", "standstill", "limit"]


@final
@dataclass(frozen=True, kw_only=True)
class GeneticInstruct:
    """Grows a set of programming tasks with solutions from a few seeds (Genetic Instruct, arXiv:2407.21077).

    In each generation an instructor makes new tasks of those that live, by mutation of one or crossover of several; a
    coder solves them; a judge says whether task and solution are fit. The fit join their colony. Colonies begin with
    the same seeds, draw their own parents and never mix; a task that any of them has already is dropped.

    What is drawn depends on the seed, the colony and the generation alone, so that the same answers give the same set.

    Args:
        target: How many solved tasks are wanted, of all colonies together.
        language: Of the programs.
        num_colonies: How many populations grow side by side; their questions are asked together.
        first_colony: The number of the first of them.
        offspring: Questions to the instructor, of each colony in each generation.
        crossover_share: The share of these that are crossovers.
        num_parents: Tasks of which a crossover takes something.
        num_children: Tasks that a crossover asks for.
        max_generations: Most generations.
        patience: Generations without a new task after which nothing more is hoped for.
        num_tests: Assertions asked for each solution that the judge likes; it must pass them all. 0 asks for none.
        seed: Of all draws.
    """

    version: ClassVar[int] = 2
    templates: ClassVar[tuple[str, ...]] = (
        "genetic_mutation",
        "genetic_crossover",
        "genetic_solution",
        "genetic_fitness",
        "genetic_tests",
    )

    target: int
    language: str = "Python"
    num_colonies: int = 4
    first_colony: int = 0
    offspring: int = 64
    crossover_share: float = 0.5
    num_parents: int = 3
    num_children: int = 5
    max_generations: int = 100
    patience: int = 3
    num_tests: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses numbers that let nothing grow."""
        if self.num_tests and self.language.casefold() != "python":
            raise ConfigError(f"num_tests: only tests in Python can be run, not in {self.language}")
        for name in ("target", "num_colonies", "offspring", "num_children", "max_generations", "patience"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.num_parents < 2:
            raise ConfigError(f"num_parents must be at least 2, got {self.num_parents}")
        if not 0 <= self.crossover_share <= 1:
            raise ConfigError(f"crossover_share must lie between 0 and 1, got {self.crossover_share}")

    def apart(self) -> list["GeneticInstruct"]:
        """Each colony as an evolution of its own, with its share of the target rounded up, to grow in its own process.

        Colonies that grow apart do not know each other's tasks: look for repetitions in the end.
        """
        share = -(-self.target // self.num_colonies)
        numbers = range(self.first_colony, self.first_colony + self.num_colonies)
        return [replace(self, target=share, num_colonies=1, first_colony=number) for number in numbers]

    def evolve(
        self,
        seeds: Iterable[str | Item],
        *,
        ask: Ask,
        counts: Accounting,
        examine: Examine | None = None,
        templates: Mapping[str, Template] | None = None,
        report: Callable[[int, int], None] = lambda done, total: None,
    ) -> Evolved:
        """Grows the colonies.

        Args:
            seeds: Programming tasks, as texts or as items; they are parents and not part of the result.
            ask: Has the questions answered. Asked again after a crash, in the same order under the same names, it
                should return what it returned before.
            counts: Takes the account of all offspring.
            examine: Runs the tests, where there are some; after a crash, as `ask`.
            templates: Texts of the questions, by the names in `templates` of the class; default: those shipped.
            report: Called with the number of solved tasks and the target after each generation.

        Raises:
            ConfigError: Tests are asked for, and nothing runs them.
            DataError: There are fewer seeds than parents of a crossover.
        """
        if self.num_tests and examine is None:
            raise ConfigError("num_tests: something must run the tests, such as FileExam")
        first = self._first(seeds)
        colonies = {self.first_colony + number: list(first) for number in range(self.num_colonies)}
        generation = Generation(
            ask=ask,
            examine=examine if self.num_tests else None,
            counts=counts,
            templates=templates or {name: shipped(name) for name in self.templates},
            num_children=self.num_children,
            num_tests=self.num_tests,
            seed=self.seed,
            seen={text_key(item["text"]) for item in first},
        )
        living: list[Item] = []
        grown: list[int] = []
        while len(living) < self.target and len(grown) < self.max_generations and not self._stands_still(grown):
            number = len(grown) + 1
            new = generation.grow(number, *self._parents(colonies, number), most=self.target - len(living))
            for item in new:
                colonies[item["meta"]["colony"]].append(_as_task(item))
            living += new
            grown.append(len(new))
            report(len(living), self.target)
        ended = "target" if len(living) >= self.target else "standstill" if self._stands_still(grown) else "limit"
        return Evolved(items=living, grown=grown, ended_by=ended)

    def _first(self, seeds: Iterable[str | Item]) -> list[Item]:
        """The seeds as tasks, each once."""
        unique: dict[str, Item] = {}
        for seed in seeds:
            text, source = (seed, None) if isinstance(seed, str) else (seed["text"], seed.get("source"))
            item = make_item(TASK, text=text, meta={"language": self.language}, source=source)
            unique.setdefault(text_key(text), item)
        if len(unique) < self.num_parents:
            raise DataError(f"{len(unique)} different seeds are too few: a crossover takes {self.num_parents}")
        return sorted(unique.values(), key=lambda item: item["id"])  # draws go by place

    def _stands_still(self, grown: Sequence[int]) -> bool:
        return len(grown) >= self.patience and not any(grown[-self.patience :])

    def _parents(self, colonies: Mapping[int, Sequence[Item]], generation: int) -> tuple[list[Item], list[Item]]:
        """The tasks to be mutated and the groups to be crossed in a generation."""
        mutated, crossed = [], []
        crossovers = round(self.crossover_share * self.offspring)
        for colony, tasks in colonies.items():
            for index in range(self.offspring):
                names = (str(generation), str(colony), str(index))
                meta = {"language": self.language, "colony": colony, "generation": generation}
                if index < crossovers:
                    parents = self._drawn(tasks, names, self.num_parents)
                    crossed.append(_parent(parents, names, {**meta, "operation": "crossover"}))
                else:
                    mutated.append(_parent(self._drawn(tasks, names, 1), names, {**meta, "operation": "mutation"}))
        return mutated, crossed

    def _drawn(self, tasks: Sequence[Item], names: Sequence[str], number: int) -> list[Item]:
        """Different tasks; there are at least so many."""
        chosen: dict[int, None] = {}
        for draw in count():
            if len(chosen) == number:
                break
            chosen[int(rank(self.seed, *names, str(draw)) * len(tasks))] = None
        return [tasks[place] for place in chosen]


def _parent(tasks: Sequence[Item], names: Sequence[str], meta: dict[str, Any]) -> Item:
    """One task, or several as a list, to ask about."""
    texts = [task["text"] for task in tasks]
    is_one = len(texts) == 1
    text = texts[0] if is_one else "\n\n".join(f"{n}. {text}" for n, text in enumerate(texts, start=1))
    return {
        "id": "-".join(names),
        "kind": TASK if is_one else "tasks",
        "text": text,
        "meta": meta,
        "parents": [task["parents"][0] if task["parents"] else task["id"] for task in tasks],
        "generators": [name for task in tasks for name in task.get("generators", ())],
        "source": joined_source(tasks),
    }


def _as_task(item: Item) -> Item:
    """A solved task as a parent of others."""
    meta = {"language": item["meta"]["language"]}
    return make_item(TASK, text=item["meta"][TASK], meta=meta, parents=[item["id"]], **origin_of(item))
