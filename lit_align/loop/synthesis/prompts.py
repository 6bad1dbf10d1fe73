"""The stages of the prompts: topics and keywords, then tasks about them, each generated and then revised."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from lit_align.loop.parts import Part
from lit_align.loop.rounds import Sampled
from lit_align.loop.synthesis.asking import Asking
from lit_align.loop.synthesis.settings import Keywords, Task, Topics, Writing
from lit_align.loop.synthesis.sources import RealSource, TextSource, VerifiedSource
from lit_align.synthesis.prompts import tasks, topics
from lit_align.synthesis.prompts.real import RealPrompts
from lit_align.synthesis.prompts.verifiable import VerifiablePrompts
from lit_align.synthesis.steps import AskList, Step
from lit_align.synthesis.template import Template, Templates
from lit_align.synthesis.transforms import AsPrompts, Cross

_FORGOTTEN = ("document",)  # stands in the prompt, and would stand in every row twice


@dataclass(frozen=True, kw_only=True)
class PromptStages:
    """Adds the stages that make prompts.

    Attributes:
        asking: Adds stages.
        templates: What is asked.
        sampled: How the generator is sampled.
        verdicts: How it is asked for Yes or No.
    """

    asking: Asking
    templates: Templates
    sampled: Sampled
    verdicts: Sampled

    def topics(self, settings: Topics) -> Part:
        """Topics of general prompts."""
        parts = []
        if settings.num_macro:
            subjects = self.asking.given("subject", settings.subjects, title="subjects")
            step = topics.macro_topics(self.templates, num=settings.num_macro)
            macro = self._list(step, subjects, title="macro topics")
            parts.append(self._list(topics.subtopics(self.templates, num=settings.num_sub), macro, title="subtopics"))
        if settings.given:
            parts.append(self.asking.given(topics.TOPIC, settings.given, title="collected topics"))
        return self.asking.take(*parts, most=settings.most, title="topics")

    def math_keywords(self, settings: Keywords) -> Part:
        """Keywords of mathematics, of every school level."""
        macro = topics.math_topics(self.templates, num=settings.num_macro)
        narrow = topics.math_keywords(self.templates, num=settings.num_sub)
        judge = topics.math_entities(self.templates)
        return self._keywords(settings, topics.LEVEL, macro, narrow, judge, title="math")

    def coding_keywords(self, settings: Keywords) -> Part:
        """Keywords of programming, in every language."""
        macro = topics.coding_topics(self.templates, num=settings.num_macro)
        narrow = topics.coding_keywords(self.templates, num=settings.num_sub)
        judge = topics.coding_entities(self.templates)
        return self._keywords(settings, topics.LANGUAGE, macro, narrow, judge, title="coding")

    def open_qa(self, items: Part, task: Task) -> Part:
        """Questions about topics."""
        made = self._list(tasks.open_questions(self.templates, num=task.num), items, title="open questions")
        return self._prompts(made, task, tasks.revised_questions, name="open_qa")

    def writing(self, items: Part, task: Task, writing: Writing) -> Part:
        """Tasks to write a type of text about topics."""
        cross = Cross(name=tasks.MATERIAL, values=tuple(writing.materials), num=writing.each, seed=self.asking.seed)
        crossed = self.asking.apply(cross, items, title="topics with types of text")
        made = self._list(tasks.writing_tasks(self.templates, num=task.num), crossed, title="writing tasks")
        return self._prompts(made, task, tasks.revised_writing, name="writing")

    def closed_qa(self, documents: TextSource, task: Task) -> Part:
        """Requests about documents, which stand in the prompt."""
        texts = self.asking.texts(documents, tasks.DOCUMENT, title="documents")
        made = self._list(tasks.closed_questions(self.templates, num=task.num), texts, title="closed questions")
        joined = tasks.closed_prompt(self.templates)
        return self._prompts(made, task, tasks.revised_closed_questions, name="closed_qa", template=joined)

    def math(self, keywords: Part, task: Task) -> Part:
        """Problems of mathematics at every difficulty."""
        made = tuple(
            self._list(
                tasks.math_problems(self.templates, num=task.num, difficulty=difficulty),
                keywords,
                title=f"math problems, {difficulty}",
            )
            for difficulty in get_args(tasks.MathDifficulty)
        )
        return self._prompts(self._joined(made, "math problems"), task, tasks.revised_math, name="math")

    def coding(self, keywords: Part, task: Task) -> Part:
        """Programming tasks at every difficulty."""
        made = tuple(
            self._list(
                tasks.coding_problems(self.templates, num=task.num, difficulty=difficulty),
                keywords,
                title=f"coding problems, {difficulty}",
            )
            for difficulty in get_args(tasks.CodingDifficulty)
        )
        return self._prompts(self._joined(made, "coding problems"), task, tasks.revised_coding, name="coding")

    def real(self, source: RealSource) -> Part:
        """Prompts of real users, with what is known of their safety."""
        reader = RealPrompts(
            dataset=source.dataset,
            licence=source.licence,
            languages=None if source.languages is None else tuple(source.languages),
            is_moderated=source.is_moderated,
            max_characters=source.max_characters,
        )
        read = self.asking.read(source.path, reader, source.split, title="prompts of real users")
        return self.asking.take(read, most=source.most, title="prompts of real users")

    def verified(self, sources: list[VerifiedSource]) -> dict[str, Part]:
        """Prompts whose responses a program can judge, by data set; one may come in several files."""
        names = [source.dataset for source in sources]
        parts: dict[str, list[Part]] = {name: [] for name in names}
        for source in sources:
            number = f" {len(parts[source.dataset]) + 1}" if names.count(source.dataset) > 1 else ""
            parts[source.dataset].append(self._verified(source, title=f"{source.dataset}{number}"))
        return {
            name: given[0] if len(given) == 1 else self._joined(tuple(given), name) for name, given in parts.items()
        }

    def _verified(self, source: VerifiedSource, *, title: str) -> Part:
        reader = VerifiablePrompts(
            dataset=source.dataset,
            licence=source.licence,
            verifier=source.verifier,
            template=self.templates["mbpp_prompt"] if source.verifier == "mbpp" else None,
            column=source.column,
            max_characters=source.max_characters,
        )
        read = self.asking.read(source.path, reader, source.split, title=title)
        return self.asking.take(read, most=source.most, title=f"{title}: prompts")

    def _keywords(
        self, settings: Keywords, kind: str, macro: AskList, narrow: AskList, judge: Step, *, title: str
    ) -> Part:
        parts = []
        if settings.num_macro:
            given = self.asking.given(kind, settings.parts, title=f"{title}: {kind}s")
            broad = self._list(macro, given, title=f"{title} topics")
            parts.append(self._list(narrow, broad, title=f"{title} keywords: generated"))
        known = {kind: settings.parts[0]} if len(settings.parts) == 1 else {}
        if settings.given:
            name = f"{title} keywords: collected"
            collected = self.asking.given(topics.KEYWORD, settings.given, title=name, **known)
            parts.append(self._in_every_language(collected, settings, kind, title=name))
        if settings.entities is not None:
            name = f"{title} entities: all"
            names = self.asking.texts(settings.entities, topics.KEYWORD, title=name, **known)
            names = self._in_every_language(names, settings, kind, title=name)
            parts.append(self.asking.ask(judge, names, self.verdicts, title=f"{title} entities"))
        within = kind if kind == topics.LANGUAGE else None
        return self.asking.take(*parts, most=settings.most, title=f"{title} keywords", within=within)

    def _in_every_language(self, keywords: Part, settings: Keywords, kind: str, *, title: str) -> Part:
        """Keywords that nobody gave a language, with each of several; the problems of mathematics name no level."""
        if kind != topics.LANGUAGE or len(settings.parts) == 1:
            return keywords
        cross = Cross(name=kind, values=tuple(settings.parts), num=len(settings.parts), seed=self.asking.seed)
        return self.asking.apply(cross, keywords, title=f"{title}, in every {kind}")

    def _list(self, step: AskList, items: Part, *, title: str) -> Part:
        return self.asking.ask(step, items, self.sampled, title=title, again=True)

    def _joined(self, parts: tuple[Part, ...], title: str) -> Part:
        return self.asking.take(*parts, most=None, title=title)

    def _prompts(
        self,
        made: Part,
        task: Task,
        revise: Callable[..., AskList],
        *,
        name: str,
        template: Template | None = None,
    ) -> Part:
        """The tasks, revised, as prompts, no more than are wanted."""
        words = name.replace("_", " ")
        if task.revisions:
            made = self._list(revise(self.templates, num=task.revisions), made, title=f"{words}: revised")
        as_prompts = AsPrompts(task=name, template=template, forgotten=_FORGOTTEN, seed=self.asking.seed)
        every = self.asking.apply(as_prompts, made, title=f"{words}: all prompts")
        return self.asking.take(every, most=task.most, title=f"{words}: prompts")
