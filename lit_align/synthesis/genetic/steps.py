"""What a generation asks: for new tasks, for solutions, and whether these are fit."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, final

from lit_align.data.accounting import Accounting
from lit_align.synthesis.items import Item, make_item, origin_of
from lit_align.synthesis.lists import parse_list
from lit_align.synthesis.steps import Row, Step, generator_of, place_of, questions, unfinished_reason
from lit_align.synthesis.template import Template
from lit_align.synthesis.verifiers.code import PYTHON, code_blocks, extract_code

TASK, SOLUTION = "task", "solution"
_DEFINED = re.compile(r"^(?:async\s+)?(?:def|class)\s+(\w+)", re.MULTILINE)
_LAST_WORD = re.compile(r"\W*(?:(?:final )?answer\W+)?(yes|no)\W*", re.IGNORECASE)
_FEWEST_LETTERS = 12


@final
@dataclass(frozen=True, kw_only=True)
class Breed(Step):
    """Makes new tasks of a task, or of several that its text holds.

    Args:
        template: Filled with the parent's text as `task`, that of several as `tasks`; one of its alternatives is drawn.
        num: Tasks that are asked for; one is the whole response, several are a list.
        seed: Of the draw.
    """

    version: ClassVar[int] = 2

    template: Template
    num: int = 1
    seed: int = 0

    def compose(self, items: Iterable[Item], *, made: Iterable[Item] | None = None) -> Iterator[Row]:
        return questions(self.template, items, made=made, seed=self.seed, num=self.num)

    def parse(self, responses: Iterable[Row], *, counts: Accounting) -> Iterator[Item]:
        for row in responses:
            reason = unfinished_reason(row)
            for text in self._tasks(row["response"]) if reason is None else [""]:
                counts.add()
                if wrong := reason or (None if _has_words(text) else "no_words"):
                    counts.drop(wrong, place=place_of(row))
                    continue
                item = row["item"]
                yield _made(row, TASK, meta=item["meta"], text=text)

    def _tasks(self, response: str) -> list[str]:
        return [response.strip()] if self.num == 1 else parse_list(response).entries[: self.num] or [""]


@final
@dataclass(frozen=True, kw_only=True)
class Solve(Step):
    """Asks for the code that solves a task; what has no fenced block of it, or no valid Python, is dropped."""

    version: ClassVar[int] = 2

    template: Template

    def compose(self, items: Iterable[Item], *, made: Iterable[Item] | None = None) -> Iterator[Row]:
        return questions(self.template, items, made=made)

    def parse(self, responses: Iterable[Row], *, counts: Accounting) -> Iterator[Item]:
        for row in responses:
            counts.add()
            item, text = row["item"], row["response"].strip()
            if reason := unfinished_reason(row) or _wrong_with(text, item["meta"]["language"]):
                counts.drop(reason, place=place_of(row))
                continue
            turns = [{"role": "user", "content": item["text"]}, {"role": "assistant", "content": text}]
            meta = {**item["meta"], TASK: item["text"], SOLUTION: text}
            yield _made(row, SOLUTION, meta=meta, messages=turns)


@final
@dataclass(frozen=True, kw_only=True)
class JudgeFitness(Step):
    """Keeps the solved tasks of which the judge's last line says Yes."""

    version: ClassVar[int] = 1

    template: Template

    def compose(self, items: Iterable[Item], *, made: Iterable[Item] | None = None) -> Iterator[Row]:
        return questions(self.template, items, made=made)

    def parse(self, responses: Iterable[Row], *, counts: Accounting) -> Iterator[Item]:
        for row in responses:
            counts.add()
            lines = [line for line in row["response"].splitlines() if line.strip()]
            match = _LAST_WORD.fullmatch(lines[-1]) if lines and unfinished_reason(row) is None else None
            if match is None:
                counts.drop("no_verdict", place=place_of(row))
            elif match[1].lower() == "no":
                counts.drop("answered_no", place=place_of(row))
            else:
                yield row["item"]


@final
@dataclass(frozen=True, kw_only=True)
class WriteTests(Step):
    """Asks for assertions about a solution; `meta` has those that are Python, as `test_list`."""

    version: ClassVar[int] = 2

    template: Template
    num: int

    def compose(self, items: Iterable[Item], *, made: Iterable[Item] | None = None) -> Iterator[Row]:
        return questions(self.template, items, made=made, num=self.num)

    def parse(self, responses: Iterable[Row], *, counts: Accounting) -> Iterator[Item]:
        for row in responses:
            counts.add()
            if reason := unfinished_reason(row):
                counts.drop(reason, place=place_of(row))
            elif tests := assertions_of(row["response"])[: self.num]:
                yield {**row["item"], "meta": {**row["item"]["meta"], "test_list": tests}}
            else:
                counts.drop("no_tests", place=place_of(row))


def _made(row: Row, kind: str, *, meta: dict[str, Any], **content: Any) -> Item:
    """An item of a response, with the parents and the origin of the one that was asked about."""
    origin = origin_of(row["item"], generator=generator_of(row))
    return make_item(kind, meta=meta, parents=row["item"]["parents"], template=row["template"], **origin, **content)


def assertions_of(response: str) -> list[str]:
    r"""The lines of a response's blocks of Python that are assertions.

    >>> assertions_of("```python\nassert f(1) == 2\nassert f(\nprint(3)\n```")
    ['assert f(1) == 2']
    """
    lines = "\n".join(code_blocks(response)).splitlines()
    return [line.strip() for line in lines if line.startswith("assert ") and _is_python(line)]


def _wrong_with(solution: str, language: str) -> str | None:
    is_python = language.casefold() == "python"
    code = "\n".join(code_blocks(solution, PYTHON if is_python else None))
    if not code.strip():
        return "no_code"
    # A block beside the one that defines something may show output.
    codes = (extract_code(solution, names) for names in ((), _DEFINED.findall(code)))
    return "syntax_error" if is_python and not any(map(_is_python, codes)) else None


def _is_python(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _has_words(text: str) -> bool:
    return sum(map(str.isalpha, text)) >= _FEWEST_LETTERS
