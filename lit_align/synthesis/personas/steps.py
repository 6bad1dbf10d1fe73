"""What is asked on the way from a passage to the questions that it answers."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, final

from lit_align.data.accounting import Accounting
from lit_align.synthesis.items import Item, child
from lit_align.synthesis.steps import Row, Step, generator_of, place_of, questions, unfinished_reason
from lit_align.synthesis.template import Template
from lit_align.synthesis.transforms import Transform

QUESTION_TYPES = ("extractive", "abstractive", "diagnostic", "aggregative", "sentiment")
_FEWEST_LETTERS = 2


@final
@dataclass(frozen=True, kw_only=True)
class AskText(Step):
    """Asks for one text about each item, which becomes an item; quotes around all of it are taken off.

    Args:
        kind: Of the new items.
        template: Filled with the item's text under its kind and with what `meta` has.
        remembered: What `meta` calls the text that was asked about, besides its kind; empty for no further name.
    """

    version: ClassVar[int] = 2

    kind: str
    template: Template
    remembered: str = ""

    def compose(self, items: Iterable[Item], *, made: Iterable[Item] | None = None) -> Iterator[Row]:
        return questions(self.template, items, made=made)

    def parse(self, responses: Iterable[Row], *, counts: Accounting) -> Iterator[Item]:
        for row in responses:
            counts.add()
            text = _unquoted(row["response"].strip())
            reason = unfinished_reason(row)
            if reason is None and sum(map(str.isalnum, text)) < _FEWEST_LETTERS:
                reason = "no_words"
            if reason is not None:
                counts.drop(reason, place=place_of(row))
            else:
                item, origin = row["item"], {"template": row["template"], "generator": generator_of(row)}
                remembered = {self.remembered: item["text"]} if self.remembered else {}
                known = {**item, "meta": {**item["meta"], **remembered}}
                yield child(known, self.kind, text=text, **origin)


@final
@dataclass(frozen=True, kw_only=True)
class ChooseTypes(Step):
    """Makes an item of each type of question that a model finds fit; `meta` has it as `question_type`."""

    version: ClassVar[int] = 2

    template: Template

    def compose(self, items: Iterable[Item], *, made: Iterable[Item] | None = None) -> Iterator[Row]:
        return questions(self.template, items, made=made)

    def parse(self, responses: Iterable[Row], *, counts: Accounting) -> Iterator[Item]:
        for row in responses:
            item, said = row["item"], row["response"].casefold()
            types = [name for name in QUESTION_TYPES if re.search(rf"\b{name}\b", said)]
            reason = unfinished_reason(row) or (None if types else "no_type")
            if reason is not None:
                counts.add()
                counts.drop(reason, place=place_of(row))
                continue
            for name in types:
                counts.add()
                yield {**item, "id": f"{item['id']}-{name}", "meta": {**item["meta"], "question_type": name}}


@final
@dataclass(frozen=True, kw_only=True)
class Useful(Step):
    """Keeps the questions for which a jury's last line does not say `not useful`; `meta` has the verdict."""

    version: ClassVar[int] = 1

    template: Template

    def compose(self, items: Iterable[Item], *, made: Iterable[Item] | None = None) -> Iterator[Row]:
        return questions(self.template, items, made=made)

    def parse(self, responses: Iterable[Row], *, counts: Accounting) -> Iterator[Item]:
        for row in responses:
            counts.add()
            verdict = None if unfinished_reason(row) else _last_line(row["response"])
            if verdict not in ("useful", "partly useful", "not useful"):
                counts.drop("no_verdict", place=place_of(row))
            elif verdict == "not useful":
                counts.drop("not_useful", place=place_of(row))
            else:
                yield {**row["item"], "meta": {**row["item"]["meta"], "usefulness": verdict}}


@final
@dataclass(frozen=True, kw_only=True)
class WithStyle(Transform):
    """Gives each question the style of its persona as `style`; the styles are items among the questions."""

    version: ClassVar[int] = 1

    def apply(self, items: Iterable[Item], *, counts: Accounting) -> Iterator[Item]:
        every = list(items)
        styles = {item["meta"]["persona"]: item["text"] for item in every if item["kind"] == "style"}
        for item in every:
            if item["kind"] == "style":
                continue
            counts.add()
            style = styles.get(item["meta"]["persona"])
            if style is None:
                counts.drop("no_style", place=f"item {item['id']}")
            else:
                yield {**item, "meta": {**item["meta"], "style": style}}


def _last_line(response: str) -> str:
    lines = [line for line in response.splitlines() if line.strip()]
    return re.sub(r"[\W_]+", " ", lines[-1].casefold()).strip() if lines else ""


def _unquoted(text: str) -> str:
    whole = len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]
    return text[1:-1].strip() if whole else text
