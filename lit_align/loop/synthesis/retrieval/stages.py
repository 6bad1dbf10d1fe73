"""The steps of `PersonaQuestions` as stages, and the stages that only they need."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

from lit_align.data.accounting import Accounting
from lit_align.files import write_jsonl
from lit_align.loop.parts import ROWS, Part, model_path, rows_of
from lit_align.loop.rounds import Sampled
from lit_align.loop.sampling import read_rows
from lit_align.loop.stage import Artifact, Stage, StageContext
from lit_align.loop.synthesis.asking import Asking
from lit_align.loop.synthesis.stages import require_items
from lit_align.synthesis.hygiene.embedding import EmbedderLibrary
from lit_align.synthesis.personas.beir import retrieval_set
from lit_align.synthesis.personas.passages import distinct
from lit_align.synthesis.personas.retrieval import Flow, Role
from lit_align.synthesis.personas.steps import Useful
from lit_align.synthesis.steps import AskYesNo, Step
from lit_align.synthesis.transforms import Transform


@final
@dataclass(frozen=True, kw_only=True)
class Distinct(Stage):
    """Keeps the first of the items about one passage that mean the same, `rows.jsonl`.

    Args:
        items: Items about passages.
        model: Embeds their texts.
        library: What reads the model.
        threshold: Cosine from which on two texts mean the same.
        min_items: The stage fails if fewer are left.
    """

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("kept",)

    items: Part
    model: Artifact
    library: EmbedderLibrary
    threshold: float
    min_items: int = field(default=1, metadata={"fingerprint": False})

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Embeds passage by passage, and counts."""
        from lit_align.synthesis.hygiene.embedding import load_embedder
        from lit_align.synthesis.hygiene.semantic import semantic_duplicates

        counts = Accounting()
        embedder = load_embedder(model_path(self.model), library=self.library)
        kept = distinct(
            list(read_rows(self.items.path)),
            alike=lambda texts: semantic_duplicates(texts, embedder, threshold=self.threshold),
            counts=counts,
        )
        write_jsonl(output / ROWS, kept)
        require_items(counts, self.min_items, context)
        return counts.to_dict()


@final
@dataclass(frozen=True, kw_only=True)
class WriteSet(Stage):
    """Writes passages and questions in the layout of BEIR.

    Args:
        documents: All passages.
        questions: Questions about some of them.
    """

    version: ClassVar[int] = 1
    shown: ClassVar[tuple[str, ...]] = ("queries", "passages")

    documents: Part
    questions: Part

    def run(self, output: Path, context: StageContext) -> dict[str, Any]:
        """Writes; the results count questions by persona, and by type within each."""
        counts = Accounting()
        found = retrieval_set(read_rows(self.documents.path), read_rows(self.questions.path), counts=counts)
        found.write(output)
        types: dict[str, Counter[str]] = {}
        characters: Counter[str] = Counter()
        for query in found.queries:
            persona = query["metadata"]["persona"]
            types.setdefault(persona, Counter())[query["metadata"]["question_type"]] += 1
            characters[persona] += len(query["text"])
        return {
            **counts.to_dict(),
            "passages": len(found.corpus),
            "asked_about": len({document for _, document in found.relevant}),
            "queries": len(found.queries),
            "types": types,
            "characters": {persona: total / types[persona].total() for persona, total in characters.items()},
        }


@final
@dataclass(frozen=True, kw_only=True)
class StageFlow(Flow[Part]):
    """Steps as stages of a runner.

    Attributes:
        writer: Adds the stages in which questions are made.
        judge: Adds those in which they are judged; possibly another model.
        sampled: How the writer is sampled.
        verdicts: How the judge is.
        embedder: Embeds texts.
        library: What reads it.
        threshold: Cosine from which on two texts mean the same.
        filters: What went into each step that only leaves items out, and what came out of it, by its title.
    """

    writer: Asking
    judge: Asking
    sampled: Sampled
    verdicts: Sampled
    embedder: Artifact
    library: EmbedderLibrary
    threshold: float
    filters: dict[str, tuple[Part, Part]] = field(default_factory=dict)

    def ask(self, step: Step, items: Part, *, title: str, role: Role = "writer") -> Part:
        asking, sampled = (self.writer, self.sampled) if role == "writer" else (self.judge, self.verdicts)
        made = asking.ask(step, items, sampled, title=title)
        if isinstance(step, Useful | AskYesNo):
            self.filters[title] = items, made
        return made

    def apply(self, transform: Transform, *items: Part, title: str) -> Part:
        return self.writer.apply(transform, *items, title=title)

    def distinct(self, items: Part, *, title: str) -> Part:
        stage = Distinct(
            items=items,
            model=self.embedder,
            library=self.library,
            threshold=self.threshold,
            min_items=self.writer.min_items,
        )
        made = rows_of(self.writer.runner.add(stage, title=title))
        self.filters[title] = items, made
        return made
