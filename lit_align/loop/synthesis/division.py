"""The stages between the prompts and their uses: cleaning, tags, a diverse sample, the division."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lit_align.loop.parts import Part, rows_of
from lit_align.loop.prompts import SplitPrompts
from lit_align.loop.synthesis.asking import Asking
from lit_align.loop.synthesis.cleaning import CleanPrompts
from lit_align.loop.synthesis.settings import Embedding, Tagging, Uses
from lit_align.synthesis.hygiene.contamination import Overlap
from lit_align.synthesis.hygiene.settings import Cleaning
from lit_align.synthesis.hygiene.tagging import AskTags, RuleTags
from lit_align.synthesis.prompts.verifiable import Verifiable
from lit_align.synthesis.template import Templates

# No run of words is so long: what is excluded is found whole, or not.
_EXCLUDED_ALONE = Cleaning(exact=False, near=None, overlap=Overlap(ngram=10**9, short_ngram=10**9))
_ROWS_SPLIT = "rows"  # how the file of a stage is called, as the name of a split


@dataclass(frozen=True, kw_only=True)
class Division:
    """The prompts by use; no prompt has two.

    Attributes:
        parts: By the name of the share.
        verifiable: Those whose responses a program can judge: for preferences too.
    """

    parts: dict[str, Part] = field(default_factory=dict)
    verifiable: Part | None = None


@dataclass(frozen=True, kw_only=True)
class DivisionStages:
    """Adds the stages that give each prompt its use.

    Attributes:
        asking: Adds stages.
        templates: What is asked.
        uses: How large the shares are.
        cleaning: What is done before; None drops repetitions and whole excluded prompts alone.
        tags: How prompts are tagged.
        embedding: What finds prompts that mean the same.
        excluded: Prompts that are left out, such as those of an evaluation.
    """

    asking: Asking
    templates: Templates
    uses: Uses
    cleaning: Cleaning | None
    tags: Tagging | None
    embedding: Embedding | None
    excluded: tuple[Part, ...]

    def divide(self, prompts: Sequence[Part], verifiable: Sequence[Part]) -> Division:
        """Divides the prompts; one that also is verifiable counts as that."""
        every = self.asking.take(*verifiable, *prompts, most=None, title="all prompts")
        if self.cleaning is not None or self.excluded:
            # The sample is drawn behind the tags, which nobody needs to tell of what is dropped here.
            cleaning = replace(self.cleaning or _EXCLUDED_ALONE, sample=None)
            every = self._cleaned(every, cleaning, title="clean prompts", evaluations=self.excluded)
        if not verifiable:
            return Division(parts=self._shared_out(every))
        known = self.asking.apply(Verifiable(), every, title="verifiable prompts")
        if not prompts:
            return Division(verifiable=known)
        others = self.asking.apply(Verifiable(wanted=False), every, title="other prompts")
        return Division(parts=self._shared_out(others), verifiable=known)

    def _shared_out(self, prompts: Part) -> dict[str, Part]:
        stage = SplitPrompts(
            source=self._sampled(self._tagged(prompts)).artifact,
            split=_ROWS_SPLIT,
            parts=self.uses.parts,
            most=self.uses.most,
            with_columns=True,
            seed=self.asking.seed,
            may_be_empty=self.asking.may_be_empty,
        )
        division = self.asking.runner.add(stage, title="division of the prompts")
        return {name: Part(artifact=division, file=f"{name}.jsonl") for name in self.uses.parts}

    def _tagged(self, prompts: Part) -> Part:
        if self.tags is None:
            return prompts
        if self.tags.by == "rules":
            return self.asking.apply(RuleTags(), prompts, title="prompt tags")
        step = AskTags(most=self.tags.most, template=self.templates["tag_prompt"])
        return self.asking.ask(step, prompts, self.tags.sampled, title="prompt tags")

    def _sampled(self, prompts: Part) -> Part:
        """No more prompts than are wanted, which cover the tags."""
        if self.cleaning is None or self.cleaning.sample is None:
            return prompts
        names = ("sample", "tags_by", "min_tag_rows", "seed")
        draw = Cleaning(exact=False, near=None, **{name: getattr(self.cleaning, name) for name in names})
        return self._cleaned(prompts, draw, title="diverse sample of the prompts")

    def _cleaned(self, rows: Part, cleaning: Cleaning, *, title: str, evaluations: tuple[Part, ...] = ()) -> Part:
        runner, embedding = self.asking.runner, self.embedding
        stage = CleanPrompts(rows=rows, cleaning=cleaning, evaluations=evaluations)
        if cleaning.semantic is not None and embedding is not None:
            model = runner.external(embedding.model, title="embeddings")
            stage = replace(stage, embedder=model, library=embedding.library)
        return rows_of(runner.add(stage, title=title))
