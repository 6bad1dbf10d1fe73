"""A set for the evaluation of retrieval: questions of several people, each with the passage that answers it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeVar, final

from lit_align.data.accounting import Accounting
from lit_align.errors import ConfigError
from lit_align.synthesis.asking import Ask
from lit_align.synthesis.items import Item
from lit_align.synthesis.personas.beir import RetrievalSet, retrieval_set
from lit_align.synthesis.personas.passages import Alike, Passages, distinct
from lit_align.synthesis.personas.steps import AskText, ChooseTypes, Useful, WithStyle
from lit_align.synthesis.prompts.real import given
from lit_align.synthesis.steps import AskList, AskYesNo, Step
from lit_align.synthesis.template import Templates
from lit_align.synthesis.transforms import Cross, Transform

Role = Literal["writer", "judge"]
_T = TypeVar("_T")


class Flow(ABC, Generic[_T]):
    """Where the steps of `PersonaQuestions` happen: at once on lists in memory, or later as stages of a loop."""

    @abstractmethod
    def ask(self, step: Step, items: _T, *, title: str, role: Role = "writer") -> _T:
        """What a model says of items."""

    @abstractmethod
    def apply(self, transform: Transform, *items: _T, title: str) -> _T:
        """Items, of several lists one after the other, to which something is done without a model."""

    @abstractmethod
    def distinct(self, items: _T, *, title: str) -> _T:
        """The first of the items about one passage that mean the same."""


@final
@dataclass(frozen=True, kw_only=True)
class PersonaQuestions:
    """Makes questions that different people would ask of a collection of passages.

    Three parts: for each passage and persona points of interest, types of question that fit them, and questions; then
    what repeats, what the passage does not answer and what cannot be understood alone is left out; then each question
    is put in its persona's way of writing. The passage that a question was made from is its ground truth. The recipe
    is that of NVIDIA's persona-based pipeline for retrieval evaluation (blog post on Llama 3.1 405B, 2024).

    Args:
        num_interests: Points of interest that are asked for, of each passage and persona.
        num_questions: Questions that are asked for, of each interest and type.
    """

    version: ClassVar[int] = 2

    num_interests: int = 5
    num_questions: int = 3

    def __post_init__(self) -> None:
        """Refuses numbers that ask for nothing."""
        for name in ("num_interests", "num_questions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")

    def make(
        self,
        passages: Iterable[tuple[str, str]],
        *,
        personas: Sequence[str],
        ask: Ask,
        alike: Alike,
        templates: Templates | None = None,
    ) -> RetrievalSet:
        """Makes the set in memory.

        Args:
            passages: Id and text of each.
            personas: A sentence or two about each person.
            ask: Has prompts answered, in the roles `writer` and `judge`.
            alike: Finds interests and questions that mean the same.
            templates: Texts of the questions to the model.

        Raises:
            ConfigError: There is no persona.
            DataError: There is no passage, or two have one id.
        """
        memory = _Memory(ask_model=ask, alike=alike, accounts={})
        rows = ({"id": name, "text": text} for name, text in passages)
        documents = memory.apply(Passages(id_column="id"), list(rows), title="passages")
        people = given("persona", _personas(personas))
        questions = self.plan(memory, documents, people, personas=personas, templates=templates or Templates())
        counts = memory.accounts["queries"] = Accounting()
        return retrieval_set(documents, questions, counts=counts, accounts=memory.accounts)

    def plan(self, flow: Flow[_T], documents: _T, people: _T, *, personas: Sequence[str], templates: Templates) -> _T:
        """The questions, each in its persona's words; `meta` has the passage and what the question came from.

        Args:
            flow: Where it happens.
            documents: The passages that are asked about.
            people: The personas as items.
            personas: The same as texts.
            templates: Texts of the questions to the model.
        """
        people_of_each = Cross(name="persona", values=tuple(_personas(personas)), num=len(personas))
        readers = flow.apply(people_of_each, documents, title="passages and personas")
        interests = self._list(templates, "interest", "persona_interests", num=self.num_interests)
        found = flow.distinct(flow.ask(interests, readers, title="interests"), title="interests, distinct")
        types = ChooseTypes(template=templates["persona_question_types"])
        typed = flow.ask(types, found, title="question types", role="judge")
        questions = self._list(templates, "question", "persona_questions", num=self.num_questions)
        asked = flow.distinct(flow.ask(questions, typed, title="questions"), title="questions, distinct")
        return self._styled(flow, self._filtered(flow, asked, templates), people, templates)

    def _filtered(self, flow: Flow[_T], questions: _T, templates: Templates) -> _T:
        useful = Useful(template=templates["persona_usefulness"])
        spoken = AskText(kind="question", template=templates["persona_conversational"], remembered="plain_question")
        intelligible = AskYesNo(template=templates["persona_intelligible"])
        kept = flow.ask(useful, questions, title="useful questions", role="judge")
        kept = flow.ask(spoken, kept, title="spoken questions")
        return flow.ask(intelligible, kept, title="intelligible questions", role="judge")

    def _styled(self, flow: Flow[_T], questions: _T, people: _T, templates: Templates) -> _T:
        styles = flow.ask(AskText(kind="style", template=templates["persona_style"]), people, title="styles")
        with_style = flow.apply(WithStyle(), questions, styles, title="questions with a style")
        rewrite = AskText(kind="question", template=templates["persona_rewrite"])
        return flow.ask(rewrite, with_style, title="styled questions")

    def _list(self, templates: Templates, kind: str, name: str, *, num: int) -> AskList:
        again = templates["list_again"]
        return AskList(kind=kind, num=num, template=templates[name], again=again, distinct="of_one_item")


@final
@dataclass(frozen=True, kw_only=True)
class _Memory(Flow[list[Item]]):
    """Lists, worked on at once.

    Attributes:
        accounts: Of every step by its title, in order.
    """

    ask_model: Ask
    alike: Alike
    accounts: dict[str, Accounting]

    def ask(self, step: Step, items: list[Item], *, title: str, role: Role = "writer") -> list[Item]:
        counts = self.accounts[title] = Accounting()
        rows = list(step.compose(items))
        responses = (
            self.ask_model(f"{len(self.accounts):02d}-{title.replace(' ', '-')}", rows, role=role) if rows else []
        )
        for _ in range(len(rows) - len(responses)):
            counts.add()
            counts.drop("refused", place=title)
        return list(step.parse(responses, counts=counts))

    def apply(self, transform: Transform, *items: list[Item], title: str) -> list[Item]:
        counts = self.accounts[title] = Accounting()
        return list(transform.apply((item for part in items for item in part), counts=counts))

    def distinct(self, items: list[Item], *, title: str) -> list[Item]:
        counts = self.accounts[title] = Accounting()
        return distinct(items, alike=self.alike, counts=counts)


def _personas(personas: Sequence[str]) -> list[str]:
    """Each of them once."""
    if not personas:
        raise ConfigError("personas: give at least one")
    return list(dict.fromkeys(text.strip() for text in personas))
