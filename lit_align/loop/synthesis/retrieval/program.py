"""The program of retrieval evaluation."""

from typing import final

from lit_align.errors import ConfigError
from lit_align.generation.base import Generator
from lit_align.loop.parts import rows_of
from lit_align.loop.program import Program
from lit_align.loop.rounds import Sampled
from lit_align.loop.runner import Runner
from lit_align.loop.synthesis.asking import Asking, model_of
from lit_align.loop.synthesis.retrieval.report import Made, write_retrieval_report
from lit_align.loop.synthesis.retrieval.stages import StageFlow, WriteSet
from lit_align.loop.synthesis.settings import Embedding
from lit_align.loop.synthesis.sources import PassageSource
from lit_align.loop.synthesis.stages import ReadItems
from lit_align.synthesis.personas import PersonaQuestions
from lit_align.synthesis.personas.passages import Passages
from lit_align.synthesis.template import Templates


@final
class RetrievalEvaluation(Program):
    """Makes a set for the evaluation of retrieval out of passages: questions as different people would ask them.

    For each passage and persona points of interest, types of question that fit, and questions; what repeats, what the
    passage does not answer and what cannot be understood alone is left out; the rest is put in its persona's way of
    writing. The passage of each question is its ground truth. The set is in `data/` of the workdir, in the layout of
    BEIR: `corpus.jsonl`, `queries.jsonl` and `qrels/test.tsv`.

    Args:
        generator: Makes the questions: a model folder or hub id, or a generator by its class path, such as a server.
        judge: Says which types fit and which questions are good; default: the generator.
        passages: The collection.
        most: Most passages that are asked about; all of them are in the corpus.
        personas: A sentence or two about each person.
        num_interests: Points of interest that are asked for, of each passage and persona.
        num_questions: Questions that are asked for, of each interest and type.
        embedding: What finds interests, and questions, that mean the same.
        threshold: Cosine from which on they do; it depends on the model.
        sampled: How interests and questions are sampled.
        verdicts: How the judge is.
        templates: Files that replace templates, by the template's name.
        min_items: Least items that every step must give, or the run stops there.
        seed: Of every draw.
    """

    def __init__(
        self,
        *,
        generator: str | Generator,
        judge: str | Generator | None = None,
        passages: PassageSource,
        most: int | None = None,
        personas: list[str],
        num_interests: int = 5,
        num_questions: int = 3,
        embedding: Embedding,
        threshold: float = 0.85,
        sampled: Sampled = Sampled(temperature=0.7, max_new_tokens=768),
        verdicts: Sampled = Sampled(temperature=0.0, max_new_tokens=512),
        templates: dict[str, str] | None = None,
        min_items: int = 1,
        seed: int = 0,
    ) -> None:
        if not personas:
            raise ConfigError("personas: give at least one")
        if not 0 < threshold <= 1:
            raise ConfigError(f"threshold must lie above 0 and at most at 1, got {threshold}")
        self.generator = generator
        self.judge = judge
        self.passages = passages
        self.most = most
        self.personas = list(dict.fromkeys(personas))
        self.questions = PersonaQuestions(num_interests=num_interests, num_questions=num_questions)
        self.embedding = embedding
        self.threshold = threshold
        self.sampled = sampled
        self.verdicts = verdicts
        self.templates = Templates(files=templates or {})
        self.min_items = min_items
        self.seed = seed
        self.made = Made()

    def build(self, runner: Runner) -> None:
        """Adds all stages."""
        writer = self._asking(runner, self.generator, title="generator")
        source = self.passages
        reader = Passages(
            column=source.column,
            id_column=source.id_column,
            title_column=source.title_column,
            dataset=source.dataset,
            licence=source.licence,
        )
        given = runner.external(source.path, title="collection")
        documents = rows_of(runner.add(ReadItems(source=given, reader=reader, split=source.split), title="passages"))
        flow = StageFlow(
            writer=writer,
            judge=writer if self.judge is None else self._asking(runner, self.judge, title="judge"),
            sampled=self.sampled,
            verdicts=self.verdicts,
            embedder=runner.external(self.embedding.model, title="embedding model"),
            library=self.embedding.library,
            threshold=self.threshold,
        )
        questions = self.questions.plan(
            flow,
            writer.take(documents, most=self.most, title="passages that are asked about"),
            writer.given("persona", self.personas, title="personas"),
            personas=self.personas,
            templates=self.templates,
        )
        self.made.filters = flow.filters
        self.made.set = runner.add(WriteSet(documents=documents, questions=questions), title="retrieval set")

    def finish(self, runner: Runner) -> int | None:
        """Writes the set, the table, results.json, the report and the timings."""
        write_retrieval_report(self.made, runner)

    def stopped(self, runner: Runner) -> None:
        """Writes the same of what there was."""
        write_retrieval_report(self.made, runner)

    def _asking(self, runner: Runner, generator: str | Generator, *, title: str) -> Asking:
        model = model_of(runner, generator, title=title)
        return Asking(runner=runner, generator=model, seed=self.seed, min_items=self.min_items)
