"""How a program adds the stages of a step: compose, generate, parse, and once more for what is missing."""

from dataclasses import dataclass

from lit_align.generation.base import Generator
from lit_align.loop.parts import Part, rows_of
from lit_align.loop.rounds import Sampled
from lit_align.loop.runner import Runner
from lit_align.loop.sampling import Generate
from lit_align.loop.stage import Artifact
from lit_align.loop.synthesis.sources import TextSource
from lit_align.loop.synthesis.stages import Apply, Compose, Given, Parse, ReadItems
from lit_align.synthesis.prompts.real import Texts
from lit_align.synthesis.steps import Step
from lit_align.synthesis.transforms import Take, Transform

_SECOND = 1  # a second round draws other samples even where it asks the same


@dataclass(frozen=True, kw_only=True)
class Asking:
    """Adds stages to a runner.

    Attributes:
        runner: Takes the stages.
        generator: Is asked.
        seed: Of every draw.
        min_items: Least items that a step must give, or the run stops.
    """

    runner: Runner
    generator: Artifact | Generator
    seed: int
    min_items: int

    @property
    def may_be_empty(self) -> bool:
        """Whether a step may give nothing at all."""
        return self.min_items < 1

    def given(self, kind: str, texts: tuple[str, ...] | list[str], *, title: str, **meta: str) -> Part:
        """Texts of the recipe as items."""
        return rows_of(self.runner.add(Given(kind=kind, texts=tuple(texts), meta=meta), title=title))

    def texts(self, source: TextSource, kind: str, *, title: str, **meta: str) -> Part:
        """Texts from outside as items, no more than are wanted."""
        reader = Texts(
            kind=kind,
            dataset=source.dataset,
            licence=source.licence,
            column=source.column,
            meta=meta,
            max_characters=source.max_characters,
        )
        return self.take(self.read(source.path, reader, source.split, title=title), most=source.most, title=title)

    def read(self, path: str, reader: Transform, split: str, *, title: str) -> Part:
        """Rows from outside as a reader makes items of them."""
        given = self.runner.external(path, title=f"{title}: source")
        return rows_of(self.runner.add(ReadItems(source=given, reader=reader, split=split), title=f"{title}: read"))

    def apply(self, transform: Transform, *items: Part, title: str) -> Part:
        """Items to which something is done without a model."""
        return rows_of(self.runner.add(Apply(transform=transform, items=items, min_items=self.min_items), title=title))

    def take(self, *items: Part, most: int | None, title: str, draw: int = 0, within: str | None = None) -> Part:
        """Items of several stages, each once, and no more than a number; another `draw` takes others."""
        return self.apply(Take(most=most, seed=self.seed + draw, within=within), *items, title=title)

    def ask(self, step: Step, items: Part, sampled: Sampled, *, title: str, again: bool = False) -> Part:
        """What a model says of items; with `again`, what is missing is asked for once more."""
        made = self._round(step, items, sampled, title=title, seed=self.seed)
        rounds = (made,)
        if again:
            first = self._parse(step, rounds, title=f"{title}: first round", min_items=0)
            missing = self._round(step, items, sampled, title=f"{title}: missing", seed=self.seed + _SECOND, made=first)
            rounds = (made, missing)
        return self._parse(step, rounds, title=title, min_items=self.min_items)

    def _round(
        self, step: Step, items: Part, sampled: Sampled, *, title: str, seed: int, made: Part | None = None
    ) -> Part:
        compose = Compose(step=step, items=(items,), made=made)
        prompts = rows_of(self.runner.add(compose, title=f"{title}: prompts"))
        generate = Generate(model=self.generator, prompts=prompts, seed=seed, may_be_empty=True, **vars(sampled))
        return rows_of(self.runner.add(generate, title=f"{title}: responses"))

    def _parse(self, step: Step, responses: tuple[Part, ...], *, title: str, min_items: int) -> Part:
        return rows_of(self.runner.add(Parse(step=step, responses=responses, min_items=min_items), title=title))


def model_of(runner: Runner, generator: str | Generator, *, title: str) -> Artifact | Generator:
    """What a recipe names as a generator: a model folder or hub id as an input of the loop, or a generator as it is."""
    return runner.external(generator, title=title) if isinstance(generator, str) else generator
