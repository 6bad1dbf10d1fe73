"""Passages that are asked about, and the items about one of them that mean the same."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

from lit_align.data.accounting import Accounting
from lit_align.errors import DataError
from lit_align.synthesis.items import DOC_ID, Item, content_key, make_item, text_key
from lit_align.synthesis.transforms import Transform

Alike = Callable[[Sequence[str]], list[list[int]]]
"""The clusters of texts that mean the same, by their positions: such as `semantic_duplicates` with an embedder."""

TITLE = "title"
"""What `meta` calls a passage's title."""


@final
@dataclass(frozen=True, kw_only=True)
class Passages(Transform):
    """Rows as passages, kind `document`; of equal texts the first is kept.

    Args:
        column: Which column holds the text.
        id_column: Which one holds the id; None takes a hash of the text.
        title_column: Which one holds a title; None where there is none.
        dataset: Where they come from, if it is to be known.
        licence: Under which they may be used.
    """

    version: ClassVar[int] = 1

    column: str = "text"
    id_column: str | None = None
    title_column: str | None = None
    dataset: str | None = None
    licence: str | None = None

    def apply(self, items: Iterable[dict[str, Any]], *, counts: Accounting) -> Iterator[Item]:
        ids: set[str] = set()
        texts: set[str] = set()
        for number, row in enumerate(items, start=1):
            place = f"{self.dataset or 'passages'}:row {number}"
            counts.add()
            text = self._value(row, self.column, place).strip()
            reason = "duplicate" if text_key(text) in texts else None if text else "empty_text"
            if reason is not None:
                counts.drop(reason, place=place)
                continue
            item = self._item(row, text, place)
            name = item["meta"][DOC_ID]
            if name in ids:
                raise DataError(
                    f"{place}: two passages have the id {name!r}: a question could not say which one answers it"
                )
            ids.add(name)
            texts.add(text_key(text))
            yield item
        if not counts.kept:
            raise DataError("there is no passage to ask about")

    def _item(self, row: dict[str, Any], text: str, place: str) -> Item:
        source = None if self.dataset is None else {"dataset": self.dataset, "licence": self.licence}
        item = make_item("document", text=text, source=source)
        meta = {DOC_ID: item["id"] if self.id_column is None else self._value(row, self.id_column, place)}
        if self.title_column is not None:
            meta[TITLE] = self._value(row, self.title_column, place)
        return {**item, "meta": meta}

    def _value(self, row: dict[str, Any], column: str, place: str) -> str:
        value = row.get(column)
        if isinstance(value, int) and column == self.id_column:
            return str(value)
        if not isinstance(value, str):
            raise DataError(f"{place}: `{column}` must hold text\nColumns: {', '.join(row)}")
        return value


def distinct(items: Sequence[Item], *, alike: Alike, counts: Accounting) -> list[Item]:
    """The first of the items about one passage that mean the same."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item["meta"][DOC_ID], []).append(item)
    dropped = {id(group[number]) for group in groups.values() for number in _later(group, alike)}
    for item in items:
        counts.add()
        if id(item) in dropped:
            counts.drop("same_meaning", place=f"item {item['id']}")
    return [item for item in items if id(item) not in dropped]


def _later(group: Sequence[Item], alike: Alike) -> list[int]:
    """The positions of items of which an earlier one means the same."""
    return [number for cluster in alike([content_key(item) for item in group]) for number in sorted(cluster)[1:]]
