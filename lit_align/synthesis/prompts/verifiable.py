"""Real prompts whose responses a program can judge: known answers, verifiable instructions, tests of code.

Nemotron-4 (arXiv:2406.11704, section 3.2.3) prefers by the answers of the training sets of GSM8K and MATH where it can,
and asks a model only elsewhere.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

from lit_align.data.accounting import Accounting
from lit_align.data.formats import prompt_columns
from lit_align.data.records import Dropped, PromptOnly, parse_row
from lit_align.errors import DataError
from lit_align.synthesis.items import Item, make_item
from lit_align.synthesis.template import Template
from lit_align.synthesis.transforms import FromRows, Transform
from lit_align.synthesis.verifiers import VerifierName, check_row

VERIFIER = "verifier"
"""What `meta` calls the verifier of a prompt's responses; one with an instruction needs none to be named."""

_NEEDED: dict[VerifierName, tuple[str, ...]] = {
    "ifeval": ("instruction_id_list", "kwargs"),
    "gsm8k": ("answer",),
    "math": ("answer", "solution"),
    "humaneval": ("test", "entry_point"),
    "mbpp": ("test_list", "test_setup_code", "test_imports", "code"),
}
_PROMPT_COLUMNS = ("problem", "text")  # MATH; MBPP


@final
@dataclass(frozen=True, kw_only=True)
class VerifiablePrompts(FromRows):
    """The prompts of rows, each with what its verifier needs in `meta`; a row that lacks some of it is an error.

    Args:
        dataset: Where they come from; also their task.
        licence: Under which they may be used.
        verifier: Judges the responses.
        template: Joins the prompt with its tests, as `task` and `tests`; of MBPP, whose texts do not name the function.
        column: Which column holds the prompt; None: that of a known data set.
        max_characters: Longer prompts are dropped.
    """

    version: ClassVar[int] = 1

    dataset: str
    licence: str
    verifier: VerifierName
    template: Template | None = None
    column: str | None = None
    max_characters: int | None = None

    def item(self, row: Mapping[str, Any], place: str) -> Item:
        turns = self._turns(row, place)
        try:
            check_row(self.verifier, {**row, "prompt": turns})
        except DataError as error:
            raise DataError(f"{place}: {error}") from error
        if sum(len(turn["content"]) for turn in turns) > (self.max_characters or float("inf")):
            raise Dropped("too_long")
        needed = {name: row[name] for name in _NEEDED[self.verifier] if row.get(name) is not None}
        return make_item(
            "prompt",
            prompt=turns if self.template is None else _joined(turns, needed, self.template),
            meta={"task": self.dataset, VERIFIER: self.verifier, **needed},
            template=None if self.template is None else self.template.id,
            source={"dataset": self.dataset, "licence": self.licence},
        )

    def _turns(self, row: Mapping[str, Any], place: str) -> list[dict[str, str]]:
        name = self.column
        if name is None and not prompt_columns(row):
            name = next((name for name in _PROMPT_COLUMNS if row.get(name) is not None), None)
        parsed = parse_row("prompt", row if name is None else {"prompt": row.get(name)}, place)
        assert isinstance(parsed, PromptOnly)
        return [{"role": turn.role, "content": turn.content} for turn in parsed.prompt]


@final
@dataclass(frozen=True, kw_only=True)
class Verifiable(Transform):
    """Keeps the prompts whose responses a program can judge, or the others.

    Args:
        wanted: Which of the two.
    """

    version: ClassVar[int] = 1

    wanted: bool = True

    def apply(self, items: Iterable[dict[str, Any]], *, counts: Accounting) -> Iterator[Item]:
        for item in items:
            counts.add()
            if (not item["meta"].keys().isdisjoint((VERIFIER, "instruction_id_list"))) == self.wanted:
                yield item
            else:
                counts.drop("not_verifiable" if self.wanted else "verifiable", place=f"item {item['id']}")


def _joined(turns: list[dict[str, str]], needed: Mapping[str, Any], template: Template) -> list[dict[str, str]]:
    """The prompt with its tests, which the last turn then shows."""
    *before, last = turns
    values = {"task": last["content"].strip(), "tests": "\n".join(needed["test_list"])}
    return [*before, {**last, "content": template.fill(values)}]
