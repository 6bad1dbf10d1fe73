"""Transforms: what is done to items without asking a model."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

from lit_align.data.accounting import Accounting
from lit_align.data.records import Dropped
from lit_align.errors import DataError
from lit_align.files import sha256_of_json
from lit_align.synthesis.items import REQUEST, UNSAFE, Item, content_key, make_item, messages_of, origin_of, rank
from lit_align.synthesis.steps import slots_of
from lit_align.synthesis.template import Template


class Transform(ABC):
    """A pure function from items, or rows from outside, to items.

    A concrete transform is a `@final @dataclass(frozen=True, kw_only=True)` of JSON values.

    Attributes:
        version: Raised by hand when the code starts to produce something else from the same fields.
    """

    version: ClassVar[int]

    @abstractmethod
    def apply(self, items: Iterable[dict[str, Any]], *, counts: Accounting) -> Iterator[Item]:
        """Yields the items; whatever is left out is dropped from `counts` under its reason."""


class FromRows(Transform):
    """Makes an item of each row of a data set from outside.

    Attributes:
        dataset: What the data set is called where a row of it is named.
    """

    dataset: str

    def apply(self, items: Iterable[dict[str, Any]], *, counts: Accounting) -> Iterator[Item]:
        for number, row in enumerate(items, start=1):
            place = f"{self.dataset}:row {number}"
            counts.add()
            try:
                yield self.item(row, place)
            except Dropped as dropped:
                counts.drop(dropped.reason, place=place)

    @abstractmethod
    def item(self, row: Mapping[str, Any], place: str) -> Item:
        """The item of a row; raises `Dropped` where the row is of no use."""


@final
@dataclass(frozen=True, kw_only=True)
class Take(Transform):
    """Keeps one of items with the same content, and at most a number of all, drawn by a hash of seed and content.

    Where any of the equal ones was flagged as unsafe, the one that stays is.

    Args:
        most: Most items; None keeps all. A larger number keeps the items of a smaller one.
        seed: Of the draw.
        within: A name in `meta`, such as `language`; items that differ in it are not the same.
    """

    version: ClassVar[int] = 2

    most: int | None = None
    seed: int = 0
    within: str | None = None

    def apply(self, items: Iterable[dict[str, Any]], *, counts: Accounting) -> Iterator[Item]:
        unique: dict[str, Item] = {}
        for item in items:
            counts.add()
            key = self._key(item)
            if key in unique:
                counts.drop("duplicate", place=f"item {item['id']}")
                if item["meta"].get(UNSAFE, False):
                    unique[key] = {**unique[key], "meta": {**unique[key]["meta"], UNSAFE: True}}
            else:
                unique[key] = item
        drawn = sorted(unique, key=lambda key: rank(self.seed, key))[: self.most]
        chosen = set(drawn)
        for key, item in unique.items():
            if key in chosen:
                yield item
            else:
                counts.drop("not_sampled", place=f"item {item['id']}")

    def _key(self, item: Item) -> str:
        key = content_key(item)
        return key if self.within is None else f"{item['meta'].get(self.within)}\n{key}"


@final
@dataclass(frozen=True, kw_only=True)
class Cross(Transform):
    """Combines every item with some of a list of values, which its `meta` then has under a name.

    Args:
        name: The name.
        values: The values.
        num: How many of them each item is combined with.
        seed: Of the choice.
    """

    version: ClassVar[int] = 1

    name: str
    values: tuple[str, ...]
    num: int
    seed: int = 0

    def apply(self, items: Iterable[dict[str, Any]], *, counts: Accounting) -> Iterator[Item]:
        for item in items:
            for value in self._chosen(item["id"]):
                counts.add()
                own = sha256_of_json([item["id"], self.name, value])[:20]
                yield {**item, "id": own, "meta": {**item["meta"], self.name: value}, "parents": [item["id"]]}

    def _chosen(self, key: str) -> list[str]:
        return sorted(self.values, key=lambda value: rank(self.seed, key, value))[: self.num]


@final
@dataclass(frozen=True, kw_only=True)
class AsPrompts(Transform):
    """Turns texts, and conversations in which the user spoke last, into prompts.

    Args:
        task: What kind of prompt this is; `meta` gets it.
        template: Joins the text with others that `meta` has; one of its alternatives is drawn for each item. The
            text is `request` in `meta` then.
        forgotten: What `meta` loses, such as a document that stands in the prompt now.
        seed: Of the draw.
    """

    version: ClassVar[int] = 2

    task: str
    template: Template | None = None
    forgotten: tuple[str, ...] = ()
    seed: int = 0

    def apply(self, items: Iterable[dict[str, Any]], *, counts: Accounting) -> Iterator[Item]:
        for item in items:
            counts.add()
            known = {name: value for name, value in item["meta"].items() if name not in self.forgotten}
            if self.template is not None:
                known[REQUEST] = item["text"]
            yield make_item(
                "prompt",
                prompt=self._messages(item),
                meta={**known, "task": self.task},
                parents=[item["id"]],
                template=item.get("template"),
                **origin_of(item),
            )

    def _messages(self, item: Item) -> list[dict[str, str]]:
        if self.template is None:
            return messages_of(item)
        text = self.template.fill(slots_of(item), rank=rank(self.seed, item["id"]))
        return [{"role": "user", "content": text}]


@final
@dataclass(frozen=True, kw_only=True)
class AboveReward(Transform):
    """Keeps the items whose reward, which a reward model has added, is not below a threshold.

    Args:
        threshold: In the reward model's own units.
    """

    version: ClassVar[int] = 1

    threshold: float

    def apply(self, items: Iterable[dict[str, Any]], *, counts: Accounting) -> Iterator[Item]:
        for item in items:
            counts.add()
            if "reward" not in item:
                raise DataError(f"item {item['id']} has no reward: score the items first")
            if item["reward"] < self.threshold:
                counts.drop("low_reward", place=f"item {item['id']}")
            else:
                yield item
