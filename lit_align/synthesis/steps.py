"""Steps ask a model about items: they compose prompts and parse responses, and leave the asking to a generator."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

from lit_align.data.accounting import Accounting
from lit_align.generation.output import WHY_UNFINISHED
from lit_align.synthesis.items import Item, child, children_of, rank, text_key
from lit_align.synthesis.lists import parse_list
from lit_align.synthesis.template import Template, shipped

Row = dict[str, Any]

_FEWEST_LETTERS = 2
_VERDICT = re.compile(r"\W*(?:(?:final )?answer(?: is)?\W+)?(yes|no)\b", re.IGNORECASE)


class Step(ABC):
    """Asks a model about items, in three parts that are never mixed: compose, generate, parse.

    A concrete step is a `@final @dataclass(frozen=True, kw_only=True)` of JSON values, templates among them, so that
    stages of the loop can be named by it.

    Attributes:
        version: Raised by hand when the code starts to produce something else from the same fields.
    """

    version: ClassVar[int]

    @abstractmethod
    def compose(self, items: Iterable[Item], *, made: Iterable[Item] | None = None) -> Iterator[Row]:
        """Yields rows for a generator: a `prompt`, the `item` it is about, the `template` it was made with.

        Args:
            items: What is asked about.
            made: What an earlier round gave. Then only what is missing is asked for.
        """

    @abstractmethod
    def parse(self, responses: Iterable[Row], *, counts: Accounting) -> Iterator[Item]:
        """Yields the items that responses hold; what is not used is dropped from `counts` under its reason.

        Every response adds at least one to what was read: itself, or each entry of its list.

        Args:
            responses: Rows as a generator writes them, of one round or of several.
            counts: Takes the account.
        """


@final
@dataclass(frozen=True, kw_only=True)
class AskList(Step):
    """Asks for a list about each item; every entry is a new item.

    Args:
        kind: Of the new items.
        num: Entries that are asked for, of each item; entries beyond are dropped.
        template: Its slots are filled with the item's text under its kind, what `meta` has, and `num`.
        again: Added to the template where entries are missing; its slot `taken` is filled with those there are.
        titles: Whether entries are names rather than sentences.
        max_characters: Longer entries are dropped.
        distinct: Whether an entry is dropped that any item has already, or only one that its own item has.
        within: A slot, such as `language`. Items that differ in it do not count as having one another's entries.
    """

    version: ClassVar[int] = 2

    kind: str
    num: int
    template: Template
    again: Template = shipped("list_again")  # noqa: RUF009 - frozen
    titles: bool = False
    max_characters: int = 2000
    distinct: Literal["among_all", "of_one_item"] = "among_all"
    within: str | None = None

    def compose(self, items: Iterable[Item], *, made: Iterable[Item] | None = None) -> Iterator[Row]:
        found = children_of(made or ())
        for item in items:
            taken = [entry["text"] for entry in found.get(item["id"], ())]
            if len(taken) >= self.num:
                continue
            text = self.template.fill({**slots_of(item), "num": self.num - len(taken)})
            if taken:
                text += "\n\n" + self.again.fill({"taken": "\n".join(taken)})
            yield prompt_row(item, text, template=self.template)

    def parse(self, responses: Iterable[Row], *, counts: Accounting) -> Iterator[Item]:
        seen_of: dict[str | None, set[str]] = {}
        kept: dict[str, int] = {}
        for row in responses:
            item = row["item"]
            seen = seen_of.setdefault(self._group(item), set())
            for entry, reason in self._entries(row):
                number = kept.get(item["id"], 0)
                counts.add()
                reason = reason or self._reason(entry, seen) or ("surplus" if number >= self.num else None)
                if reason is not None:
                    counts.drop(reason, place=place_of(row))
                    continue
                seen.add(text_key(entry))
                kept[item["id"]] = number + 1
                yield child(item, self.kind, text=entry, template=row["template"], generator=generator_of(row))

    def _group(self, item: Item) -> str | None:
        """What entries that must differ from one another share."""
        if self.distinct == "of_one_item":
            return item["id"]
        return None if self.within is None else slots_of(item).get(self.within)

    def _entries(self, row: Row) -> Iterator[tuple[str, str | None]]:
        """The entries of a response, with a reason where one cannot be used whatever it says."""
        parsed = parse_list(row["response"], titles=self.titles)
        unfinished = unfinished_reason(row)
        whole = parsed.entries if unfinished is None else parsed.entries[:-1]
        yield from ((entry, None) for entry in whole)
        yield from ((entry, "inner_list") for entry in parsed.nested)
        if unfinished is not None:  # its last entry may lack its end
            yield "", unfinished
        elif not parsed.entries:
            yield "", "no_list"

    def _reason(self, entry: str, seen: set[str]) -> str | None:
        if sum(map(str.isalnum, entry)) < _FEWEST_LETTERS:
            return "no_words"
        if len(entry) > self.max_characters:
            return "too_long"
        return "duplicate" if text_key(entry) in seen else None


@final
@dataclass(frozen=True, kw_only=True)
class AskYesNo(Step):
    """Keeps the items of which a model says Yes.

    Args:
        template: A question to be answered Yes or No, filled as that of `AskList`.
    """

    version: ClassVar[int] = 1

    template: Template

    def compose(self, items: Iterable[Item], *, made: Iterable[Item] | None = None) -> Iterator[Row]:
        return questions(self.template, items, made=made)

    def parse(self, responses: Iterable[Row], *, counts: Accounting) -> Iterator[Item]:
        for row in responses:
            counts.add()
            answer = verdict_of(row["response"])
            if answer:
                yield row["item"]
            else:
                counts.drop("no_verdict" if answer is None else "answered_no", place=place_of(row))


def verdict_of(response: str) -> bool | None:
    r"""Whether a response says Yes, at its beginning or on its last line; None where it says neither Yes nor No.

    >>> verdict_of("**Yes**, it is."), verdict_of("Hm.\nAnswer: no"), verdict_of("Nobody knows.")
    (True, False, None)
    """
    lines = [line for line in response.splitlines() if line.strip()]
    for line in [*lines[:1], *lines[-1:]]:
        if match := _VERDICT.match(line):
            return match[1].lower() == "yes"
    return None


def questions(
    template: Template, items: Iterable[Item], *, made: Iterable[Item] | None = None, seed: int = 0, **more: str | int
) -> Iterator[Row]:
    """One question about each item; a second round, which would ask the same, has none.

    Args:
        template: Filled with what `slots_of` gives, and with `more`; one of its alternatives is drawn for each item.
        items: What is asked about.
        made: What an earlier round gave.
        seed: Of the draw.
        more: Further values.
    """
    for item in items if made is None else ():
        text = template.fill({**slots_of(item), **more}, rank=rank(seed, item["id"]))
        yield prompt_row(item, text, template=template)


def prompt_row(item: Item, text: str, *, template: Template) -> Row:
    """A row for a generator: one turn of the user about an item."""
    return {"prompt": [{"role": "user", "content": text}], "item": item, "template": template.id}


def slots_of(item: Item) -> Mapping[str, str]:
    """What an item can fill the slots of a template with: its own text and the texts it was made of, by kind."""
    known = {name: value for name, value in item["meta"].items() if isinstance(value, str)}
    return {**known, item["kind"]: item["text"]} if "text" in item else known


def unfinished_reason(row: Row) -> str | None:
    """Why a response is not whole; None where its model ended it."""
    finish = row.get("finish_reason", "stop")
    return None if finish == "stop" else WHY_UNFINISHED[finish]


def generator_of(row: Row) -> str:
    """The name of the model that wrote a response."""
    return row["generator"]["model"]["name"]


def place_of(row: Row) -> str:
    """Where a response stands, for people."""
    return f"response {row['id']}, sample {row['sample']}"
