"""Texts and prompts from outside: documents, entities, and what real users wrote (LMSYS-Chat-1M and its like)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

from lit_align.data.accounting import Accounting
from lit_align.data.records import Dropped, PromptOnly, parse_row
from lit_align.errors import DataError
from lit_align.synthesis.items import DOC_ID, UNSAFE, Item, make_item
from lit_align.synthesis.transforms import FromRows, Transform

_CONVERSATION = "conversation"  # LMSYS-Chat-1M and WildChat; `messages` here


@final
@dataclass(frozen=True, kw_only=True)
class Texts(FromRows):
    """Texts of rows as items.

    Args:
        kind: Of the items.
        dataset: Where they come from.
        licence: Under which they may be used.
        column: Which column holds the text.
        meta: What is known of all of them.
        max_characters: Longer texts are dropped.
    """

    version: ClassVar[int] = 1

    kind: str
    dataset: str
    licence: str
    column: str = "text"
    meta: dict[str, str] = field(default_factory=dict)
    max_characters: int | None = None

    def item(self, row: Mapping[str, Any], place: str) -> Item:
        text = row.get(self.column)
        if not isinstance(text, str):
            raise DataError(f"{place}: `{self.column}` must hold text\nColumns: {list(row)}")
        text = text.strip()
        if not text:
            raise Dropped("empty_text")
        if self.max_characters is not None and len(text) > self.max_characters:
            raise Dropped("too_long")
        item = make_item(self.kind, text=text, source={"dataset": self.dataset, "licence": self.licence})
        return {**item, "meta": {**self.meta, DOC_ID: item["id"]}}


@final
@dataclass(frozen=True, kw_only=True)
class RealPrompts(FromRows):
    """The first message of each conversation as a prompt; `meta` says whether the conversation was flagged as unsafe.

    Flags are those of `openai_moderation` (a list of objects with `flagged`, one a turn) and `toxic`; one is enough.

    Args:
        dataset: Where they come from.
        licence: Under which they may be used.
        languages: Names in the column `language` of those to keep; None keeps all.
        is_moderated: Whether every row must say if it was flagged. Where it need not, an unflagged prompt is safe.
        max_characters: Longer prompts are dropped.
    """

    version: ClassVar[int] = 2

    dataset: str
    licence: str
    languages: tuple[str, ...] | None = None
    is_moderated: bool = True
    max_characters: int | None = None

    def item(self, row: Mapping[str, Any], place: str) -> Item:
        if self.languages is not None and row.get("language") not in self.languages:
            raise Dropped("other_language")
        turns = _first_turns({**row, "messages": row[_CONVERSATION]} if _CONVERSATION in row else row, place)
        if self.max_characters is not None and sum(len(turn["content"]) for turn in turns) > self.max_characters:
            raise Dropped("too_long")
        flagged = _flag(row)
        if flagged is None and self.is_moderated:
            raise DataError(
                f"{place}: nothing says whether the conversation is unsafe: `openai_moderation` or `toxic`\n"
                "If the rows are known to be safe, set is_moderated to false."
            )
        source = {"dataset": self.dataset, "licence": self.licence}
        return make_item("prompt", prompt=turns, meta={"task": "real", UNSAFE: bool(flagged)}, source=source)


@final
@dataclass(frozen=True, kw_only=True)
class Safe(Transform):
    """Drops what was flagged as unsafe: models are not to learn answers to it, only preferences between answers."""

    version: ClassVar[int] = 1

    def apply(self, items: Iterable[dict[str, Any]], *, counts: Accounting) -> Iterator[Item]:
        for item in items:
            counts.add()
            if item["meta"].get(UNSAFE, False):
                counts.drop("unsafe", place=f"item {item['id']}")
            else:
                yield item


def given(kind: str, texts: Iterable[str], *, meta: Mapping[str, str] | None = None) -> list[Item]:
    """Texts that somebody wrote by hand, as items."""
    return [make_item(kind, text=text.strip(), meta=meta) for text in texts]


def _first_turns(row: Mapping[str, Any], place: str) -> list[dict[str, str]]:
    """The system turn, where there is one, and the user's first."""
    parsed = parse_row("prompt", row, place)
    assert isinstance(parsed, PromptOnly)
    turns = [{"role": turn.role, "content": turn.content} for turn in parsed.prompt]
    first = next((number for number, turn in enumerate(turns) if turn["role"] == "user"), None)
    if first is None or not turns[first]["content"].strip():
        raise Dropped("empty_prompt")
    return turns[: first + 1]


def _flag(row: Mapping[str, Any]) -> bool | None:
    """Whether any turn was flagged, by either column; None where the row does not say."""
    flags = [row["toxic"]] if isinstance(row.get("toxic"), bool) else []
    moderation = row.get("openai_moderation")
    if isinstance(moderation, list):
        flags += [bool(turn.get("flagged")) for turn in moderation if isinstance(turn, Mapping)]
    return any(flags) if flags else None
