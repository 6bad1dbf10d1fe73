"""Tags of prompts: what each asks for, its topic and grades, by a model (InsTag, arXiv:2308.07074) or by rules."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

from lit_align.data.accounting import Accounting
from lit_align.synthesis.hygiene.rule_tags import rule_tags
from lit_align.synthesis.hygiene.tag_names import normalised_tag
from lit_align.synthesis.items import Item, messages_of
from lit_align.synthesis.steps import Row, Step, place_of, prompt_row, unfinished_reason
from lit_align.synthesis.template import Template, shipped
from lit_align.synthesis.transforms import Transform

LABELS = ("topic", "tags", "difficulty", "quality")
"""What tagging tells of a prompt, as `categories_of` names it."""

_GRADES = range(1, 6)
_LONGEST_TAG = 60


@final
@dataclass(frozen=True, kw_only=True)
class AskTags(Step):
    """Asks what each item's conversation is about; the items come back with `tags`, and the rest in `meta`.

    A response without a single tag is dropped; a topic or grade that is missing or out of range is left out, never
    guessed.

    Args:
        most: Tags of an item; those beyond are left out.
        template: Its slots are filled with the conversation and `most`.
    """

    version: ClassVar[int] = 1

    most: int = 8
    template: Template = shipped("tag_prompt")  # noqa: RUF009 - frozen

    def compose(self, items: Iterable[Item], *, made: Iterable[Item] | None = None) -> Iterator[Row]:
        tagged = {item["id"] for item in made or ()}
        for item in items:
            if item["id"] not in tagged:
                text = self.template.fill({"conversation": _conversation(item), "most": self.most})
                yield prompt_row(item, text, template=self.template)

    def parse(self, responses: Iterable[Row], *, counts: Accounting) -> Iterator[Item]:
        for row in responses:
            counts.add()
            found = _first_object(row["response"])
            tags = _tags(found.get("tags"))[: self.most]
            reason = unfinished_reason(row) or (None if tags else "no_tags")
            if reason is not None:
                counts.drop(reason, place=place_of(row))
                continue
            item = row["item"]
            yield {**item, "tags": tags, "meta": {**item.get("meta", {}), **_details(found)}}


@final
@dataclass(frozen=True, kw_only=True)
class RuleTags(Transform):
    """Adds the `tags` that the words of a prompt tell, none or several; see `rule_tags`."""

    version: ClassVar[int] = 1

    def apply(self, items: Iterable[Item], *, counts: Accounting) -> Iterator[Item]:
        for item in items:
            counts.add()
            yield {**item, "tags": list(rule_tags(_conversation(item)))}


def _conversation(item: Item) -> str:
    """What is tagged: the user's only turn, or all turns with their roles, up to the last of the user's."""
    if isinstance(item.get("prompt"), str):  # as `lit-align generate` writes a single turn
        return item["prompt"]
    messages = messages_of(item)
    while messages and messages[-1]["role"] == "assistant":
        messages = messages[:-1]
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)


def _first_object(text: str) -> Mapping[str, Any]:
    """The first JSON object in a response; empty where there is none."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            value, _ = decoder.raw_decode(text, start)
            return value
        except (json.JSONDecodeError, RecursionError):
            start = text.find("{", start + 1)
    return {}


def _tags(value: Any) -> list[str]:
    names = [normalised_tag(name) for name in value if isinstance(name, str)] if isinstance(value, list) else []
    return list(dict.fromkeys(name for name in names if 0 < len(name) <= _LONGEST_TAG))


def _details(found: Mapping[str, Any]) -> dict[str, Any]:
    topic = found.get("topic")
    details: dict[str, Any] = {}
    if isinstance(topic, str) and (name := normalised_tag(topic)) and len(name) <= _LONGEST_TAG:
        details["topic"] = name
    for key in ("difficulty", "quality"):
        if isinstance(found.get(key), int) and not isinstance(found[key], bool) and found[key] in _GRADES:
            details[key] = found[key]
    return details
